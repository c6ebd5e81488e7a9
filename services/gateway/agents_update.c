/* What became of allocations: the reports of many agents go into one log entry, and each agent is
 * answered once it is committed. */
#include "agents_parts.h"
#include <stdlib.h>

#define MAX_BATCH       2000 /* allocations in one log entry */
#define MAX_UNDER_WAY   4
#define MAX_QUEUED      100000 /* allocations in reports that wait: what agents have patience for */
#define BATCH_BUDGET_MS 20000
#define STORM           64 /* allocations in a batch: the next one gathers for longer */
#define STORM_FACTOR    5
#define CALM_FACTOR     10 /* nothing came for so many batches: the next is worth no wait */

/* A report that waits for its batch; in its request's arena. */
struct update {
    struct link link;
    struct request *req;
    const Pb__AllocUpdates *body;
    struct node *queued_of; /* NULL: it is in a batch */
};

struct batch {
    struct link link; /* in agents->batches */
    struct agents *agents;
    struct link updates;
    size_t allocs;
    struct leader_call *call;
};

static void send_batch(void *owner);

/* The count and the node forget it; the list is the caller's. */
static void leave_queue(struct update *u)
{
    struct node *n = u->queued_of;
    must(n != NULL);
    n->agents->update_count -= u->body->n_allocs;
    n->queued = NULL;
    u->queued_of = NULL;
}

/* The agent has gone; its report is committed all the same if it is under way, and told again if
 * not. */
static void on_update_gone(void *owner, struct request *req)
{
    struct update *u = owner;
    list_remove(&u->link);
    if (u->queued_of != NULL)
        leave_queue(u);
}

static void batch_end(struct batch *b)
{
    b->agents->batch_count--;
    list_remove(&b->link);
    free(b);
}

static void on_committed(void *owner, const struct response *r)
{
    struct batch *b = owner;
    struct agents *a = b->agents;
    const Pb__Outcome *outcome = (const Pb__Outcome *)r->body;
    struct update *u;
    while ((u = list_first(&b->updates, struct update, link)) != NULL) {
        list_remove(&u->link);
        if (r->code == PB__REPLY__CODE__OK && outcome != NULL)
            request_reply(u->req, NULL, outcome->index);
        else
            request_fail(u->req,
                         r->code == PB__REPLY__CODE__OK ? PB__REPLY__CODE__INTERNAL : r->code, "%s",
                         r->reason);
    }
    if (r->code == PB__REPLY__CODE__OK) {
        a->stats.updates += b->allocs;
        a->stats.batches++;
    }
    batch_end(b);
    if (!list_empty(&a->updates) && !timer_is_armed(&a->updates_due))
        send_batch(a);
}

static void add_allocs(Pb__AllocUpdates *all, const Pb__AllocUpdates *some, struct arena *arena)
{
    for (size_t i = 0; i < some->n_allocs; i++) {
        Pb__AllocUpdate *copy = arena_copy(arena, some->allocs[i], sizeof(*copy));
        copy->has_node_id = 1; /* whatever the agent wrote there */
        copy->node_id = some->node_id;
        all->allocs[all->n_allocs++] = copy;
    }
}

static uint64_t time_to_gather(const struct agents *a)
{
    uint64_t usual = a->options.update_batch_ms;
    if (loop_now_ms(a->loop) - a->last_batch_ms > CALM_FACTOR * usual)
        return 0;
    return a->last_batch >= STORM ? STORM_FACTOR * usual : usual;
}

