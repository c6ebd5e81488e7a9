#include "schedworker/schedworker.h"
#include "base/map.h"
#include "evalbroker.pb-c.h"
#include "planqueue.pb-c.h"
#include "sched/sched.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAUSE_MS 100 /* after a daemon we need did not answer */
#define CALL_MS  20000
/* A broker that stops as we do does not answer; what it was to hear is in the state. */
#define LAST_WORD_MS 300
#define ROUND_CAP    ((size_t)512 << 20) /* of memory for one round's plans */

/* An evaluation in hand. */
struct work {
    struct link link;
    struct schedworker *worker;
    struct arena *arena; /* of eval */
    Pb__Eval *eval;
    uint64_t token;
    uint64_t min_index; /* of the view to plan on */
    uint32_t attempts;  /* refused plans in a row */
    bool submitted;     /* in this round */
    bool last_plan;     /* the plan that was submitted ends the evaluation */
    bool check;         /* its plan was stale: read it again */
    struct hold *hold;  /* of the plan that was submitted */
};

/* What evalbroker is still to be told. */
struct ending {
    struct link link;
    uint8_t eval_id[ID_SIZE];
    uint64_t token, index;
    bool ack;  /* or given back */
    bool told; /* in the question that is under way */
};

/* A committed plan counts beside the view until the view shows it. */
struct planned {
    struct link link;
    struct hold *hold;
    uint64_t index;
};

static void next_phase(void *self);

/* ---- evaluations in hand */

static void set_eval(struct work *k, const Pb__Eval *eval)
{
    struct arena *a = arena_new(1 << 24);
    Pb__Eval *copy = (Pb__Eval *)wire_clone(a, &eval->base);
    arena_free(k->arena);
    k->arena = a;
    k->eval = copy;
    if (eval->modify_index > k->min_index)
        k->min_index = eval->modify_index;
}

static void free_work(struct work *k)
{
    struct schedworker *w = k->worker;
    list_remove(&k->link);
    w->work_count--;
    fleet_release(w->fleet, k->hold);
    arena_free(k->arena);
    free(k);
}

static void end_work(struct work *k, bool ack, uint64_t index)
{
    struct schedworker *w = k->worker;
    struct ending *e = xcalloc(1, sizeof(*e));
    memcpy(e->eval_id, k->eval->id.data, ID_SIZE);
    e->token = k->token;
    e->index = index;
    e->ack = ack;
    list_push_back(&w->ended, &e->link);
    metric_add(&w->metrics[ack ? SCHEDWORKER_EVALS : SCHEDWORKER_GIVEN_BACK], 1);
    if (!ack)
        log_warn("eval_given_back", "eval=%s job=%s attempts=%u", log_id(k->eval->id.data),
                 log_quote(k->eval->job_id), k->attempts);
    free_work(k);
}

static void give_all_back(struct schedworker *w)
{
    struct work *k;
    list_each(&w->works, struct work, link, k) end_work(k, false, 0);
}

static void attempt_failed(struct work *k)
{
    metric_add(&k->worker->metrics[SCHEDWORKER_REPLANNED], 1);
    if (++k->attempts >= k->worker->max_attempts)
        end_work(k, false, 0);
}

/* ---- going on */

static void go_on(struct schedworker *w, enum phase phase)
{
    w->phase = phase;
    step_mark(w->loop, &w->step, next_phase, w);
}

static void on_pause_over(void *self)
{
    struct schedworker *w = self;
    go_on(w, PHASE_CHECKING);
}

static void pause_round(struct schedworker *w)
{
    w->phase = PHASE_IDLE;
    timer_arm(w->loop, &w->timer, PAUSE_MS + loop_random(w->loop) % PAUSE_MS, on_pause_over, w);
}

/* ---- asking for work */

static void take_delivery(struct schedworker *w, const Pb__Delivery *d)
{
    if (d->eval == NULL || d->eval->id.len != ID_SIZE || d->eval->job_id == NULL)
        return;
    struct work *k = xcalloc(1, sizeof(*k));
    k->worker = w;
    k->token = d->token;
    k->min_index = d->min_index;
    set_eval(k, d->eval);
    list_push_back(&w->works, &k->link);
    w->work_count++;
}

