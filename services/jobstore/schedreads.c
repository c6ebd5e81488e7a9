/* What schedulers and the controller read beside the tables: jobs with all that planning them
 * needs, what runs on some nodes, how jobs are scheduled, what may be collected. */
#include "jobstore.h"
#include "query.h"
#include "query_collect.h"

static void fail(struct request *req, enum err e, const struct reason *why)
{
    request_fail(req, reply_code_of(e), "%s", why->text);
}

static enum err is_reached(struct view *v, uint64_t min_index, struct reason *why)
{
    uint64_t at = view_meta(v)->applied_index;
    if (min_index <= at)
        return OK;
    return reason_set(why, ERR_BUSY, "the state is at %llu only", (unsigned long long)at);
}

static void read_job_views(struct jobstore *js, struct request *req)
{
    struct reason why;
    Pb__JobViews out = PB__JOB_VIEWS__INIT;
    const Pb__JobViewsRequest *q = (const Pb__JobViewsRequest *)request_body(req);
    struct view *v = state_read(replica_state(js->replica));
    enum err e = is_reached(v, q->min_index, &why);
    if (e == OK)
        e = query_job_views(v, request_arena(req), q, &out, &why);
    view_abort(v);
    if (e == OK)
        request_reply(req, &out.base, out.index);
    else
        fail(req, e, &why);
}

void on_job_views(void *self, struct request *req)
{
    reads_when(self, req, false, read_job_views);
}

static void read_node_allocs(struct jobstore *js, struct request *req)
{
    struct reason why;
    Pb__NodeAllocs out = PB__NODE_ALLOCS__INIT;
    const Pb__NodeAllocsRequest *q = (const Pb__NodeAllocsRequest *)request_body(req);
    struct view *v = state_read(replica_state(js->replica));
    enum err e = is_reached(v, q->min_index, &why);
    if (e == OK)
        query_node_allocs(v, request_arena(req), q, &out);
    view_abort(v);
    if (e == OK)
        request_reply(req, &out.base, out.index);
    else
        fail(req, e, &why);
}

void on_node_allocs(void *self, struct request *req)
{
    reads_when(self, req, false, read_node_allocs);
}

static void read_scheduler(struct jobstore *js, struct request *req)
{
    struct view *v = state_read(replica_state(js->replica));
    Pb__SchedulerConfig *c = query_scheduler(v, request_arena(req));
    uint64_t index = view_meta(v)->applied_index;
    view_abort(v);
    request_reply(req, &c->base, index);
}

void on_scheduler(void *self, struct request *req)
{
    reads_when(self, req, false, read_scheduler);
}

static void read_collectable(struct jobstore *js, struct request *req)
{
    struct reason why;
    Pb__CollectFound out = PB__COLLECT_FOUND__INIT;
    struct view *v = state_read(replica_state(js->replica));
    enum err e = query_collectable(v, request_arena(req),
                                   (const Pb__CollectRead *)request_body(req), &out, &why);
    uint64_t index = view_meta(v)->applied_index;
    view_abort(v);
    if (e == OK)
        request_reply(req, &out.base, index);
    else
        fail(req, e, &why);
}

void on_collectable(void *self, struct request *req)
{
    reads_when(self, req, false, read_collectable);
}
