/* What follows from a dispatch after the command that made it. */
#ifndef JOBSTORE_APPLY_DISPATCH_H
#define JOBSTORE_APPLY_DISPATCH_H

#include "state/state.h"

/* Evaluates the children whose turn has come by what the command has changed; statuses are
 * settled. */
void apply_turns(struct view *v);

#endif
