/* Which jobs make others: what the state, the schedulers and people's tools must agree on. */
#ifndef WIRE_TEMPLATE_H
#define WIRE_TEMPLATE_H

#include "types.pb-c.h"
#include <stdbool.h>
#include <stddef.h>

/* Made by another job: launched or dispatched. */
static inline bool job_is_child(const Pb__Job *job)
{
    return job->parent_id != NULL && job->parent_id[0] != '\0';
}

/* Makes other jobs, and has no allocations itself: periodic or parameterized, and not made so by
 * its parent. */
static inline bool job_is_template(const Pb__Job *job)
{
    return (job->periodic != NULL || job->parameterized_job != NULL) && !job_is_child(job);
}

#endif
