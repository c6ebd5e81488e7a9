#include "invariants.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define TICK            10u
#define CLIENT_TIME     12u
#define FAULT_TIME      15u
#define HEAL_TIME       8000u /* units after which all must agree, and for each entry: */
#define HEAL_TIME_ENTRY 12u   /* messages may hold one entry, and one at a time be out */

/* ---- time */

static bool before(const struct event *a, const struct event *b)
{
    return a->time != b->time ? a->time < b->time : a->order < b->order;
}

void world_schedule(struct world *w, struct event e, uint64_t delay)
{
    e.time = w->now + delay;
    e.order = w->order++;
    if (w->queue_count == w->queue_room) {
        w->queue_room = w->queue_room * 2 + 64;
        w->queue = xrealloc(w->queue, w->queue_room * sizeof *w->queue);
    }
    size_t at = w->queue_count++;
    for (; at > 0 && before(&e, &w->queue[(at - 1) / 2]); at = (at - 1) / 2)
        w->queue[at] = w->queue[(at - 1) / 2];
    w->queue[at] = e;
}

static struct event next_event(struct world *w)
{
    struct event first = w->queue[0], last = w->queue[--w->queue_count];
    size_t at = 0;
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= w->queue_count)
            break;
        if (child + 1 < w->queue_count && before(&w->queue[child + 1], &w->queue[child]))
            child++;
        if (!before(&w->queue[child], &last))
            break;
        w->queue[at] = w->queue[child];
        at = child;
    }
    w->queue[at] = last;
    w->now = first.time;
    return first;
}

/* ---- small things */

unsigned slot_of(const struct world *w, const struct node *n)
{
    return (unsigned)(n - w->nodes);
}

bool one_in_thousand(struct world *w, unsigned chances)
{
    return chances > 0 && prng_below(&w->chance, 1000) < chances;
}

uint64_t between(struct world *w, uint64_t low, uint64_t high)
{
    return low + prng_below(&w->chance, high - low + 1);
}

struct node *world_leader(struct world *w)
{
    struct node *best = NULL;
    for (size_t i = 0; i < w->node_count; i++) {
        struct node *n = &w->nodes[i];
        if (n->raft != NULL && n->raft->role == RAFT_LEADER &&
            (best == NULL || n->raft->hard.term > best->raft->hard.term))
            best = n;
    }
    return best;
}

struct node *world_stale_leader(struct world *w)
{
    const struct node *newest = world_leader(w);
    for (size_t i = 0; i < w->node_count; i++) {
        struct node *n = &w->nodes[i];
        if (n->raft != NULL && n != newest && n->raft->role == RAFT_LEADER)
            return n;
    }
    return NULL;
}

void trace(struct world *w, const char *format, ...)
{
    va_list args;
    if (w->trace == NULL)
        return;
    fprintf(w->trace, "%8llu ", (unsigned long long)w->now);
    va_start(args, format);
    vfprintf(w->trace, format, args);
    va_end(args);
    fputc('\n', w->trace);
}

/* ---- nodes */

static void on_send(void *self, struct node *n, const struct raft_message *m)
{
    net_send(self, n, m);
}

static void on_write(void *self, struct node *n)
{
    struct world *w = self;
    unsigned slot = slot_of(w, n);
    uint64_t time = between(w, w->faults.disk_min, w->faults.disk_max);
    if (one_in_thousand(w, w->faults.disk_stall))
        time += between(w, 50, 800);
    bool ok = !one_in_thousand(w, w->faults.disk_fails);
    if (w->disk_held[slot])
        return;
    world_schedule(
        w, (struct event){.kind = EVENT_WRITTEN, .node = slot, .epoch = w->epoch[slot], .ok = ok},
        time);
    if (one_in_thousand(w, w->faults.crash_writing))
        world_schedule(w,
                       (struct event){.kind = EVENT_CRASH, .node = slot, .epoch = w->epoch[slot]},
                       between(w, 0, time));
}

static void on_stored(void *self, struct node *n, const struct raft_ready *ready)
{
    invariants_written(self, n, ready);
}

static void on_applied(void *self, struct node *n, const struct raft_entry *e)
{
    invariants_applied(self, n, e);
    clients_applied(self, n, e);
}

static void on_read(void *self, struct node *n, uint64_t context, uint64_t index)
{
    clients_answered(self, n, context, index);
}

void after_step(struct world *w, struct node *n)
{
    invariants_step(w, n); /* before effects: a role may last no longer than a step */
    node_pump(n);
    invariants_step(w, n);
}

void world_start(struct world *w, unsigned slot)
{
    struct node *n = &w->nodes[slot];
    if (n->raft != NULL)
        return;
    w->epoch[slot]++;
    n->lazy = w->faults.lazy_apply && !w->healing;
    node_start(n, prng_below(&w->chance, 2) == 0, prng_next(&w->chance));
    trace(w, "node %llu starts: state %llu log %llu..%llu term %llu", (unsigned long long)n->id,
          (unsigned long long)n->state.index, (unsigned long long)n->disk.first,
          (unsigned long long)disk_last(&n->disk), (unsigned long long)n->raft->hard.term);
    w->seen_term[slot] = n->raft->hard.term;
    w->seen_role[slot] = RAFT_FOLLOWER;
    w->seen_commit[slot] = n->raft->commit;
    if (!w->scripted)
        world_schedule(w, (struct event){.kind = EVENT_TICK, .node = slot, .epoch = w->epoch[slot]},
                       between(w, 1, w->tick_every[slot]));
    after_step(w, n);
}

