#include "agents_parts.h"
#include "controller.pb-c.h"
#include <stdlib.h>
#include <string.h>

#define IN_TOUCH_MS    15000u /* since its last poll */
#define FIRST_TTL_MS   10000u /* until the controller has told one */
#define SHORT_MS       5000u
#define SEEN_MS        2000u
#define JOBS_KEPT      2000
#define JOB_BYTES_KEPT (8u << 20)
#define FEW_CHANGES    16 /* are told at once; of many, more is likely to follow for each node */

/* ---- nodes */

static struct node *node_add(struct agents *a, const uint8_t *id)
{
    struct node *n = map_get_id(a->nodes, id);
    if (n != NULL)
        return n;
    n = xcalloc(1, sizeof(*n));
    n->agents = a;
    memcpy(n->id, id, ID_SIZE);
    list_init(&n->asks);
    map_put(a->nodes, n->id, ID_SIZE, n);
    return n;
}

void node_set(struct agents *a, const Pb__Node *node)
{
    struct node *n = node_add(a, node->id.data);
    n->has_secret = node->has_secret_id;
    n->purged = false;
    n->down = node->status == PB__NODE__STATUS__DOWN;
    if (n->down)
        asks_lose_node(n);
    if (node->has_secret_id)
        memcpy(n->secret, node->secret_id.data, ID_SIZE);
}

/* ---- admission. The feed tells only what changes: a node that registered before this gateway
 * began is asked for. */

struct newcomer {
    struct agents *agents;
    struct request *req; /* NULL: it has gone */
    struct speaker speaker;
    uint8_t id[ID_SIZE];
    admitted_fn *go_on;
};

static void check_secret(struct node *n, struct request *req, struct speaker s, admitted_fn *go_on)
{
    if (n->has_secret && (s.secret == NULL || !id_equal(n->secret, s.secret->data)))
        request_fail(req, PB__REPLY__CODE__DENIED, "the secret is not that of node %s",
                     log_id(n->id));
    else
        go_on(n, req);
}

static void on_newcomer_gone(void *owner, struct request *req)
{
    struct newcomer *c = owner;
    c->req = NULL;
}

static void on_newcomer_found(void *owner, const struct response *r)
{
    struct newcomer *c = owner;
    const Pb__Object *object = (const Pb__Object *)r->body;
    bool found = r->code == PB__REPLY__CODE__OK && object != NULL &&
                 object->value_case == PB__OBJECT__VALUE_NODE;
    if (found)
        node_set(c->agents, object->node);
    if (c->req == NULL)
        log_debug("newcomer_gone", "node=%s", log_id(c->id));
    else if (found)
        check_secret(map_get_id(c->agents->nodes, c->id), c->req, c->speaker, c->go_on);
    else if (r->code == PB__REPLY__CODE__NOT_FOUND)
        request_fail(c->req, r->code, "node %s is not registered", log_id(c->id));
    else
        request_fail(c->req, PB__REPLY__CODE__UNAVAILABLE, "jobstore does not answer: %s",
                     r->reason);
    free(c);
}

void agents_admit(struct agents *a, struct request *req, struct speaker s, admitted_fn *go_on)
{
    if (s.node_id == NULL) {
        request_fail(req, PB__REPLY__CODE__INVALID, "the request has no node_id");
        return;
    }
    struct node *n = map_get_id(a->nodes, s.node_id->data);
    if (n != NULL && !n->purged) {
        check_secret(n, req, s, go_on);
        return;
    }
    struct newcomer *c = xcalloc(1, sizeof(*c));
    *c = (struct newcomer){.agents = a, .req = req, .speaker = s, .go_on = go_on};
    memcpy(c->id, s.node_id->data, ID_SIZE);
    Pb__Key key = PB__KEY__INIT;
    key.has_table = key.has_id = 1;
    key.table = PB__TABLE__NAME__NODES;
    key.id = (ProtobufCBinaryData){.len = ID_SIZE, .data = c->id};
    key.has_consistent = key.consistent = 1; /* it may have registered at another server just now */
    request_park(req, on_newcomer_gone, c);
    leader_call(a->options.leader, PB__SERVICE__NAME__JOBSTORE,
                &(struct call_options){.method = PB__JOBSTORE__METHOD__GET,
                                       .body = &key.base,
                                       .reply = &pb__object__descriptor,
                                       .budget_ms = SHORT_MS,
                                       .retry = true,
                                       .done = on_newcomer_found,
                                       .owner = c});
}

bool agents_is_connected(const struct agents *a, const uint8_t node_id[16])
{
    const struct node *n = map_get_id(a->nodes, node_id);
    return n != NULL && !n->down && !n->purged &&
           (n->poll != NULL ||
            (n->polled_ms != 0 && loop_now_ms(a->loop) - n->polled_ms < IN_TOUCH_MS));
}