static void forget_told(struct schedworker *w, bool received)
{
    struct ending *e;
    list_each(&w->ended, struct ending, link, e)
    {
        if (e->told && received) {
            list_remove(&e->link);
            free(e);
        } else {
            e->told = false;
        }
    }
}

static void finish_drain(struct schedworker *w)
{
    w->phase = PHASE_IDLE;
    if (w->drained != NULL) {
        void (*drained)(void *) = w->drained;
        w->drained = NULL;
        drained(w->drained_arg);
    }
}

static void on_deliveries(void *self, const struct response *r)
{
    struct schedworker *w = self;
    w->call = NULL;
    bool ok = r->code == PB__REPLY__CODE__OK;
    forget_told(w, ok);
    const Pb__Deliveries *d = (const Pb__Deliveries *)r->body;
    for (size_t i = 0; ok && d != NULL && i < d->n_deliveries; i++)
        take_delivery(w, d->deliveries[i]);
    if (w->draining && list_empty(&w->works)) {
        finish_drain(w);
    } else if (ok || !list_empty(&w->works)) {
        go_on(w, list_empty(&w->works) ? PHASE_ASKING : PHASE_VIEWING);
    } else {
        if (r->code != PB__REPLY__CODE__TIMEOUT)
            log_debug("evalbroker_silent", "reason=%s", log_quote(r->reason));
        pause_round(w);
    }
}

static size_t list_endings(struct schedworker *w, struct arena *a, bool ack, Pb__Ack ***out)
{
    size_t count = 0, n = 0;
    struct ending *e;
    list_each(&w->ended, struct ending, link, e) count += e->ack == ack;
    *out = arena_array(a, Pb__Ack *, count + 1);
    list_each(&w->ended, struct ending, link, e)
    {
        if (e->ack != ack)
            continue;
        Pb__Ack *x = arena_array(a, Pb__Ack, 1);
        pb__ack__init(x);
        x->has_eval_id = x->has_token = x->has_index = 1;
        x->eval_id = wire_id(a, e->eval_id);
        x->token = e->token;
        x->index = e->index;
        (*out)[n++] = x;
        e->told = true;
    }
    return n;
}

static void ask_for_work(struct schedworker *w)
{
    if (w->draining)
        give_all_back(w);
    if (w->draining && list_empty(&w->ended)) {
        finish_drain(w); /* nothing to tell; the broker may be stopping too and would not answer */
        return;
    }
    struct arena *a = arena_new(1 << 24);
    Pb__Dequeue d = PB__DEQUEUE__INIT;
    d.types = w->type_names;
    d.n_types = w->type_count;
    d.n_acks = list_endings(w, a, true, &d.acks);
    d.n_nacks = list_endings(w, a, false, &d.nacks);
    d.has_max = d.has_wait_ms = 1;
    d.max = w->draining ? 0 : (uint32_t)(w->batch - w->work_count);
    /* Those in hand must not wait for others to come. */
    d.wait_ms = w->draining || w->work_count > 0 ? 0 : (uint32_t)w->wait_ms;
    w->phase = PHASE_ASKING;
    w->call = client_call(w->broker, &(struct call_options){
                                         .method = PB__EVALBROKER__METHOD__DEQUEUE,
                                         .body = &d.base,
                                         .reply = &pb__deliveries__descriptor,
                                         .budget_ms = w->draining ? LAST_WORD_MS : d.wait_ms + 5000,
                                         .retry = true,
                                         .done = on_deliveries,
                                         .owner = w,
                                     });
    arena_free(a);
}

/* ---- waiting for the view */

static void on_view_late(void *self)
{
    struct schedworker *w = self;
    log_warn("view_late", "index=%llu wanted=%llu", (unsigned long long)fleet_index(w->fleet),
             (unsigned long long)w->need_index);
    give_all_back(w);
    pause_round(w);
}

