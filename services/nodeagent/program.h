/* Runs a program for what it prints. */
#ifndef NODEAGENT_PROGRAM_H
#define NODEAGENT_PROGRAM_H

#include "base/err.h"
#include "base/strbuf.h"
#include <stddef.h>

/* Waits until it has closed its output, at most timeout_ms; then, and when it prints more than
 * most bytes, it is killed with all that it started. What counts is what it printed, not how it
 * ended: the agent's children are not waited for. Blocks: for a start, or a worker. */
enum err program_run(char *const argv[], int timeout_ms, size_t most, struct strbuf *out,
                     struct reason *why);
/* The same, without arguments. */
enum err program_output(const char *program, int timeout_ms, size_t most, struct strbuf *out,
                        struct reason *why);

#endif
