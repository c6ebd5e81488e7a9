/* The runner's side of health: which allocations a deployment watches, when to look again, and what
 * the servers are told. */
#ifndef NODEAGENT_HEALTHWATCH_H
#define NODEAGENT_HEALTHWATCH_H

#include "run.h"

/* The servers speak of the allocation, perhaps with another deployment than before. */
void healthwatch_note(struct alloc_run *run, const Pb__Alloc *alloc, const Pb__Job *job);
/* It was read back. */
void healthwatch_restore(struct alloc_run *run, const Pb__LocalAlloc *saved, const Pb__Job *job);
/* Its tasks, or the time, have moved on. */
void healthwatch_step(struct alloc_run *run);
void healthwatch_arm(struct alloc_run *run);
/* The verdict goes along until it is acknowledged. */
void healthwatch_tell(struct alloc_run *run, struct arena *a, Pb__AllocUpdate *update);
void healthwatch_told(struct alloc_run *run, bool acknowledged);

#endif
