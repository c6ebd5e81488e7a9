#include "evalbroker.h"
#include "base/log.h"
#include "questions.h"
#include <string.h>

#define MAX_TYPES         64
#define MAX_DELIVERIES    1024 /* in one answer */
#define MAX_WAIT_MS       60000
#define MAX_UPDATES       1024 /* in one log entry */
#define SETTLE_MS         10000
#define PROPOSE_BUDGET_MS 10000

/* A worker's DEQUEUE that waits; lives in the request's arena. */
struct parked {
    struct link link;
    struct timer timer;
    struct evalbroker *eb;
    struct request *req;
};

static void on_step(void *owner);

static struct moment now(const struct evalbroker *eb)
{
    return (struct moment){loop_now_ms(eb->loop), loop_wall_ns(eb->loop)};
}

void evalbroker_mark(struct evalbroker *eb)
{
    step_mark(eb->loop, &eb->step, on_step, eb);
}

/* ---- workers */

static const Pb__Dequeue *dequeue_of(const struct request *req)
{
    return (const Pb__Dequeue *)request_body(req);
}

static uint32_t wanted(const Pb__Dequeue *d)
{
    uint32_t max = d->max > 0 ? d->max : 1;
    return max < MAX_DELIVERIES ? max : MAX_DELIVERIES;
}

static void unpark(struct parked *p)
{
    timer_cancel(p->eb->loop, &p->timer);
    list_remove(&p->link);
    p->eb->parked_count--;
}

static Pb__Delivery *delivery_message(struct arena *a, const struct delivery *d)
{
    Pb__Delivery *m = arena_array(a, Pb__Delivery, 1);
    pb__delivery__init(m);
    m->eval = WIRE_UNPACK(a, Pb__Eval, pb__eval, d->eval, d->eval_len);
    must(m->eval != NULL);
    m->has_token = m->has_attempt = m->has_min_index = 1;
    m->token = d->token;
    m->attempt = d->attempt;
    m->min_index = d->min_index;
    return m;
}

/* Takes req. */
static void answer(struct evalbroker *eb, struct request *req, uint32_t max)
{
    const Pb__Dequeue *ask = dequeue_of(req);
    struct arena *a = request_arena(req);
    Pb__Deliveries out = PB__DELIVERIES__INIT;
    out.deliveries = arena_array(a, Pb__Delivery *, max > 0 ? max : 1);
    struct delivery d;
    while (out.n_deliveries < max &&
           broker_dequeue(eb->broker, ask->types, ask->n_types, request_peer(req), now(eb), &d))
        out.deliveries[out.n_deliveries++] = delivery_message(a, &d);
    questions_hand_out(eb, ask, request_peer(req), a, &out);
    /* There is no feed before jobstore has told who leads. */
    request_reply(req, &out.base, eb->feed != NULL ? feed_index(eb->feed) : 0);
}

static void on_wait_over(void *owner)
{
    struct parked *p = owner;
    struct evalbroker *eb = p->eb;
    unpark(p);
    answer(eb, p->req, 0);
}

static void on_worker_gone(void *owner, struct request *req)
{
    unpark(owner);
}

/* Takes req. */
static void park(struct evalbroker *eb, struct request *req)
{
    const Pb__Dequeue *ask = dequeue_of(req);
    struct parked *p = arena_array(request_arena(req), struct parked, 1);
    p->eb = eb;
    p->req = req;
    list_push_back(&eb->parked, &p->link);
    eb->parked_count++;
    timer_arm(eb->loop, &p->timer, ask->wait_ms < MAX_WAIT_MS ? ask->wait_ms : MAX_WAIT_MS,
              on_wait_over, p);
    request_park(req, on_worker_gone, p);
}

static void end_deliveries(struct evalbroker *eb, const Pb__Dequeue *ask)
{
    for (size_t i = 0; i < ask->n_acks; i++) {
        const Pb__Ack *ack = ask->acks[i];
        if (ack->has_eval_id)
            broker_ack(eb->broker, ack->eval_id.data, ack->token, ack->index, now(eb));
    }
    for (size_t i = 0; i < ask->n_nacks; i++) {
        const Pb__Ack *nack = ask->nacks[i];
        if (nack->has_eval_id && broker_nack(eb->broker, nack->eval_id.data, nack->token, now(eb)))
            log_info("eval_nacked", "eval=%s", log_id(nack->eval_id.data));
    }
}