bool agents_only_node(const struct agents *a, uint8_t node_id[16])
{
    const void *id;
    void *n;
    size_t i = 0;
    if (map_count(a->nodes) != 1 || !map_next(a->nodes, &i, &id, NULL, &n))
        return false;
    memcpy(node_id, id, ID_SIZE);
    return true;
}

/* ---- heartbeats: noted here, told to the controller in batches */

static void say_seen(void *owner);

static void on_said(void *owner, const struct response *r)
{
    struct agents *a = owner;
    const Pb__SeenReply *reply = (const Pb__SeenReply *)r->body;
    a->seen_call = NULL;
    if (r->code == PB__REPLY__CODE__OK)
        a->unheard_ms = 0;
    else if (a->unheard_ms == 0)
        a->unheard_ms = loop_now_ms(a->loop);
    if (r->code == PB__REPLY__CODE__OK && reply != NULL && reply->heartbeat_ttl_ms > 0)
        a->ttl_ms = reply->heartbeat_ttl_ms;
    if (a->seen_count > 0 && !timer_is_armed(&a->seen_due))
        timer_arm(a->loop, &a->seen_due, a->options.heartbeat_batch_ms, say_seen, a);
}

static void say_seen(void *owner)
{
    struct agents *a = owner;
    if (a->seen_call != NULL)
        return;
    ProtobufCBinaryData *ids = xcalloc(a->seen_count, sizeof(*ids));
    for (size_t i = 0; i < a->seen_count; i++) {
        struct node *n = map_get_id(a->nodes, a->seen_ids[i]);
        if (n != NULL)
            n->seen = false;
        ids[i] = (ProtobufCBinaryData){.len = ID_SIZE, .data = a->seen_ids[i]};
    }
    Pb__Seen seen = PB__SEEN__INIT;
    seen.n_node_ids = a->seen_count;
    seen.node_ids = ids;
    a->seen_count = 0;
    a->seen_call = leader_call(a->options.leader, PB__SERVICE__NAME__CONTROLLER,
                               &(struct call_options){.method = PB__CONTROLLER__METHOD__SEEN,
                                                      .body = &seen.base,
                                                      .reply = &pb__seen_reply__descriptor,
                                                      .budget_ms = SEEN_MS,
                                                      .retry = true,
                                                      .done = on_said,
                                                      .owner = a});
    free(ids);
}

void node_saw(struct node *n)
{
    struct agents *a = n->agents;
    if (n->seen)
        return;
    n->seen = true;
    if (a->seen_count == a->seen_room) {
        a->seen_room = a->seen_room > 0 ? a->seen_room * 2 : 16;
        a->seen_ids = xrealloc(a->seen_ids, a->seen_room * sizeof(*a->seen_ids));
    }
    memcpy(a->seen_ids[a->seen_count++], n->id, ID_SIZE);
    if (!timer_is_armed(&a->seen_due))
        timer_arm(a->loop, &a->seen_due, a->options.heartbeat_batch_ms, say_seen, a);
}

void reply_heartbeat(struct agents *a, struct request *req, uint64_t index)
{
    Pb__HeartbeatReply reply = PB__HEARTBEAT_REPLY__INIT;
    reply.has_ttl_ms = 1;
    reply.ttl_ms = a->ttl_ms;
    reply.n_servers = roster_doors(a->options.roster, request_arena(req), &reply.servers);
    request_reply(req, &reply.base, index);
}

/* Behind a server that is cut off from the leader an agent would be given up for lost while it
 * believes that it is heard: let it go to another. */
static bool is_cut_off(const struct agents *a)
{
    return a->unheard_ms != 0 && !leader_is_here(a->options.leader) &&
           loop_now_ms(a->loop) - a->unheard_ms > SEEN_MS;
}

static void heartbeat(struct node *n, struct request *req)
{
    node_saw(n);
    if (is_cut_off(n->agents))
        request_fail(req, PB__REPLY__CODE__UNAVAILABLE,
                     "this server does not reach the leader: try another");
    else
        reply_heartbeat(n->agents, req, 0);
}

static void on_heartbeat(void *self, struct request *req)
{
    const Pb__Heartbeat *h = (const Pb__Heartbeat *)request_body(req);
    agents_admit(self, req, SPEAKER(h), heartbeat);
}

/* ---- the feed */

void agents_feed_reset(struct agents *a, uint64_t index)
{
    a->feed_index = index;
    size_t i = 0;
    void *n;
    while (map_next(a->nodes, &i, NULL, NULL, &n)) {
        struct node *node = n;
        if (node->listing) {
            call_cancel(node->list_call);
            node->listing = false;
        }
        outbox_lose(&node->box);
        node_poll_step(node);
    }
    agents_settle_awaiting(a);
}

/* Should its agent live, it hears so at once, and registers again. */
static void node_purged(struct node *n)
{
    n->purged = true;
    asks_lose_node(n);
    if (n->poll != NULL)
        request_fail(node_take_poll(n), PB__REPLY__CODE__NOT_FOUND, "node %s is not registered",
                     log_id(n->id));
}

