#include "jobstore.h"
#include "collect.pb-c.h"
#include "daemon/datadir.h"
#include "query.h"
#include "recover.h"
#include "wire/bounds.h"
#include "wire/wire.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define DATA_FORMAT     3 /* of everything in the data directory */
#define LONGEST_POLL_MS 60000
#define EARLY_MS        5
#define COMMAND_BYTES   (24u << 20)

/* A command on its way through the log. */
struct write {
    struct link link;
    struct request *req;
    uint64_t index;
    Pb__Outcome *outcome; /* in the request's arena */
    uint64_t began_ms;
};

/* A reader of the feed with nothing to read yet. */
struct poll {
    struct link link;
    struct jobstore *js;
    struct request *req;
    struct timer timer;
};

/* ---- metrics */

enum {
    M_APPLIED,
    M_COMMANDS,
    M_REFUSED,
    M_COMMIT_MS,
    M_FSYNCS,
    M_ENTRIES,
    M_LOG_BYTES,
    M_STATE_BYTES,
    M_CHECKPOINTS,
    M_POLLS,
    M_COUNT
};
static struct metric metrics[M_COUNT] = {
    [M_APPLIED] = {"jobstore.applied_index", PB__METRIC__KIND__GAUGE,
                   "index of the last command applied", 0, 0, 0, 0},
    [M_COMMANDS] = {"jobstore.commands", PB__METRIC__KIND__COUNTER,
                    "commands committed and answered", 0, 0, 0, 0},
    [M_REFUSED] = {"jobstore.refused", PB__METRIC__KIND__COUNTER,
                   "commands not taken: disk full, no leader, too many", 0, 0, 0, 0},
    [M_COMMIT_MS] = {"jobstore.commit_ms", PB__METRIC__KIND__SAMPLE,
                     "from the arrival of a command to its answer, in ms", 0, 0, 0, 0},
    [M_FSYNCS] = {"jobstore.log_writes", PB__METRIC__KIND__COUNTER, "synced writes of the log", 0,
                  0, 0, 0},
    [M_ENTRIES] = {"jobstore.log_entries", PB__METRIC__KIND__COUNTER, "entries in those writes", 0,
                   0, 0, 0},
    [M_LOG_BYTES] = {"jobstore.log_bytes", PB__METRIC__KIND__GAUGE, "bytes of the log's entries", 0,
                     0, 0, 0},
    [M_STATE_BYTES] = {"jobstore.state_bytes", PB__METRIC__KIND__GAUGE,
                       "size of the state on the disk", 0, 0, 0, 0},
    [M_CHECKPOINTS] = {"jobstore.checkpoints", PB__METRIC__KIND__COUNTER, "checkpoints made", 0, 0,
                       0, 0},
    [M_POLLS] = {"jobstore.polls", PB__METRIC__KIND__GAUGE, "readers waiting for changes", 0, 0, 0,
                 0},
};

struct metric *jobstore_metrics(void *self, size_t *count)
{
    struct jobstore *js = self;
    struct replica_status s;
    replica_status(js->replica, &s);
    metric_set(&metrics[M_APPLIED], (double)s.applied_index);
    metric_set(&metrics[M_FSYNCS], (double)s.fsyncs);
    metric_set(&metrics[M_ENTRIES], (double)s.entries);
    metric_set(&metrics[M_LOG_BYTES], (double)s.log_bytes);
    metric_set(&metrics[M_STATE_BYTES], (double)s.state_bytes);
    metric_set(&metrics[M_CHECKPOINTS], (double)s.checkpoints);
    metric_set(&metrics[M_POLLS], (double)js->poll_count);
    *count = M_COUNT;
    return metrics;
}

/* ---- APPLY */

