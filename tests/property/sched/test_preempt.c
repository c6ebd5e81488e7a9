/* Displacing less important allocations, on random nodes, against a reference that tries every
 * subset of what runs on a node. */
#include "onejob.h"
#include "pieces.h"
#include "sched/fit.h"
#include "sched/sched.h"
#include "wire/grant.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define SEEDS  400
#define OTHERS 9 /* on one node, at most */
#define CORES  4
#define MHZ    250 /* of a core */

/* Cores in the low bits, then the instances a and b of each of two models. */
#define ALL_CORES     0x0fu
#define ALL_INSTANCES 0xf0u
static const unsigned models[] = {0x30u, 0xc0u};
static const char *const model_names[] = {"acme/gpu/x1", "acme/gpu/x2"};
static const char *const instance_names[] = {"acme/gpu/x1/a", "acme/gpu/x1/b", "acme/gpu/x2/a",
                                             "acme/gpu/x2/b"};

struct case_ {
    struct onejob c;
    Pb__Alloc *others[ONEJOB_NODES * OTHERS];
    size_t count;
    bool gone[ONEJOB_NODES * OTHERS];       /* by the plan */
    unsigned pieces[ONEJOB_NODES * OTHERS]; /* that it has */
    unsigned free[ONEJOB_NODES];            /* by node: pieces that nobody has */
};

/* ---- pieces */

static unsigned count_of(unsigned bits)
{
    return (unsigned)__builtin_popcount(bits);
}

static void list_pieces(struct case_ *k, size_t node)
{
    Pb__Node *n = k->c.nodes[node];
    n->has_cores = 1;
    n->cores = CORES;
    node_list_cores(k->c.arena, n, CORES);
    for (size_t i = 0; i < 2; i++)
        node_add_device(k->c.arena, n, a_device(k->c.arena, model_names[i], "a b"));
    k->free[node] = ALL_CORES | ALL_INSTANCES;
}

static void grant_bits(struct arena *a, Pb__TaskGrant *g, unsigned bits)
{
    for (unsigned i = 0; i < CORES; i++)
        if (bits >> i & 1)
            grant_core(a, g, i);
    for (unsigned i = 0; i < 4; i++)
        if (bits >> (CORES + i) & 1)
            grant_instance(a, g, model_names[i / 2], i % 2 == 0 ? "a" : "b");
}

static void core_bit(void *self, uint32_t core)
{
    *(unsigned *)self |= 1u << core;
}

static void instance_bit(void *self, const char *name)
{
    for (unsigned i = 0; i < 4; i++)
        if (strcmp(instance_names[i], name) == 0)
            *(unsigned *)self |= 1u << (CORES + i);
}

static unsigned bits_of(Pb__TaskGrant *const *grants, size_t count)
{
    unsigned bits = 0;
    grants_each(grants, count, &(struct grant_visitor){&bits, core_bit, instance_bit});
    return bits;
}

/* What the usages say of them. */
static void write_used(struct case_ *k)
{
    for (size_t node = 0; node < k->c.node_count; node++) {
        Pb__NodeUsage *u = k->c.usages[node];
        unsigned used = ~k->free[node];
        u->cores = arena_array(k->c.arena, uint32_t, CORES);
        u->devices = arena_array(k->c.arena, char *, 4);
        u->n_cores = u->n_devices = 0;
        for (unsigned i = 0; i < CORES; i++)
            if (used >> i & 1)
                u->cores[u->n_cores++] = i;
        for (unsigned i = 0; i < 4; i++)
            if (used >> (CORES + i) & 1)
                u->devices[u->n_devices++] = arena_strdup(k->c.arena, instance_names[i]);
    }
}

static void take_some(struct case_ *k, struct prng *r, size_t node, Pb__Alloc *x)
{
    if (prng_below(r, 2) == 0)
        return;
    unsigned bits = (unsigned)prng_below(r, 256) & (unsigned)prng_below(r, 256) & k->free[node];
    x->grants = arena_array(k->c.arena, Pb__TaskGrant *, 1);
    x->grants[0] = a_grant(k->c.arena, "t");
    x->n_grants = 1;
    grant_bits(k->c.arena, x->grants[0], bits);
    k->pieces[k->count] = bits;
    k->free[node] &= ~bits;
}

