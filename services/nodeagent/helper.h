/* A program beside the agent, in a process group of its own, so that all of it can be killed.
 * Nobody waits for it: what it says on its output, and the end of that, is how it ended. */
#ifndef NODEAGENT_HELPER_H
#define NODEAGENT_HELPER_H

#include "base/err.h"
#include <sys/types.h>

/* input, output: become its standard input and output; -1: it has /dev/null. */
enum err helper_spawn(pid_t *pid, char *const argv[], int input, int output, struct reason *why);

#endif
