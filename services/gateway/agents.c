#include "agents_parts.h"
#include "controller.pb-c.h"
#include <stdlib.h>
#include <string.h>

#define LONGEST_POLL_MS 60000u
#define IN_TOUCH_MS     15000u /* since its last poll */
#define FIRST_TTL_MS    10000u /* until the controller has told one */
#define SHORT_MS        5000u
#define SEEN_MS         2000u
#define JOBS_KEPT       2000
#define JOB_BYTES_KEPT  (8u << 20)
#define AWAIT_MS        5000u
#define MISSING_JOB_MS  2000u
#define NEWS_ARENA      (64u << 20)
#define LIST_AGAIN_MS   200u
#define PORTION         16 /* of answers with news, in a millisecond */
#define AFTER_CLIENTS   10 /* ms that all but the first portion wait */
#define FEW_CHANGES     16 /* are told at once; of many, more is likely to follow for each node */

static void poll_step(struct node *n);

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

static void node_set(struct agents *a, const Pb__Node *node)
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

static void reply_heartbeat(struct agents *a, struct request *req, uint64_t index)
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

/* ---- registration */

struct registration {
    struct agents *agents;
    struct request *req; /* NULL: the agent has gone */
};

static void on_registrant_gone(void *owner, struct request *req)
{
    struct registration *r = owner;
    r->req = NULL;
}

static void on_registered(void *owner, const struct response *response)
{
    struct registration *r = owner;
    struct agents *a = r->agents;
    struct request *req = r->req;
    const Pb__Outcome *outcome = (const Pb__Outcome *)response->body;
    free(r);
    if (req == NULL)
        return;
    if (response->code != PB__REPLY__CODE__OK || outcome == NULL) {
        request_fail(
            req, response->code == PB__REPLY__CODE__OK ? PB__REPLY__CODE__INTERNAL : response->code,
            "%s", response->reason);
    } else if (outcome->code != PB__OUTCOME__CODE__APPLIED) {
        request_fail(req, PB__REPLY__CODE__DENIED, "%s",
                     outcome->reason != NULL ? outcome->reason : "refused");
    } else {
        const Pb__NodeRegister *body = (const Pb__NodeRegister *)request_body(req);
        node_set(a, body->node);
        node_saw(map_get_id(a->nodes, body->node->id.data));
        reply_heartbeat(a, req, outcome->index);
    }
}

static void on_register(void *self, struct request *req)
{
    struct agents *a = self;
    const Pb__NodeRegister *body = (const Pb__NodeRegister *)request_body(req);
    if (body->node == NULL || !body->node->has_id || !body->node->has_secret_id) {
        request_fail(req, PB__REPLY__CODE__INVALID,
                     "a registration needs a node with id and secret_id");
        return;
    }
    if (map_count(a->nodes) >= a->options.max_nodes &&
        map_get_id(a->nodes, body->node->id.data) == NULL) {
        request_fail(req, PB__REPLY__CODE__BUSY,
                     "%zu nodes are registered, no more are taken (max_nodes)",
                     map_count(a->nodes));
        return;
    }
    struct registration *r = xcalloc(1, sizeof(*r));
    *r = (struct registration){.agents = a, .req = req};
    Pb__NodeRegister inner = *body;
    Pb__Command command = PB__COMMAND__INIT;
    command.body_case = PB__COMMAND__BODY_NODE_REGISTER;
    command.node_register = &inner;
    request_park(req, on_registrant_gone, r);
    leader_call(a->options.leader, PB__SERVICE__NAME__JOBSTORE,
                &(struct call_options){.method = PB__JOBSTORE__METHOD__APPLY,
                                       .body = &command.base,
                                       .reply = &pb__outcome__descriptor,
                                       .budget_ms = SHORT_MS,
                                       .retry = true,
                                       .id = request_id(req),
                                       .done = on_registered,
                                       .owner = r});
}

/* ---- jobs that an answer needs */

struct fetch {
    struct agents *agents;
    struct arena *arena;
    struct job_ref ref;
    char *key;
    size_t key_len;
    struct call *call;
    struct node **nodes; /* whose answers wait for it; nodes stay while the door is open */
    size_t count, room;
    struct timer again;
};

static void fetch_end(struct fetch *f)
{
    timer_cancel(f->agents->loop, &f->again);
    map_remove(f->agents->fetches, f->key, f->key_len);
    free(f->nodes);
    arena_free(f->arena); /* f lives in it */
}

static void fetch_start(void *owner);