static void ask_for_pieces(struct case_ *k, struct prng *r)
{
    struct arena *a = k->c.arena;
    Pb__Resources *ask = k->c.view.job->task_groups[0]->tasks[0]->resources;
    uint64_t what = prng_below(r, 4);
    if (what == 1 || what == 3) {
        ask->has_cores = 1;
        ask->cores = 1 + (uint32_t)prng_below(r, 3);
        ask->cpu = 0;
    }
    if (what < 2)
        return;
    Pb__RequestedDevice *d = arena_array(a, Pb__RequestedDevice, 1);
    pb__requested_device__init(d);
    d->name = arena_strdup(a, "gpu");
    d->has_count = 1;
    d->count = 1 + prng_below(r, 2);
    ask->devices = arena_array(a, Pb__RequestedDevice *, 1);
    ask->devices[ask->n_devices++] = d;
}

static void add_other(struct case_ *k, struct prng *r, size_t node)
{
    struct arena *a = k->c.arena;
    Pb__NodeUsage *u = k->c.usages[node];
    Pb__Alloc *x = onejob_add_alloc(&k->c, "g", 0, k->c.nodes[node]);
    k->c.view.n_allocs--; /* not one of the job's */
    x->job_id = arena_printf(a, "other%u", (unsigned)prng_below(r, 5));
    x->desired = PB__ALLOC__DESIRED__RUN;
    x->has_priority = 1;
    x->priority = 20 + 10 * (uint32_t)prng_below(r, 7);
    x->resources = arena_array(a, Pb__Amount, 1);
    pb__amount__init(x->resources);
    x->resources->has_cpu = x->resources->has_memory_mb = 1;
    x->resources->cpu = 50 * (1 + (uint32_t)prng_below(r, 6));
    x->resources->memory_mb = 64 * (1 + (uint32_t)prng_below(r, 6));
    x->n_ports = 0;
    if (u->used->cpu + x->resources->cpu > u->capacity->cpu ||
        u->used->memory_mb + x->resources->memory_mb > u->capacity->memory_mb)
        return;
    u->used->cpu += x->resources->cpu;
    u->used->memory_mb += x->resources->memory_mb;
    if (prng_below(r, 4) == 0 && u->n_ports == 0) {
        Pb__Port *port = arena_array(a, Pb__Port, 1);
        pb__port__init(port);
        port->has_value = 1;
        port->value = 8080;
        x->ports = arena_array(a, Pb__Port *, 1);
        x->ports[x->n_ports++] = port;
        u->ports[u->n_ports++] = 8080;
    }
    take_some(k, r, node, x);
    k->others[k->count++] = x;
}

static void make(struct case_ *k, struct prng *r, unsigned seed)
{
    memset(k, 0, sizeof(*k));
    prng_seed(r, seed);
    onejob_init(&k->c);
    Pb__Job *job = onejob_set_job(&k->c, "service", 1 + (uint32_t)prng_below(r, 4),
                                  100 + (uint32_t)prng_below(r, 10) * 100,
                                  100 + (uint32_t)prng_below(r, 10) * 100);
    size_t nodes = 1 + prng_below(r, 6);
    for (size_t i = 0; i < nodes; i++) {
        onejob_add_node(&k->c, CORES * MHZ, 1024, 10000);
        list_pieces(k, i);
        for (size_t n = prng_below(r, OTHERS + 1); n > 0; n--)
            add_other(k, r, i);
    }
    job->has_priority = 1;
    job->priority = 10 * (1 + (uint32_t)prng_below(r, 10));
    if (prng_below(r, 3) == 0)
        group_add_port(&k->c, job->task_groups[0], "fixed", 8080);
    ask_for_pieces(k, r);
    write_used(k);
}

/* ---- the reference */

struct set {
    size_t count;
    uint32_t priority;
    double excess;
    size_t node;
};

static bool asks_port(const struct case_ *k)
{
    return k->c.view.job->task_groups[0]->n_networks > 0;
}

static double over(int64_t free, uint32_t ask, uint32_t total)
{
    return free > ask ? (double)(free - ask) / total : 0;
}

static bool before(const struct case_ *k, const struct set *x, const struct set *y)
{
    if (x->count != y->count)
        return x->count < y->count;
    if (x->priority != y->priority)
        return x->priority < y->priority;
    if (fabs(x->excess - y->excess) > 1e-12)
        return x->excess < y->excess;
    return memcmp(k->c.nodes[x->node]->id.data, k->c.nodes[y->node]->id.data, ID_SIZE) < 0;
}

