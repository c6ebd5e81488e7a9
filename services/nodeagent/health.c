#include "health.h"
#include "wire/wire.h"
#include <string.h>

#define SECOND_NS           1000000000ll
#define DEFAULT_MIN_HEALTHY (10 * SECOND_NS)
#define DEFAULT_DEADLINE    (300 * SECOND_NS)

static void take_rules(struct health *h, const Pb__TaskGroup *group)
{
    const Pb__UpdateStrategy *u = group != NULL ? group->update : NULL;
    h->min_healthy_ns =
        u != NULL && u->has_min_healthy_time_ns ? u->min_healthy_time_ns : DEFAULT_MIN_HEALTHY;
    h->deadline_ns =
        u != NULL && u->healthy_deadline_ns > 0 ? u->healthy_deadline_ns : DEFAULT_DEADLINE;
    h->by_hand = u != NULL && u->health_check != NULL && strcmp(u->health_check, "manual") == 0;
}

void health_begin(struct health *h, const uint8_t *deployment, const Pb__TaskGroup *group,
                  int64_t now_ns)
{
    *h = (struct health){.watched = true, .since_ns = now_ns};
    memcpy(h->deployment, deployment, ID_SIZE);
    take_rules(h, group);
}

static bool is_bad(const struct group_member *members, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (members[i].task->failed ||
            (members[i].task->phase == TASK_DEAD && group_role_is_lasting(members[i].role)))
            return true;
    return count == 0; /* it cannot be run here at all */
}

/* Since when all has been as it should; 0: it is not. */
static int64_t good_since(const struct health *h, const struct group_member *members, size_t count)
{
    int64_t since = h->since_ns;
    for (size_t i = 0; i < count; i++) {
        const struct task *t = members[i].task;
        bool lasting = group_role_is_lasting(members[i].role);
        int64_t at = lasting ? t->started_at : t->finished_at;
        if (members[i].role == GROUP_POSTSTOP || members[i].role == GROUP_PRESTOP)
            continue;
        if (t->phase != (lasting ? TASK_RUNNING : TASK_DEAD) || t->failed)
            return 0;
        since = at > since ? at : since;
    }
    return count == 0 ? 0 : since;
}

static bool is_open(const struct health *h)
{
    return h->watched && !h->by_hand && h->verdict == HEALTH_UNKNOWN;
}

bool health_step(struct health *h, const struct group_member *members, size_t count, bool stopping,
                 int64_t now_ns)
{
    if (!is_open(h) || stopping)
        return false;
    int64_t deadline = h->since_ns + h->deadline_ns, good = good_since(h, members, count);
    /* Looked at late, it is judged as it would have been in time. */
    if (is_bad(members, count))
        h->verdict = HEALTH_BAD;
    else if (good != 0 && good + h->min_healthy_ns <= deadline &&
             good + h->min_healthy_ns <= now_ns)
        h->verdict = HEALTH_GOOD;
    else if (deadline <= now_ns)
        h->verdict = HEALTH_BAD;
    else
        return false;
    h->decided_ns = now_ns;
    return true;
}

int64_t health_due_ns(const struct health *h, const struct group_member *members, size_t count)
{
    if (!is_open(h))
        return 0;
    int64_t deadline = h->since_ns + h->deadline_ns, good = good_since(h, members, count);
    return good != 0 && good + h->min_healthy_ns < deadline ? good + h->min_healthy_ns : deadline;
}

Pb__LocalHealth *health_save(struct arena *a, const struct health *h)
{
    if (!h->watched)
        return NULL;
    Pb__LocalHealth *l = arena_alloc(a, sizeof *l);
    pb__local_health__init(l);
    l->has_deployment_id = l->has_since = l->has_told = true;
    l->deployment_id = wire_id(a, h->deployment);
    l->since = h->since_ns;
    l->told = h->told;
    l->has_healthy = l->has_decided_at = h->verdict != HEALTH_UNKNOWN;
    l->healthy = h->verdict == HEALTH_GOOD;
    l->decided_at = h->decided_ns;
    return l;
}

void health_load(struct health *h, const Pb__LocalHealth *saved, const Pb__TaskGroup *group)
{
    *h = (struct health){0};
    if (saved == NULL || saved->deployment_id.len != ID_SIZE)
        return;
    health_begin(h, saved->deployment_id.data, group, saved->since);
    if (saved->has_healthy)
        h->verdict = saved->healthy ? HEALTH_GOOD : HEALTH_BAD;
    h->decided_ns = saved->decided_at;
    h->told = saved->told;
}
