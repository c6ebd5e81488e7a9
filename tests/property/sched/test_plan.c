/* Random clusters and jobs: what must hold of every plan, whatever the case. The seed is in each
 * message. */
#include "onejob.h"
#include "world.h"
#include "sched/constraint.h"
#include "sched/fit.h"
#include "sched/reconcile.h"
#include "sched/sched.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define SEEDS 400

/* ---- the naive reference */

static const char *attribute(const Pb__Node *n, const char *target)
{
    static char text[ID_TEXT_SIZE];
    if (strncmp(target, "${", 2) != 0)
        return target;
    if (strcmp(target, "${node.unique.id}") == 0) {
        id_format(n->id.data, text);
        return text;
    }
    if (strcmp(target, "${node.datacenter}") == 0)
        return n->datacenter;
    for (size_t i = 0; i < n->n_attributes; i++)
        if (strncmp(target + 7, n->attributes[i]->key, strlen(n->attributes[i]->key)) == 0 &&
            target[7 + strlen(n->attributes[i]->key)] == '}')
            return n->attributes[i]->value;
    return NULL;
}

static bool naive_feasible(const Pb__Job *job, const Pb__TaskGroup *g, const Pb__Node *n)
{
    if (n->status != PB__NODE__STATUS__READY || n->drain ||
        n->eligibility == PB__NODE__ELIGIBILITY__INELIGIBLE)
        return false;
    if (strcmp(n->datacenter, job->datacenters[0]) != 0)
        return false;
    if (!n->drivers[0]->healthy)
        return false;
    for (size_t i = 0; i < g->n_constraints; i++) {
        const char *l = attribute(n, g->constraints[i]->l_target), *r = g->constraints[i]->r_target;
        bool equal = l != NULL && strcmp(l, r) == 0;
        if (strcmp(g->constraints[i]->operand, "distinct_hosts") == 0)
            continue;
        if (equal != (strcmp(g->constraints[i]->operand, "=") == 0))
            return false;
    }
    return true;
}

struct naive {
    int64_t cpu, memory, disk;
    uint32_t collisions;
    bool port_taken;
    bool failed; /* what is to be placed has failed there before */
};

static bool usage_has_port(const Pb__NodeUsage *u, uint32_t port)
{
    for (size_t i = 0; i < u->n_ports; i++)
        if (u->ports[i] == port)
            return true;
    return false;
}

/* -1: it does not fit. */
static double naive_score(const struct onejob *c, const Pb__TaskGroup *g, size_t node,
                          const struct naive *at)
{
    const Pb__NodeUsage *u = c->usages[node];
    const Pb__Resources *ask = g->tasks[0]->resources;
    double cpu = (double)(u->capacity->cpu - u->used->cpu) - (double)at->cpu - ask->cpu;
    double memory =
        (double)(u->capacity->memory_mb - u->used->memory_mb) - (double)at->memory - ask->memory_mb;
    double disk =
        (double)(u->capacity->disk_mb - u->used->disk_mb) - (double)at->disk - ask->disk_mb;
    if (cpu < 0 || memory < 0 || disk < 0 || at->port_taken)
        return -10;
    double packing =
        (20 - pow(10, cpu / u->capacity->cpu) - pow(10, memory / u->capacity->memory_mb)) / 18;
    double sum = packing, parts = 1;
    if (at->collisions > 0)
        sum -= (at->collisions + 1.0) / g->count, parts++;
    if (at->failed)
        sum -= 1, parts++;
    return sum / parts;
}

static size_t node_of(const struct onejob *c, ProtobufCBinaryData id)
{
    for (size_t i = 0; i < c->node_count; i++)
        if (id_equal(c->nodes[i]->id.data, id.data))
            return i;
    cr_assert_fail("placed on a node that is not there");
    return 0;
}

/* Those of an older version that go on only because there is no room for their successors do not
 * count: they are not what the job wants. */