static void on_fetched(void *owner, const struct response *r)
{
    struct fetch *f = owner;
    struct agents *a = f->agents;
    const Pb__Object *object = (const Pb__Object *)r->body;
    bool found = r->code == PB__REPLY__CODE__OK && object != NULL &&
                 object->value_case == PB__OBJECT__VALUE_JOB;
    if (found)
        jobcache_put(a->jobs, object->job);
    uint64_t now = loop_now_ms(a->loop);
    f->call = NULL;
    if (!found && r->code != PB__REPLY__CODE__NOT_FOUND) {
        timer_arm(a->loop, &f->again, LIST_AGAIN_MS, fetch_start, f);
        return;
    }
    if (!jobcache_knows(a->jobs, f->ref, now)) /* gone, or another job of that name */
        jobcache_put_missing(a->jobs, f->ref, now + MISSING_JOB_MS);
    struct node **nodes = f->nodes;
    size_t count = f->count;
    f->nodes = NULL;
    fetch_end(f);
    for (size_t i = 0; i < count; i++)
        if (--nodes[i]->jobs_pending == 0)
            poll_step(nodes[i]);
    free(nodes);
}

static void fetch_start(void *owner)
{
    struct fetch *f = owner;
    Pb__Key wanted = PB__KEY__INIT;
    wanted.has_table = wanted.has_version = 1;
    wanted.table = PB__TABLE__NAME__JOB_VERSIONS;
    wanted.namespace_ = (char *)f->ref.namespace;
    wanted.name = (char *)f->ref.id;
    wanted.version = f->ref.version;
    f->call = client_call(f->agents->options.jobstore,
                          &(struct call_options){.method = PB__JOBSTORE__METHOD__GET,
                                                 .body = &wanted.base,
                                                 .reply = &pb__object__descriptor,
                                                 .budget_ms = SHORT_MS,
                                                 .retry = true,
                                                 .done = on_fetched,
                                                 .owner = f});
}

static struct fetch *fetch_get(struct agents *a, struct job_ref ref)
{
    struct arena *arena = arena_new(64u << 10);
    char *key = arena_printf(arena, "%s\n%s\n%llu\n%llu", ref.namespace, ref.id,
                             (unsigned long long)ref.version, (unsigned long long)ref.create_index);
    struct fetch *f = map_get(a->fetches, key, strlen(key));
    if (f != NULL) {
        arena_free(arena);
        return f;
    }
    f = arena_array(arena, struct fetch, 1);
    f->agents = a;
    f->arena = arena;
    f->ref = (struct job_ref){arena_strdup(arena, ref.namespace), arena_strdup(arena, ref.id),
                              ref.version, ref.create_index};
    f->key = key;
    f->key_len = strlen(key);
    map_put(a->fetches, key, f->key_len, f);
    fetch_start(f);
    return f;
}

/* n's next answer waits for the job. */
static void fetch_job(struct node *n, struct job_ref ref)
{
    struct fetch *f = fetch_get(n->agents, ref);
    if (f->count > 0 && f->nodes[f->count - 1] == n)
        return;
    if (f->count == f->room) {
        f->room = f->room > 0 ? f->room * 2 : 4;
        f->nodes = xrealloc(f->nodes, f->room * sizeof(struct node *));
    }
    f->nodes[f->count++] = n;
    n->jobs_pending++;
}

/* ---- polls: what the agent has not heard yet */

static void stop_awaiting(struct node *n)
{
    n->agents->awaiting -= n->awaits != 0;
    n->awaits = 0;
}

/* Takes the poll off the node. */
static struct request *take_poll(struct node *n)
{
    struct request *req = n->poll;
    n->poll = NULL;
    stop_awaiting(n);
    timer_cancel(n->agents->loop, &n->wait_over);
    timer_cancel(n->agents->loop, &n->news_due);
    n->polled_ms = loop_now_ms(n->agents->loop);
    return req;
}

static void reply_news(struct node *n, Pb__NodeNews *news, uint64_t index)
{
    news->has_index = 1;
    news->index = index;
    request_reply(take_poll(n), &news->base, index);
}

/* Where the agent asks from once it has all that the box holds. */
static uint64_t index_reached(const struct node *n)
{
    return n->agents->feed_index > n->box.since ? n->agents->feed_index : n->box.since;
}

static bool has_job(const Pb__NodeNews *news, struct job_ref ref)
{
    for (size_t i = 0; i < news->n_jobs; i++)
        if (job_ref_equal(job_ref_of(news->jobs[i]), ref))
            return true;
    return false;
}

/* False: it is missing and being fetched. */
static bool add_job(struct node *n, struct arena *arena, Pb__NodeNews *news, struct job_ref ref)
{
    struct agents *a = n->agents;
    Pb__Job *job;
    if (has_job(news, ref))
        return true;
    if (!jobcache_get(a->jobs, ref, loop_now_ms(a->loop), arena, &job)) {
        fetch_job(n, ref);
        return false;
    }
    if (job != NULL)
        news->jobs[news->n_jobs++] = job;
    return true;
}

