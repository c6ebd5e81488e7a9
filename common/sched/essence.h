/* What a change of a job's specification means for the tasks that run. */
#ifndef SCHED_ESSENCE_H
#define SCHED_ESSENCE_H

#include "base/arena.h"
#include "types.pb-c.h"
#include <stdbool.h>

/* Whether a change from one to the other needs the tasks to be started anew. */
bool group_update_is_destructive(struct arena *a, const Pb__Job *was_job, const Pb__TaskGroup *was,
                                 const Pb__Job *now_job, const Pb__TaskGroup *now);

#endif