static bool stays(const struct onejob *c, const Pb__Plan *plan, const Pb__Alloc *alloc)
{
    bool current = alloc->job_version == c->view.job->version;
    for (size_t i = 0; i < plan->n_in_place; i++)
        current |= id_equal(plan->in_place[i]->alloc_id.data, alloc->id.data);
    if (!current)
        return false;
    for (size_t i = 0; i < plan->n_stops; i++)
        if (id_equal(plan->stops[i]->alloc_id.data, alloc->id.data))
            return false;
    return alloc->desired == PB__ALLOC__DESIRED__RUN && !alloc_is_terminal(alloc);
}

static const Pb__Alloc *find_previous(const struct onejob *c, const Pb__Placement *p)
{
    for (size_t i = 0; p->previous_alloc.len > 0 && i < c->view.n_allocs; i++)
        if (id_equal(c->view.allocs[i]->id.data, p->previous_alloc.data))
            return c->view.allocs[i];
    return NULL;
}

/* Follows the plan placement by placement: each is on a feasible node that has room, and no other
 * feasible node has a better score. At the end, what was not placed fits nowhere. */
static void check_against_naive(struct onejob *c, const Pb__Plan *plan, unsigned seed)
{
    const Pb__TaskGroup *g = c->view.job->task_groups[0];
    bool distinct = false;
    for (size_t i = 0; i < g->n_constraints; i++)
        distinct |= strcmp(g->constraints[i]->operand, "distinct_hosts") == 0;
    uint32_t fixed = g->n_networks > 0 && g->networks[0]->n_reserved_ports > 0
                         ? g->networks[0]->reserved_ports[0]->value
                         : 0;
    struct naive at[ONEJOB_NODES] = {{0}};
    for (size_t i = 0; i < c->view.n_allocs; i++)
        if (stays(c, plan, c->view.allocs[i]))
            at[node_of(c, c->view.allocs[i]->node_id)].collisions++;
    for (size_t i = 0; i < c->node_count; i++)
        at[i].port_taken = fixed > 0 && usage_has_port(c->usages[i], fixed);
    for (size_t p = 0; p <= plan->n_placements; p++) {
        const Pb__Alloc *previous =
            p < plan->n_placements ? find_previous(c, plan->placements[p]) : NULL;
        for (size_t i = 0; i < c->node_count; i++)
            at[i].failed = previous != NULL &&
                           previous->client_status == PB__ALLOC__CLIENT_STATUS__FAILED &&
                           id_equal(previous->node_id.data, c->nodes[i]->id.data);
        double best = -1e9;
        for (size_t i = 0; i < c->node_count; i++)
            if (naive_feasible(c->view.job, g, c->nodes[i]) && !(distinct && at[i].collisions > 0))
                best = fmax(best, naive_score(c, g, i, &at[i]));
        if (p == plan->n_placements) {
            cr_assert(plan->n_failed_groups == 0 || best < -9,
                      "seed %u: something was not placed though there is room", seed);
            return;
        }
        size_t n = node_of(c, plan->placements[p]->node_id);
        cr_assert(naive_feasible(c->view.job, g, c->nodes[n]), "seed %u: infeasible node", seed);
        cr_assert(!distinct || at[n].collisions == 0, "seed %u: not distinct", seed);
        double score = naive_score(c, g, n, &at[n]);
        cr_assert(score > -9, "seed %u: no room", seed);
        cr_assert(score >= best - 1e-7, "seed %u: %f passed over for %f", seed, best, score);
        at[n].cpu += g->tasks[0]->resources->cpu;
        at[n].memory += g->tasks[0]->resources->memory_mb;
        at[n].disk += g->tasks[0]->resources->disk_mb;
        at[n].collisions++;
        at[n].port_taken = fixed > 0;
    }
}

static Pb__Plan *plan_and_check(struct onejob *c, struct arena *a, unsigned seed)
{
    Pb__Plan *plan = onejob_plan(c, a);
    check_against_naive(c, plan, seed);
    onejob_apply(c, plan); /* checks capacity and ports */
    return plan;
}

