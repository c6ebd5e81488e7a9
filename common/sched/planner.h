/* A plan being made: what the files that make it share. For the files of this library.
 *
 * plan.c finds out what must change (reconcile) and writes it down, place.c finds the nodes,
 * conclude.c says what becomes of the evaluation. */
#ifndef SCHED_PLANNER_H
#define SCHED_PLANNER_H

#include "question.pb-c.h"
#include "sched/ask.h"
#include "sched/feasible.h"
#include "sched/metrics.h"
#include "sched/rank.h"
#include "sched/reconcile.h"
#include "sched/sched.h"

/* What this plan and the job's other allocations already mean for a node. */
struct at_node {
    int64_t cpu, memory, disk; /* taken by this plan; below 0: more was displaced */
    uint32_t dynamic_ports;
    uint32_t of_job, of_group; /* allocations that are there to stay */
    struct taken_port *taken;
    struct given *given; /* cores and devices */
};

/* An allocation of a less important job. */
struct victim {
    const Pb__Alloc *alloc;
    uint32_t slot, priority;
    uint32_t cores, instances; /* that it was given */
    bool gone;                 /* displaced by this plan */
};

struct planner {
    struct arena *arena;
    const struct fleet *fleet;
    const Pb__JobView *view;
    const Pb__Job *job;
    const Pb__Eval *eval;
    uint64_t seed, given; /* given: allocations that got ports so far */
    struct sched_options options;
    Pb__Plan *plan;
    struct changes changes;
    struct feasible *feasible; /* by group; only for groups that something is wanted of */
    bool *feasible_known;
    struct at_node *at_node; /* by slot; NULL: nothing is there */
    size_t budget;           /* changes that the plan may still hold */
    bool more;               /* the budget did not suffice */
    bool deployed;           /* what is being placed is part of the deployment */
    uint32_t failed;         /* placements that found no place */
    size_t stops_apart; /* of a job that wants all or nothing: stops that do not depend on it */
    uint32_t *failed_of_group;
    struct victim *victims; /* by slot, then priority and id */
    size_t victim_count, displaced;
    Pb__GroupWhy **why; /* by group, for those who ask; NULL: nobody does */
};

/* What a group's next allocation may choose among. */
struct contest {
    const Pb__TaskGroup *group;
    const struct feasible *feasible;
    struct ask ask;
    struct rank rank;
    struct tally tally;
};

void planner_init(struct planner *p, struct arena *a, const struct fleet *f,
                  const Pb__JobView *view, const Pb__Eval *eval, uint64_t seed,
                  const struct sched_options *o);
/* Makes the plan, and leaves all that led to it in p. */
void planner_run(struct planner *p);

const struct feasible *planner_feasible(struct planner *p, size_t group);
/* False: the plan is full, and more is to be done. */
bool planner_spend(struct planner *p, size_t changes);
void planner_stop(struct planner *p, const Pb__Alloc *alloc, const char *description, bool lost);

/* The candidates for the job's group at this place, ranked as the plan stands. */
void contest_open(struct contest *c, struct planner *p, size_t place);
Pb__PlacementMetrics *contest_metrics(const struct contest *c, struct planner *p, uint32_t scores);
uint32_t planner_scores(const struct planner *p); /* how many of the best nodes are to be named */
/* What stands between the group and its next allocation, when its contest is over. */
Pb__GroupWhy *explain_group(struct planner *p, const struct contest *c, size_t place,
                            uint32_t placed, uint32_t failed);
/* All that is wanted of the group. */
void planner_place_group(struct planner *p, size_t place);
void planner_conclude(struct planner *p);

#endif
