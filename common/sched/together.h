/* Jobs that want all or nothing (all_at_once): where not all that is wanted finds a place, nothing
 * of it is placed, and nothing is stopped or displaced for it. */
#ifndef SCHED_TOGETHER_H
#define SCHED_TOGETHER_H

#include "sched/planner.h"

/* Of a job on every node each place stands for itself. */
bool job_is_together(const Pb__Job *job);
/* Before anything is placed. False: other changes fill the plan, so nothing may be placed yet. */
bool together_begin(struct planner *p);
/* After all of it was tried: keeps it, or takes it back. */
void together_end(struct planner *p);

#endif
