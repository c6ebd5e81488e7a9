#include "controller.h"
#include "base/log.h"
#include "controller.pb-c.h"
#include "wire/bounds.h"

#define SETTLE_MS         5000
#define PROPOSE_BUDGET_MS 10000

static void on_step(void *owner);

static void mark(struct controller *c)
{
    step_mark(c->loop, &c->step, on_step, c);
}

/* ---- gateways */

static void on_seen(void *self, struct request *req)
{
    struct controller *c = self;
    const Pb__Seen *seen = (const Pb__Seen *)request_body(req);
    if (c->heartbeat == NULL) {
        request_fail(req, PB__REPLY__CODE__NOT_LEADER,
                     "the jobstore of this server does not lead: tell the controller of the one "
                     "that does");
        return;
    }
    for (size_t i = 0; i < seen->n_node_ids; i++)
        heartbeat_seen(c->heartbeat, seen->node_ids[i].data, loop_now_ms(c->loop));
    c->heard += seen->n_node_ids;
    Pb__SeenReply reply = PB__SEEN_REPLY__INIT;
    reply.has_heartbeat_ttl_ms = 1;
    reply.heartbeat_ttl_ms = (uint32_t)heartbeat_ttl_ms(c->heartbeat);
    request_reply(req, &reply.base, c->feed != NULL ? feed_index(c->feed) : 0);
    mark(c);
}

/* ---- collection */

static void on_collect(void *self, struct request *req)
{
    struct controller *c = self;
    if (c->collector == NULL) {
        request_fail(req, PB__REPLY__CODE__NOT_LEADER,
                     "the jobstore of this server does not lead: ask the controller of the one "
                     "that does");
        return;
    }
    collector_force(c->collector);
    request_reply(req, NULL, 0);
}

static struct collector *new_collector(struct controller *c)
{
    return collector_new(c->loop, c->client, c->job_gc_interval_ms,
                         &(struct collect_settings){
                             .job_threshold_ms = c->job_gc_threshold_ms,
                             .eval_threshold_ms = c->eval_gc_threshold_ms,
                             .batch_eval_threshold_ms = c->batch_eval_gc_threshold_ms,
                             .deployment_threshold_ms = c->deployment_gc_threshold_ms,
                             .node_threshold_ms = c->node_gc_threshold_ms,
                         });
}

static const struct method methods[] = {
    {PB__CONTROLLER__METHOD__SEEN, "seen", &pb__seen__descriptor, on_seen},
    {PB__CONTROLLER__METHOD__COLLECT, "collect", &pb__empty__descriptor, on_collect},
    DAEMON_METHODS,
    {0, NULL, NULL, NULL},
};

/* ---- proposals */

static void on_proposed(void *owner, const struct response *r)
{
    struct controller *c = owner;
    c->proposing = NULL;
    if (r->code != PB__REPLY__CODE__OK)
        log_warn("proposal_lost", "reason=%s", log_quote(r->reason));
    mark(c);
}

static void log_updates(const Pb__NodeStatusUpdates *updates)
{
    for (size_t i = 0; i < updates->n_nodes; i++) {
        const Pb__NodeStatusUpdate *u = updates->nodes[i];
        log_info(u->status == PB__NODE__STATUS__DOWN ? "heartbeat_missed" : "heartbeat_returned",
                 "node=%s", log_id(u->node_id.data));
    }
}

static void propose(struct controller *c)
{
    if (c->proposing != NULL || c->listing)
        return;
    struct arena *a = arena_new(4 << 20);
    Pb__NodeStatusUpdates *updates =
        heartbeat_take_updates(c->heartbeat, a, COMMAND_MOST_NODES, loop_now_ms(c->loop));
    if (updates != NULL) {
        Pb__Command command = PB__COMMAND__INIT;
        command.body_case = PB__COMMAND__BODY_NODE_STATUS;
        command.node_status = updates;
        log_updates(updates);
        c->proposing = client_call(c->client, &(struct call_options){
                                                  .method = PB__JOBSTORE__METHOD__APPLY,
                                                  .body = &command.base,
                                                  .reply = &pb__outcome__descriptor,
                                                  .budget_ms = PROPOSE_BUDGET_MS,
                                                  .retry = true,
                                                  .done = on_proposed,
                                                  .owner = c,
                                              });
    }
    arena_free(a);
}

/* ---- the turn */

static void on_timer(void *owner)
{
    mark(owner);
}

static void on_step(void *owner)
{
    struct controller *c = owner;
    uint64_t now = loop_now_ms(c->loop);
    if (c->heartbeat == NULL)
        return;
    heartbeat_tick(c->heartbeat, now);
    propose(c);
    uint64_t due = heartbeat_next_due_ms(c->heartbeat);
    if (due == UINT64_MAX)
        timer_cancel(c->loop, &c->timer);
    else
        timer_arm(c->loop, &c->timer, due > now ? due - now : 1, on_timer, c);
}

