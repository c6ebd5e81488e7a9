/* What nobody needs any more, apart from its age: reads the state, changes nothing.
 *
 * The query that looks for things to collect and the command that deletes them ask the same
 * functions, so that nothing is proposed for ever and nothing is deleted that came to life between.
 *
 * An allocation must have ended on its client, and nothing may follow from it any more: of a job
 * that lives, only what was stopped, replaced, or (batch) is of an older version goes, since the
 * scheduler would run the others again if it did not see that they have run. For the same reason
 * the allocations of a batch job that has ended go in one with their job. */
#ifndef JOBSTORE_COLLECTABLE_H
#define JOBSTORE_COLLECTABLE_H

#include "state/state.h"

struct collectable;

struct collectable *collectable_new(struct view *v); /* borrows v */
void collectable_free(struct collectable *c);

/* Each as it is stored in the view. */
bool collectable_alloc(struct collectable *c, const Pb__Alloc *a);
/* Whether it is closed. Its allocations must have gone before it. */
bool collectable_eval(struct collectable *c, const Pb__Eval *e);
bool collectable_deployment(struct collectable *c, const Pb__Deployment *d);
/* With all its evaluations and allocations. */
bool collectable_job(struct collectable *c, const Pb__Job *job);
/* Down, and nothing is on it that has not ended. */
bool collectable_node(struct collectable *c, const Pb__Node *n);

bool job_is_batch(const Pb__Job *job); /* or sysbatch: it ends by itself */

#endif