static const char *command_mistake(const Pb__Command *c)
{
    const Pb__Plan *p = NULL;
    switch (c->body_case) {
    case PB__COMMAND__BODY_JOB_REGISTER:
    case PB__COMMAND__BODY_JOB_DEREGISTER:
    case PB__COMMAND__BODY_JOB_EVALUATE:
    case PB__COMMAND__BODY_PERIODIC_LAUNCH:
    case PB__COMMAND__BODY_JOB_REVERT:
    case PB__COMMAND__BODY_JOB_STABLE:
    case PB__COMMAND__BODY_SCALING_NOTE:
    case PB__COMMAND__BODY_ALLOC_STOP:
    case PB__COMMAND__BODY_JOB_DISPATCH:
    case PB__COMMAND__BODY_NODE_REGISTER:
    case PB__COMMAND__BODY_NODE_ELIGIBILITY:
    case PB__COMMAND__BODY_NODE_DRAIN:
    case PB__COMMAND__BODY_DEPLOYMENT_PROMOTE:
    case PB__COMMAND__BODY_DEPLOYMENT_PAUSE:
    case PB__COMMAND__BODY_DEPLOYMENT_FAIL:
    case PB__COMMAND__BODY_AUTOPILOT_SET:
    case PB__COMMAND__BODY_SCHEDULER_SET:
    case PB__COMMAND__BODY_RESTORE_PART:
    case PB__COMMAND__BODY_NODE_EVALUATE:
    case PB__COMMAND__BODY_NODE_PURGE:
    case PB__COMMAND__BODY_NODE_POOL_SET:
    case PB__COMMAND__BODY_NODE_POOL_DELETE:
    case PB__COMMAND__BODY_NAMESPACE_SET:
    case PB__COMMAND__BODY_NAMESPACE_DELETE:
        return NULL;
    case PB__COMMAND__BODY_NODE_STATUS:
        return c->node_status->n_nodes > COMMAND_MOST_NODES ? "more than 2,000 nodes" : NULL;
    case PB__COMMAND__BODY_PLAN_APPLY:
        p = c->plan_apply->plan;
        return p != NULL && (p->n_placements > COMMAND_MOST || p->n_stops > COMMAND_MOST ||
                             p->n_in_place > COMMAND_MOST)
                   ? "a plan of more than 20,000 placements, stops or updates"
                   : NULL;
    case PB__COMMAND__BODY_ALLOC_HEALTH:
        return c->alloc_health->n_healthy > COMMAND_MOST ||
                       c->alloc_health->n_unhealthy > COMMAND_MOST
                   ? "more than 20,000 allocations"
                   : NULL;
    case PB__COMMAND__BODY_DRAIN_STEP:
        return c->drain_step->n_migrate > COMMAND_MOST || c->drain_step->n_stop > COMMAND_MOST ||
                       c->drain_step->n_drained > COMMAND_MOST_NODES
                   ? "more than 20,000 allocations or 2,000 nodes"
                   : NULL;
    case PB__COMMAND__BODY_EVAL_UPDATES:
        return c->eval_updates->n_evals > COMMAND_MOST ? "more than 20,000 evaluations" : NULL;
    case PB__COMMAND__BODY_ALLOC_UPDATES:
        return c->alloc_updates->n_allocs > COMMAND_MOST ? "more than 20,000 allocations" : NULL;
    case PB__COMMAND__BODY_COLLECT:
        return c->collect->n_allocs > COMMAND_MOST || c->collect->n_evals > COMMAND_MOST ||
                       c->collect->n_deployments > COMMAND_MOST ||
                       c->collect->n_jobs > COMMAND_MOST || c->collect->n_nodes > COMMAND_MOST
                   ? "more than 20,000 of a kind to collect"
                   : NULL;
    default:
        return "a command without a body that may be proposed";
    }
}

Pb__Reply__Code reply_code_of(enum err e)
{
    switch (e) {
    case ERR_NOT_LEADER:
        return PB__REPLY__CODE__NOT_LEADER;
    case ERR_BUSY:
        return PB__REPLY__CODE__BUSY;
    case ERR_INVALID:
        return PB__REPLY__CODE__INVALID;
    default:
        return PB__REPLY__CODE__UNAVAILABLE;
    }
}

static void propose(struct jobstore *js, struct request *req, const Pb__Command *body);
static void drained_maybe(struct jobstore *js);

/* Those that came before there was a leader: a start takes some milliseconds, and who asks
 * meanwhile need not know. */
