/* What differs between two versions of a job, as Nomad's API tells it: fields, objects, task groups
 * and tasks, each Added, Deleted, Edited or None. Pure.
 *
 * Of what has changed, all is told that belongs to it: an object of which one field differs comes
 * with its other fields as None. Of a job, group or task only the fields that differ come. */
#ifndef JOBFILE_DIFF_H
#define JOBFILE_DIFF_H

#include "types.pb-c.h"
#include <jansson.h>
#include <stdbool.h>

/* Both canonical. Either may be NULL: the job is new, or gone. A new tree. Its annotations (lists
 * of texts at fields and tasks, counts by kind in "Updates" at groups) are null: who knows what a
 * scheduler would do fills them in. */
json_t *job_diff(const Pb__Job *old, const Pb__Job *now);
/* Whether such a tree tells of any change. */
bool job_diff_is_change(const json_t *diff);

#endif
