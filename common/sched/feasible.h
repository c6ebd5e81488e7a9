/* Which nodes can run a task group at all, whatever is free on them: pool, datacenter, drivers,
 * devices, constraints. Decided once per kind of node; only what looks at something unique is
 * looked at node by node. */
#ifndef SCHED_FEASIBLE_H
#define SCHED_FEASIBLE_H

#include "base/arena.h"
#include "sched/condition.h"
#include "sched/fleet.h"
#include "sched/pieces.h"
#include <stdbool.h>
#include <stdint.h>

/* What a constraint asks of a node, and how people read it. */
struct demand {
    struct condition condition;
    const char *text;
};

struct feasible {
    const char **verdicts; /* by kind; NULL: feasible; else what is wrong, as people read it */
    bool *elsewhere;       /* by kind: not of the job's pool and datacenters */
    struct demand *of_kind, *unique; /* the latter are still to be held by the node itself */
    size_t of_kind_count, unique_count;
    bool distinct_hosts_of_job, distinct_hosts_of_group;
    struct pieces *pieces; /* cores and devices; NULL: none are asked for */
};

/* Calls visit for each constraint of the group: the job's, its own, its tasks'. */
void feasible_each_constraint(const Pb__Job *job, const Pb__TaskGroup *group, void *self,
                              void (*visit)(void *self, const Pb__Constraint *c, bool of_job));

/* Borrows job and group; lives in a. */
void feasible_init(struct feasible *x, struct arena *a, const struct fleet *f, const Pb__Job *job,
                   const Pb__TaskGroup *group);
/* NULL: it can. Else why not. The node is known. */
const char *feasible_node(const struct feasible *x, const struct fleet *f, uint32_t slot);
/* All that is wrong with it, not only the first; at most max texts into out, in arena where they
 * are not the job's. Returns how many. Pool and datacenters aside. */
size_t feasible_wrongs(const struct feasible *x, struct arena *a, const struct fleet *f,
                       uint32_t slot, const Pb__TaskGroup *group, const char **out, size_t max);

#endif
