/* Which nodes can run a task group at all, whatever is free on them: datacenter, drivers,
 * constraints. Decided once per kind of node; only what looks at something unique is looked at node
 * by node. */
#ifndef SCHED_FEASIBLE_H
#define SCHED_FEASIBLE_H

#include "base/arena.h"
#include "sched/fleet.h"
#include <stdbool.h>
#include <stdint.h>

struct feasible {
    const char **verdicts; /* by kind; NULL: feasible; else what is wrong, as people read it */
    bool *elsewhere;       /* by kind: not in one of the job's datacenters */
    const Pb__Constraint **unique; /* still to be held by the node itself */
    size_t unique_count;
    bool distinct_hosts_of_job, distinct_hosts_of_group;
};

/* Borrows job and group; lives in a. */
void feasible_init(struct feasible *x, struct arena *a, const struct fleet *f, const Pb__Job *job,
                   const Pb__TaskGroup *group);
/* NULL: it can. Else why not, from a. The node is known. */
const char *feasible_node(const struct feasible *x, struct arena *a, const struct fleet *f,
                          uint32_t slot);

#endif