static void wait_for_view(struct schedworker *w)
{
    struct work *k;
    w->need_index = 1;
    list_each(&w->works, struct work, link, k)
    {
        if (k->min_index > w->need_index)
            w->need_index = k->min_index;
    }
    if (fleet_index(w->fleet) >= w->need_index) {
        go_on(w, PHASE_FETCHING);
        return;
    }
    w->phase = PHASE_VIEWING;
    timer_arm(w->loop, &w->timer, w->view_timeout_ms, on_view_late, w);
    feed_reach(w->feed, w->need_index);
}

static void on_reset(void *self)
{
    struct schedworker *w = self;
    fleet_reset(w->fleet);
}

static void on_object(void *self, const Pb__Object *o, uint64_t index)
{
    struct schedworker *w = self;
    fleet_set_object(w->fleet, o);
}

static void on_synced(void *self, uint64_t index)
{
    struct schedworker *w = self;
    fleet_set_index(w->fleet, index);
    struct planned *p;
    list_each(&w->planned, struct planned, link, p)
    {
        if (p->index > index)
            continue;
        list_remove(&p->link);
        fleet_release(w->fleet, p->hold);
        free(p);
    }
    if (w->phase == PHASE_VIEWING && timer_is_armed(&w->timer) && index >= w->need_index) {
        timer_cancel(w->loop, &w->timer);
        go_on(w, PHASE_FETCHING);
    }
}

static void on_connected(void *self, bool up, const char *why)
{
    if (up)
        log_info("jobstore_found", "ok=true");
    else
        log_warn("jobstore_lost", "reason=%s", log_quote(why != NULL ? why : ""));
}

/* ---- planning */

static Pb__PlanResult *find_result(const Pb__PlanResults *all, size_t hint, const struct work *k)
{
    for (size_t i = 0; i < all->n_results; i++) {
        Pb__PlanResult *r = all->results[(hint + i) % all->n_results];
        if (r->eval_id.len == ID_SIZE && id_equal(r->eval_id.data, k->eval->id.data))
            return r;
    }
    return NULL;
}

static void keep_until_seen(struct work *k, uint64_t index)
{
    struct schedworker *w = k->worker;
    if (index <= fleet_index(w->fleet)) {
        fleet_release(w->fleet, k->hold);
    } else {
        struct planned *p = xcalloc(1, sizeof(*p));
        p->hold = k->hold;
        p->index = index;
        list_push_back(&w->planned, &p->link);
    }
    k->hold = NULL;
}

static void raise_min_index(struct work *k, uint64_t index)
{
    if (index > k->min_index)
        k->min_index = index;
}

static void take_result(struct work *k, const Pb__PlanResult *r)
{
    k->submitted = false;
    uint64_t newest = r->refresh_index > r->index ? r->refresh_index : r->index;
    switch (r->code) {
    case PB__PLAN_RESULT__CODE__COMMITTED:
        keep_until_seen(k, r->index);
        k->attempts = 0;
        k->eval->plans++;
        k->eval->has_plans = 1;
        raise_min_index(k, newest);
        if (k->last_plan)
            end_work(k, true, r->index);
        break;
    case PB__PLAN_RESULT__CODE__PARTIAL:
        keep_until_seen(k, r->index);
        k->eval->plans++;
        k->eval->has_plans = 1;
        raise_min_index(k, newest);
        attempt_failed(k);
        break;
    case PB__PLAN_RESULT__CODE__REFUSED:
        fleet_release(k->worker->fleet, k->hold);
        k->hold = NULL;
        k->eval->plans += r->index > 0; /* refused by jobstore, not before: it counted */
        raise_min_index(k, newest);
        attempt_failed(k);
        break;
    default:
        fleet_release(k->worker->fleet, k->hold);
        k->hold = NULL;
        raise_min_index(k, newest); /* whatever overtook it is to be seen */
        k->check = true;
    }
}

