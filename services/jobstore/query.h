/* Answers from the state. Records go into answers as they are stored, without being decoded. */
#ifndef JOBSTORE_QUERY_H
#define JOBSTORE_QUERY_H

#include "jobstore.pb-c.h"
#include "state/state.h"

#define QUERY_SOFT_BYTES (8u << 20)  /* an answer that may go on later ends about here */
#define QUERY_HARD_BYTES (28u << 20) /* one that may not is refused beyond this */

/* All answers live in a. */

/* NULL: not there, or no key (*why says so then, and is empty otherwise). */
Pb__Object *query_get(struct view *v, struct arena *a, const Pb__Key *key, struct reason *why);
/* ERR_INVALID: a table that cannot be listed so. */
enum err query_list(struct view *v, struct arena *a, const Pb__List *list, Pb__Objects *out,
                    struct reason *why);
/* Whether there may be something behind since for a reader of these tables; cheap. */
bool query_has_changes(const struct state_meta *meta, uint64_t since, uint32_t tables);
void query_changes(struct view *v, struct arena *a, const Pb__Changes *q, Pb__ChangesReply *out);
/* As many views, in the order asked, as fit into one message. ERR_UNAVAILABLE: not even the first
 * does. */
enum err query_job_views(struct view *v, struct arena *a, const Pb__JobViewsRequest *q,
                         Pb__JobViews *out, struct reason *why);
/* As many as fit into one message. */
void query_node_allocs(struct view *v, struct arena *a, const Pb__NodeAllocsRequest *q,
                       Pb__NodeAllocs *out);
/* With what holds where nothing was set. */
Pb__SchedulerConfig *query_scheduler(struct view *v, struct arena *a);
uint64_t query_table_index(const struct state_meta *meta, Pb__Table__Name table);

#endif
