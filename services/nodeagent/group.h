/* The tasks of one allocation seen together: what its client status is, and which of them must go
 * because of another. Pure. */
#ifndef NODEAGENT_GROUP_H
#define NODEAGENT_GROUP_H

#include "task.h"

struct group_member {
    const struct task *task;
    const char *name;
    bool leader;
};

struct group_status {
    Pb__Alloc__ClientStatus status;
    const char *description;
};

/* Terminal (COMPLETE, FAILED) only once every task is dead: until then the allocation still uses
 * its node. */
struct group_status group_status(const struct group_member *members, size_t count);

struct group_kill {
    enum task_input_kind why; /* TASK_IN_KILL, _LEADER_DEAD or _SIBLING_FAILED */
    const char *sibling;
};

/* Whether member i must be killed now. stopping: the allocation is to end; then the leader goes
 * first and the others follow it. Asking again for one that was told already does no harm. */
bool group_must_kill(const struct group_member *members, size_t count, size_t i, bool stopping,
                     struct group_kill *out);

#endif
