#include "heartbeat.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include <stdlib.h>
#include <string.h>

enum watch {
    IDLE,    /* not ready, and silent: nothing to wait for */
    ALIVE,   /* ready; the timer says until when */
    PROPOSE, /* in the list of those to be proposed */
    PROPOSED /* the timer says when to propose again */
};

struct node {
    uint8_t id[16];
    enum watch watch;
    bool ready; /* as the feed shows it */
    bool alive; /* what is proposed */
    bool heard; /* since it was proposed as down */
    uint64_t due_ms, sequence;
    struct heap_item timer;
    struct link link;
    uint32_t epoch;
};

struct heartbeat {
    struct heartbeat_settings set;
    struct map *nodes;
    struct heap timers;
    struct link proposals;
    size_t proposal_count, ready_count, missed;
    uint64_t next_sequence;
    uint32_t epoch;
    bool reloading;
};

static bool due_earlier(const struct heap_item *x, const struct heap_item *y)
{
    const struct node *a = container_of(x, const struct node, timer);
    const struct node *b = container_of(y, const struct node, timer);
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->sequence < b->sequence;
}

struct heartbeat *heartbeat_new(const struct heartbeat_settings *s)
{
    struct heartbeat *h = xcalloc(1, sizeof(*h));
    h->set = *s;
    h->nodes = map_new();
    heap_init(&h->timers, due_earlier);
    list_init(&h->proposals);
    return h;
}

void heartbeat_free(struct heartbeat *h)
{
    if (h == NULL)
        return;
    void *node;
    for (size_t i = 0; map_next(h->nodes, &i, NULL, NULL, &node);)
        free(node);
    map_free(h->nodes);
    heap_fini(&h->timers);
    free(h);
}

uint64_t heartbeat_ttl_ms(const struct heartbeat *h)
{
    uint64_t paced = h->set.max_per_second > 0 ? h->ready_count * 1000 / h->set.max_per_second : 0;
    return paced > h->set.min_ttl_ms ? paced : h->set.min_ttl_ms;
}

static void unwatch(struct heartbeat *h, struct node *n)
{
    heap_remove(&h->timers, &n->timer);
    if (n->watch == PROPOSE) {
        list_remove(&n->link);
        h->proposal_count--;
    }
    n->watch = IDLE;
}

static void watch_until(struct heartbeat *h, struct node *n, enum watch watch, uint64_t due_ms)
{
    unwatch(h, n);
    n->watch = watch;
    n->due_ms = due_ms;
    n->sequence = h->next_sequence++;
    heap_push(&h->timers, &n->timer);
}

static void propose(struct heartbeat *h, struct node *n, bool alive)
{
    unwatch(h, n);
    n->watch = PROPOSE;
    n->alive = alive;
    n->heard = false;
    list_push_back(&h->proposals, &n->link);
    h->proposal_count++;
}

static void trust(struct heartbeat *h, struct node *n, uint64_t now_ms)
{
    watch_until(h, n, ALIVE, now_ms + heartbeat_ttl_ms(h) + h->set.grace_ms);
}

static void node_forget(struct heartbeat *h, struct node *n)
{
    unwatch(h, n);
    h->ready_count -= n->ready;
    map_remove(h->nodes, n->id, sizeof(n->id));
    free(n);
}

void heartbeat_put_node(struct heartbeat *h, const Pb__Node *node, uint64_t now_ms)
{
    if (!node->has_id)
        return;
    struct node *n = map_get_id(h->nodes, node->id.data);
    bool ready = node->status == PB__NODE__STATUS__READY, fresh = n == NULL;
    if (fresh) {
        n = xcalloc(1, sizeof(*n));
        memcpy(n->id, node->id.data, sizeof(n->id));
        map_put(h->nodes, n->id, sizeof(n->id), n);
    }
    n->epoch = h->epoch;
    bool turned = fresh || ready != n->ready;
    h->ready_count += (size_t)ready - (size_t)n->ready;
    n->ready = ready;
    if (!turned)
        return;
    if (ready)
        trust(h, n, now_ms);
    else if (n->watch == PROPOSED && n->heard)
        propose(h, n, true);
    else
        unwatch(h, n);
}

void heartbeat_drop_node(struct heartbeat *h, const uint8_t id[16])
{
    struct node *n = map_get_id(h->nodes, id);
    if (n != NULL)
        node_forget(h, n);
}