static void propose_early(void *owner)
{
    struct jobstore *js = owner;
    struct link early;
    struct write *w;
    list_init(&early);
    while ((w = list_first(&js->early, struct write, link)) != NULL) {
        list_remove(&w->link);
        list_push_back(&early, &w->link);
    }
    while ((w = list_first(&early, struct write, link)) != NULL) {
        list_remove(&w->link);
        propose(js, w->req, (const Pb__Command *)request_body(w->req));
    }
    drained_maybe(js);
}

static bool wait_for_leader(struct jobstore *js, struct write *w)
{
    if (js->transport != NULL || js->draining ||
        loop_now_ms(js->loop) + EARLY_MS >= request_deadline_ms(w->req))
        return false;
    list_push_back(&js->early, &w->link);
    if (!timer_is_armed(&js->early_timer))
        timer_arm(js->loop, &js->early_timer, EARLY_MS, propose_early, js);
    return true;
}

static void propose(struct jobstore *js, struct request *req, const Pb__Command *body)
{
    struct reason why;
    struct arena *a = request_arena(req);
    Pb__Command cmd = *body;
    cmd.has_request_id = cmd.has_time = true;
    cmd.request_id = wire_id(a, request_id(req));
    cmd.time = replica_time(js->replica);
    size_t len = pb__command__get_packed_size(&cmd);
    if (len > COMMAND_BYTES) {
        request_fail(req, PB__REPLY__CODE__INVALID, "a command of %zu bytes: at most %u are taken",
                     len, COMMAND_BYTES);
        return;
    }
    uint8_t *packed = xmalloc(len);
    pb__command__pack(&cmd, packed);
    struct write *w = arena_alloc(a, sizeof *w);
    enum err e = replica_propose(js->replica, packed, len, &w->index, &why);
    free(packed);
    w->req = req;
    w->began_ms = loop_now_ms(js->loop);
    if (e == ERR_NOT_LEADER && wait_for_leader(js, w))
        return;
    if (e != OK)
        metric_add(&metrics[M_REFUSED], 1);
    if (e == ERR_NOT_LEADER)
        fail_not_leader(js, req, why.text);
    else if (e != OK)
        request_fail(req, reply_code_of(e), "%s", why.text);
    else
        list_push_back(&js->writes, &w->link);
}

static void on_apply(void *self, struct request *req)
{
    struct jobstore *js = self;
    const Pb__Command *cmd = (const Pb__Command *)request_body(req);
    if (js->draining) {
        request_fail(req, PB__REPLY__CODE__UNAVAILABLE, "jobstore is stopping");
        return;
    }
    const char *mistake = command_mistake(cmd);
    if (mistake != NULL) {
        request_fail(req, PB__REPLY__CODE__INVALID, "%s", mistake);
        return;
    }
    /* A second copy of what was answered needs no place in the log. */
    struct view *v = state_read(replica_state(js->replica));
    Pb__Outcome *known = state_outcome(v, request_arena(req), request_id(req));
    view_abort(v);
    if (known != NULL)
        request_reply(req, &known->base, known->index);
    else
        propose(js, req, cmd);
}

static void on_applied(void *self, uint64_t index, const Pb__Outcome *outcome)
{
    struct jobstore *js = self;
    struct write *w;
    list_each(&js->writes, struct write, link, w)
    {
        if (w->index > index)
            return;
        if (w->index == index)
            w->outcome = (Pb__Outcome *)wire_clone(request_arena(w->req), &outcome->base);
    }
}

static void drained_maybe(struct jobstore *js)
{
    void (*drained)(void *arg) = js->drained;
    if (drained == NULL || !list_empty(&js->writes) || !list_empty(&js->early))
        return;
    js->drained = NULL;
    drained(js->drained_arg);
}

static void answer_polls(struct jobstore *js);

static void on_settled(void *self, uint64_t index)
{
    struct jobstore *js = self;
    struct write *w;
    while ((w = list_first(&js->writes, struct write, link)) != NULL && w->index <= index) {
        list_remove(&w->link);
        metric_add(&metrics[M_COMMANDS], 1);
        metric_sample(&metrics[M_COMMIT_MS], (double)(loop_now_ms(js->loop) - w->began_ms));
        if (w->outcome != NULL)
            request_reply(w->req, &w->outcome->base, w->outcome->index);
        else /* the index was taken by another leader's entry */
            fail_not_leader(js, w->req, "leadership was lost");
    }
    answer_polls(js);
    membership_settled(js->membership);
    status_look(js);
    drained_maybe(js);
}

