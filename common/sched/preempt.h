/* Displacing allocations of less important jobs for one that finds no room: for the files of this
 * library.
 *
 * Only those whose job's priority is at least PREEMPT_GAP lower, and never the job's own. Of all
 * sets that make room on some node the best is, in this order: 1. the one with the fewest; 2. whose
 * highest priority is lowest; 3. that frees the least beyond what is needed; 4. on the node with
 * the lowest id. Sets of up to three are looked for exactly, larger ones by always taking what
 * covers most of what is missing, and giving back what then is not needed. */
#ifndef SCHED_PREEMPT_H
#define SCHED_PREEMPT_H

#include "sched/fit.h"
#include "sched/planner.h"

#define PREEMPT_MOST 32 /* displaced for one placement */

/* The planner's options name the allocations; sorts out which may be displaced. */
void preempt_prepare(struct planner *p);

struct displacing {
    uint32_t candidate;
    size_t count;
    uint32_t priority; /* the highest among them */
    double excess;     /* freed beyond need, as shares of the node */
    uint32_t victims[PREEMPT_MOST];
};
/* Which allocations would have to go for one more of the contest's group; only on the candidate
 * given, unless it is UINT32_MAX. False: there are none that suffice. */
bool preempt_find(const struct planner *p, const struct contest *c, uint32_t only,
                  struct displacing *out);
/* They go, and their room is the candidate's; or (make false) they are back. The candidate's score
 * is not worked out anew. */
void preempt_make_room(struct planner *p, struct contest *c, const struct displacing *d, bool make);
void preempt_write_down(struct planner *p, const struct displacing *d, Pb__Placement *n);

/* The nodes that only lack room, those nearest to having it first, into the options' list. */
void preempt_list_nodes(struct planner *p, const struct contest *c);

#endif