static void on_results(void *self, const struct response *r)
{
    struct schedworker *w = self;
    const Pb__PlanResults *results = (const Pb__PlanResults *)r->body;
    bool ok = r->code == PB__REPLY__CODE__OK && results != NULL;
    /* Planqueue did not take them: nothing was committed. Else we cannot know, and look. */
    bool untouched = r->code == PB__REPLY__CODE__BUSY;
    struct work *k;
    size_t i = 0;
    list_each(&w->works, struct work, link, k)
    {
        if (!k->submitted)
            continue;
        const Pb__PlanResult *one = ok ? find_result(results, i++, k) : NULL;
        if (one != NULL) {
            take_result(k, one);
            continue;
        }
        k->submitted = false;
        k->check = !untouched;
        fleet_release(w->fleet, k->hold);
        k->hold = NULL;
    }
    if (!ok) {
        log_warn("submit_failed", "reason=%s", log_quote(r->reason));
        pause_round(w);
        return;
    }
    go_on(w, PHASE_CHECKING);
}

/* More than one message should hold is left for the next round. */
static bool round_is_full(const struct schedworker *w, size_t changes)
{
    return changes >= w->max_round_changes;
}

static size_t plan_changes(const Pb__Plan *p)
{
    return p->n_placements + p->n_stops + p->n_in_place;
}

static bool same_namespace(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "default", b != NULL ? b : "default") == 0;
}

static const Pb__JobView *find_view(const Pb__JobViews *views, size_t hint, const Pb__Eval *eval)
{
    for (size_t i = 0; i < views->n_jobs; i++) {
        const Pb__JobView *v = views->jobs[(hint + i) % views->n_jobs];
        if (v->key != NULL && v->key->id != NULL && strcmp(v->key->id, eval->job_id) == 0 &&
            same_namespace(v->key->namespace_, eval->namespace_))
            return v;
    }
    return NULL;
}

static Pb__Plan *plan_work(struct work *k, struct arena *a, const Pb__JobView *view,
                           uint64_t views_index)
{
    struct schedworker *w = k->worker;
    struct sched_options o = {.max_changes = (uint32_t)w->max_changes};
    uint64_t seed = hash_bytes(k->eval->id.data, ID_SIZE, k->eval->plans + 1000u * k->attempts);
    Pb__Plan *plan = sched_plan(a, w->fleet, view, k->eval, seed, &o);
    /* The fleet may have moved on since the job was read: the plan is as old as the older. */
    if (views_index < plan->snapshot_index)
        plan->snapshot_index = views_index;
    k->hold = fleet_hold(w->fleet, plan);
    k->last_plan = plan->has_status != 0;
    k->submitted = true;
    metric_add(&w->metrics[SCHEDWORKER_PLANS], 1);
    metric_add(&w->metrics[SCHEDWORKER_PLACEMENTS], (double)plan->n_placements);
    return plan;
}

static void plan_all(struct schedworker *w, const Pb__JobViews *views)
{
    struct arena *a = arena_new(ROUND_CAP);
    Pb__Plans plans = PB__PLANS__INIT;
    plans.plans = arena_array(a, Pb__Plan *, w->work_count + 1);
    size_t changes = 0, i = 0;
    struct work *k;
    list_each(&w->works, struct work, link, k)
    {
        const Pb__JobView *view = find_view(views, i++, k->eval);
        if (view == NULL) {
            /* The answer holds as many of the first ones as fit: the others come next time. */
            if (views->n_jobs == 0)
                attempt_failed(k);
            continue;
        }
        if (round_is_full(w, changes))
            break;
        Pb__Plan *plan = plan_work(k, a, view, views->index);
        changes += plan_changes(plan);
        plans.plans[plans.n_plans++] = plan;
    }
    w->phase = PHASE_SUBMITTING;
    client_call(w->queue, &(struct call_options){.method = PB__PLANQUEUE__METHOD__SUBMIT,
                                                 .body = &plans.base,
                                                 .reply = &pb__plan_results__descriptor,
                                                 .budget_ms = CALL_MS + 5000,
                                                 .retry = true, /* a plan counts once */
                                                 .done = on_results,
                                                 .owner = w});
    arena_free(a);
}

static void on_views(void *self, const struct response *r)
{
    struct schedworker *w = self;
    if (r->code == PB__REPLY__CODE__OK && r->body != NULL) {
        plan_all(w, (const Pb__JobViews *)r->body);
        return;
    }
    log_warn("job_views_failed", "reason=%s", log_quote(r->reason));
    struct work *k;
    list_each(&w->works, struct work, link, k) attempt_failed(k);
    pause_round(w);
}

