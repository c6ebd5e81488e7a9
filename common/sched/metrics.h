/* Why a group's allocations are where they are, or nowhere: the counts that users see. */
#ifndef SCHED_METRICS_H
#define SCHED_METRICS_H

#include "sched/feasible.h"
#include "sched/rank.h"

/* What was found while the candidates were collected. */
struct tally {
    uint32_t *ready_of_kind; /* candidates but for feasibility, by kind */
    uint32_t unique_filtered;
    size_t unique_room, unique_count;
    struct unique_reason {
        const char *text;
        uint32_t count;
    } * unique;
    uint32_t *unique_of_kind; /* nodes filtered for something unique, by kind */
};

void tally_init(struct tally *t, struct arena *a, const struct fleet *f, const struct feasible *x);
void tally_unique(struct tally *t, uint32_t kind, const char *reason);

/* In a; scores: how many of the best to name. Says what is so now: call it before placing for those
 * that are placed, after the last for those that are not. */
Pb__PlacementMetrics *metrics_new(struct arena *a, const struct fleet *f,
                                  const Pb__TaskGroup *group, const struct feasible *x,
                                  const struct tally *t, const struct rank *r, uint32_t scores);

#endif
