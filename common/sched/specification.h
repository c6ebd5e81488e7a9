/* What registering a job makes of it, where there is one of its name. */
#ifndef SCHED_SPECIFICATION_H
#define SCHED_SPECIFICATION_H

#include "base/arena.h"
#include "types.pb-c.h"
#include <stdbool.h>

/* Groups of job that old has too take old's counts; the groups are copied into a. */
void job_keep_counts(struct arena *a, Pb__Job *job, const Pb__Job *old);
/* Registering job changes nothing: it differs from old, which runs, in nothing but what
 * proto/types.proto marks as state. old NULL: there is none. */
bool job_is_unchanged(const Pb__Job *old, const Pb__Job *job);

#endif
