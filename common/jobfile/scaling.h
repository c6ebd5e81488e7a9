/* The scaling stanza of a group: between which counts it may be scaled, and the policy that an
 * autoscaler reads. Kept as JSON in Nomad's names, for the policy is free form. */
#ifndef JOBFILE_SCALING_H
#define JOBFILE_SCALING_H

#include "types.pb-c.h"
#include <jansson.h>

/* Of a canonical group: {"Enabled", "Max", "Min", "Policy", "Type"}; the caller's. NULL: it has
 * none. */
json_t *group_scaling(const Pb__TaskGroup *group);
/* Why the stanzas are out of place in such a job, in Nomad's words; NULL: they are not. */
const char *job_scaling_mistake(const Pb__Job *job);

#endif
