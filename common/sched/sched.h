/* The scheduler: what the fleet and the job are like -> a plan. A pure function: the same inputs
 * give the same plan, in production, in a test and in a dry run. */
#ifndef SCHED_SCHED_H
#define SCHED_SCHED_H

#include "base/arena.h"
#include "base/id.h"
#include "jobstore.pb-c.h"
#include "sched/fleet.h"
#include <stdint.h>

struct sched_options {
    uint32_t max_changes; /* placements, stops and updates of one plan; 0: SCHED_MAX_CHANGES */
    uint32_t scores;      /* how many of the best nodes are reported per group; 0: SCHED_SCORES */
    bool spreads_load;    /* the algorithm "spread", where the job says nothing */
    bool memory_over;     /* tasks may use memory up to their memory_max */
    /* Allocations of other jobs: those of less important ones may be displaced. */
    Pb__Alloc *const *others;
    size_t other_count;
    struct sched_short *short_of_room; /* filled in, unless NULL */
};
#define SCHED_SHORT_MOST 512
/* Nodes where only room was missing for what found no place, the nearest to it first: whose
 * allocations are worth a look. */
struct sched_short {
    size_t skip; /* so many of the nearest have been looked at */
    size_t count;
    bool more; /* there are others behind these */
    struct id ids[SCHED_SHORT_MOST];
};
#define SCHED_MAX_CHANGES 10000
/* Allocations that a job with all_at_once may have: what fits into one plan. */
#define SCHED_MOST_TOGETHER 10000
#define SCHED_SCORES        5

/* Always a plan; where nothing must change it only ends the evaluation. A plan whose status is
 * unset has left something for the next one: commit it, look again, plan again.
 *
 * view is the job's of an index that eval has reached; f may be older than view, never than eval.
 * The plan lives in a and borrows from view, eval and f; seed only chooses dynamic ports. */
Pb__Plan *sched_plan(struct arena *a, const struct fleet *f, const Pb__JobView *view,
                     const Pb__Eval *eval, uint64_t seed, const struct sched_options *o);

#endif
