/* gangsched: a scheduler of one's own, to be read: all of a job is placed, or none of it.
 *
 * It takes evaluations of jobs of type "custom.gang" and speaks what docs/custom-scheduler.md
 * describes: asks evalbroker for work, reads the job and the nodes from jobstore, hands a plan to
 * planqueue, and says what became of the evaluation with the next question. Where to place is left
 * to Norn's own planner (common/sched); that half a gang is worth nothing is this one's own rule.
 *
 * Owns      nothing: killed at any moment, its evaluation goes to another, or comes again
 * Exits     0 asked to stop, 1 failed, 2 bad usage or settings */
#include "base/map.h"
#include "daemon/daemon.h"
#include "evalbroker.pb-c.h"
#include "jobstore.pb-c.h"
#include "planqueue.pb-c.h"
#include "sched/fleet.h"
#include "sched/sched.h"
#include "wire/wire.h"
#include <string.h>

#define CALL_MS   20000
#define PAUSE_MS  300
#define PLAN_ROOM ((size_t)256 << 20)

struct gangsched {
    const char *evalbroker, *planqueue, *jobstore, *type; /* settings */
    uint64_t wait_ms;
    struct loop *loop;
    struct client *broker, *queue, *store;
    struct timer pause;
    /* the evaluation in hand, one at a time */
    struct arena *arena; /* all of it; NULL: none is in hand */
    const Pb__Delivery *work;
    const Pb__JobViews *views;
    struct fleet *fleet;
    struct hold *in_flight;
    Pb__Table__Name listing;
    /* what evalbroker is to be told with the next question */
    uint8_t told_id[ID_SIZE];
    Pb__Ack told;
    enum { TELL_NOTHING, TELL_ACK, TELL_NACK } tell;
};

static void ask_for_work(void *self);

static void call(struct gangsched *g, struct client *to, uint32_t method,
                 const ProtobufCMessage *body, const ProtobufCMessageDescriptor *reply,
                 response_fn *done)
{
    client_call(to, &(struct call_options){.method = method,
                                           .body = body,
                                           .reply = reply,
                                           .budget_ms = CALL_MS + (uint32_t)g->wait_ms,
                                           .retry = true, /* each of them may arrive twice */
                                           .done = done,
                                           .owner = g});
}

/* Ends the evaluation in hand: brought to its end (index: of that), or given back for another try.
 */
static void end(struct gangsched *g, bool done, uint64_t index)
{
    pb__ack__init(&g->told);
    memcpy(g->told_id, g->work->eval->id.data, ID_SIZE);
    g->told.has_eval_id = g->told.has_token = g->told.has_index = 1;
    g->told.eval_id = (ProtobufCBinaryData){ID_SIZE, g->told_id};
    g->told.token = g->work->token;
    g->told.index = index;
    g->tell = done ? TELL_ACK : TELL_NACK;
    log_info(done ? "eval_done" : "eval_given_back", "eval=%s job=%s", log_id(g->told_id),
             log_quote(g->work->eval->job_id));
    fleet_free(g->fleet);
    arena_free(g->arena);
    g->fleet = NULL;
    g->arena = NULL;
    g->work = NULL;
    ask_for_work(g);
}

static bool failed(struct gangsched *g, const struct response *r, const char *what)
{
    if (r->code == PB__REPLY__CODE__OK && r->body != NULL)
        return false;
    log_warn(what, "reason=%s", log_quote(r->reason));
    end(g, false, 0);
    return true;
}

/* ---- 4. the result */

static void on_results(void *self, const struct response *r)
{
    struct gangsched *g = self;
    if (failed(g, r, "submit_failed"))
        return;
    const Pb__PlanResults *all = (const Pb__PlanResults *)r->body;
    const Pb__PlanResult *one = all->n_results > 0 ? all->results[0] : NULL;
    /* Refused: the nodes were fuller than we knew. Stale: another was faster, or the job changed.
     * In both cases the broker hands the evaluation out again, if it is still open. */
    bool committed = one != NULL && one->code == PB__PLAN_RESULT__CODE__COMMITTED;
    end(g, committed, committed ? one->index : 0);
}

/* ---- 3. the plan */

/* A gang that is not whole is not begun: nothing is placed, and the evaluation waits for room. */
static void all_or_none(Pb__Plan *plan)
{
    plan->has_all_at_once = plan->all_at_once = 1; /* planqueue too takes all or nothing */
    if (plan->n_failed_groups == 0)
        return;
    plan->n_placements = plan->n_stops = plan->n_in_place = 0;
    plan->n_placed_groups = 0;
}

static void submit(struct gangsched *g)
{
    const Pb__JobView *view = g->views->jobs[0];
    const Pb__Eval *eval = g->work->eval;
    uint64_t seed = hash_bytes(eval->id.data, ID_SIZE, eval->plans);
    struct sched_options o = {.max_changes = 100000}; /* one plan: the gang cannot come in two */
    Pb__Plan *plan = sched_plan(g->arena, g->fleet, view, eval, seed, &o);
    if (g->views->index < plan->snapshot_index)
        plan->snapshot_index = g->views->index;
    all_or_none(plan);
    Pb__Plans plans = PB__PLANS__INIT;
    plans.plans = &plan;
    plans.n_plans = 1;
    call(g, g->queue, PB__PLANQUEUE__METHOD__SUBMIT, &plans.base, &pb__plan_results__descriptor,
         on_results);
}

/* ---- 2. the job and the nodes */

static void list_more(struct gangsched *g, const Pb__Key *after);