void evalbroker_refuse_passive(struct request *req)
{
    request_fail(req, PB__REPLY__CODE__NOT_LEADER,
                 "the jobstore of this server does not lead: ask the evalbroker of the one that "
                 "does");
}

static void on_dequeue(void *self, struct request *req)
{
    struct evalbroker *eb = self;
    const Pb__Dequeue *ask = dequeue_of(req);
    if (eb->passive) {
        evalbroker_refuse_passive(req);
        return;
    }
    if (eb->broker != NULL)
        end_deliveries(eb, ask);
    evalbroker_mark(eb);
    if (ask->n_types > MAX_TYPES)
        request_fail(req, PB__REPLY__CODE__INVALID, "%zu scheduler types: at most %d", ask->n_types,
                     MAX_TYPES);
    else
        park(eb, req); /* the step serves all that wait, so that they share */
}

static void on_stats(void *self, struct request *req)
{
    struct evalbroker *eb = self;
    Pb__BrokerStats stats;
    if (eb->broker == NULL) {
        evalbroker_refuse_passive(req);
        return;
    }
    broker_stats(eb->broker, &stats);
    request_reply(req, &stats.base, feed_index(eb->feed));
}

static void on_peer_gone(void *self, uint32_t peer)
{
    struct evalbroker *eb = self;
    questions_peer_gone(eb, peer);
    if (eb->broker == NULL)
        return;
    broker_owner_gone(eb->broker, peer, now(eb));
    evalbroker_mark(eb);
}

static const struct method methods[] = {
    {PB__EVALBROKER__METHOD__DEQUEUE, "dequeue", &pb__dequeue__descriptor, on_dequeue},
    {PB__EVALBROKER__METHOD__STATS, "stats", &pb__empty__descriptor, on_stats},
    {PB__EVALBROKER__METHOD__ASK, "ask", &pb__question__descriptor, questions_on_ask},
    {PB__EVALBROKER__METHOD__ANSWER, "answer", &pb__answers__descriptor, questions_on_answer},
    DAEMON_METHODS,
    {0, NULL, NULL, NULL},
};

/* Each waiting worker gets its share, not the first one all. */
static void serve(struct evalbroker *eb)
{
    if (eb->listing)
        return;
    size_t waiting = eb->parked_count;
    struct parked *p;
    list_each(&eb->parked, struct parked, link, p)
    {
        const Pb__Dequeue *ask = dequeue_of(p->req);
        size_t ready = broker_ready(eb->broker, ask->types, ask->n_types);
        size_t share = (ready + waiting - 1) / waiting;
        waiting--;
        if (ready == 0 && !questions_wait(eb, ask->types, ask->n_types, request_peer(p->req)))
            continue;
        unpark(p);
        answer(eb, p->req, share < wanted(ask) ? (uint32_t)share : wanted(ask));
    }
}

/* ---- proposals */

static void on_proposed(void *owner, const struct response *r)
{
    struct evalbroker *eb = owner;
    eb->proposing = NULL;
    if (r->code != PB__REPLY__CODE__OK)
        log_warn("proposal_lost", "reason=%s", log_quote(r->reason));
    evalbroker_mark(eb);
}

static void propose(struct evalbroker *eb)
{
    if (eb->proposing != NULL || eb->listing)
        return;
    struct arena *a = arena_new(4 << 20);
    Pb__EvalUpdates *updates = broker_take_updates(eb->broker, a, MAX_UPDATES, now(eb));
    if (updates != NULL) {
        Pb__Command command = PB__COMMAND__INIT;
        command.body_case = PB__COMMAND__BODY_EVAL_UPDATES;
        command.eval_updates = updates;
        log_debug("evals_ended", "count=%zu", updates->n_evals);
        eb->proposing = client_call(eb->client, &(struct call_options){
                                                    .method = PB__JOBSTORE__METHOD__APPLY,
                                                    .body = &command.base,
                                                    .reply = &pb__outcome__descriptor,
                                                    .budget_ms = PROPOSE_BUDGET_MS,
                                                    .retry = true,
                                                    .done = on_proposed,
                                                    .owner = eb,
                                                });
    }
    arena_free(a);
}

/* ---- the turn */

static enum err follow(struct evalbroker *eb, struct reason *why);

/* The broker had no room for some evaluations, and has it now. */
static void list_again(struct evalbroker *eb)
{
    struct reason why;
    feed_close(eb->feed);
    eb->feed = NULL;
    eb->listing = true;
    if (follow(eb, &why) != OK)
        log_error("feed_lost", "reason=%s", log_quote(why.text));
}

