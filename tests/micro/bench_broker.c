/* What storms cost the broker: time of one core for each evaluation, and memory, at growing sizes.
 * `meson test --benchmark broker`, or run it. */
#include "base/arena.h"
#include "base/err.h"
#include "evalbroker/broker.h"
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NODES       5000
#define SYSTEM_JOBS 10
#define CLASSES     8
#define IN_HAND     64

struct bed {
    struct broker *b;
    uint64_t index, evals;
    struct moment now;
    size_t memory_before, memory_most, planned;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t memory_used(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

static void note_memory(struct bed *t)
{
    size_t used = memory_used() - t->memory_before;
    if (used > t->memory_most)
        t->memory_most = used;
}

static void bed_init(struct bed *t)
{
    *t = (struct bed){.index = 1, .memory_before = memory_used()};
    t->b = broker_new(&(struct broker_settings){.ack_timeout_ms = 60000,
                                                .nack_delay_ms = 1000,
                                                .settle_ms = 10000,
                                                .follow_up_delay_ms = 60000,
                                                .max_deliveries = 3,
                                                .max_evals = 500000,
                                                .token_seed = 1});
}

static void number_id(uint8_t id[16], uint8_t kind, uint64_t n)
{
    memset(id, 0, 16);
    id[0] = kind;
    for (int i = 0; i < 8; i++)
        id[8 + i] = (uint8_t)(n >> (56 - 8 * i));
}

static const char *class_name(uint64_t n)
{
    static const char *const names[CLASSES] = {"v1:0", "v1:1", "v1:2", "v1:3",
                                               "v1:4", "v1:5", "v1:6", "v1:7"};
    return names[n % CLASSES];
}

static void put_node(struct bed *t, uint64_t n, bool ready)
{
    uint8_t id[16];
    Pb__Node m = PB__NODE__INIT;
    number_id(id, 'n', n);
    m.has_id = 1;
    m.id = (ProtobufCBinaryData){16, id};
    m.computed_class = (char *)(uintptr_t)class_name(n);
    m.status = ready ? PB__NODE__STATUS__READY : PB__NODE__STATUS__DOWN;
    m.modify_index = ++t->index;
    broker_put_node(t->b, &m);
}

static void put_nodes(struct bed *t)
{
    for (uint64_t i = 0; i < NODES; i++)
        put_node(t, i, true);
    broker_reached(t->b, t->index, t->now);
}

/* One of the evaluation's lives: pending, blocked (only the class `fits` may do), or over. */
static void put_eval(struct bed *t, uint64_t n, uint64_t job, const char *type,
                     Pb__Eval__Status status, uint64_t fits)
{
    uint8_t id[16];
    char job_id[32];
    Pb__Eval e = PB__EVAL__INIT;
    Pb__ClassEligible class[CLASSES], *classes[CLASSES];
    number_id(id, 'e', n);
    snprintf(job_id, sizeof(job_id), "job-%llu", (unsigned long long)job);
    e.has_id = 1;
    e.id = (ProtobufCBinaryData){16, id};
    e.job_id = job_id;
    e.type = (char *)(uintptr_t)type;
    e.triggered_by = (char *)(uintptr_t) "node-update";
    e.status = status;
    e.priority = 50;
    e.create_index = n + 1;
    e.modify_index = ++t->index;
    e.has_snapshot_index = 1;
    e.snapshot_index = t->index;
    for (uint64_t i = 0; i < CLASSES && status == PB__EVAL__STATUS__BLOCKED; i++) {
        pb__class_eligible__init(&class[i]);
        class[i].class_ = (char *)(uintptr_t)class_name(i);
        class[i].eligible = i == fits;
        classes[e.n_classes++] = &class[i];
    }
    e.classes = classes;
    broker_put_eval(t->b, &e, t->now);
}

static uint64_t id_number(const uint8_t id[16])
{
    uint64_t n = 0;
    for (int i = 0; i < 8; i++)
        n = n << 8 | id[8 + i];
    return n;
}

/* A worker takes what is ready, and the feed shows that it is done. */
static size_t work(struct bed *t, size_t max)
{
    static char system[] = "system", batch[] = "batch", *types[] = {system, batch};
    size_t done = 0;
    struct delivery d;
    while (done < max && broker_dequeue(t->b, types, 2, 1, t->now, &d)) {
        Pb__Eval *e = pb__eval__unpack(NULL, d.eval_len, d.eval);
        uint64_t token = d.token;
        broker_ack(t->b, e->id.data, token, t->index + 1, t->now);
        e->status = PB__EVAL__STATUS__COMPLETE;
        e->modify_index = ++t->index;
        broker_put_eval(t->b, e, t->now);
        pb__eval__free_unpacked(e, NULL);
        done++;
    }
    t->planned += done;
    broker_reached(t->b, t->index, t->now);
    return done;
}

/* What the broker proposes to cancel is shown as cancelled. */
static void carry_out_proposals(struct bed *t)
{
    for (;;) {
        struct arena *a = arena_new(4 << 20);
        Pb__EvalUpdates *u = broker_take_updates(t->b, a, 1024, t->now);
        for (size_t i = 0; u != NULL && i < u->n_evals; i++)
            put_eval(t, id_number(u->evals[i]->id.data), 0, "system", u->evals[i]->status, 0);
        arena_free(a);
        if (u == NULL)
            return;
    }
}

static void print(const struct bed *t, const char *what, uint64_t evals, double took)
{
    printf("%-56s %8llu %7.2f us each %8.1f KB at most, %7.1f bytes each\n", what,
           (unsigned long long)evals, took * 1e6 / (double)evals, (double)t->memory_most / 1024,
           (double)t->memory_most / (double)evals);
}

/* Nodes go and come, and each change makes an evaluation of every system job; a worker ends ten
 * while a thousand come. */
static void flapping(uint64_t evals)
{
    struct bed t;
    bed_init(&t);
    put_nodes(&t);
    double start = now_s();
    for (uint64_t i = 0; i < evals / SYSTEM_JOBS; i++) {
        put_node(&t, i % NODES, (i / NODES) % 2 != 0);
        for (uint64_t job = 0; job < SYSTEM_JOBS; job++)
            put_eval(&t, t.evals++, job, "system", PB__EVAL__STATUS__PENDING, 0);
        broker_reached(t.b, t.index, t.now);
        if (i % 100 == 99) {
            note_memory(&t);
            work(&t, SYSTEM_JOBS);
            carry_out_proposals(&t);
        }
    }
    char what[80];
    snprintf(what, sizeof(what), "10 system jobs, flapping nodes (%zu were planned)", t.planned);
    print(&t, what, evals, now_s() - start);
    broker_free(t.b);
}

/* So many wait for a class of which nothing is freed; then it is. */
static void blocked(uint64_t evals)
{
    struct bed t;
    bed_init(&t);
    put_nodes(&t);
    double start = now_s();
    for (uint64_t i = 0; i < evals; i++)
        put_eval(&t, t.evals++, i, "batch", PB__EVAL__STATUS__BLOCKED, 3);
    broker_reached(t.b, t.index, t.now);
    note_memory(&t);
    print(&t, "blocked: to take them in", evals, now_s() - start);

    enum { STEPS = 10000 };
    start = now_s();
    for (uint64_t i = 0; i < STEPS; i++) {
        put_node(&t, 4, false);
        put_node(&t, 4, true); /* its class fits none of them */
        broker_reached(t.b, t.index, t.now);
    }
    printf("%-56s %8llu %7.2f us each\n", "... room freed that fits none of them, each time",
           (unsigned long long)evals, (now_s() - start) * 1e6 / STEPS);

    start = now_s();
    put_node(&t, 3, false);
    put_node(&t, 3, true);
    broker_reached(t.b, t.index, t.now);
    while (work(&t, IN_HAND) > 0)
        ;
    must(t.planned == evals);
    print(&t, "... room that may fit all: woken, planned, done", t.planned, now_s() - start);
    broker_free(t.b);
}

/* So many of different jobs come at once. */
static void children(uint64_t evals)
{
    struct bed t;
    bed_init(&t);
    double start = now_s();
    for (uint64_t i = 0; i < evals; i++)
        put_eval(&t, t.evals++, i, "batch", PB__EVAL__STATUS__PENDING, 0);
    broker_reached(t.b, t.index, t.now);
    note_memory(&t);
    while (work(&t, IN_HAND) > 0)
        ;
    must(t.planned == evals);
    print(&t, "pending, each of a job of its own: taken in, planned", evals, now_s() - start);
    broker_free(t.b);
}

int main(void)
{
    flapping(10000);
    flapping(100000);
    flapping(500000);
    blocked(1000);
    blocked(10000);
    blocked(50000);
    children(1000);
    children(10000);
    children(100000);
    return 0;
}