static void on_objects(void *self, const struct response *r)
{
    struct gangsched *g = self;
    if (failed(g, r, "list_failed"))
        return;
    const Pb__Objects *page = (const Pb__Objects *)r->body;
    for (size_t i = 0; i < page->n_objects; i++)
        fleet_set_object(g->fleet, page->objects[i]);
    if (page->next != NULL) {
        list_more(g, page->next);
    } else if (g->listing == PB__TABLE__NAME__NODES) {
        g->listing = PB__TABLE__NAME__NODE_USAGE;
        list_more(g, NULL);
    } else {
        /* The nodes were read after the job, so they are at least as new. */
        fleet_set_index(g->fleet, g->views->index);
        submit(g);
    }
}

static void list_more(struct gangsched *g, const Pb__Key *after)
{
    Pb__List q = PB__LIST__INIT;
    q.has_table = 1;
    q.table = g->listing;
    q.after = (Pb__Key *)(uintptr_t)after;
    call(g, g->store, PB__JOBSTORE__METHOD__LIST, &q.base, &pb__objects__descriptor, on_objects);
}

static void on_views(void *self, const struct response *r)
{
    struct gangsched *g = self;
    if (failed(g, r, "job_views_failed"))
        return;
    g->views = (const Pb__JobViews *)wire_clone(g->arena, r->body);
    if (g->views->n_jobs == 0) {
        end(g, false, 0);
        return;
    }
    g->fleet = fleet_new();
    g->listing = PB__TABLE__NAME__NODES;
    list_more(g, NULL);
}

static void fetch_job(struct gangsched *g)
{
    const Pb__Eval *eval = g->work->eval;
    Pb__JobKey key = PB__JOB_KEY__INIT, *keys = &key;
    key.namespace_ = eval->namespace_;
    key.id = eval->job_id;
    Pb__JobViewsRequest q = PB__JOB_VIEWS_REQUEST__INIT;
    q.jobs = &keys;
    q.n_jobs = 1;
    q.has_min_index = 1;
    q.min_index = g->work->min_index > eval->modify_index ? g->work->min_index : eval->modify_index;
    call(g, g->store, PB__JOBSTORE__METHOD__JOB_VIEWS, &q.base, &pb__job_views__descriptor,
         on_views);
}

/* ---- 1. work */

static void on_deliveries(void *self, const struct response *r)
{
    struct gangsched *g = self;
    if (r->code != PB__REPLY__CODE__OK || r->body == NULL) {
        log_debug("evalbroker_silent", "reason=%s", log_quote(r->reason));
        timer_arm(g->loop, &g->pause, PAUSE_MS, ask_for_work, g);
        return;
    }
    g->tell = TELL_NOTHING; /* it has heard */
    const Pb__Deliveries *all = (const Pb__Deliveries *)r->body;
    if (all->n_deliveries == 0 || all->deliveries[0]->eval == NULL) {
        ask_for_work(g);
        return;
    }
    g->arena = arena_new(PLAN_ROOM);
    g->work = (const Pb__Delivery *)wire_clone(g->arena, &all->deliveries[0]->base);
    fetch_job(g);
}

static void ask_for_work(void *self)
{
    struct gangsched *g = self;
    char *type = (char *)(uintptr_t)g->type;
    Pb__Ack *told = &g->told;
    Pb__Dequeue q = PB__DEQUEUE__INIT;
    q.types = &type;
    q.n_types = 1;
    q.has_max = q.has_wait_ms = 1;
    q.max = 1;
    q.wait_ms = (uint32_t)g->wait_ms;
    q.acks = q.nacks = &told;
    q.n_acks = g->tell == TELL_ACK;
    q.n_nacks = g->tell == TELL_NACK;
    call(g, g->broker, PB__EVALBROKER__METHOD__DEQUEUE, &q.base, &pb__deliveries__descriptor,
         on_deliveries);
}

/* ---- the daemon */

static enum err gangsched_start(void *self, struct loop *l, struct reason *why)
{
    struct gangsched *g = self;
    enum err e;
    g->loop = l;
    if ((e = client_open(&g->broker, l, g->evalbroker, why)) != OK ||
        (e = client_open(&g->queue, l, g->planqueue, why)) != OK ||
        (e = client_open(&g->store, l, g->jobstore, why)) != OK)
        return e;
    ask_for_work(g);
    return OK;
}

static void gangsched_close(void *self)
{
    struct gangsched *g = self;
    if (g->loop != NULL)
        timer_cancel(g->loop, &g->pause);
    client_close(g->broker);
    client_close(g->queue);
    client_close(g->store);
    fleet_free(g->fleet);
    arena_free(g->arena);
}

static const struct setting settings[] = {
    SETTING(gangsched, evalbroker, ADDR, "ipc:///run/norn/evalbroker.sock",
            "where work comes from"),
    SETTING(gangsched, planqueue, ADDR, "ipc:///run/norn/planqueue.sock", "where plans go"),
    SETTING(gangsched, jobstore, ADDR, "ipc:///run/norn/jobstore.sock",
            "where jobs and nodes are read"),
    SETTING(gangsched, type, TEXT, "custom.gang", "the type of jobs that it plans"),
    SETTING(gangsched, wait_ms, MSEC, "30s", "how long one question to evalbroker may wait"),
    SETTING_END,
};

static const struct service gangsched_service = {
    .name = "gangsched",
    .summary = "an example of a scheduler of one's own: all of a job, or none of it",
    .size = sizeof(struct gangsched),
    .settings = settings,
    .start = gangsched_start,
    .close = gangsched_close,
};

DAEMON_MAIN(gangsched_service)