/* ---- the feed */

static void on_reset(void *self)
{
    struct controller *c = self;
    heartbeat_reload_begin(c->heartbeat);
    drainer_reset(c->drainer);
    launcher_reset(c->launcher);
    timekeeper_reset(c->timekeeper);
    c->listing = true;
}

static void on_deleted(struct controller *c, Pb__Table__Name table, const Pb__Key *key)
{
    if (table == PB__TABLE__NAME__JOBS)
        launcher_drop_job(c->launcher, key->namespace_, key->name);
    else if (table == PB__TABLE__NAME__DEPLOYMENTS)
        timekeeper_drop(c->timekeeper, key->id.data);
    else if (key->has_id) {
        heartbeat_drop_node(c->heartbeat, key->id.data);
        drainer_drop_node(c->drainer, key->id.data);
    }
}

static void on_object(void *self, const Pb__Object *o, uint64_t index)
{
    struct controller *c = self;
    if (o->deleted != NULL) {
        on_deleted(c, o->table, o->deleted);
    } else if (o->value_case == PB__OBJECT__VALUE_JOB) {
        launcher_put_job(c->launcher, o->job);
    } else if (o->value_case == PB__OBJECT__VALUE_DEPLOYMENT) {
        timekeeper_put(c->timekeeper, o->deployment);
    } else if (o->value_case == PB__OBJECT__VALUE_NODE) {
        heartbeat_put_node(c->heartbeat, o->node, loop_now_ms(c->loop));
        drainer_put_node(c->drainer, o->node);
    }
}

static void on_synced(void *self, uint64_t index)
{
    struct controller *c = self;
    if (c->listing) {
        c->listing = false;
        heartbeat_reload_end(c->heartbeat);
        if (!c->started) /* nobody can be blamed for what we could not hear */
            heartbeat_forgive(c->heartbeat, loop_now_ms(c->loop));
        c->started = true;
        controller_summary(c);
    }
    drainer_synced(c->drainer);
    launcher_synced(c->launcher);
    timekeeper_synced(c->timekeeper);
    mark(c);
}

static void on_connected(void *self, bool up, const char *why)
{
    if (up)
        log_info("jobstore_reached", "reason=%s", log_quote(why != NULL ? why : ""));
    else
        log_warn("jobstore_lost", "reason=%s", log_quote(why != NULL ? why : ""));
}

/* ---- active only beside the leader */

static enum err follow(struct controller *c, struct reason *why)
{
    return feed_open(&c->feed, c->loop,
                     &(struct feed_options){
                         .jobstore = c->jobstore,
                         .jobstore_poll = c->jobstore_poll,
                         .tables = FEED_TABLE(NODES) | FEED_TABLE(JOBS) | FEED_TABLE(DEPLOYMENTS),
                         .pace_ms = 50,
                         .self = c,
                         .reset = on_reset,
                         .object = on_object,
                         .synced = on_synced,
                         .connected = on_connected,
                     },
                     why);
}

static void on_gained(void *self, uint64_t term)
{
    struct controller *c = self;
    struct reason why;
    c->listing = true;
    c->started = false; /* every node has its full time again, from the end of the listing on */
    c->heartbeat = heartbeat_new(&(struct heartbeat_settings){
        .min_ttl_ms = c->min_heartbeat_ttl_ms,
        .grace_ms = c->heartbeat_grace_ms,
        .max_per_second = c->max_heartbeats_per_second,
        .settle_ms = SETTLE_MS,
    });
    c->drainer = drainer_new(c->loop, c->client);
    c->collector = new_collector(c);
    c->launcher = launcher_new(c->loop, c->client);
    c->timekeeper = timekeeper_new(c->loop, c->client);
    log_info("active", "term=%llu", (unsigned long long)term);
    if (follow(c, &why) != OK)
        log_error("feed_lost", "reason=%s", log_quote(why.text));
}

static void drop_everything(struct controller *c)
{
    feed_close(c->feed);
    c->feed = NULL;
    call_cancel(c->proposing);
    c->proposing = NULL;
    step_cancel(&c->step);
    timer_cancel(c->loop, &c->timer);
    drainer_free(c->drainer);
    c->drainer = NULL;
    collector_free(c->collector);
    c->collector = NULL;
    launcher_free(c->launcher);
    c->launcher = NULL;
    timekeeper_free(c->timekeeper);
    c->timekeeper = NULL;
    heartbeat_free(c->heartbeat);
    c->heartbeat = NULL;
}

