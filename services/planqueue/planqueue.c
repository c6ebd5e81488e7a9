#include "planqueue/planqueue.h"
#include "planqueue/verify.h"
#include "command.pb-c.h"
#include "planqueue.pb-c.h"
#include <stdlib.h>
#include <string.h>

#define APPLY_BUDGET_MS 20000

/* One SUBMIT: answered when every plan in it is decided. Lives in the request's arena. */
struct submission {
    struct link link; /* in waiting */
    struct planqueue *queue;
    struct request *request; /* NULL: whoever asked is gone */
    Pb__PlanResults *results;
    size_t undecided;
    uint64_t snapshot_index; /* the newest that its plans were made on */
};

/* One plan on its way through jobstore. It keeps what the answer needs, not the plan. */
struct flight {
    struct link link;
    struct planqueue *queue;
    struct submission *submission; /* NULL: whoever asked is gone */
    Pb__PlanResult *result;        /* in the submission's arena */
    struct hold *hold;
    uint64_t index; /* of the commit */
    uint64_t started_ms;
    struct link followers; /* refusals that wait until what stood in their way is committed */
};

/* A plan refused because of those in flight: to plan again pays only when these are visible. */
struct follower {
    struct link link;
    struct submission *submission;
    Pb__PlanResult *result;
};

/* ---- answering */

static void finish_drain(struct planqueue *q)
{
    if (!q->draining || q->drained == NULL || !list_empty(&q->flights) || !list_empty(&q->waiting))
        return;
    void (*drained)(void *) = q->drained;
    q->drained = NULL;
    drained(q->drained_arg);
}

static void count_result(struct planqueue *q, const Pb__PlanResult *r)
{
    if (r->code == PB__PLAN_RESULT__CODE__PARTIAL)
        metric_add(&q->metrics[PLANQUEUE_PARTIAL], 1);
    else if (r->code == PB__PLAN_RESULT__CODE__REFUSED)
        metric_add(&q->metrics[PLANQUEUE_REFUSED], 1);
    else if (r->code == PB__PLAN_RESULT__CODE__STALE)
        metric_add(&q->metrics[PLANQUEUE_STALE], 1);
}

static uint64_t newest_known(const struct planqueue *q)
{
    uint64_t view = fleet_index(q->fleet);
    return view > q->newest_commit ? view : q->newest_commit;
}

static void decided(struct submission *s, Pb__PlanResult *r)
{
    struct planqueue *q = s->queue;
    count_result(q, r);
    if (r->code == PB__PLAN_RESULT__CODE__PARTIAL || r->code == PB__PLAN_RESULT__CODE__REFUSED) {
        r->has_refresh_index = 1;
        r->refresh_index = newest_known(q);
    }
    if (--s->undecided > 0)
        return;
    request_reply(s->request, &s->results->base, newest_known(q));
}

static void drop_followers(struct flight *f, const struct submission *s)
{
    struct follower *w;
    list_each(&f->followers, struct follower, link, w)
    {
        if (w->submission == s)
            list_remove(&w->link);
    }
}

/* The peer is gone: what is in flight goes on, but nobody waits for the answers. */
static void on_gone(void *owner, struct request *req)
{
    struct submission *s = owner;
    struct planqueue *q = s->queue;
    if (link_is_linked(&s->link)) {
        list_remove(&s->link);
        q->waiting_count--;
    }
    struct flight *f;
    list_each(&q->flights, struct flight, link, f)
    {
        drop_followers(f, s);
        if (f->submission == s)
            f->submission = NULL;
    }
    finish_drain(q);
}

/* ---- committing */

static void copy_refusals(struct arena *a, Pb__PlanResult *r, Pb__Refusal *const *refusals,
                          size_t n)
{
    Pb__Refusal **all = arena_array(a, Pb__Refusal *, r->n_refusals + n + 1);
    if (r->n_refusals > 0)
        memcpy(all, r->refusals, r->n_refusals * sizeof(*all));
    for (size_t i = 0; i < n; i++)
        all[r->n_refusals + i] = (Pb__Refusal *)wire_clone(a, &refusals[i]->base);
    r->refusals = all;
    r->n_refusals += n;
}