/* False: a job is missing and being fetched. */
static bool fill_allocs(struct node *n, struct arena *arena, Pb__NodeNews *news)
{
    bool complete = true;
    news->allocs = arena_array(arena, Pb__Alloc *, n->box.count + 1);
    news->jobs = arena_array(arena, Pb__Job *, n->box.count + 1);
    for (size_t i = 0; i < n->box.count; i++) {
        const struct outbox_entry *e = &n->box.entries[i];
        Pb__Alloc *alloc = WIRE_UNPACK(arena, Pb__Alloc, pb__alloc, e->packed, e->len);
        must(alloc != NULL);
        news->allocs[news->n_allocs++] = alloc;
        complete &= add_job(n, arena, news, alloc_job_ref(alloc));
    }
    return complete;
}

/* Answers the poll with what there is, or waits for the jobs that it needs. */
static void tell_news(struct node *n)
{
    struct agents *a = n->agents;
    struct arena *arena = arena_new(NEWS_ARENA);
    Pb__NodeNews news = PB__NODE_NEWS__INIT;
    if (fill_allocs(n, arena, &news)) {
        size_t count;
        news.has_full = 1;
        news.full = n->box.full;
        news.requests = asks_to_send(n, arena, &count);
        news.n_requests = count;
        a->stats.news++;
        reply_news(n, &news, index_reached(n));
    }
    arena_free(arena);
}

static void on_wait_over(void *owner)
{
    struct node *n = owner;
    const Pb__NodePoll *asked = (const Pb__NodePoll *)request_body(n->poll);
    Pb__NodeNews nothing = PB__NODE_NEWS__INIT;
    bool has_all = n->box.known && !n->listing && !outbox_has_news(&n->box);
    reply_news(n, &nothing, has_all ? index_reached(n) : asked->since);
}

static void list_node(struct node *n, const Pb__Key *after);

static void on_list_again(void *owner)
{
    poll_step(owner);
}

static void on_listed(void *owner, const struct response *r)
{
    struct node *n = owner;
    struct agents *a = n->agents;
    const Pb__Objects *objects = (const Pb__Objects *)r->body;
    n->list_call = NULL;
    n->listing = false;
    if (r->code != PB__REPLY__CODE__OK || objects == NULL) {
        outbox_lose(&n->box);
        timer_arm(a->loop, &n->news_due, LIST_AGAIN_MS, on_list_again, n);
        return;
    }
    for (size_t i = 0; i < objects->n_objects; i++)
        if (objects->objects[i]->value_case == PB__OBJECT__VALUE_ALLOC)
            outbox_put_listed(&n->box, objects->objects[i]->alloc);
    if (objects->next != NULL) {
        list_node(n, objects->next);
        return;
    }
    outbox_listed(&n->box);
    poll_step(n);
}

static void list_node(struct node *n, const Pb__Key *after)
{
    Pb__List list = PB__LIST__INIT;
    list.has_table = list.has_by = list.has_id = 1;
    list.table = PB__TABLE__NAME__ALLOCS;
    list.by = PB__LIST__BY__NODE;
    list.id = (ProtobufCBinaryData){.len = ID_SIZE, .data = n->id};
    list.after = (Pb__Key *)after;
    n->listing = true;
    n->list_call = client_call(n->agents->options.jobstore,
                               &(struct call_options){.method = PB__JOBSTORE__METHOD__LIST,
                                                      .body = &list.base,
                                                      .reply = &pb__objects__descriptor,
                                                      .budget_ms = SHORT_MS,
                                                      .retry = true,
                                                      .done = on_listed,
                                                      .owner = n});
}

/* Looks at a parked poll again: answers it, gets what it needs, or leaves it waiting. */
static void poll_step(struct node *n)
{
    struct agents *a = n->agents;
    if (n->poll == NULL || a->feed_index == 0 || n->listing || n->jobs_pending > 0 ||
        n->awaits != 0)
        return;
    if (!n->box.known) {
        a->stats.relists++;
        outbox_begin(&n->box, a->feed_index);
        list_node(n, NULL);
    } else if (outbox_has_news(&n->box) || asks_are_waiting(n)) {
        tell_news(n);
    }
}

/* Thousands of nodes have news at once when a large plan was committed. Told in portions, after
 * those clients who wait for the same change, they do not keep anybody waiting. */
static void on_news_due(void *owner)
{
    struct node *n = owner;
    struct agents *a = n->agents;
    uint64_t now = loop_now_ms(a->loop);
    if (a->portion_ms != now) {
        a->portion_ms = now;
        a->portion = 0;
    }
    unsigned turns = a->portion++ / PORTION;
    if (turns == 0)
        poll_step(n);
    else
        timer_arm(a->loop, &n->news_due, AFTER_CLIENTS + turns, on_news_due, n);
}