static void on_lost(void *self)
{
    struct controller *c = self;
    log_info("passive", "was_active=%d", c->heartbeat != NULL);
    drop_everything(c);
}

/* ---- the daemon */

enum err controller_open(void *self, struct loop *l, struct reason *why)
{
    struct controller *c = self;
    c->loop = l;
    enum err e = client_open(&c->client, l, c->jobstore, why);
    if (e != OK)
        return e;
    return server_open(&c->server, l, c->listen,
                       &(struct server_options){.methods = methods, .self = c}, why);
}

enum err controller_start(void *self, struct loop *l, struct reason *why)
{
    struct controller *c = self;
    return leadership_open(
        &c->leadership, l,
        &(struct leadership_options){
            .jobstore_poll = c->jobstore_poll, .self = c, .gained = on_gained, .lost = on_lost},
        why);
}

void controller_close(void *self)
{
    struct controller *c = self;
    server_close(c->server);
    leadership_close(c->leadership);
    if (c->loop != NULL)
        drop_everything(c);
    client_close(c->client);
}

/* Nothing, while we are passive. */
static void stats_now(const struct controller *c, struct heartbeat_stats *s, uint64_t *ttl_ms)
{
    *s = (struct heartbeat_stats){0};
    *ttl_ms = 0;
    if (c->heartbeat == NULL)
        return;
    heartbeat_stats(c->heartbeat, s);
    *ttl_ms = heartbeat_ttl_ms(c->heartbeat);
}

void controller_summary(void *self)
{
    struct controller *c = self;
    struct heartbeat_stats s;
    uint64_t ttl_ms;
    stats_now(c, &s, &ttl_ms);
    log_info("summary",
             "active=%d index=%llu nodes=%zu ready=%zu missed=%zu heard=%llu ttl_ms=%llu "
             "draining=%zu periodic=%zu deployments=%zu",
             c->heartbeat != NULL, (unsigned long long)(c->feed != NULL ? feed_index(c->feed) : 0),
             s.nodes, s.ready, s.missed, (unsigned long long)c->heard, (unsigned long long)ttl_ms,
             c->drainer != NULL ? drainer_count(c->drainer) : 0,
             c->launcher != NULL ? launcher_count(c->launcher) : 0,
             c->timekeeper != NULL ? timekeeper_count(c->timekeeper) : 0);
}

struct metric *controller_metrics(void *self, size_t *count)
{
    static struct metric metrics[] = {
        {.name = "heartbeat.nodes", .kind = PB__METRIC__KIND__GAUGE, .help = "nodes known"},
        {.name = "heartbeat.active",
         .kind = PB__METRIC__KIND__GAUGE,
         .help = "nodes that are ready"},
        {.name = "heartbeat.missed",
         .kind = PB__METRIC__KIND__COUNTER,
         .help = "nodes that were silent too long"},
        {.name = "heartbeat.heard", .kind = PB__METRIC__KIND__COUNTER, .help = "heartbeats"},
        {.name = "heartbeat.ttl_ms",
         .kind = PB__METRIC__KIND__GAUGE,
         .help = "time between heartbeats told to agents"},
        {.name = "drain.nodes", .kind = PB__METRIC__KIND__GAUGE, .help = "nodes being drained"},
        {.name = "collect.records",
         .kind = PB__METRIC__KIND__COUNTER,
         .help = "records that nobody needed any more"},
        {.name = "periodic.jobs",
         .kind = PB__METRIC__KIND__GAUGE,
         .help = "jobs that are launched by the clock"},
        {.name = "periodic.launched",
         .kind = PB__METRIC__KIND__COUNTER,
         .help = "children launched since this server leads"},
        {.name = "deployment.deadlines",
         .kind = PB__METRIC__KIND__GAUGE,
         .help = "deployments that fail if they do not progress"},
    };
    struct controller *c = self;
    struct heartbeat_stats s;
    uint64_t ttl_ms;
    stats_now(c, &s, &ttl_ms);
    const uint64_t values[] = {s.nodes,
                               s.ready,
                               s.missed,
                               c->heard,
                               ttl_ms,
                               c->drainer != NULL ? drainer_count(c->drainer) : 0,
                               c->collector != NULL ? collector_deleted(c->collector) : 0,
                               c->launcher != NULL ? launcher_count(c->launcher) : 0,
                               c->launcher != NULL ? launcher_launched(c->launcher) : 0,
                               c->timekeeper != NULL ? timekeeper_count(c->timekeeper) : 0};
    for (size_t i = 0; i < COUNT_OF(metrics); i++)
        metric_set(&metrics[i], (double)values[i]);
    *count = COUNT_OF(metrics);
    return metrics;
}