static void on_lost(void *self, uint64_t index, enum err e, const char *why)
{
    struct jobstore *js = self;
    struct write *w;
    list_each(&js->writes, struct write, link, w)
    {
        if (w->index < index)
            continue;
        list_remove(&w->link);
        metric_add(&metrics[M_REFUSED], 1);
        if (e == ERR_NOT_LEADER)
            fail_not_leader(js, w->req, why);
        else
            request_fail(w->req, reply_code_of(e), "%s", why);
    }
    drained_maybe(js);
}

static void on_readable(void *self, uint64_t context)
{
    reads_ready(self, context);
}

static void on_reads_lost(void *self)
{
    reads_fail(self);
}

static void on_role_changed(void *self)
{
    struct jobstore *js = self;
    membership_role_changed(js->membership); /* who asked for it hears of it before all others do */
    status_look(js);
}

static void on_broken(void *self, const char *why)
{
    log_error("broken", "reason=%s", log_quote(why));
    daemon_end(1); /* what is acknowledged is on the disk; a replica that cannot write stops */
}

/* ---- GET, LIST, STATUS */

static void read_key(struct jobstore *js, struct request *req)
{
    struct reason why;
    const Pb__Key *key = (const Pb__Key *)request_body(req);
    struct view *v = state_read(replica_state(js->replica));
    Pb__Object *o = query_get(v, request_arena(req), key, &why);
    uint64_t applied = view_meta(v)->applied_index;
    uint64_t of_table = query_table_index(view_meta(v), key->table);
    view_abort(v);
    if (o != NULL)
        request_reply(req, &o->base, applied);
    else if (why.text[0] != '\0')
        request_fail(req, PB__REPLY__CODE__INVALID, "%s", why.text);
    else
        request_fail_with(req, PB__REPLY__CODE__NOT_FOUND, "not found", of_table, NULL);
}

static void on_get(void *self, struct request *req)
{
    reads_when(self, req, ((const Pb__Key *)request_body(req))->consistent, read_key);
}

static void read_list(struct jobstore *js, struct request *req)
{
    struct reason why;
    Pb__Objects out = PB__OBJECTS__INIT;
    struct view *v = state_read(replica_state(js->replica));
    enum err e = query_list(v, request_arena(req), (const Pb__List *)request_body(req), &out, &why);
    uint64_t applied = view_meta(v)->applied_index;
    view_abort(v);
    if (e == OK)
        request_reply(req, &out.base, applied);
    else
        request_fail(req, reply_code_of(e), "%s", why.text);
}

static void on_list(void *self, struct request *req)
{
    reads_when(self, req, ((const Pb__List *)request_body(req))->consistent, read_list);
}

/* Alone, whoever is answered may also read. */
static void on_status(void *self, struct request *req)
{
    struct jobstore *js = self;
    if (js->transport == NULL)
        reads_when(js, req, false, status_answer);
    else
        status_answer(js, req);
}

/* ---- CHANGES */

static void poll_free(struct poll *p)
{
    list_remove(&p->link);
    timer_cancel(p->js->loop, &p->timer);
    p->js->poll_count--;
    free(p);
}

static void reply_changes(struct jobstore *js, struct request *req, struct view *v)
{
    Pb__ChangesReply out = PB__CHANGES_REPLY__INIT;
    query_changes(v, request_arena(req), (const Pb__Changes *)request_body(req), &out);
    request_reply(req, &out.base, view_meta(v)->applied_index);
}

static void on_poll_over(void *owner)
{
    struct poll *p = owner;
    struct jobstore *js = p->js;
    struct request *req = p->req;
    poll_free(p);
    struct view *v = state_read(replica_state(js->replica));
    reply_changes(js, req, v);
    view_abort(v);
}

static void on_poll_gone(void *owner, struct request *req)
{
    poll_free(owner);
}

