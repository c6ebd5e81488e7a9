/* What a plan would change in a job, and what each change would lead to. */
#ifndef GATEWAY_PLANDIFF_H
#define GATEWAY_PLANDIFF_H

#include "evalbroker.pb-c.h"
#include <jansson.h>

/* job_diff of the answer's jobs, with how many allocations of each group would be made, replaced
 * and so on ("Updates"), and what a changed count or task forces. A new tree. */
json_t *plan_diff(const Pb__Answer *a);

#endif
