/* The last plans with all that they were made from, so that each can be made again: pure.
 *
 * A plan follows from the job's view, the evaluation, a seed, the options and the view of the nodes
 * (sched/sched.h). The last is too large to keep for each plan. Kept are the nodes' records as they
 * were at the oldest kept plan, and every change since in its order: from both the view of the
 * nodes at any kept plan is built anew. Plans that were held at the time are held again.
 *
 * Bounded by count and by bytes, of which the records themselves are not counted: they are as large
 * as the view. What does not fit, or leans on a plan that did not, is not kept. */
#ifndef SCHEDWORKER_HISTORY_H
#define SCHEDWORKER_HISTORY_H

#include "sched/fleet.h"
#include "sched/sched.h"

struct history;

struct history *history_new(size_t most_plans, size_t most_bytes); /* 0 plans: keeps nothing */
void history_free(struct history *h);

/* ---- the view of the nodes */
void history_reset(struct history *h); /* it is listed anew: nothing that is kept can be built */
void history_object(struct history *h, const Pb__Object *o);

/* ---- plans */
struct history_inputs {
    const Pb__JobView *view;
    const Pb__Eval *eval;
    uint64_t seed;
    uint64_t fleet_index;
    const struct sched_options *options;
};
/* The plan was made and is held. Its number, for history_release. */
uint64_t history_made(struct history *h, const struct history_inputs *in, const Pb__Plan *plan);
void history_release(struct history *h, uint64_t number); /* it is held no more; 0 is harmless */

struct history_plan {
    struct history_inputs inputs; /* in the arena */
    struct sched_options options; /* that inputs point to */
    struct fleet *fleet;          /* the caller's to free */
    Pb__Plan *plan;               /* as it was made then */
    unsigned number, count;       /* of those kept for the evaluation; from 1 */
};
/* The last plan made for the evaluation. False: none is kept. out lives where it is: inputs point
 * into it. */
bool history_find(struct history *h, struct arena *a, const uint8_t eval_id[ID_SIZE],
                  struct history_plan *out);

size_t history_count(const struct history *h);
size_t history_bytes(const struct history *h);
void history_check(const struct history *h); /* aborts if an invariant is broken */

#endif