static void answer_polls_now(void *owner)
{
    struct jobstore *js = owner;
    struct poll *p;
    bool answered = false;
    struct view *v = state_read(replica_state(js->replica));
    list_each(&js->polls, struct poll, link, p)
    {
        struct request *req = p->req;
        const Pb__Changes *q = (const Pb__Changes *)request_body(req);
        if (!query_has_changes(view_meta(v), q->since, q->tables))
            continue;
        poll_free(p);
        reply_changes(js, req, v);
        answered = true;
    }
    view_abort(v);
    if (answered)
        js->polls_answered_ms = loop_now_ms(js->loop);
}

/* At once after a quiet while. Under load every commit would wake every reader, and the messages
 * would cost more than the commits: then they get several commits in one answer. */
static void answer_polls(struct jobstore *js)
{
    uint64_t now = loop_now_ms(js->loop), due = js->polls_answered_ms + js->poll_pause;
    if (list_empty(&js->polls) || timer_is_armed(&js->polls_timer))
        return;
    if (now >= due)
        answer_polls_now(js);
    else
        timer_arm(js->loop, &js->polls_timer, due - now, answer_polls_now, js);
}

static void read_changes(struct jobstore *js, struct request *req)
{
    const Pb__Changes *q = (const Pb__Changes *)request_body(req);
    struct view *v = state_read(replica_state(js->replica));
    bool news = query_has_changes(view_meta(v), q->since, q->tables);
    bool pause = loop_now_ms(js->loop) < js->polls_answered_ms + js->poll_pause;
    bool wait = q->wait_ms > 0 && !js->draining && (!news || pause);
    if (!wait)
        reply_changes(js, req, v);
    view_abort(v);
    if (!wait)
        return;
    struct poll *p = xcalloc(1, sizeof *p);
    p->js = js;
    p->req = req;
    list_push_back(&js->polls, &p->link);
    js->poll_count++;
    request_park(req, on_poll_gone, p);
    uint64_t wait_ms = q->wait_ms < LONGEST_POLL_MS ? q->wait_ms : LONGEST_POLL_MS;
    timer_arm(js->loop, &p->timer, wait_ms, on_poll_over, p);
    if (news)
        answer_polls(js);
}

static void on_changes(void *self, struct request *req)
{
    reads_when(self, req, false, read_changes);
}

/* ---- for operators */

static void on_autopilot(void *self, struct request *req)
{
    membership_autopilot(((struct jobstore *)self)->membership, req);
}

static void on_remove(void *self, struct request *req)
{
    membership_remove(((struct jobstore *)self)->membership, req);
}

static void on_transfer(void *self, struct request *req)
{
    membership_transfer(((struct jobstore *)self)->membership, req);
}

static void on_save(void *self, struct request *req)
{
    save_read(self, req);
}

/* ---- life */

static const struct method methods[] = {
    {PB__JOBSTORE__METHOD__APPLY, "apply", &pb__command__descriptor, on_apply},
    {PB__JOBSTORE__METHOD__GET, "get", &pb__key__descriptor, on_get},
    {PB__JOBSTORE__METHOD__LIST, "list", &pb__list__descriptor, on_list},
    {PB__JOBSTORE__METHOD__CHANGES, "changes", &pb__changes__descriptor, on_changes},
    {PB__JOBSTORE__METHOD__JOB_VIEWS, "job_views", &pb__job_views_request__descriptor,
     on_job_views},
    {PB__JOBSTORE__METHOD__NODE_ALLOCS, "node_allocs", &pb__node_allocs_request__descriptor,
     on_node_allocs},
    {PB__JOBSTORE__METHOD__SCHEDULER, "scheduler", &pb__empty__descriptor, on_scheduler},
    {PB__COLLECTION__METHOD__COLLECTABLE, "collectable", &pb__collect_read__descriptor,
     on_collectable},
    {PB__JOBSTORE__METHOD__STATUS, "status", &pb__status_wait__descriptor, on_status},
    {PB__JOBSTORE__METHOD__AUTOPILOT, "autopilot", &pb__empty__descriptor, on_autopilot},
    {PB__JOBSTORE__METHOD__REMOVE, "remove", &pb__member_key__descriptor, on_remove},
    {PB__JOBSTORE__METHOD__TRANSFER, "transfer", &pb__member_key__descriptor, on_transfer},
    {PB__JOBSTORE__METHOD__SAVE, "save", &pb__save_read__descriptor, on_save},
    DAEMON_METHODS,
    {0, NULL, NULL, NULL},
};

