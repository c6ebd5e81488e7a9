#include "group.h"
#include "base/err.h"
#include <string.h>

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

/* ---- roles */

enum beginning { AT_ONCE, AFTER_PRESTART, AFTER_MAIN_STARTED, AFTER_MAIN_ENDED, ON_STOP };

static const struct {
    enum beginning begins;
    bool ends_with_main;
    bool waits_for_main; /* when the allocation stops, it goes after the main tasks */
    bool outlives;       /* no end of another takes it along */
    bool lasting;
} rules[GROUP_ROLES] = {
    [GROUP_MAIN] = {.begins = AFTER_PRESTART, .lasting = true},
    [GROUP_PRESTART] = {.begins = AT_ONCE, .ends_with_main = true},
    [GROUP_PRESTART_SIDECAR] = {.begins = AT_ONCE,
                                .ends_with_main = true,
                                .waits_for_main = true,
                                .lasting = true},
    [GROUP_POSTSTART] = {.begins = AFTER_MAIN_STARTED, .ends_with_main = true},
    [GROUP_POSTSTART_SIDECAR] = {.begins = AFTER_MAIN_STARTED,
                                 .ends_with_main = true,
                                 .waits_for_main = true,
                                 .lasting = true},
    [GROUP_POSTSTOP] = {.begins = AFTER_MAIN_ENDED, .outlives = true},
    [GROUP_PRESTOP] = {.begins = ON_STOP, .ends_with_main = true, .waits_for_main = true},
};

enum group_role group_role_of(const Pb__Task *task)
{
    static const struct {
        const char *hook;
        enum group_role once, sidecar;
    } hooks[] = {
        {"prestart", GROUP_PRESTART, GROUP_PRESTART_SIDECAR},
        {"poststart", GROUP_POSTSTART, GROUP_POSTSTART_SIDECAR},
        {"poststop", GROUP_POSTSTOP, GROUP_POSTSTOP},
        {"prestop", GROUP_PRESTOP, GROUP_PRESTOP},
    };
    const Pb__Lifecycle *l = task->lifecycle;
    for (size_t i = 0; l != NULL && l->hook != NULL && i < COUNT_OF(hooks); i++)
        if (strcmp(hooks[i].hook, l->hook) == 0)
            return l->sidecar ? hooks[i].sidecar : hooks[i].once;
    return GROUP_MAIN;
}

bool group_role_is_lasting(enum group_role role)
{
    return rules[role].lasting;
}

static bool is_fulfilled(const struct group_member *m)
{
    if (m->role == GROUP_PRESTART)
        return is_dead(m) && !m->task->failed;
    return m->role != GROUP_PRESTART_SIDECAR || m->task->phase == TASK_RUNNING;
}

static bool main_is_over(const struct group_member *members, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (members[i].role == GROUP_MAIN && !is_dead(&members[i]))
            return false;
    return true;
}

static bool main_has_started(const struct group_member *members, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (members[i].role == GROUP_MAIN && members[i].task->started_at == 0)
            return false;
    return true;
}

static bool anything_ran(const struct group_member *members, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (members[i].task->started_at != 0)
            return true;
    return false;
}

static bool main_runs(const struct group_member *members, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (members[i].role == GROUP_MAIN && members[i].task->phase == TASK_RUNNING)
            return true;
    return false;
}

bool group_may_begin(const struct group_member *members, size_t count, size_t i, bool stopping)
{
    switch (rules[members[i].role].begins) {
    case AT_ONCE:
        return true;
    case AFTER_PRESTART:
        for (size_t k = 0; k < count; k++)
            if (!is_fulfilled(&members[k]))
                return false;
        return true;
    case AFTER_MAIN_STARTED:
        return main_has_started(members, count) && !main_is_over(members, count);
    case AFTER_MAIN_ENDED:
        return main_is_over(members, count);
    case ON_STOP:
        return stopping && main_runs(members, count);
    }
    return false;
}

/* ---- ends */

static bool must_end_poststop(const struct group_member *members, size_t count)
{
    return main_is_over(members, count) && !anything_ran(members, count);
}

static bool main_may_run(const struct group_member *members, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (members[i].role == GROUP_MAIN && members[i].task->phase == TASK_STARTING &&
            members[i].launched)
            return true;
    return main_runs(members, count);
}

/* One that runs, or will as soon as a main task is seen to run. */
static bool prestop_is_on(const struct group_member *members, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (members[i].role == GROUP_PRESTOP && !is_dead(&members[i]) &&
            (members[i].task->phase != TASK_NEW || main_may_run(members, count)))
            return true;
    return false;
}

bool group_must_kill(const struct group_member *members, size_t count, size_t i, bool stopping,
                     struct group_kill *out)
{
    const struct group_member *leader = NULL, *failed = NULL, *self = &members[i];
    for (size_t k = 0; k < count; k++) {
        if (members[k].leader)
            leader = &members[k];
        if (members[k].task->failed && k != i)
            failed = &members[k];
    }
    if (is_dead(self))
        return false;
    *out = (struct group_kill){TASK_IN_KILL, NULL};
    if (rules[self->role].outlives)
        return must_end_poststop(members, count);
    if (failed != NULL) {
        *out = (struct group_kill){TASK_IN_SIBLING_FAILED, failed->name};
        return true;
    }
    if (leader != NULL && is_dead(leader)) {
        out->why = stopping ? TASK_IN_KILL : TASK_IN_LEADER_DEAD;
        return true;
    }
    if (rules[self->role].ends_with_main && main_is_over(members, count)) {
        out->why = stopping ? TASK_IN_KILL : TASK_IN_MAIN_DEAD;
        return true;
    }
    return stopping && !rules[self->role].waits_for_main && (leader == NULL || self->leader) &&
           !prestop_is_on(members, count);
}