/* Planning again changes nothing. */
static void check_converged(struct onejob *c, struct arena *a, unsigned seed)
{
    Pb__Plan *again = onejob_plan(c, a);
    cr_assert_eq(again->n_placements + again->n_stops + again->n_in_place, 0,
                 "seed %u: planning again changes something", seed);
}

Test(plan_property, holds_through_random_histories)
{
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct onejob c;
        struct prng r;
        world_make(&c, &r, seed);
        for (int step = 0; step < 12; step++) {
            struct arena *a = arena_new(1 << 28);
            if (!c.view.job->stop)
                plan_and_check(&c, a, seed);
            else
                onejob_apply(&c, onejob_plan(&c, a));
            check_converged(&c, a, seed);
            arena_free(a);
            world_event(&c, &r);
        }
        onejob_fini(&c);
    }
}

Test(plan_property, depends_on_no_order)
{
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct onejob c;
        struct prng r;
        world_make(&c, &r, seed);
        struct arena *a = arena_new(1 << 28);
        onejob_apply(&c, onejob_plan(&c, a));
        onejob_next_version(&c)->task_groups[0]->count = (uint32_t)prng_below(&r, 60);
        Pb__Plan *first = onejob_plan(&c, a);
        for (size_t i = c.view.n_allocs; i > 1; i--) {
            size_t k = prng_below(&r, i);
            Pb__Alloc *x = c.view.allocs[i - 1];
            c.view.allocs[i - 1] = c.view.allocs[k];
            c.view.allocs[k] = x;
        }
        struct fleet *f = fleet_new();
        onejob_fill(&c, f, &r);
        onejob_fill(&c, f, &r); /* and twice the same */
        Pb__Plan *second = sched_plan(a, f, &c.view, &c.eval, c.index, NULL);
        cr_assert(wire_equal(&first->base, &second->base), "seed %u: another order, another plan",
                  seed);
        fleet_free(f);
        arena_free(a);
        onejob_fini(&c);
    }
}

Test(plan_property, scaling_up_never_touches_what_runs)
{
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct onejob c;
        struct prng r;
        world_make(&c, &r, seed);
        struct arena *a = arena_new(1 << 28);
        onejob_apply(&c, onejob_plan(&c, a));
        size_t ran = onejob_running(&c);
        onejob_next_version(&c)->task_groups[0]->count += (uint32_t)prng_below(&r, 20);
        Pb__Plan *plan = onejob_plan(&c, a);
        cr_assert_eq(plan->n_stops, 0, "seed %u", seed);
        cr_assert_eq(plan->n_in_place, ran, "seed %u", seed);
        arena_free(a);
        onejob_fini(&c);
    }
}

Test(plan_property, small_plans_reach_what_one_large_plan_reaches)
{
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct onejob c;
        struct prng r;
        world_make(&c, &r, seed);
        struct arena *a = arena_new(1 << 28);
        Pb__Plan *large = onejob_plan(&c, a);
        size_t placed = 0;
        for (int round = 0;; round++) {
            cr_assert_lt(round, 100, "seed %u: no end", seed);
            struct fleet *f = onejob_fleet(&c);
            struct sched_options few = {.max_changes = 7};
            Pb__Plan *plan = sched_plan(a, f, &c.view, &c.eval, c.index, &few);
            plan = (Pb__Plan *)wire_clone(a, &plan->base);
            fleet_free(f);
            cr_assert_leq(plan->n_placements, 7, "seed %u", seed);
            onejob_apply(&c, plan);
            placed += plan->n_placements;
            if (plan->has_status)
                break;
        }
        cr_assert_eq(placed, large->n_placements, "seed %u: %zu instead of %zu", seed, placed,
                     large->n_placements);
        arena_free(a);
        onejob_fini(&c);
    }
}
