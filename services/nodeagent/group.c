#include "group.h"

static bool is_dead(const struct group_member *m)
{
    return m->task->phase == TASK_DEAD;
}

static bool is_pending(const struct group_member *m)
{
    return m->task->phase == TASK_NEW || m->task->phase == TASK_STARTING ||
           m->task->phase == TASK_WAITING;
}

struct group_status group_status(const struct group_member *members, size_t count)
{
    size_t dead = 0, pending = 0, failed = 0;
    for (size_t i = 0; i < count; i++) {
        dead += is_dead(&members[i]);
        pending += is_pending(&members[i]);
        failed += members[i].task->failed;
    }
    if (dead == count)
        return failed > 0 ? (struct group_status){PB__ALLOC__CLIENT_STATUS__FAILED, "Failed tasks"}
                          : (struct group_status){PB__ALLOC__CLIENT_STATUS__COMPLETE,
                                                  "All tasks have completed"};
    if (dead + pending < count || dead > 0)
        return (struct group_status){PB__ALLOC__CLIENT_STATUS__RUNNING, "Tasks are running"};
    return (struct group_status){PB__ALLOC__CLIENT_STATUS__PENDING, "No tasks have started"};
}

bool group_must_kill(const struct group_member *members, size_t count, size_t i, bool stopping,
                     struct group_kill *out)
{
    const struct group_member *leader = NULL, *failed = NULL;
    for (size_t k = 0; k < count; k++) {
        if (members[k].leader)
            leader = &members[k];
        if (members[k].task->failed && k != i)
            failed = &members[k];
    }
    if (is_dead(&members[i]))
        return false;
    if (failed != NULL) {
        *out = (struct group_kill){TASK_IN_SIBLING_FAILED, failed->name};
        return true;
    }
    if (leader != NULL && is_dead(leader)) {
        *out = (struct group_kill){stopping ? TASK_IN_KILL : TASK_IN_LEADER_DEAD, NULL};
        return true;
    }
    *out = (struct group_kill){TASK_IN_KILL, NULL};
    return stopping && (leader == NULL || members[i].leader);
}
