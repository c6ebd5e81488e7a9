/* The broker between a small state machine that orders everything, a feed that lags behind it, and
 * workers that commit, refuse, fall silent and die. After every step the broker's own check runs;
 * at the end the faults stop, and everything that was asked for must have been looked at. */
#include "base/err.h"
#include "base/prng.h"
#include "evalbroker/broker.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <string.h>

#define JOBS    8
#define NODES   6
#define EVALS   400
#define WORKERS 4
#define IN_HAND 6

struct eval { /* as committed */
    Pb__Eval__Status status;
    int job;
    uint32_t priority;
    uint64_t created, modified, snapshot;
    int64_t wait_until;
    uint32_t plans;
    uint64_t planned_on; /* of the plan that ended it: what that plan had seen */
    int blocked_eval;
    bool unfit[3];
};

struct held {
    int eval;
    uint64_t token;
    uint32_t plans;
    uint64_t view;
    bool committed;
    uint64_t at;
};

struct worker {
    uint64_t owner;
    struct held held[IN_HAND];
    size_t count;
};

struct world {
    struct prng prng;
    struct broker *b;
    struct moment now;
    uint64_t index, told;
    struct eval evals[EVALS];
    int eval_count;
    uint64_t node_changed[NODES];
    bool node_ready[NODES];
    uint32_t node_used[NODES];
    struct worker workers[WORKERS];
    uint64_t next_owner, starts;
    uint64_t seen[EVALS]; /* modify index that the broker was told */
    Pb__Eval__Status seen_status[EVALS];
    bool faults;
};

static uint64_t below(struct world *w, uint64_t n)
{
    return prng_below(&w->prng, n);
}

static struct broker *start(struct world *w)
{
    return broker_new(&(struct broker_settings){.ack_timeout_ms = 500,
                                                .nack_delay_ms = 10,
                                                .settle_ms = 300,
                                                .follow_up_delay_ms = 200,
                                                .max_deliveries = 3,
                                                .max_evals = 10000,
                                                .token_seed = ++w->starts << 32});
}

static void id_of(int n, uint8_t id[16])
{
    memset(id, 0, 16);
    id[14] = (uint8_t)(n >> 8);
    id[15] = (uint8_t)n;
}

static int eval_of(const uint8_t *id)
{
    return id[14] << 8 | id[15];
}

static int add_eval(struct world *w, int job, Pb__Eval__Status status)
{
    if (w->eval_count == EVALS)
        return -1;
    struct eval *e = &w->evals[w->eval_count];
    *e = (struct eval){.status = status,
                       .job = job,
                       .priority = 40 + 10 * (uint32_t)(job % 3),
                       .created = w->index,
                       .modified = w->index,
                       .blocked_eval = -1};
    return w->eval_count++;
}

/* ---- the feed */

static void tell_eval(struct world *w, int n)
{
    static char *const classes[] = {(char *)"a", (char *)"b", (char *)"c"};
    const struct eval *e = &w->evals[n];
    uint8_t id[16], blocked[16];
    char job[8] = "job-0";
    Pb__Eval m = PB__EVAL__INIT;
    id_of(n, id);
    job[4] = (char)('0' + e->job);
    m.has_id = 1;
    m.id = (ProtobufCBinaryData){16, id};
    m.job_id = job;
    m.type = (char *)(e->job % 2 ? "batch" : "service");
    m.has_status = m.has_priority = m.has_create_index = m.has_modify_index = m.has_snapshot_index =
        1;
    m.status = e->status;
    m.priority = e->priority;
    m.create_index = e->created;
    m.modify_index = e->modified;
    m.snapshot_index = e->snapshot;
    m.has_wait_until = 1;
    m.wait_until = e->wait_until;
    Pb__ClassEligible of[3], *list[3];
    for (int i = 0; i < 3; i++) {
        pb__class_eligible__init(&of[i]);
        of[i].class_ = classes[i];
        of[i].has_eligible = 1;
        of[i].eligible = !e->unfit[i];
        list[i] = &of[i];
    }
    m.n_classes = e->status == PB__EVAL__STATUS__BLOCKED ? 3 : 0;
    m.classes = list;
    if (e->blocked_eval >= 0) {
        id_of(e->blocked_eval, blocked);
        m.has_blocked_eval = 1;
        m.blocked_eval = (ProtobufCBinaryData){16, blocked};
    }
    broker_put_eval(w->b, &m, w->now);
    w->seen[n] = e->modified;
    w->seen_status[n] = e->status;
}