/* What the node would have if those of the mask were gone; false: one of them may not go. */
static bool without(const struct case_ *k, const size_t *here, size_t n, unsigned mask,
                    int64_t *cpu, int64_t *memory, bool *port, unsigned *freed, struct set *s)
{
    for (size_t i = 0; i < n; i++) {
        if ((mask >> i & 1) == 0)
            continue;
        const Pb__Alloc *x = k->others[here[i]];
        if (k->gone[here[i]] || x->priority + PREEMPT_GAP > k->c.view.job->priority)
            return false;
        *cpu += x->resources->cpu;
        *memory += x->resources->memory_mb;
        *port = *port || x->n_ports > 0;
        *freed |= k->pieces[here[i]];
        s->count++;
        if (x->priority > s->priority)
            s->priority = x->priority;
    }
    return true;
}

static bool pieces_suffice(const Pb__Resources *ask, unsigned free)
{
    bool cores = count_of(free & ALL_CORES) >= ask->cores, devices = ask->n_devices == 0;
    for (size_t i = 0; i < 2 && !devices; i++)
        devices = count_of(free & models[i]) >= ask->devices[0]->count;
    return cores && devices;
}

static double excess_of_pieces(const Pb__Resources *ask, unsigned before, unsigned freed)
{
    unsigned cores = count_of(freed & ALL_CORES);
    if (ask->cores > 0)
        cores += count_of(before & ALL_CORES) - ask->cores;
    return (double)cores / CORES + (double)count_of(freed & ALL_INSTANCES) / 4;
}

/* The best set of all nodes. */
static bool best_set(const struct case_ *k, struct set *best)
{
    const Pb__Resources *ask = k->c.view.job->task_groups[0]->tasks[0]->resources;
    uint32_t ask_cpu = ask->cpu + ask->cores * MHZ;
    bool found = false;
    for (size_t node = 0; node < k->c.node_count; node++) {
        const Pb__NodeUsage *u = k->c.usages[node];
        size_t here[OTHERS], n = 0;
        for (size_t i = 0; i < k->count; i++)
            if (memcmp(k->others[i]->node_id.data, u->node_id.data, ID_SIZE) == 0)
                here[n++] = i;
        for (unsigned mask = 0; mask < 1u << n; mask++) {
            struct set s = {.node = node};
            int64_t cpu = (int64_t)u->capacity->cpu - u->used->cpu,
                    memory = (int64_t)u->capacity->memory_mb - u->used->memory_mb;
            bool port = u->n_ports == 0;
            unsigned freed = 0;
            if (!without(k, here, n, mask, &cpu, &memory, &port, &freed, &s) || cpu < ask_cpu ||
                memory < ask->memory_mb || (asks_port(k) && !port) ||
                !pieces_suffice(ask, k->free[node] | freed))
                continue;
            s.excess = over(cpu, ask_cpu, u->capacity->cpu) +
                       over(memory, ask->memory_mb, u->capacity->memory_mb) +
                       (double)(10000 - u->used->disk_mb) / 10000 +
                       excess_of_pieces(ask, k->free[node], freed);
            if (!found || before(k, &s, best))
                *best = s;
            found = true;
        }
    }
    return found;
}

static size_t node_of(const struct case_ *k, const Pb__Placement *p)
{
    for (size_t i = 0; i < k->c.node_count; i++)
        if (memcmp(k->c.nodes[i]->id.data, p->node_id.data, ID_SIZE) == 0)
            return i;
    cr_assert_fail("a node that is none");
    return 0;
}

