/* Asking a scheduler, through the leader's evalbroker: what would be, and why things are so. */
#ifndef GATEWAY_ASKING_H
#define GATEWAY_ASKING_H

#include "question.pb-c.h"
#include "routes.h"
#include <jansson.h>

/* q->type and q->job_id are set. done once; the body is a Pb__Answer. */
void ask_scheduler(struct gateway *g, const Pb__Question *q, response_fn *done, void *owner);
/* What came instead of an answer, as a client is told. */
void ask_failed(struct exchange *x, const struct response *r);

/* {group: metrics}; null where there are none. A new reference. */
json_t *metrics_by_group(Pb__PlacementMetrics **groups, size_t count);

/* ---- plan.c. New references. */
/* {group: what happens to its allocations} */
json_t *plan_updates_json(const Pb__Answer *a);
/* One line for each group and node; sorts the plan's placements. */
json_t *plan_where_json(struct gateway *g, const Pb__Plan *plan);

#endif