static void set_code(Pb__PlanResult *r, Pb__PlanResult__Code code, struct arena *a,
                     const char *reason)
{
    r->has_code = 1;
    r->code = code;
    if (reason != NULL && reason[0] != '\0')
        r->reason = arena_strdup(a, reason);
}

/* What jobstore's outcome means for the worker. A plan of which we do not know whether it was
 * committed is STALE: whoever made it looks at the evaluation again and finds out. */
static void take_outcome(struct flight *f, const struct response *r, struct arena *a)
{
    Pb__PlanResult *result = f->result;
    const Pb__Outcome *o = (const Pb__Outcome *)r->body;
    if (r->code != PB__REPLY__CODE__OK || o == NULL) {
        set_code(result, PB__PLAN_RESULT__CODE__STALE, a, r->reason);
        return;
    }
    result->has_index = 1;
    result->index = o->index;
    copy_refusals(a, result, o->refusals, o->n_refusals);
    switch (o->code) {
    case PB__OUTCOME__CODE__APPLIED:
        set_code(result,
                 result->n_refusals > 0 ? PB__PLAN_RESULT__CODE__PARTIAL
                                        : PB__PLAN_RESULT__CODE__COMMITTED,
                 a, o->reason);
        break;
    case PB__OUTCOME__CODE__NO_ROOM:
        set_code(result, PB__PLAN_RESULT__CODE__REFUSED, a, o->reason);
        break;
    default:
        set_code(result, PB__PLAN_RESULT__CODE__STALE, a, o->reason);
    }
}

static void release_followers(struct flight *f)
{
    struct follower *w;
    list_each(&f->followers, struct follower, link, w)
    {
        list_remove(&w->link);
        decided(w->submission, w->result);
    }
}

static void free_flight(struct flight *f)
{
    fleet_release(f->queue->fleet, f->hold);
    free(f);
}

static void release_committed(struct planqueue *q)
{
    struct flight *f;
    list_each(&q->committed, struct flight, link, f)
    {
        if (f->index > fleet_index(q->fleet))
            continue;
        list_remove(&f->link);
        free_flight(f);
    }
}

static void on_applied(void *owner, const struct response *r)
{
    struct flight *f = owner;
    struct planqueue *q = f->queue;
    const Pb__Outcome *o = (const Pb__Outcome *)r->body;
    bool applied =
        r->code == PB__REPLY__CODE__OK && o != NULL && o->code == PB__OUTCOME__CODE__APPLIED;
    list_remove(&f->link);
    q->flight_count--;
    metric_sample(&q->metrics[PLANQUEUE_COMMIT_MS], (double)(loop_now_ms(q->loop) - f->started_ms));
    if (applied) {
        metric_add(&q->metrics[PLANQUEUE_PLACEMENTS], o->placed);
        if (o->index > q->newest_commit)
            q->newest_commit = o->index;
    } else if (r->code != PB__REPLY__CODE__OK) {
        log_warn("plan_commit_unknown", "reason=%s", log_quote(r->reason));
    }
    if (f->submission != NULL) {
        take_outcome(f, r, request_arena(f->submission->request));
        decided(f->submission, f->result);
    }
    release_followers(f);
    /* Held until the view shows it, or the same room would be given out twice. */
    f->index = applied ? o->index : 0;
    if (f->index > fleet_index(q->fleet)) {
        list_push_back(&q->committed, &f->link);
    } else {
        free_flight(f);
    }
    finish_drain(q);
}

