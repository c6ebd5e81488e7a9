/* What a plan says of its job's deployment and of later: for apply_plan.c. */
#ifndef JOBSTORE_APPLY_ROLLOUT_H
#define JOBSTORE_APPLY_ROLLOUT_H

#include "apply_internal.h"

struct rollout {
    struct view *view;
    const Pb__Job *job;         /* NULL: gone */
    Pb__Deployment *deployment; /* of its present version, while it goes on; NULL: none */
    bool changed;
};

/* Ends the deployments that the plan ends, makes the one that it makes. */
void apply_rollout_begin(struct rollout *r, struct view *v, const Pb__Job *job,
                         const Pb__Plan *plan);
/* The allocation becomes part of the deployment; not yet put. */
void apply_rollout_place(struct rollout *r, Pb__Alloc *alloc, bool canary);
void apply_rollout_finish(struct rollout *r);

/* Evaluations for later, for the allocations that wait. */
void apply_follow_ups(struct view *v, Pb__Eval *e, const Pb__Plan *plan);

#endif
