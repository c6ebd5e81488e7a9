/* What differs between two versions of a job, as people read it. */
#ifndef NCTL_DIFFVIEW_H
#define NCTL_DIFFVIEW_H

#include <jansson.h>
#include <stdbool.h>

/* A diff as /v1/job/:id/versions and /plan give it. all: of what is new or gone, too, each field.
 */
void print_job_diff(const json_t *diff, bool all);

#endif