/* ---- events */

static void on_tick(struct world *w, const struct event *e)
{
    struct node *n = &w->nodes[e->node];
    if (n->lazy && n->unsaid < n->state.index && prng_below(&w->chance, 3) == 0) {
        n->unsaid += 1 + prng_below(&w->chance, n->state.index - n->unsaid);
        raft_applied(n->raft, n->unsaid);
    }
    raft_tick(n->raft);
    world_schedule(w, (struct event){.kind = EVENT_TICK, .node = e->node, .epoch = e->epoch},
                   w->tick_every[e->node]);
    after_step(w, n);
}

static void on_written(struct world *w, const struct event *e)
{
    struct node *n = &w->nodes[e->node];
    w->counts.failed_writes += !e->ok;
    trace(w, "node %llu %s", (unsigned long long)n->id, e->ok ? "has written" : "failed to write");
    node_write_ends(n, e->ok);
    w->seen_commit[e->node] =
        n->raft->commit < w->seen_commit[e->node] ? n->raft->commit : w->seen_commit[e->node];
    after_step(w, n);
}

static void on_snapshot_ends(struct world *w, const struct event *e)
{
    struct node *n = &w->nodes[e->node];
    if (e->ok)
        raft_snapshot_done(n->raft, e->peer, e->index);
    else
        raft_snapshot_failed(n->raft, e->peer);
    after_step(w, n);
}

static bool is_void(const struct world *w, const struct event *e)
{
    bool of_a_life = e->kind == EVENT_TICK || e->kind == EVENT_WRITTEN ||
                     e->kind == EVENT_SNAPSHOT_ENDS || e->kind == EVENT_CRASH;
    return of_a_life && (e->epoch != w->epoch[e->node] || w->nodes[e->node].raft == NULL);
}

static void happen(struct world *w, struct event *e)
{
    switch (e->kind) {
    case EVENT_TICK:
        on_tick(w, e);
        break;
    case EVENT_MESSAGE:
        net_deliver(w, e);
        break;
    case EVENT_WRITTEN:
        on_written(w, e);
        break;
    case EVENT_CLIENT:
        clients_act(w);
        world_schedule(w, (struct event){.kind = EVENT_CLIENT}, between(w, 1, CLIENT_TIME * 2));
        break;
    case EVENT_FAULT:
        faults_happen(w);
        world_schedule(w, (struct event){.kind = EVENT_FAULT}, between(w, 1, FAULT_TIME * 2));
        break;
    case EVENT_START:
        world_start(w, e->node);
        break;
    case EVENT_CRASH:
        node_goes_down(w, e->node);
        break;
    case EVENT_SNAPSHOT_COMES:
        net_snapshot_comes(w, e);
        break;
    case EVENT_SNAPSHOT_ENDS:
        on_snapshot_ends(w, e);
        break;
    }
}

/* What comes for a paused node waits, in its order. */
static bool is_paused(const struct world *w, const struct event *e)
{
    bool of_a_node = e->kind != EVENT_CLIENT && e->kind != EVENT_FAULT && e->kind != EVENT_CRASH;
    return of_a_node && w->paused_until[e->node] > w->now;
}

static void one_event(struct world *w)
{
    struct event e = next_event(w);
    w->counts.events++;
    if (is_paused(w, &e)) {
        world_schedule(w, e, w->paused_until[e.node] - w->now);
        return;
    }
    if (!is_void(w, &e)) {
        w->trace_hash = mix(w->trace_hash, e.time << 20 ^ (uint64_t)e.kind << 16 ^ e.node);
        if (e.packet != NULL)
            w->trace_hash =
                mix(w->trace_hash, e.packet->message.term ^ e.packet->message.index << 20 ^
                                       (uint64_t)e.packet->message.type << 50);
        happen(w, &e);
    }
    packet_free(e.packet);
}

bool world_step(struct world *w)
{
    if (w->queue_count == 0 || w->failure[0] != '\0')
        return false;
    one_event(w);
    return true;
}

bool world_run(struct world *w, uint64_t events)
{
    uint64_t end = w->counts.events + events;
    while (w->failure[0] == '\0' && w->counts.events < end)
        one_event(w);
    return w->failure[0] == '\0';
}

/* ---- the end */

static bool all_agree(struct world *w, uint64_t least)
{
    const struct node *l = world_leader(w);
    if (l == NULL || l->state.index < least || l->raft->log.stored != l->state.index)
        return false;
    for (size_t i = 0; i < l->state.member_count; i++) {
        const struct node *n = &w->nodes[l->state.members[i].id - 1];
        if (n->raft == NULL || n->state.index != l->state.index)
            return false;
    }
    return true;
}

