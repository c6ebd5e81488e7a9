/* Does a plan still fit? Checked against the nodes as they are known now and against the plans that
 * are on their way: what fits is taken, the rest is refused with reasons. */
#ifndef PLANQUEUE_VERIFY_H
#define PLANQUEUE_VERIFY_H

#include "base/arena.h"
#include "sched/fleet.h"

struct verified {
    Pb__Plan *plan;         /* what may be committed; NULL: nothing of it */
    struct hold *hold;      /* what it takes; the caller's to release; NULL with plan */
    Pb__Refusal **refusals; /* one for each node and reason */
    size_t refusal_count;
    uint32_t refused; /* placements */
};

/* A plan that is accepted whole is passed on as it is. Of one that is cut, the evaluation stays
 * pending, whatever the plan said, and what would have been replaced by a refused placement is not
 * stopped. all_at_once: everything or nothing. Lives in a; borrows plan. */
void verify_plan(struct arena *a, struct fleet *f, const Pb__Plan *plan, struct verified *out);

#endif
