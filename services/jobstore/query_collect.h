/* Finds what may be collected: what nobody needs any more (collectable.h) and is old enough. */
#ifndef JOBSTORE_QUERY_COLLECT_H
#define JOBSTORE_QUERY_COLLECT_H

#include "collect.pb-c.h"
#include "state/state.h"

/* One piece of a table, bounded by the records looked at; the answer lives in a. ERR_INVALID: a
 * table of which nothing is collected. */
enum err query_collectable(struct view *v, struct arena *a, const Pb__CollectRead *q,
                           Pb__CollectFound *out, struct reason *why);

#endif