static uint64_t propose_last(struct world *w)
{
    struct node *l = world_leader(w);
    if (l == NULL || l->raft->transferee != 0 || !clients_propose(w, l))
        return 0;
    uint64_t index = log_last(&l->raft->log);
    clients_ask(w, l);
    after_step(w, l);
    return index;
}

/* Clients and faults are silent from now on: only their events are left out. */
static void run_quietly(struct world *w, uint64_t until)
{
    while (w->failure[0] == '\0' && w->queue_count > 0 && w->queue[0].time <= until) {
        if (w->queue[0].kind == EVENT_CLIENT || w->queue[0].kind == EVENT_FAULT)
            next_event(w);
        else
            one_event(w);
    }
    w->now = until;
}

bool world_heal(struct world *w)
{
    uint64_t time = HEAL_TIME + w->max_commit * HEAL_TIME_ENTRY;
    uint64_t end = w->now + time, least = 0;
    faults_end(w);
    w->healing = true;
    for (unsigned i = 0; i < w->node_count; i++)
        world_start(w, i);
    run_quietly(w, w->now + HEAL_TIME / 4);
    while (w->failure[0] == '\0' && w->now < end) {
        uint64_t reads = w->counts.reads;
        least = propose_last(w);
        run_quietly(w, w->now + 500);
        if (least != 0 && all_agree(w, least) && w->counts.reads > reads)
            break;
        least = 0;
    }
    if (least == 0)
        fail(w, "no agreement %llu units after all faults ended", (unsigned long long)time);
    invariants_end(w);
    return w->failure[0] == '\0';
}

/* ---- life */

static void choose_core(struct world *w, struct raft_config *c)
{
    static const size_t entries[] = {1, 2, 2, 2, 8, 1024};
    static const size_t inflight[] = {1, 2, 8, 64};
    *c = (struct raft_config){
        .election_ticks = (unsigned)between(w, 4, 10),
        .max_message_entries = entries[prng_below(&w->chance, COUNT_OF(entries))],
        .max_message_bytes = prng_below(&w->chance, 2) == 0 ? 40 : 1u << 20,
        .max_inflight = inflight[prng_below(&w->chance, COUNT_OF(inflight))],
        .keep_bytes = 1 + prng_below(&w->chance, 2) * prng_below(&w->chance, 2000),
        .max_uncommitted = prng_below(&w->chance, 2) == 0 ? 300 : 1u << 20,
        .max_unapplied = prng_below(&w->chance, 4) == 0 ? 3000 : 1u << 20,
    };
}

static void init_nodes(struct world *w, const struct raft_config *config, size_t nodes,
                       size_t voters)
{
    struct raft_member members[WORLD_NODES];
    struct raft_config c = *config;
    w->hooks = (struct node_hooks){.self = w,
                                   .send = on_send,
                                   .write_began = on_write,
                                   .written = on_stored,
                                   .applied = on_applied,
                                   .read = on_read};
    w->node_count = nodes;
    for (size_t i = 0; i < voters; i++)
        members[i] = (struct raft_member){.id = i + 1, .voter = true};
    for (unsigned i = 0; i < w->node_count; i++) {
        c.id = i + 1;
        c.members = members;
        c.member_count = i < voters ? voters : 0;
        node_init(&w->nodes[i], &c, &w->hooks);
        w->tick_every[i] = TICK;
    }
}

void world_init_scripted(struct world *w, const struct raft_config *config, size_t nodes,
                         size_t voters)
{
    memset(w, 0, sizeof *w);
    prng_seed(&w->chance, 1);
    w->scripted = true;
    w->faults =
        (struct faults){.delay_min = 1, .delay_max = 1, .disk_min = 1, .disk_max = 1, .fifo = true};
    init_nodes(w, config, nodes, voters);
}

void world_init(struct world *w, uint64_t seed)
{
    struct raft_config c;
    memset(w, 0, sizeof *w);
    w->seed = seed;
    prng_seed(&w->chance, seed);
    size_t nodes = between(w, 2, WORLD_NODES), voters = between(w, 1, nodes < 5 ? nodes : 5);
    faults_choose(w);
    choose_core(w, &c);
    init_nodes(w, &c, nodes, voters);
    for (unsigned i = 0; i < w->node_count; i++)
        world_schedule(w, (struct event){.kind = EVENT_START, .node = i}, 0);
    world_schedule(w, (struct event){.kind = EVENT_CLIENT}, 1);
    world_schedule(w, (struct event){.kind = EVENT_FAULT}, 1);
}

void world_fini(struct world *w)
{
    for (size_t i = 0; i < w->queue_count; i++)
        packet_free(w->queue[i].packet);
    for (size_t i = 0; i < w->node_count; i++)
        node_fini(&w->nodes[i]);
    free(w->queue);
    free(w->leaders);
    free(w->log);
    free(w->pairs);
    free(w->reads);
    free(w->waiting);
}