static void tell_node(struct world *w, int n)
{
    uint8_t id[16];
    char class[2] = {(char)('a' + n % 3), 0};
    id_of(n, id);
    Pb__Node m = PB__NODE__INIT;
    m.has_id = 1;
    m.id = (ProtobufCBinaryData){16, id};
    m.computed_class = class;
    m.status = w->node_ready[n] ? PB__NODE__STATUS__READY : PB__NODE__STATUS__DOWN;
    m.modify_index = w->node_changed[n];
    broker_put_node(w->b, &m);
    Pb__Amount total = PB__AMOUNT__INIT, used = PB__AMOUNT__INIT;
    total.cpu = 10;
    used.cpu = w->node_used[n];
    Pb__NodeUsage u = PB__NODE_USAGE__INIT;
    u.has_node_id = 1;
    u.node_id = m.id;
    u.capacity = &total;
    u.used = &used;
    u.modify_index = w->node_changed[n];
    broker_put_usage(w->b, &u);
}

/* Present values of what changed in (told, index], in order. */
static void tell(struct world *w)
{
    for (uint64_t at = w->told + 1; at <= w->index; at++) {
        for (int i = 0; i < NODES; i++)
            if (w->node_changed[i] == at)
                tell_node(w, i);
        for (int i = 0; i < w->eval_count; i++)
            if (w->evals[i].modified == at)
                tell_eval(w, i);
    }
    w->told = w->index;
    broker_reached(w->b, w->told, w->now);
}

static void list_all(struct world *w)
{
    broker_reload_begin(w->b);
    for (int i = 0; i < w->eval_count; i++)
        tell_eval(w, i);
    for (int i = 0; i < NODES; i++)
        if (w->node_changed[i] != 0)
            tell_node(w, i);
    w->told = w->index;
    broker_reload_end(w->b, w->now);
    broker_reached(w->b, w->told, w->now);
}

/* ---- workers */

static void give_up(struct world *w, struct worker *k)
{
    k->count = 0;
    k->owner = ++w->next_owner;
}

static void take(struct world *w, struct worker *k)
{
    static char *types[] = {(char *)"service", (char *)"batch"};
    struct delivery d;
    while (k->count < IN_HAND && broker_dequeue(w->b, types, 2, k->owner, w->now, &d)) {
        struct arena *a = arena_new(1 << 20);
        const Pb__Eval *m = WIRE_UNPACK(a, Pb__Eval, pb__eval, d.eval, d.eval_len);
        int n = eval_of(m->id.data);
        arena_free(a);
        cr_assert(w->seen_status[n] == PB__EVAL__STATUS__PENDING ||
                  w->seen_status[n] == PB__EVAL__STATUS__BLOCKED);
        for (int i = 0; i < WORKERS; i++)
            for (size_t h = 0; h < w->workers[i].count; h++)
                cr_assert(!(w->workers[i].held[h].token == d.token));
        uint64_t view = d.min_index > w->told ? d.min_index : w->told;
        k->held[k->count++] =
            (struct held){.eval = n, .token = d.token, .plans = w->evals[n].plans, .view = view};
    }
}

/* As apply does: a plan counts once. */
static void commit(struct world *w, struct held *h)
{
    struct eval *e = &w->evals[h->eval];
    h->committed = true;
    h->at = w->index;
    bool live = e->status == PB__EVAL__STATUS__PENDING || e->status == PB__EVAL__STATUS__BLOCKED;
    if (!live || e->plans != h->plans)
        return;
    h->at = ++w->index;
    e->plans++;
    e->modified = w->index;
    e->planned_on = h->view;
    e->snapshot = h->view;
    if (below(w, 3) > 0) {
        e->status = PB__EVAL__STATUS__COMPLETE;
    } else if (e->status == PB__EVAL__STATUS__PENDING) {
        e->status = PB__EVAL__STATUS__COMPLETE;
        int n = add_eval(w, e->job, PB__EVAL__STATUS__BLOCKED);
        if (n < 0)
            return;
        e->blocked_eval = n;
        w->evals[n].snapshot = h->view;
        for (int i = 0; i < 3; i++)
            w->evals[n].unfit[i] = below(w, 3) == 0;
    }
}

static void work(struct world *w, struct worker *k)
{
    if (k->count == 0)
        return;
    size_t i = below(w, k->count);
    struct held *h = &k->held[i];
    uint8_t id[16];
    id_of(h->eval, id);
    if (!h->committed && !(w->faults && below(w, 8) == 0)) {
        commit(w, h);
        return;
    }
    if (h->committed)
        broker_ack(w->b, id, h->token, below(w, 2) ? h->at : 0, w->now);
    else
        broker_nack(w->b, id, h->token, w->now);
    k->held[i] = k->held[--k->count];
}

/* ---- what else happens */