static void fetch_jobs(struct schedworker *w)
{
    struct arena *a = arena_new(1 << 24);
    Pb__JobViewsRequest q = PB__JOB_VIEWS_REQUEST__INIT;
    q.jobs = arena_array(a, Pb__JobKey *, w->work_count + 1);
    q.has_min_index = 1;
    q.min_index = w->need_index;
    struct work *k;
    list_each(&w->works, struct work, link, k)
    {
        Pb__JobKey *key = arena_array(a, Pb__JobKey, 1);
        pb__job_key__init(key);
        key->namespace_ = k->eval->namespace_;
        key->id = k->eval->job_id;
        q.jobs[q.n_jobs++] = key;
    }
    w->phase = PHASE_FETCHING;
    client_call(w->store, &(struct call_options){.method = PB__JOBSTORE__METHOD__JOB_VIEWS,
                                                 .body = &q.base,
                                                 .reply = &pb__job_views__descriptor,
                                                 .budget_ms = CALL_MS,
                                                 .retry = true,
                                                 .done = on_views,
                                                 .owner = w});
    arena_free(a);
}

/* ---- stale evaluations */

static bool is_open(const Pb__Eval *eval)
{
    return eval->status == PB__EVAL__STATUS__PENDING || eval->status == PB__EVAL__STATUS__BLOCKED;
}

static void checked_one(struct schedworker *w)
{
    if (--w->checks_open > 0)
        return;
    if (w->pause_wanted)
        pause_round(w);
    else
        go_on(w, PHASE_ASKING);
    w->pause_wanted = false;
}

static void on_checked(void *owner, const struct response *r)
{
    struct work *k = owner;
    struct schedworker *w = k->worker;
    const Pb__Object *o = (const Pb__Object *)r->body;
    const Pb__Eval *eval =
        r->code == PB__REPLY__CODE__OK && o != NULL && o->value_case == PB__OBJECT__VALUE_EVAL
            ? o->eval
            : NULL;
    k->check = false;
    if (eval != NULL && is_open(eval)) {
        bool unmoved = eval->plans == k->eval->plans;
        set_eval(k, eval);
        raise_min_index(k, r->index);
        /* The plan was not committed at all: jobstore has no room, or no leader. That may last. */
        if (unmoved)
            w->pause_wanted = true;
        else
            attempt_failed(k);
    } else if (eval != NULL || r->code == PB__REPLY__CODE__NOT_FOUND) {
        end_work(k, true, r->index);
    } else {
        end_work(k, false, 0);
    }
    checked_one(w);
}

static void check_stale(struct schedworker *w)
{
    w->phase = PHASE_CHECKING;
    w->checks_open = 1;
    struct work *k;
    list_each(&w->works, struct work, link, k)
    {
        if (!k->check)
            continue;
        w->checks_open++;
        Pb__Key key = PB__KEY__INIT;
        key.has_table = key.has_id = 1;
        key.table = PB__TABLE__NAME__EVALS;
        key.id = k->eval->id;
        client_call(w->store, &(struct call_options){.method = PB__JOBSTORE__METHOD__GET,
                                                     .body = &key.base,
                                                     .reply = &pb__object__descriptor,
                                                     .budget_ms = CALL_MS,
                                                     .retry = true,
                                                     .done = on_checked,
                                                     .owner = k});
    }
    checked_one(w);
}

static void next_phase(void *self)
{
    struct schedworker *w = self;
    switch (w->phase) {
    case PHASE_ASKING:
        ask_for_work(w);
        break;
    case PHASE_VIEWING:
        wait_for_view(w);
        break;
    case PHASE_FETCHING:
        fetch_jobs(w);
        break;
    case PHASE_CHECKING:
        check_stale(w);
        break;
    case PHASE_IDLE:
    case PHASE_SUBMITTING:
        break;
    }
}

/* ---- the daemon */

