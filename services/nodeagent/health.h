/* Whether an allocation is healthy as its deployment asks. Pure: looks at the tasks of the group
 * and at the time it is given.
 *
 * Healthy: every lasting task has been running, and every prestart and poststart task has ended
 * well, for min_healthy_time. Unhealthy: a task failed for good or a lasting one ended, or
 * healthy_deadline has passed first. It counts from when the allocation was first seen with this
 * deployment; found once, it stands. */
#ifndef NODEAGENT_HEALTH_H
#define NODEAGENT_HEALTH_H

#include "base/arena.h"
#include "base/id.h"
#include "group.h"
#include "nodeagent.pb-c.h"
#include <stdbool.h>
#include <stdint.h>

enum health_verdict { HEALTH_UNKNOWN, HEALTH_GOOD, HEALTH_BAD };

struct health {
    bool watched; /* by a deployment; else nothing below counts */
    bool by_hand; /* the group's health is told by an operator, never by us */
    uint8_t deployment[ID_SIZE];
    int64_t min_healthy_ns, deadline_ns;
    int64_t since_ns; /* first seen with this deployment */
    enum health_verdict verdict;
    int64_t decided_ns;
    bool told; /* the servers have acknowledged the verdict */
};

/* Begins to watch for a deployment of 16 bytes; what was found for another is forgotten. */
void health_begin(struct health *h, const uint8_t *deployment, const Pb__TaskGroup *group,
                  int64_t now_ns);
/* True: the verdict was found now. stopping: the allocation is to end, which says nothing of it. */
bool health_step(struct health *h, const struct group_member *members, size_t count, bool stopping,
                 int64_t now_ns);
/* When to look again if no task changes; 0: never. */
int64_t health_due_ns(const struct health *h, const struct group_member *members, size_t count);

/* NULL: not watched. */
Pb__LocalHealth *health_save(struct arena *a, const struct health *h);
void health_load(struct health *h, const Pb__LocalHealth *saved, const Pb__TaskGroup *group);

#endif