static void propose(struct world *w)
{
    struct arena *a = arena_new(1 << 20);
    Pb__EvalUpdates *u = broker_take_updates(w->b, a, 1 + below(w, 4), w->now);
    bool lost = w->faults && below(w, 4) == 0;
    for (size_t i = 0; u != NULL && !lost && i < u->n_evals; i++) {
        struct eval *e = &w->evals[eval_of(u->evals[i]->id.data)];
        if (e->modified != u->evals[i]->modify_index)
            continue;
        cr_assert(e->status == PB__EVAL__STATUS__PENDING || e->status == PB__EVAL__STATUS__BLOCKED);
        e->status = u->evals[i]->status;
        e->modified = ++w->index;
        if (u->evals[i]->has_follow_up_at) {
            int n = add_eval(w, e->job, PB__EVAL__STATUS__PENDING);
            if (n >= 0)
                w->evals[n].wait_until = u->evals[i]->follow_up_at;
        }
    }
    arena_free(a);
}

static void change_node(struct world *w)
{
    int n = (int)below(w, NODES);
    w->node_changed[n] = ++w->index;
    if (below(w, 2))
        w->node_ready[n] = !w->node_ready[n];
    else
        w->node_used[n] = (uint32_t)below(w, 10);
}

static void pass(struct world *w, uint64_t ms)
{
    w->now.mono_ms += ms;
    w->now.wall_ns += (int64_t)ms * 1000000;
    broker_tick(w->b, w->now);
}

static void new_eval(struct world *w)
{
    if (w->eval_count >= EVALS / 2)
        return;
    w->index++;
    int n = add_eval(w, (int)below(w, JOBS), PB__EVAL__STATUS__PENDING);
    if (below(w, 6) == 0)
        w->evals[n].wait_until = w->now.wall_ns + (int64_t)below(w, 300) * 1000000;
}

static void fault(struct world *w)
{
    struct worker *k = &w->workers[below(w, WORKERS)];
    switch (below(w, 4)) {
    case 0: /* dies, and it shows */
        broker_owner_gone(w->b, k->owner, w->now);
        give_up(w, k);
        break;
    case 1: /* forgets what it has */
        give_up(w, k);
        break;
    case 2: /* the broker dies */
        broker_free(w->b);
        w->b = start(w);
        list_all(w);
        break;
    default: /* the feed was left behind */
        list_all(w);
    }
}

static void step(struct world *w)
{
    switch (below(w, 12)) {
    case 0:
        new_eval(w);
        break;
    case 1:
    case 2:
        tell(w);
        break;
    case 3:
    case 4:
        take(w, &w->workers[below(w, WORKERS)]);
        break;
    case 5:
        propose(w);
        break;
    case 6:
        if (w->faults)
            change_node(w);
        break;
    case 7:
        pass(w, below(w, 40));
        break;
    case 8:
        if (w->faults && below(w, 12) == 0)
            fault(w);
        break;
    default:
        work(w, &w->workers[below(w, WORKERS)]);
    }
    broker_check(w->b);
}

/* Every evaluation ended, or is the one of its job that waits for capacity; and whoever asked for a
 * look at the job was heard: what was cancelled was covered by a plan that saw its cause. */
static void check_end(struct world *w, uint64_t seed)
{
    for (int i = 0; i < w->eval_count; i++) {
        const struct eval *e = &w->evals[i];
        cr_assert_neq(e->status, PB__EVAL__STATUS__PENDING,
                      "seed %llu: evaluation %d is pending still", (unsigned long long)seed, i);
        bool covered = e->status != PB__EVAL__STATUS__CANCELLED;
        for (int k = 0; k < w->eval_count && !covered; k++) {
            const struct eval *other = &w->evals[k];
            covered =
                k != i && other->job == e->job &&
                ((other->status == PB__EVAL__STATUS__BLOCKED && other->created >= e->created) ||
                 (other->plans > 0 && other->planned_on >= e->created));
        }
        cr_assert(covered, "seed %llu: evaluation %d was cancelled and nothing took its place",
                  (unsigned long long)seed, i);
    }
}

static void run(uint64_t seed)
{
    struct world w = {.now = {1000, 1000000000000}, .faults = true};
    prng_seed(&w.prng, seed);
    w.b = start(&w);
    for (int i = 0; i < WORKERS; i++)
        give_up(&w, &w.workers[i]);
    for (int i = 0; i < 3000; i++)
        step(&w);
    w.faults = false;
    for (int i = 0; i < 6000; i++)
        step(&w);
    Pb__BrokerStats s;
    for (int i = 0; i < 4000; i++) { /* until nothing moves */
        pass(&w, 5);
        tell(&w);
        take(&w, &w.workers[i % WORKERS]);
        for (int k = 0; k < IN_HAND * 2; k++)
            work(&w, &w.workers[i % WORKERS]);
        propose(&w);
        broker_check(w.b);
        broker_stats(w.b, &s);
        if (s.ready + s.unacked + s.waiting + s.delayed == 0 && w.told == w.index && i > 100)
            break;
    }
    tell(&w);
    check_end(&w, seed);
    broker_free(w.b);
}

Test(broker_world, nothing_asked_for_is_lost_under_1000_seeds)
{
    for (uint64_t seed = 1; seed <= 1000; seed++)
        run(seed);
}
