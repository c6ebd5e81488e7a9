/* The tasks of one allocation seen together: what its client status is, which of them may begin,
 * and which must go because of another. Pure. */
#ifndef NODEAGENT_GROUP_H
#define NODEAGENT_GROUP_H

#include "task.h"

/* What a task is in its group; the table in group.c says what follows. */
enum group_role {
    GROUP_MAIN,
    GROUP_PRESTART,          /* ends well before a main task begins */
    GROUP_PRESTART_SIDECAR,  /* runs before a main task begins, and as long as one does */
    GROUP_POSTSTART,         /* begins once all main tasks run */
    GROUP_POSTSTART_SIDECAR, /* and runs as long as one does */
    GROUP_POSTSTOP,          /* begins once all main tasks are dead */
    GROUP_PRESTOP,           /* begins when the allocation is to stop, and main tasks wait for it */
    GROUP_ROLES,
};

struct group_member {
    const struct task *task;
    const char *name;
    bool leader;
    enum group_role role;
    bool launched; /* has a supervisor: while it is STARTING, it may run already */
};

enum group_role group_role_of(const Pb__Task *task);
/* Whether it is to be started again after it ended well, where the job's type wants that. */
bool group_role_is_lasting(enum group_role role);

struct group_status {
    Pb__Alloc__ClientStatus status;
    const char *description;
};

/* Terminal (COMPLETE, FAILED) only once every task is dead: until then the allocation still uses
 * its node. */
struct group_status group_status(const struct group_member *members, size_t count);

struct group_kill {
    enum task_input_kind why; /* TASK_IN_KILL, _LEADER_DEAD, _MAIN_DEAD or _SIBLING_FAILED */
    const char *sibling;
};

/* How long others wait for a prestop task that says nothing of it: its max_run_duration. */
#define GROUP_PRESTOP_NS 60000000000ll

/* Whether member i, which is new, may begin now. stopping: as below. */
bool group_may_begin(const struct group_member *members, size_t count, size_t i, bool stopping);

/* Whether member i must be killed now. stopping: the allocation is to end; then the leader goes
 * first and the others follow it, sidecars after the main tasks. Prestop tasks
 * run before that, while a main task does; one that may run already is waited for. Poststop tasks
 * run even then, unless nothing ever ran. Asking again for one that was told already does no harm.
 */
bool group_must_kill(const struct group_member *members, size_t count, size_t i, bool stopping,
                     struct group_kill *out);

#endif