void agents_feed_object(struct agents *a, const Pb__Object *object)
{
    if (object->deleted != NULL) {
        struct node *n = object->deleted->table == PB__TABLE__NAME__NODES
                             ? map_get_id(a->nodes, object->deleted->id.data)
                             : NULL;
        if (n != NULL)
            node_purged(n);
    } else if (object->value_case == PB__OBJECT__VALUE_NODE) {
        node_set(a, object->node);
    } else if (object->value_case == PB__OBJECT__VALUE_ALLOC && object->alloc->has_node_id) {
        struct node *n = map_get_id(a->nodes, object->alloc->node_id.data);
        if (n != NULL && outbox_put(&n->box, object->alloc))
            node_has_news(n, a->changes++ < FEW_CHANGES ? 0 : a->options.news_delay_ms);
    } else if (object->value_case == PB__OBJECT__VALUE_JOB) {
        jobcache_put(a->jobs, object->job);
    }
}

void agents_feed_reached(struct agents *a, uint64_t index)
{
    /* A new cluster's feed begins at index 0, where polls were left waiting for it to begin. */
    bool begins = a->feed_index == 0 && index != 0;
    a->feed_index = index;
    if (begins)
        agents_feed_reset(a, index);
    agents_settle_awaiting(a);
}

/* ---- numbers and life */

void agents_stats(const struct agents *a, struct agents_stats *out)
{
    *out = a->stats;
    out->asks = map_count(a->asks);
    size_t i = 0;
    void *n;
    while (map_next(a->nodes, &i, NULL, NULL, &n)) {
        const struct node *node = n;
        out->parked += node->poll != NULL;
        out->connected += agents_is_connected(a, node->id);
    }
}

void agents_handle(struct agents *a, struct request *req)
{
    static const struct {
        uint32_t method;
        void (*handle)(void *self, struct request *req);
    } table[] = {
        {PB__GATEWAY__METHOD__NODE_REGISTER, on_node_register},
        {PB__GATEWAY__METHOD__HEARTBEAT, on_heartbeat},
        {PB__GATEWAY__METHOD__NODE_POLL, on_poll},
        {PB__GATEWAY__METHOD__ALLOC_UPDATE, on_alloc_update},
        {PB__GATEWAY__METHOD__AGENT_RESULT, on_agent_result},
        {PB__GATEWAY__METHOD__AGENT_INPUT, on_agent_input},
        {PB__GATEWAY__METHOD__ALLOCS_KEPT, on_allocs_kept},
        {PB__GATEWAY__METHOD__NODE_LEAVE, on_node_leave},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (table[i].method == request_envelope(req)->method) {
            table[i].handle(a, req);
            return;
        }
    request_fail(req, PB__REPLY__CODE__INVALID, "this is nothing that agents ask");
}

static uint64_t given_or(uint64_t value, uint64_t fallback)
{
    return value > 0 ? value : fallback;
}

struct agents *agents_open(struct loop *l, const struct agents_options *o)
{
    struct agents *a = xcalloc(1, sizeof(*a));
    a->loop = l;
    a->options = *o;
    a->options.heartbeat_batch_ms = given_or(o->heartbeat_batch_ms, 500);
    a->options.update_batch_ms = given_or(o->update_batch_ms, 10);
    a->options.news_delay_ms = given_or(o->news_delay_ms, 5);
    a->options.ask_timeout_ms = given_or(o->ask_timeout_ms, 20000);
    a->options.max_nodes = given_or(o->max_nodes, 20000);
    a->ttl_ms = FIRST_TTL_MS;
    a->nodes = map_new();
    a->fetches = map_new();
    a->asks = map_new();
    a->jobs = jobcache_new(JOBS_KEPT, JOB_BYTES_KEPT);
    list_init(&a->updates);
    list_init(&a->batches);
    return a;
}

static void node_close(struct node *n)
{
    known_close(n);
    if (n->poll != NULL)
        request_fail(node_take_poll(n), PB__REPLY__CODE__UNAVAILABLE, "the gateway is stopping");
    if (n->listing)
        call_cancel(n->list_call);
    timer_cancel(n->agents->loop, &n->news_due);
    outbox_fini(&n->box);
    free(n);
}

void agents_close(struct agents *a)
{
    asks_close(a);
    updates_close(a);
    job_fetches_close(a);
    size_t i = 0;
    void *item;
    while (map_next(a->nodes, &i, NULL, NULL, &item))
        node_close(item);
    timer_cancel(a->loop, &a->seen_due);
    leader_call_cancel(a->seen_call);
    free(a->seen_ids);
    map_free(a->nodes);
    map_free(a->fetches);
    map_free(a->asks);
    jobcache_free(a->jobs);
    free(a);
}
