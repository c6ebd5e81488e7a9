/* What a task may use of the machine, kept by cgroups: one directory for all controllers with
 * cgroup2, one for each with v1. libc only. */
#ifndef NODEAGENT_SHIM_LIMITS_H
#define NODEAGENT_SHIM_LIMITS_H

#include "spec.h"
#include <stdbool.h>

struct limits {
    bool two;       /* cgroup2 */
    bool own_cores; /* else the cpuset is shared: it stays, and is a wish */
    int dirs[SHIM_CONTROLLERS];
};

/* Makes the directories and sets the limits. NULL, or what could not be done; errno says why. Only
 * a limit of memory or processes, or own cores, that cannot be set is a failure: a share is a wish.
 */
const char *limits_init(struct limits *l, const struct spec_view *v);
/* Those of a task that runs: nothing is made and nothing set. What is not there is left out. */
void limits_find(struct limits *l, const struct spec_view *v);
/* For the calling process and those it will have. False: errno says why. */
bool limits_enter(const struct limits *l);
/* How many processes were killed for the memory limit so far. */
uint32_t limits_oom_kills(const struct limits *l);
/* Removes the directories, which must be empty. */
void limits_fini(struct limits *l, char paths[SHIM_CONTROLLERS][512]);

#endif