void node_has_news(struct node *n, uint64_t delay_ms)
{
    if (n->poll != NULL && !timer_is_armed(&n->news_due))
        timer_arm(n->agents->loop, &n->news_due, delay_ms, on_news_due, n);
}

static void on_agent_gone(void *owner, struct request *req)
{
    struct node *n = owner;
    take_poll(n);
    n->polled_ms = 0;
    asks_lose_node(n);
}

/* Where the agent is tells what it has, or that it must be told everything. */
static void settle_poll(struct node *n)
{
    const Pb__NodePoll *p = (const Pb__NodePoll *)request_body(n->poll);
    stop_awaiting(n);
    if (!n->listing && !outbox_confirm(&n->box, p->since))
        outbox_lose(&n->box);
    poll_step(n);
}

/* Beside the leader there is nothing newer than what we have: the agent knows another cluster, and
 * is told everything of this one. */
static void on_await_over(void *owner)
{
    struct node *n = owner;
    if (n->poll == NULL || n->awaits == 0)
        return;
    if (leader_is_here(n->agents->options.leader))
        settle_poll(n);
    else
        request_fail(take_poll(n), PB__REPLY__CODE__UNAVAILABLE,
                     "this server is behind the one that the agent asked before");
}

/* An agent that comes from another server, or was just registered by the leader, may have heard of
 * more than we have. To tell it now all that it has would take the newest from it. */
static void await_feed(struct node *n, uint64_t needed)
{
    struct agents *a = n->agents;
    n->awaits = needed;
    a->awaiting++;
    timer_arm(a->loop, &n->news_due, AWAIT_MS, on_await_over, n);
    a->options.reach(a->options.self, needed);
}

static void settle_awaiting(struct agents *a)
{
    size_t i = 0;
    void *item;
    while (a->awaiting > 0 && map_next(a->nodes, &i, NULL, NULL, &item)) {
        struct node *n = item;
        if (n->awaits != 0 && n->awaits <= a->feed_index) {
            timer_cancel(a->loop, &n->news_due);
            settle_poll(n);
        }
    }
}

static void poll(struct node *n, struct request *req)
{
    struct agents *a = n->agents;
    const Pb__NodePoll *p = (const Pb__NodePoll *)request_body(req);
    node_saw(n);
    if (n->poll != NULL)
        on_wait_over(n); /* a newer poll takes the place of the older */
    n->poll = req;
    n->polled_ms = loop_now_ms(a->loop);
    request_park(req, on_agent_gone, n);
    timer_arm(a->loop, &n->wait_over, p->wait_ms < LONGEST_POLL_MS ? p->wait_ms : LONGEST_POLL_MS,
              on_wait_over, n);
    uint64_t needed = p->since > p->at_least ? p->since : p->at_least;
    if (needed > a->feed_index)
        await_feed(n, needed);
    else
        settle_poll(n);
}

static void on_poll(void *self, struct request *req)
{
    const Pb__NodePoll *p = (const Pb__NodePoll *)request_body(req);
    agents_admit(self, req, SPEAKER(p), poll);
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
        poll_step(node);
    }
    settle_awaiting(a);
}

/* Should its agent live, it hears so at once, and registers again. */
static void node_purged(struct node *n)
{
    n->purged = true;
    asks_lose_node(n);
    if (n->poll != NULL)
        request_fail(take_poll(n), PB__REPLY__CODE__NOT_FOUND, "node %s is not registered",
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
    settle_awaiting(a);
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
        {PB__GATEWAY__METHOD__NODE_REGISTER, on_register},
        {PB__GATEWAY__METHOD__HEARTBEAT, on_heartbeat},
        {PB__GATEWAY__METHOD__NODE_POLL, on_poll},
        {PB__GATEWAY__METHOD__ALLOC_UPDATE, on_alloc_update},
        {PB__GATEWAY__METHOD__AGENT_RESULT, on_agent_result},
        {PB__GATEWAY__METHOD__AGENT_INPUT, on_agent_input},
        {PB__GATEWAY__METHOD__ALLOCS_KEPT, on_allocs_kept},
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
        request_fail(take_poll(n), PB__REPLY__CODE__UNAVAILABLE, "the gateway is stopping");
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
    size_t i = 0;
    void *item;
    while (map_next(a->fetches, &i, NULL, NULL, &item)) {
        struct fetch *f = item;
        if (f->call != NULL)
            call_cancel(f->call);
        fetch_end(f);
    }
    i = 0;
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