void heartbeat_reload_begin(struct heartbeat *h)
{
    h->epoch++;
    h->reloading = true;
}

void heartbeat_reload_end(struct heartbeat *h)
{
    void *value;
    h->reloading = false;
    for (size_t i = 0; map_next(h->nodes, &i, NULL, NULL, &value);)
        if (((struct node *)value)->epoch != h->epoch)
            node_forget(h, value);
}

void heartbeat_forgive(struct heartbeat *h, uint64_t now_ms)
{
    void *value;
    for (size_t i = 0; map_next(h->nodes, &i, NULL, NULL, &value);) {
        struct node *n = value;
        if (n->ready)
            trust(h, n, now_ms);
    }
}

bool heartbeat_seen(struct heartbeat *h, const uint8_t id[16], uint64_t now_ms)
{
    struct node *n = map_get_id(h->nodes, id);
    if (n == NULL)
        return false;
    if (n->ready && n->watch == PROPOSED)
        n->heard = true; /* it may be down already: wait for what the feed shows */
    else if (n->ready)
        trust(h, n, now_ms);
    else if (n->watch == IDLE)
        propose(h, n, true);
    return true;
}

void heartbeat_tick(struct heartbeat *h, uint64_t now_ms)
{
    struct heap_item *top;
    if (MUTANT("missed-heartbeat-forgotten"))
        return;
    while (!h->reloading && (top = heap_top(&h->timers)) != NULL) {
        struct node *n = container_of(top, struct node, timer);
        if (n->due_ms > now_ms)
            break;
        h->missed += n->watch == ALIVE;
        if (n->watch == PROPOSED && n->heard)
            trust(h, n, now_ms);
        else
            propose(h, n, n->watch == PROPOSED && n->alive);
    }
}

uint64_t heartbeat_next_due_ms(const struct heartbeat *h)
{
    const struct heap_item *top = heap_top(&h->timers);
    return top != NULL && !h->reloading ? container_of(top, const struct node, timer)->due_ms
                                        : UINT64_MAX;
}

Pb__NodeStatusUpdates *heartbeat_take_updates(struct heartbeat *h, struct arena *a, size_t max,
                                              uint64_t now_ms)
{
    if (h->reloading || h->proposal_count == 0 || max == 0)
        return NULL;
    size_t count = h->proposal_count < max ? h->proposal_count : max;
    Pb__NodeStatusUpdates *out = arena_array(a, Pb__NodeStatusUpdates, 1);
    pb__node_status_updates__init(out);
    out->nodes = arena_array(a, Pb__NodeStatusUpdate *, count);
    Pb__NodeStatusUpdate *updates = arena_array(a, Pb__NodeStatusUpdate, count);
    while (out->n_nodes < count) {
        struct node *n = list_first(&h->proposals, struct node, link);
        Pb__NodeStatusUpdate *u = &updates[out->n_nodes];
        pb__node_status_update__init(u);
        u->has_node_id = u->has_status = 1;
        u->node_id = (ProtobufCBinaryData){sizeof(n->id), arena_copy(a, n->id, sizeof(n->id))};
        u->status = n->alive ? PB__NODE__STATUS__READY : PB__NODE__STATUS__DOWN;
        u->description =
            arena_strdup(a, n->alive ? "Node reregistered by heartbeat" : "Node heartbeat missed");
        out->nodes[out->n_nodes++] = u;
        watch_until(h, n, PROPOSED, now_ms + h->set.settle_ms);
    }
    return out;
}

void heartbeat_stats(const struct heartbeat *h, struct heartbeat_stats *out)
{
    *out = (struct heartbeat_stats){map_count(h->nodes), h->ready_count, h->missed};
}

void heartbeat_check(const struct heartbeat *h)
{
    size_t ready = 0, proposals = 0;
    void *value;
    for (size_t i = 0; map_next(h->nodes, &i, NULL, NULL, &value);) {
        const struct node *n = value;
        ready += n->ready;
        proposals += n->watch == PROPOSE;
        must((n->timer.slot != 0) == (n->watch == ALIVE || n->watch == PROPOSED));
        must(link_is_linked(&n->link) == (n->watch == PROPOSE));
        must(n->watch != ALIVE || n->ready);
        must(!n->ready || n->watch != IDLE);
        must((n->watch != PROPOSE && n->watch != PROPOSED) || n->alive != n->ready);
    }
    must(ready == h->ready_count && proposals == h->proposal_count);
    heap_check(&h->timers);
}
