/* Allocations of less important jobs that make room for a placement. */
#ifndef JOBSTORE_APPLY_PREEMPT_H
#define JOBSTORE_APPLY_PREEMPT_H

#include "apply_internal.h"

/* What a placement displaces, for as long as its plan is applied. */
struct preempting {
    struct view *view;
    const char *ns, *job_id; /* of the plan */
    uint32_t priority;
    struct map *displaced; /* alloc id -> whatever: each makes room once */
};

void preempting_init(struct preempting *p, struct view *v, const char *ns, const Pb__Job *job);
void preempting_fini(struct preempting *p);
/* Gives their room back to the node, for the placement to be tried. NULL, or why they may not be
 * displaced; then nothing has changed. */
const char *preempting_try(struct preempting *p, const Pb__Placement *at);
/* The placement did not fit even so: they keep their room. */
void preempting_undo(struct preempting *p, const Pb__Placement *at);
/* They are evicted, by the allocation with this id; their jobs are to be looked at. */
void preempting_evict(struct preempting *p, const Pb__Placement *at, const uint8_t *by,
                      struct job_set *jobs);

#endif
