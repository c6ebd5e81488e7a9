/* Where tasks' processes are gathered so that none escapes a kill: a directory of our own at the
 * top of the cgroup2 hierarchy (also of a hybrid machine), else of the v1 freezer, else nowhere.
 * Never below the agent's own unit: systemd could not restart that while tasks live. An agent that
 * is not root uses what of cgroup2 was delegated to it. */
#ifndef NODEAGENT_CGROUP_H
#define NODEAGENT_CGROUP_H

#include "shim/shim.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cgroups {
    enum shim_tree kind;
    char base[256];  /* ".../norn.slice"; "" with SHIM_TREE_WALK */
    char shims[280]; /* where taskshims go; "" where that is of no use */
    bool limits_v2;
    char limits[SHIM_CONTROLLERS][256]; /* as base, of each controller; "": not to be had */
};

/* setting: "auto", "none", or the mount point of a hierarchy to use. Falls back to SHIM_TREE_WALK
 * when nothing can be made there. */
void cgroups_init(struct cgroups *c, const char *setting);
/* Makes the directories again if they have gone: another agent of this machine removed them as it
 * ended. */
void cgroups_prepare(const struct cgroups *c);
/* Of one task; "" with SHIM_TREE_WALK. */
void cgroups_task_path(const struct cgroups *c, const uint8_t alloc[16], const char *task,
                       char *out, size_t room);
/* The same task's directory of one controller; "" if there is none. */
void cgroups_limit_path(const struct cgroups *c, enum shim_controller controller,
                        const uint8_t alloc[16], const char *task, char *out, size_t room);
/* The cores that tasks may be given, as the kernel writes them. False: cores cannot be kept to. */
bool cgroups_cores(const struct cgroups *c, char *out, size_t room);
/* What all tasks keep to that have no cores of their own: with v1 those that there are, and those
 * to come, in a directory that they share; with cgroup2 each by cgroups_keep_to. */
void cgroups_share(const struct cgroups *c, const char *cpus);
void cgroups_share_path(const struct cgroups *c, const uint8_t alloc[16], const char *task,
                        char *out, size_t room);
void cgroups_keep_to(const struct cgroups *c, const uint8_t alloc[16], const char *task,
                     const char *cpus);
/* Kills what is left in a task's cgroups and removes them, waiting up to wait_ms. Nothing happens
 * if there are none. */
void cgroups_clear(const struct cgroups *c, const uint8_t alloc[16], const char *task, int wait_ms);
/* Removes our directories if nothing is in them. */
void cgroups_fini(const struct cgroups *c);

#endif