static void commit(struct planqueue *q, struct submission *s, Pb__PlanResult *result,
                   const struct verified *v)
{
    struct flight *f = xcalloc(1, sizeof(*f));
    *f = (struct flight){.queue = q,
                         .submission = s,
                         .result = result,
                         .hold = v->hold,
                         .started_ms = loop_now_ms(q->loop)};
    list_init(&f->followers);
    list_push_back(&q->flights, &f->link);
    q->flight_count++;

    Pb__PlanApply apply = PB__PLAN_APPLY__INIT;
    apply.plan = v->plan;
    Pb__Command command = PB__COMMAND__INIT;
    command.body_case = PB__COMMAND__BODY_PLAN_APPLY;
    command.plan_apply = &apply;
    client_call(q->store, &(struct call_options){.method = PB__JOBSTORE__METHOD__APPLY,
                                                 .body = &command.base,
                                                 .reply = &pb__outcome__descriptor,
                                                 .budget_ms = APPLY_BUDGET_MS,
                                                 .retry = true,
                                                 .done = on_applied,
                                                 .owner = f});
}

/* ---- taking plans */

static void refuse(struct planqueue *q, struct submission *s, Pb__PlanResult *result)
{
    set_code(result, PB__PLAN_RESULT__CODE__REFUSED, request_arena(s->request), NULL);
    if (list_empty(&q->flights)) {
        decided(s, result);
        return;
    }
    struct flight *last = container_of(q->flights.prev, struct flight, link);
    struct follower *w = arena_array(request_arena(s->request), struct follower, 1);
    *w = (struct follower){.submission = s, .result = result};
    list_push_back(&last->followers, &w->link);
}

static void take_plan(struct planqueue *q, struct submission *s, const Pb__Plan *plan, size_t i)
{
    struct arena *a = request_arena(s->request);
    Pb__PlanResult *result = s->results->results[i];
    struct verified v;
    verify_plan(a, q->fleet, plan, &v);
    result->refusals = v.refusals;
    result->n_refusals = v.refusal_count;
    metric_add(&q->metrics[PLANQUEUE_PLANS], 1);
    if (v.plan != NULL)
        commit(q, s, result, &v);
    else
        refuse(q, s, result);
}

static void take_submission(struct planqueue *q, struct submission *s)
{
    const Pb__Plans *plans = (const Pb__Plans *)request_body(s->request);
    s->undecided++; /* not answered while we are still in here */
    for (size_t i = 0; i < plans->n_plans; i++)
        take_plan(q, s, plans->plans[i], i);
    if (--s->undecided == 0)
        request_reply(s->request, &s->results->base, newest_known(q));
}

static struct submission *new_submission(struct planqueue *q, struct request *req)
{
    const Pb__Plans *plans = (const Pb__Plans *)request_body(req);
    struct arena *a = request_arena(req);
    struct submission *s = arena_array(a, struct submission, 1);
    *s = (struct submission){.queue = q, .request = req, .undecided = plans->n_plans};
    s->results = arena_array(a, Pb__PlanResults, 1);
    pb__plan_results__init(s->results);
    s->results->results = arena_array(a, Pb__PlanResult *, plans->n_plans + 1);
    for (size_t i = 0; i < plans->n_plans; i++) {
        Pb__PlanResult *r = arena_array(a, Pb__PlanResult, 1);
        pb__plan_result__init(r);
        r->has_eval_id = 1;
        r->eval_id = plans->plans[i]->eval_id;
        s->results->results[s->results->n_results++] = r;
        if (plans->plans[i]->snapshot_index > s->snapshot_index)
            s->snapshot_index = plans->plans[i]->snapshot_index;
    }
    return s;
}

static bool view_suffices(const struct planqueue *q, uint64_t index)
{
    return fleet_index(q->fleet) > 0 && fleet_index(q->fleet) >= index;
}

static void serve_waiting(struct planqueue *q)
{
    struct submission *s;
    list_each(&q->waiting, struct submission, link, s)
    {
        if (!view_suffices(q, s->snapshot_index))
            continue;
        list_remove(&s->link);
        q->waiting_count--;
        take_submission(q, s);
    }
}

static void refuse_stopping(struct request *req)
{
    request_fail(req, PB__REPLY__CODE__UNAVAILABLE, "planqueue is stopping");
}