static const struct metric metrics_table[SCHEDWORKER_METRIC_COUNT] = {
    [SCHEDWORKER_EVALS] = {"worker.evals", PB__METRIC__KIND__COUNTER,
                           "evaluations brought to an end", 0, 0, 0, 0},
    [SCHEDWORKER_PLANS] = {"worker.plans", PB__METRIC__KIND__COUNTER, "plans made", 0, 0, 0, 0},
    [SCHEDWORKER_PLACEMENTS] = {"worker.placements", PB__METRIC__KIND__COUNTER,
                                "placements planned", 0, 0, 0, 0},
    [SCHEDWORKER_REPLANNED] = {"worker.replanned", PB__METRIC__KIND__COUNTER,
                               "plans made again because the last was refused or stale", 0, 0, 0,
                               0},
    [SCHEDWORKER_GIVEN_BACK] = {"worker.given_back", PB__METRIC__KIND__COUNTER,
                                "evaluations given back unfinished", 0, 0, 0, 0},
    [SCHEDWORKER_IN_HAND] = {"worker.in_hand", PB__METRIC__KIND__GAUGE, "evaluations in hand", 0, 0,
                             0, 0},
    [SCHEDWORKER_VIEW_INDEX] = {"worker.view_index", PB__METRIC__KIND__GAUGE,
                                "index of the view of the fleet", 0, 0, 0, 0},
};

static void split_types(struct schedworker *w)
{
    size_t room = 1;
    for (const char *s = w->types; *s != '\0'; s++)
        room += *s == ',';
    w->type_names = xcalloc(room, sizeof(*w->type_names));
    char *rest = xstrdup(w->types), *all = rest, *one;
    while ((one = strsep(&rest, ", ")) != NULL)
        if (*one != '\0' && w->type_count < room)
            w->type_names[w->type_count++] = xstrdup(one);
    free(all);
}

/* ---- whom we work for */

static enum err open_fleet(struct schedworker *w, const char *jobstore, const char *poll,
                           struct reason *why)
{
    return feed_open(&w->feed, w->loop,
                     &(struct feed_options){
                         .jobstore = jobstore,
                         .jobstore_poll = poll,
                         .tables = FEED_TABLE(NODES) | FEED_TABLE(NODE_USAGE),
                         .pace_ms = 4,
                         .self = w,
                         .reset = on_reset,
                         .object = on_object,
                         .synced = on_synced,
                         .connected = on_connected,
                     },
                     why);
}

/* The daemons of our own server: the state is read there, whoever leads. */
static enum err open_own(struct schedworker *w, struct reason *why)
{
    enum err e;
    if ((e = client_open(&w->broker, w->loop, w->evalbroker, why)) != OK ||
        (e = client_open(&w->queue, w->loop, w->planqueue, why)) != OK ||
        (e = client_open(&w->store, w->loop, w->jobstore, why)) != OK)
        return e;
    return w->feed != NULL ? OK : open_fleet(w, w->jobstore, w->jobstore_poll, why);
}

/* What is behind the leader's door, and, when we have no server of our own, its state. */
static enum err open_behind(struct schedworker *w, const char *door, struct reason *why)
{
    bool alone = w->servers[0] != '\0';
    char broker[300], queue[300], store[300], poll[300];
    snprintf(broker, sizeof broker, "%s#evalbroker", door);
    snprintf(queue, sizeof queue, "%s#planqueue", door);
    snprintf(store, sizeof store, "%s#jobstore", door);
    snprintf(poll, sizeof poll, "%s#jobstore-poll", door);
    enum err e;
    if ((e = client_open(&w->broker, w->loop, broker, why)) != OK ||
        (e = client_open(&w->queue, w->loop, queue, why)) != OK ||
        (e = client_open(&w->store, w->loop, alone ? store : w->jobstore, why)) != OK)
        return e;
    if (!alone)
        return OK;
    feed_close(w->feed);
    w->feed = NULL;
    return open_fleet(w, store, poll, why);
}

/* What is in hand was handed out by a broker that is gone, and will be handed out again. */
static void drop_round(struct schedworker *w)
{
    struct work *k;
    struct ending *e;
    client_close(w->broker);
    client_close(w->queue);
    client_close(w->store); /* and with them all that is under way */
    w->broker = w->queue = w->store = NULL;
    w->call = NULL;
    w->pause_wanted = false;
    timer_cancel(w->loop, &w->timer);
    list_each(&w->works, struct work, link, k) free_work(k);
    list_each(&w->ended, struct ending, link, e)
    {
        list_remove(&e->link);
        free(e);
    }
}

