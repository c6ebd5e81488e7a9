/* Room that allocations will leave on their nodes when they have ended, less what their successors
 * will take of it. Until then it is in use, and nothing is placed there. */
#ifndef SCHED_CREDIT_H
#define SCHED_CREDIT_H

#include "sched/planner.h"

/* Of one node. */
struct credit {
    uint32_t slot;
    int64_t cpu, memory, disk;
    struct given *given;
};

struct credits {
    struct credit *list;
    size_t count;
};

/* most: how many may be taken. */
void credits_init(struct credits *c, struct arena *a, size_t most);
/* Whether the next allocation of the rank's group will find room on the node of the old one once
 * that has ended; if so, the room is its own. */
bool credits_take(struct credits *credits, const struct planner *p, const struct rank *r,
                  const Pb__Alloc *old);

#endif