static void refuse_passive(struct request *req)
{
    request_fail(req, PB__REPLY__CODE__NOT_LEADER,
                 "the jobstore of this server does not lead: ask the planqueue of the one that "
                 "does");
}

static void on_submit(void *self, struct request *req)
{
    struct planqueue *q = self;
    const Pb__Plans *plans = (const Pb__Plans *)request_body(req);
    for (size_t i = 0; i < plans->n_plans; i++)
        if (plans->plans[i]->eval_id.len != ID_SIZE) {
            request_fail(req, PB__REPLY__CODE__INVALID, "plans[%zu].eval_id must be 16 bytes", i);
            return;
        }
    if (q->draining) {
        refuse_stopping(req);
        return;
    }
    if (q->passive) {
        refuse_passive(req);
        return;
    }
    if (q->flight_count + plans->n_plans > q->max_in_flight || q->waiting_count >= q->max_waiting) {
        request_fail(req, PB__REPLY__CODE__BUSY, "too many plans are being committed: try again");
        return;
    }
    struct submission *s = new_submission(q, req);
    request_park(req, on_gone, s);
    if (view_suffices(q, s->snapshot_index)) {
        take_submission(q, s);
        return;
    }
    list_push_back(&q->waiting, &s->link);
    q->waiting_count++;
    if (q->feed != NULL)
        feed_reach(q->feed, s->snapshot_index);
}

/* ---- the view */

static void on_reset(void *self)
{
    struct planqueue *q = self;
    fleet_reset(q->fleet);
}

static void on_object(void *self, const Pb__Object *o, uint64_t index)
{
    struct planqueue *q = self;
    fleet_set_object(q->fleet, o);
}

static void on_synced(void *self, uint64_t index)
{
    struct planqueue *q = self;
    fleet_set_index(q->fleet, index);
    release_committed(q);
    serve_waiting(q);
}

static void on_connected(void *self, bool up, const char *why)
{
    if (up)
        log_info("jobstore_found", "ok=true");
    else
        log_warn("jobstore_lost", "reason=%s", log_quote(why != NULL ? why : ""));
}

/* ---- active only beside the leader */

static void fail_waiting(struct planqueue *q, void (*fail)(struct request *req))
{
    struct submission *s;
    list_each(&q->waiting, struct submission, link, s)
    {
        list_remove(&s->link);
        q->waiting_count--;
        fail(s->request);
    }
}

static void on_gained(void *self, uint64_t term)
{
    struct planqueue *q = self;
    struct reason why;
    q->passive = false;
    log_info("active", "term=%llu", (unsigned long long)term);
    if (feed_open(&q->feed, q->loop,
                  &(struct feed_options){
                      .jobstore = q->jobstore,
                      .jobstore_poll = q->jobstore_poll,
                      .tables = FEED_TABLE(NODES) | FEED_TABLE(NODE_USAGE),
                      .pace_ms = 4,
                      .self = q,
                      .reset = on_reset,
                      .object = on_object,
                      .synced = on_synced,
                      .connected = on_connected,
                  },
                  &why) != OK)
        log_error("feed_lost", "reason=%s", log_quote(why.text));
}

/* Plans on their way through jobstore end by its answer: that it does not lead, mostly. */
static void on_lost(void *self)
{
    struct planqueue *q = self;
    log_info("passive", "was_active=%d", q->feed != NULL);
    q->passive = true;
    feed_close(q->feed);
    q->feed = NULL;
    fleet_reset(q->fleet);
    fail_waiting(q, refuse_passive);
}

/* ---- the daemon */

static const struct method methods[] = {
    {PB__PLANQUEUE__METHOD__SUBMIT, "submit", &pb__plans__descriptor, on_submit},
    DAEMON_METHODS,
    {0, NULL, NULL, NULL},
};

