/* Displacing less important allocations, on random nodes, against a reference that tries every
 * subset of what runs on a node. */
#include "onejob.h"
#include "sched/fit.h"
#include "sched/sched.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define SEEDS  400
#define OTHERS 9 /* on one node, at most */

struct case_ {
    struct onejob c;
    Pb__Alloc *others[ONEJOB_NODES * OTHERS];
    size_t count;
    bool gone[ONEJOB_NODES * OTHERS]; /* by the plan */
};

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
        onejob_add_node(&k->c, 1000, 1024, 10000);
        for (size_t n = prng_below(r, OTHERS + 1); n > 0; n--)
            add_other(k, r, i);
    }
    job->has_priority = 1;
    job->priority = 10 * (1 + (uint32_t)prng_below(r, 10));
    if (prng_below(r, 3) == 0)
        group_add_port(&k->c, job->task_groups[0], "fixed", 8080);
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
                    int64_t *cpu, int64_t *memory, bool *port, struct set *s)
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
        s->count++;
        if (x->priority > s->priority)
            s->priority = x->priority;
    }
    return true;
}

/* The best set of all nodes. */
static bool best_set(const struct case_ *k, struct set *best)
{
    const Pb__Resources *ask = k->c.view.job->task_groups[0]->tasks[0]->resources;
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
            if (!without(k, here, n, mask, &cpu, &memory, &port, &s) || cpu < ask->cpu ||
                memory < ask->memory_mb || (asks_port(k) && !port))
                continue;
            s.excess = over(cpu, ask->cpu, u->capacity->cpu) +
                       over(memory, ask->memory_mb, u->capacity->memory_mb) +
                       (double)(10000 - u->used->disk_mb) / 10000;
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
    }
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
    size_t displacing = 0;
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
        }
        struct set best = {0};
        if (plan->n_failed_groups > 0)
            cr_assert(!best_set(&k, &best), "seed %u: there was one more", seed);
        arena_free(a);
        onejob_fini(&k.c);
    }
    cr_assert_gt(displacing, SEEDS / 4, "only %zu times was anything displaced", displacing);
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