static void on_moved(void *self, const char *door)
{
    struct schedworker *w = self;
    struct reason why;
    if (door[0] == '\0' && !w->elsewhere && !w->idle_beside_leader)
        return; /* we began with our own */
    drop_round(w);
    w->elsewhere = door[0] != '\0';
    if (!w->elsewhere && w->idle_beside_leader) {
        w->phase = PHASE_IDLE;
        step_cancel(&w->step);
        return;
    }
    enum err e = w->elsewhere ? open_behind(w, door, &why) : open_own(w, &why);
    if (e != OK)
        log_error("leader_refused", "door=%s reason=%s", door, log_quote(why.text));
    else
        go_on(w, PHASE_ASKING);
}

enum err schedworker_start(void *self, struct loop *l, struct reason *why)
{
    struct schedworker *w = self;
    w->loop = l;
    w->fleet = fleet_new();
    list_init(&w->works);
    list_init(&w->ended);
    list_init(&w->planned);
    memcpy(w->metrics, metrics_table, sizeof(metrics_table));
    split_types(w);
    if (w->type_count == 0 || w->batch == 0)
        return reason_set(why, ERR_INVALID, "types must name a type and batch be at least 1");
    enum err e =
        where_open(&w->where, l,
                   &(struct where_options){
                       .gateway = w->gateway, .servers = w->servers, .self = w, .moved = on_moved},
                   why);
    if (e != OK || w->servers[0] != '\0' || w->idle_beside_leader)
        return e; /* we begin when we know who leads */
    if ((e = open_own(w, why)) != OK)
        return e;
    go_on(w, PHASE_ASKING);
    return OK;
}

void schedworker_drain(void *self, void (*drained)(void *arg), void *arg)
{
    struct schedworker *w = self;
    w->draining = true;
    w->drained = drained;
    w->drained_arg = arg;
    /* A question that waits for work is taken back; anything else comes to its end first. */
    if (w->phase == PHASE_ASKING && w->call != NULL) {
        call_cancel(w->call);
        w->call = NULL;
        forget_told(w, false);
        go_on(w, PHASE_ASKING);
    } else if (w->phase == PHASE_IDLE) {
        timer_cancel(w->loop, &w->timer);
        go_on(w, PHASE_CHECKING);
    }
}

void schedworker_close(void *self)
{
    struct schedworker *w = self;
    if (w->fleet == NULL)
        return;
    timer_cancel(w->loop, &w->timer);
    step_cancel(&w->step);
    where_close(w->where);
    feed_close(w->feed);
    client_close(w->broker);
    client_close(w->queue);
    client_close(w->store);
    struct work *k;
    list_each(&w->works, struct work, link, k) free_work(k);
    struct ending *e;
    list_each(&w->ended, struct ending, link, e) free(e);
    struct planned *p;
    list_each(&w->planned, struct planned, link, p) free(p);
    for (size_t i = 0; i < w->type_count; i++)
        free(w->type_names[i]);
    free(w->type_names);
    fleet_free(w->fleet);
}

void schedworker_summary_log(void *self)
{
    struct schedworker *w = self;
    log_info("summary", "nodes=%zu index=%llu phase=%d in_hand=%zu evals=%.0f placements=%.0f",
             fleet_count(w->fleet), (unsigned long long)fleet_index(w->fleet), (int)w->phase,
             w->work_count, w->metrics[SCHEDWORKER_EVALS].value,
             w->metrics[SCHEDWORKER_PLACEMENTS].value);
}

struct metric *schedworker_metrics(void *self, size_t *count)
{
    struct schedworker *w = self;
    metric_set(&w->metrics[SCHEDWORKER_IN_HAND], (double)w->work_count);
    metric_set(&w->metrics[SCHEDWORKER_VIEW_INDEX], (double)fleet_index(w->fleet));
    *count = SCHEDWORKER_METRIC_COUNT;
    return w->metrics;
}