static void on_timer(void *owner)
{
    evalbroker_mark(owner);
}

static void on_step(void *owner)
{
    struct evalbroker *eb = owner;
    if (eb->broker == NULL)
        return;
    broker_tick(eb->broker, now(eb));
    if (broker_wants_reload(eb->broker))
        list_again(eb);
    serve(eb);
    propose(eb);
    uint64_t due = broker_next_due_ms(eb->broker), at = loop_now_ms(eb->loop);
    if (due == UINT64_MAX)
        timer_cancel(eb->loop, &eb->timer);
    else
        timer_arm(eb->loop, &eb->timer, due > at ? due - at : 1, on_timer, eb);
}

/* ---- the feed */

static void on_reset(void *self)
{
    struct evalbroker *eb = self;
    broker_reload_begin(eb->broker);
    eb->listing = true;
}

static void on_deleted(struct evalbroker *eb, const Pb__Object *o)
{
    if (!o->deleted->has_id)
        return;
    if (o->table == PB__TABLE__NAME__EVALS)
        broker_drop_eval(eb->broker, o->deleted->id.data, now(eb));
    else if (o->table == PB__TABLE__NAME__NODES)
        broker_drop_node(eb->broker, o->deleted->id.data);
}

static void on_object(void *self, const Pb__Object *o, uint64_t index)
{
    struct evalbroker *eb = self;
    if (o->deleted != NULL)
        on_deleted(eb, o);
    else if (o->value_case == PB__OBJECT__VALUE_EVAL)
        broker_put_eval(eb->broker, o->eval, now(eb));
    else if (o->value_case == PB__OBJECT__VALUE_NODE)
        broker_put_node(eb->broker, o->node);
    else if (o->value_case == PB__OBJECT__VALUE_NODE_USAGE)
        broker_put_usage(eb->broker, o->node_usage);
}

static void on_synced(void *self, uint64_t index)
{
    struct evalbroker *eb = self;
    if (eb->listing) {
        broker_reload_end(eb->broker, now(eb));
        eb->listing = false;
        evalbroker_summary(eb);
    }
    broker_reached(eb->broker, index, now(eb));
    evalbroker_mark(eb);
}

static void on_connected(void *self, bool up, const char *why)
{
    if (up)
        log_info("jobstore_reached", "reason=%s", log_quote(why != NULL ? why : ""));
    else
        log_warn("jobstore_lost", "reason=%s", log_quote(why != NULL ? why : ""));
}

static enum err follow(struct evalbroker *eb, struct reason *why)
{
    return feed_open(&eb->feed, eb->loop,
                     &(struct feed_options){
                         .jobstore = eb->jobstore,
                         .jobstore_poll = eb->jobstore_poll,
                         .tables = FEED_TABLE(EVALS) | FEED_TABLE(NODES) | FEED_TABLE(NODE_USAGE),
                         .pace_ms = 1,
                         .self = eb,
                         .reset = on_reset,
                         .object = on_object,
                         .synced = on_synced,
                         .connected = on_connected,
                     },
                     why);
}

/* ---- active only beside the leader */

static void on_gained(void *self, uint64_t term)
{
    struct evalbroker *eb = self;
    struct reason why;
    eb->passive = false;
    eb->listing = true;
    eb->broker = broker_new(&(struct broker_settings){
        .ack_timeout_ms = eb->ack_timeout_ms,
        .nack_delay_ms = eb->nack_delay_ms,
        .settle_ms = SETTLE_MS,
        .follow_up_delay_ms = eb->follow_up_delay_ms,
        .max_deliveries = (uint32_t)eb->max_deliveries,
        .max_evals = eb->max_evals,
        .token_seed = loop_random(eb->loop),
    });
    log_info("active", "term=%llu", (unsigned long long)term);
    if (follow(eb, &why) != OK)
        log_error("feed_lost", "reason=%s", log_quote(why.text));
}

/* What was handed out is handed out again by the leader's broker. */
static void drop_everything(struct evalbroker *eb)
{
    feed_close(eb->feed);
    eb->feed = NULL;
    call_cancel(eb->proposing);
    eb->proposing = NULL;
    step_cancel(&eb->step);
    timer_cancel(eb->loop, &eb->timer);
    broker_free(eb->broker);
    eb->broker = NULL;
}