enum err jobstore_open(void *self, struct loop *l, struct reason *why)
{
    struct jobstore *js = self;
    js->loop = l;
    list_init(&js->writes);
    list_init(&js->early);
    list_init(&js->polls);
    list_init(&js->reads);
    list_init(&js->status_waiters);
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes shows as a full disk */
    struct replica_options ro = {.dir = js->data_dir,
                                 .map_bytes = js->map_size,
                                 .log_bytes = js->log_size,
                                 .disk_reserve = js->disk_reserve,
                                 .changes_kept = js->changes_kept,
                                 .outcomes_kept = js->outcomes_kept,
                                 .tick_ms = js->tick_ms,
                                 .election_ms = js->election_ms,
                                 .self = js,
                                 .applied = on_applied,
                                 .settled = on_settled,
                                 .lost = on_lost,
                                 .readable = on_readable,
                                 .reads_lost = on_reads_lost,
                                 .role_changed = on_role_changed,
                                 .send = servers_send,
                                 .offer = servers_offer,
                                 .broken = on_broken};
    enum err e = datadir_open(js->data_dir, "jobstore", DATA_FORMAT, why);
    if (e == OK)
        e = replica_open(&js->replica, l, &ro, why);
    if (e != OK)
        return reason_add(why, e, "jobstore cannot open its data directory");
    e = recover_maybe(js->replica, js->data_dir, why);
    if (e == OK)
        e = servers_open(js, why);
    if (e != OK)
        return e;
    struct server_options so = {.methods = methods, .self = js};
    e = server_open(&js->server, l, js->listen, &so, why);
    return e == OK ? server_open(&js->poll_server, l, js->listen_poll, &so, why) : e;
}

enum err jobstore_start(void *self, struct loop *l, struct reason *why)
{
    struct jobstore *js = self;
    membership_open(&js->membership, js);
    replica_start(js->replica);
    servers_start(js);
    return OK;
}

void jobstore_drain(void *self, void (*drained)(void *arg), void *arg)
{
    struct jobstore *js = self;
    struct poll *p;
    js->draining = true;
    js->drained = drained;
    js->drained_arg = arg;
    list_each(&js->polls, struct poll, link, p)
    {
        on_poll_over(p);
    }
    status_look(js);
    drained_maybe(js);
}

void jobstore_close(void *self)
{
    struct jobstore *js = self;
    struct write *w;
    struct poll *p;
    if (js->loop == NULL)
        return;
    timer_cancel(js->loop, &js->early_timer);
    list_each(&js->early, struct write, link, w)
    {
        list_remove(&w->link); /* the server fails them all */
    }
    list_each(&js->writes, struct write, link, w)
    {
        list_remove(&w->link);
    }
    list_each(&js->polls, struct poll, link, p)
    {
        poll_free(p);
    }
    status_close(js);
    timer_cancel(js->loop, &js->polls_timer);
    reads_close(js);
    save_close(js);
    membership_close(js->membership);
    servers_close(js);
    server_close(js->poll_server);
    server_close(js->server);
    replica_close(js->replica);
}

void jobstore_summary(void *self)
{
    struct jobstore *js = self;
    struct replica_status s;
    replica_status(js->replica, &s);
    log_info("summary",
             "applied=%llu commit=%llu term=%llu log_first=%llu log_bytes=%llu state_bytes=%llu "
             "polls=%zu refused=%s",
             (unsigned long long)s.applied_index, (unsigned long long)s.raft.commit,
             (unsigned long long)s.raft.term, (unsigned long long)s.first_log_index,
             (unsigned long long)s.log_bytes, (unsigned long long)s.state_bytes, js->poll_count,
             log_quote(s.write_refused));
}
