/* Kills the agent with SIGKILL right after the n-th thing that it, or its taskmove, has done to a
 * disk or started. The agent is to be started with the library kill_at.c in front of the C library,
 * and the name of a file that holds a struct kill_at in the environment. */
#ifndef TESTS_NODEAGENT_KILL_AT_H
#define TESTS_NODEAGENT_KILL_AT_H

#include <stdatomic.h>

#define KILL_AT_VARIABLE "NORN_TEST_KILL_AT"

struct kill_at {
    atomic_int left;     /* calls until it is killed; 0: never */
    char at[64], by[32]; /* which call that was, and whose */
};

#endif
