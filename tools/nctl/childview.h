/* Jobs that make others, periodic or parameterized: when the next is due, and the children. */
#ifndef NCTL_CHILDVIEW_H
#define NCTL_CHILDVIEW_H

#include "client.h"
#include "types.pb-c.h"

/* Of a job as the API shows it. */
bool job_json_is_periodic(const json_t *job);
bool job_json_is_parameterized(const json_t *job); /* and not a child of such a one */

/* "2027-01-01T00:00:00+01:00 (925h18m4s from now)", by the clocks of the job's zone; NULL: it is
 * not launched by itself, or never again. */
const char *next_launch(const Pb__Periodic *periodic, int64_t now_ns);
const char *next_launch_of_json(const json_t *job, int64_t now_ns);

/* The list of its children as GET /v1/jobs shows it, the first hundred unless all are wanted.
 * False: told on stderr. */
bool children_load(struct client *c, const json_t *job, bool all, json_t **out);
/* What a parent shows instead of allocations. */
void children_print(const json_t *job, const json_t *summary, const json_t *children, bool colors);

#endif