static void send_batch(void *owner)
{
    struct agents *a = owner;
    if (list_empty(&a->updates) || a->batch_count >= MAX_UNDER_WAY)
        return;
    struct arena *arena = arena_new(64u << 20);
    struct batch *b = xcalloc(1, sizeof(*b));
    Pb__AllocUpdates all = PB__ALLOC_UPDATES__INIT;
    b->agents = a;
    list_init(&b->updates);
    list_push_back(&a->batches, &b->link);
    a->batch_count++;
    all.allocs = arena_array(arena, Pb__AllocUpdate *, a->update_count + 1);
    struct update *u;
    while ((u = list_first(&a->updates, struct update, link)) != NULL &&
           (b->allocs == 0 || b->allocs + u->body->n_allocs <= MAX_BATCH)) {
        list_remove(&u->link);
        list_push_back(&b->updates, &u->link);
        leave_queue(u);
        add_allocs(&all, u->body, arena);
        b->allocs += u->body->n_allocs;
    }
    a->last_batch = b->allocs;
    a->last_batch_ms = loop_now_ms(a->loop);
    Pb__Command command = PB__COMMAND__INIT;
    command.body_case = PB__COMMAND__BODY_ALLOC_UPDATES;
    command.alloc_updates = &all;
    b->call = leader_call(a->options.leader, PB__SERVICE__NAME__JOBSTORE,
                          &(struct call_options){.method = PB__JOBSTORE__METHOD__APPLY,
                                                 .body = &command.base,
                                                 .reply = &pb__outcome__descriptor,
                                                 .budget_ms = BATCH_BUDGET_MS,
                                                 .retry = true,
                                                 .done = on_committed,
                                                 .owner = b});
    arena_free(arena);
    if (!list_empty(&a->updates))
        send_batch(a);
}

/* An agent that waited in vain tells all again that it has not been told is committed. Behind many
 * others its old report would be committed as well, for nobody, and the queue would only grow. */
static void queue_update(struct node *n, struct update *u)
{
    struct agents *a = n->agents;
    struct update *old = n->queued;
    struct link *before = old != NULL ? old->link.next : &a->updates;
    if (old != NULL) {
        list_remove(&old->link);
        leave_queue(old);
        request_fail(old->req, PB__REPLY__CODE__UNAVAILABLE, "a newer report came");
    }
    u->queued_of = n;
    n->queued = u;
    list_insert_before(before, &u->link);
    a->update_count += u->body->n_allocs;
}

static void alloc_update(struct node *n, struct request *req)
{
    struct agents *a = n->agents;
    const Pb__AllocUpdates *body = (const Pb__AllocUpdates *)request_body(req);
    if (body->n_allocs == 0 || body->n_allocs > MAX_BATCH) {
        request_fail(req, PB__REPLY__CODE__INVALID, "%zu allocations in a report; it takes 1 to %d",
                     body->n_allocs, MAX_BATCH);
        return;
    }
    if (n->queued == NULL && a->update_count > MAX_QUEUED) {
        request_fail(req, PB__REPLY__CODE__BUSY, "reports of %zu allocations wait here already",
                     a->update_count);
        return;
    }
    struct update *u = arena_array(request_arena(req), struct update, 1);
    u->req = req;
    u->body = body;
    queue_update(n, u);
    request_park(req, on_update_gone, u);
    if (a->update_count >= MAX_BATCH)
        send_batch(a);
    else if (!timer_is_armed(&a->updates_due))
        timer_arm(a->loop, &a->updates_due, time_to_gather(a), send_batch, a);
}

void on_alloc_update(void *self, struct request *req)
{
    const Pb__AllocUpdates *body = (const Pb__AllocUpdates *)request_body(req);
    agents_admit(self, req, SPEAKER(body), alloc_update);
}

static void fail_all(struct link *updates)
{
    struct update *u;
    while ((u = list_first(updates, struct update, link)) != NULL) {
        list_remove(&u->link);
        request_fail(u->req, PB__REPLY__CODE__UNAVAILABLE, "the gateway is stopping");
    }
}

void updates_close(struct agents *a)
{
    timer_cancel(a->loop, &a->updates_due);
    fail_all(&a->updates);
    struct batch *b;
    while ((b = list_first(&a->batches, struct batch, link)) != NULL) {
        fail_all(&b->updates);
        leader_call_cancel(b->call);
        batch_end(b);
    }
}