static void on_lost(void *self)
{
    struct evalbroker *eb = self;
    struct parked *p;
    log_info("passive", "was_active=%d", eb->broker != NULL);
    eb->passive = true;
    drop_everything(eb);
    questions_fail_all(eb, evalbroker_refuse_passive);
    list_each(&eb->parked, struct parked, link, p)
    {
        unpark(p);
        evalbroker_refuse_passive(p->req);
    }
}

/* ---- the daemon */

enum err evalbroker_open(void *self, struct loop *l, struct reason *why)
{
    struct evalbroker *eb = self;
    eb->loop = l;
    list_init(&eb->parked);
    list_init(&eb->questions);
    enum err e = client_open(&eb->client, l, eb->jobstore, why);
    if (e != OK)
        return e;
    return server_open(&eb->server, l, eb->listen,
                       &(struct server_options){.methods = methods,
                                                .self = eb,
                                                .max_parked = (uint32_t)eb->max_workers,
                                                .peer_gone = on_peer_gone},
                       why);
}

enum err evalbroker_start(void *self, struct loop *l, struct reason *why)
{
    struct evalbroker *eb = self;
    return leadership_open(
        &eb->leadership, l,
        &(struct leadership_options){
            .jobstore_poll = eb->jobstore_poll, .self = eb, .gained = on_gained, .lost = on_lost},
        why);
}

void evalbroker_close(void *self)
{
    struct evalbroker *eb = self;
    struct parked *p;
    if (eb->parked.next != NULL)
        list_each(&eb->parked, struct parked, link, p) unpark(p);
    if (eb->questions.next != NULL)
        questions_close(eb);
    server_close(eb->server);
    leadership_close(eb->leadership);
    if (eb->loop != NULL)
        drop_everything(eb);
    client_close(eb->client);
}

/* Nothing, while there is no broker. */
static void stats_now(const struct evalbroker *eb, Pb__BrokerStats *s)
{
    pb__broker_stats__init(s);
    if (eb->broker != NULL)
        broker_stats(eb->broker, s);
}

void evalbroker_summary(void *self)
{
    struct evalbroker *eb = self;
    Pb__BrokerStats s;
    stats_now(eb, &s);
    log_info("summary",
             "active=%d index=%llu ready=%llu unacked=%llu waiting=%llu blocked=%llu delayed=%llu "
             "failed=%llu delivered=%llu "
             "workers_waiting=%zu",
             eb->broker != NULL, (unsigned long long)(eb->feed != NULL ? feed_index(eb->feed) : 0),
             (unsigned long long)s.ready, (unsigned long long)s.unacked,
             (unsigned long long)s.waiting, (unsigned long long)s.blocked,
             (unsigned long long)s.delayed, (unsigned long long)s.failed,
             (unsigned long long)s.delivered, eb->parked_count);
}

struct metric *evalbroker_metrics(void *self, size_t *count)
{
    static struct metric metrics[] = {
        {.name = "broker.ready",
         .kind = PB__METRIC__KIND__GAUGE,
         .help = "evaluations that wait for a worker"},
        {.name = "broker.unacked",
         .kind = PB__METRIC__KIND__GAUGE,
         .help = "evaluations in the hands of workers"},
        {.name = "broker.waiting",
         .kind = PB__METRIC__KIND__GAUGE,
         .help = "evaluations behind another of their job"},
        {.name = "broker.blocked",
         .kind = PB__METRIC__KIND__GAUGE,
         .help = "evaluations that wait for capacity"},
        {.name = "broker.delayed",
         .kind = PB__METRIC__KIND__GAUGE,
         .help = "evaluations whose time has not come"},
        {.name = "broker.failed",
         .kind = PB__METRIC__KIND__COUNTER,
         .help = "evaluations that reached the delivery limit"},
        {.name = "broker.delivered",
         .kind = PB__METRIC__KIND__COUNTER,
         .help = "deliveries to workers"},
        {.name = "broker.workers",
         .kind = PB__METRIC__KIND__GAUGE,
         .help = "workers that wait for work"},
    };
    struct evalbroker *eb = self;
    Pb__BrokerStats s;
    stats_now(eb, &s);
    const uint64_t values[] = {s.ready,   s.unacked, s.waiting,   s.blocked,
                               s.delayed, s.failed,  s.delivered, eb->parked_count};
    for (size_t i = 0; i < COUNT_OF(metrics); i++)
        metric_set(&metrics[i], (double)values[i]);
    *count = COUNT_OF(metrics);
    return metrics;
}