static const struct metric metrics_table[PLANQUEUE_METRIC_COUNT] = {
    [PLANQUEUE_PLANS] = {"planqueue.plans", PB__METRIC__KIND__COUNTER, "plans checked", 0, 0, 0, 0},
    [PLANQUEUE_PARTIAL] = {"planqueue.partial", PB__METRIC__KIND__COUNTER, "plans accepted in part",
                           0, 0, 0, 0},
    [PLANQUEUE_REFUSED] = {"planqueue.refused", PB__METRIC__KIND__COUNTER,
                           "plans of which nothing fitted", 0, 0, 0, 0},
    [PLANQUEUE_STALE] = {"planqueue.stale", PB__METRIC__KIND__COUNTER,
                         "plans whose evaluation or job had moved on", 0, 0, 0, 0},
    [PLANQUEUE_PLACEMENTS] = {"planqueue.placements", PB__METRIC__KIND__COUNTER,
                              "allocations committed", 0, 0, 0, 0},
    [PLANQUEUE_IN_FLIGHT] = {"planqueue.in_flight", PB__METRIC__KIND__GAUGE,
                             "plans being committed", 0, 0, 0, 0},
    [PLANQUEUE_WAITING] = {"planqueue.waiting", PB__METRIC__KIND__GAUGE,
                           "submissions that wait for a newer view", 0, 0, 0, 0},
    [PLANQUEUE_COMMIT_MS] = {"planqueue.commit_ms", PB__METRIC__KIND__SAMPLE,
                             "from check to commit, milliseconds", 0, 0, 0, 0},
};

enum err planqueue_open(void *self, struct loop *l, struct reason *why)
{
    struct planqueue *q = self;
    q->loop = l;
    q->fleet = fleet_new();
    list_init(&q->waiting);
    list_init(&q->flights);
    list_init(&q->committed);
    memcpy(q->metrics, metrics_table, sizeof(metrics_table));
    return server_open(&q->server, l, q->listen,
                       &(struct server_options){.methods = methods, .self = q}, why);
}

enum err planqueue_start(void *self, struct loop *l, struct reason *why)
{
    struct planqueue *q = self;
    enum err e = client_open(&q->store, l, q->jobstore, why);
    if (e != OK)
        return e;
    return leadership_open(
        &q->leadership, l,
        &(struct leadership_options){
            .jobstore_poll = q->jobstore_poll, .self = q, .gained = on_gained, .lost = on_lost},
        why);
}

void planqueue_drain(void *self, void (*drained)(void *arg), void *arg)
{
    struct planqueue *q = self;
    q->draining = true;
    q->drained = drained;
    q->drained_arg = arg;
    fail_waiting(q, refuse_stopping);
    finish_drain(q);
}

static void free_flights(struct link *flights)
{
    struct flight *f;
    list_each(flights, struct flight, link, f)
    {
        list_remove(&f->link);
        free_flight(f);
    }
}

void planqueue_close(void *self)
{
    struct planqueue *q = self;
    leadership_close(q->leadership);
    feed_close(q->feed);
    client_close(q->store);
    server_close(q->server);
    if (q->fleet != NULL) {
        free_flights(&q->flights);
        free_flights(&q->committed);
    }
    fleet_free(q->fleet);
}

void planqueue_summary_log(void *self)
{
    struct planqueue *q = self;
    log_info("summary",
             "active=%d nodes=%zu index=%llu in_flight=%llu waiting=%llu plans=%.0f partial=%.0f",
             q->feed != NULL, fleet_count(q->fleet), (unsigned long long)fleet_index(q->fleet),
             (unsigned long long)q->flight_count, (unsigned long long)q->waiting_count,
             q->metrics[PLANQUEUE_PLANS].value, q->metrics[PLANQUEUE_PARTIAL].value);
}

struct metric *planqueue_metrics(void *self, size_t *count)
{
    struct planqueue *q = self;
    metric_set(&q->metrics[PLANQUEUE_IN_FLIGHT], (double)q->flight_count);
    metric_set(&q->metrics[PLANQUEUE_WAITING], (double)q->waiting_count);
    *count = PLANQUEUE_METRIC_COUNT;
    return q->metrics;
}
