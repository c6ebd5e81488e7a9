/* Killing all of a task's processes, also those that forked twice, made a session of their own and
 * ignore TERM. By cgroup where there is one, and always by walking down from us as well: we are
 * their subreaper, so what loses its parent becomes our child, and what left its cgroup is still
 * found. libc only. */
#ifndef NODEAGENT_SHIM_TREE_H
#define NODEAGENT_SHIM_TREE_H

#include <stdbool.h>
#include <sys/types.h>

struct tree {
    int kind;    /* enum shim_tree */
    int cgroup;  /* directory, or -1 */
    bool inside; /* we were born there */
};

/* Makes the cgroup. Falls back to SHIM_TREE_WALK when that is refused. */
void tree_init(struct tree *t, int kind, const char *cgroup);
/* As fork. Where the kernel can, the child is born in the cgroup: to move there later would take a
 * grace period of RCU, ten milliseconds and more. */
pid_t tree_fork(struct tree *t);
/* For the task's first process, before exec: enters the cgroup. False: errno says why. */
bool tree_enter(const struct tree *t);
/* One round. True: nothing is left alive. The caller reaps its children between rounds. */
bool tree_kill(struct tree *t);
/* The cgroup only: for an agent that finds a task whose shim was killed. */
bool tree_kill_cgroup(const struct tree *t);

/* Removes the cgroup, with what visits (visit.h) left in it. Nothing may live there. */
void tree_remove(const char *cgroup);

#define TREE_VISIT "visit-" /* begins the name of a visit's cgroup, below the task's */

#endif