/* Carries one placement out, and checks that all of it was right. */
static struct set carry_out(struct case_ *k, const Pb__Placement *p, unsigned seed)
{
    struct set s = {.node = node_of(k, p), .count = p->n_preempts};
    Pb__NodeUsage *u = k->c.usages[s.node];
    for (size_t i = 0; i < p->n_preempts; i++) {
        size_t v = 0;
        while (v < k->count &&
               memcmp(k->others[v]->id.data, p->preempts[i]->alloc_id.data, ID_SIZE) != 0)
            v++;
        cr_assert_lt(v, k->count, "seed %u: nobody is displaced", seed);
        cr_assert(!k->gone[v], "seed %u: displaced twice", seed);
        cr_assert(memcmp(k->others[v]->node_id.data, p->node_id.data, ID_SIZE) == 0, "seed %u",
                  seed);
        cr_assert_leq(k->others[v]->priority + PREEMPT_GAP, k->c.view.job->priority,
                      "seed %u: too important", seed);
        k->gone[v] = true;
        if (k->others[v]->priority > s.priority)
            s.priority = k->others[v]->priority;
        u->used->cpu -= k->others[v]->resources->cpu;
        u->used->memory_mb -= k->others[v]->resources->memory_mb;
        if (k->others[v]->n_ports > 0)
            u->n_ports = 0;
        k->free[s.node] |= k->pieces[v];
    }
    const Pb__Resources *ask = k->c.view.job->task_groups[0]->tasks[0]->resources;
    unsigned given = bits_of(p->grants, p->n_grants);
    cr_assert_eq(given & ~k->free[s.node], 0, "seed %u: a piece that somebody has", seed);
    cr_assert(count_of(given & ALL_CORES) == ask->cores &&
                  count_of(given & ALL_INSTANCES) ==
                      (ask->n_devices > 0 ? ask->devices[0]->count : 0),
              "seed %u: too few pieces", seed);
    k->free[s.node] &= ~given;
    u->used->cpu += p->resources->cpu;
    u->used->memory_mb += p->resources->memory_mb;
    u->used->disk_mb += p->resources->disk_mb;
    cr_assert_leq(u->used->cpu, u->capacity->cpu, "seed %u: too much cpu", seed);
    cr_assert_leq(u->used->memory_mb, u->capacity->memory_mb, "seed %u: too much memory", seed);
    for (size_t i = 0; i < p->n_ports; i++) {
        cr_assert_eq(u->n_ports, 0, "seed %u: a port twice", seed);
        u->ports[u->n_ports++] = p->ports[i]->value;
    }
    return s;
}

static Pb__Plan *plan_with(struct case_ *k, struct arena *a, struct sched_short *nodes)
{
    struct fleet *f = onejob_fleet(&k->c);
    struct sched_options o = {.others = k->others, .other_count = k->count, .short_of_room = nodes};
    Pb__Plan *plan = sched_plan(a, f, &k->c.view, &k->c.eval, 1, &o);
    plan = (Pb__Plan *)wire_clone(a, &plan->base);
    fleet_free(f);
    return plan;
}

Test(preempt_property, the_fewest_least_important_and_nearest_in_size_go)
{
    size_t displacing = 0, for_pieces = 0;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct case_ k;
        struct prng r;
        struct arena *a = arena_new(1 << 28);
        make(&k, &r, seed);
        Pb__Plan *plan = plan_with(&k, a, NULL);
        for (size_t i = 0; i < plan->n_placements; i++) {
            struct set best = {0};
            cr_assert(best_set(&k, &best), "seed %u: placed where nothing fits", seed);
            struct set s = carry_out(&k, plan->placements[i], seed);
            cr_assert_eq(s.count, best.count, "seed %u: %zu go where %zu suffice", seed, s.count,
                         best.count);
            if (s.count == 0 || s.count > 3)
                continue;
            cr_assert_eq(s.priority, best.priority, "seed %u: %u instead of %u", seed, s.priority,
                         best.priority);
            cr_assert_eq(s.node, best.node, "seed %u: on another node", seed);
            displacing++;
            for_pieces += plan->placements[i]->n_grants > 0;
        }
        struct set best = {0};
        if (plan->n_failed_groups > 0)
            cr_assert(!best_set(&k, &best), "seed %u: there was one more", seed);
        arena_free(a);
        onejob_fini(&k.c);
    }
    cr_assert_gt(displacing, SEEDS / 4, "only %zu times was anything displaced", displacing);
    cr_assert_gt(for_pieces, SEEDS / 8, "only %zu times for cores or devices", for_pieces);
}

Test(preempt_property, the_nodes_worth_a_look_are_those_that_lack_only_room)
{
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        static struct case_ k;
        static struct sched_short nodes;
        struct prng r;
        struct arena *a = arena_new(1 << 28);
        make(&k, &r, seed);
        size_t others = k.count;
        k.count = 0;
        nodes = (struct sched_short){0};
        Pb__Plan *plan = plan_with(&k, a, &nodes);
        k.count = others;
        struct set best = {0};
        for (size_t i = 0; i < plan->n_placements; i++)
            carry_out(&k, plan->placements[i], seed);
        if (plan->n_failed_groups > 0 && best_set(&k, &best)) {
            bool listed = false;
            for (size_t i = 0; i < nodes.count; i++)
                listed = listed ||
                         memcmp(nodes.ids[i].bytes, k.c.nodes[best.node]->id.data, ID_SIZE) == 0;
            cr_assert(listed, "seed %u: the best node is not worth a look", seed);
        }
        cr_assert(plan->n_failed_groups > 0 || nodes.count == 0, "seed %u", seed);
        arena_free(a);
        onejob_fini(&k.c);
    }
}
