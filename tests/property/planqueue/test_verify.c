/* Random plans against a random cluster: what verify lets through always fits, what it refuses does
 * not, and what is in flight counts. The reference is usage_fits on records kept by hand. */
#include "base/arena.h"
#include "base/prng.h"
#include "onejob.h"
#include "pieces.h"
#include "planqueue/verify.h"
#include "sched/fit.h"
#include "wire/grant.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS 500

static void add_grant(struct arena *a, Pb__Placement *p, struct prng *r)
{
    static const char *const ids[] = {"a", "b", "c"};
    Pb__TaskGrant *g = a_grant(a, "t");
    for (size_t n = prng_below(r, 3); n > 0; n--)
        grant_core(a, g, (uint32_t)prng_below(r, 9));
    for (size_t n = prng_below(r, 2); n > 0; n--)
        grant_instance(a, g, "acme/gpu/x1", ids[prng_below(r, 3)]);
    p->grants = arena_array(a, Pb__TaskGrant *, 1);
    p->grants[p->n_grants++] = g;
}

static Pb__Placement *a_placement(struct onejob *c, struct arena *a, struct prng *r)
{
    Pb__Placement *p = arena_array(a, Pb__Placement, 1);
    pb__placement__init(p);
    p->task_group = arena_strdup(a, "g");
    p->has_node_id = 1;
    p->node_id = c->nodes[prng_below(r, c->node_count)]->id;
    p->resources = arena_array(a, Pb__Amount, 1);
    pb__amount__init(p->resources);
    p->resources->has_cpu = p->resources->has_memory_mb = 1;
    p->resources->cpu = (uint32_t)prng_below(r, 400);
    p->resources->memory_mb = (uint32_t)prng_below(r, 400);
    p->ports = arena_array(a, Pb__Port *, 2);
    for (size_t n = prng_below(r, 3); n > 0; n--) {
        Pb__Port *port = p->ports[p->n_ports++] = arena_array(a, Pb__Port, 1);
        pb__port__init(port);
        port->has_value = 1;
        port->value = DYNAMIC_PORT_MIN + (uint32_t)prng_below(r, 12);
    }
    if (prng_below(r, 2) == 0)
        add_grant(a, p, r);
    return p;
}

static Pb__Plan *a_plan(struct onejob *c, struct arena *a, struct prng *r)
{
    Pb__Plan *plan = arena_array(a, Pb__Plan, 1);
    pb__plan__init(plan);
    plan->has_eval_id = plan->has_status = 1;
    plan->eval_id = c->eval.id;
    plan->status = PB__EVAL__STATUS__COMPLETE;
    plan->all_at_once = prng_below(r, 4) == 0;
    plan->placements = arena_array(a, Pb__Placement *, 16);
    for (size_t n = prng_below(r, 12); n > 0; n--)
        plan->placements[plan->n_placements++] = a_placement(c, a, r);
    return plan;
}

static int compare_ports(const void *a, const void *b)
{
    return (int)*(const uint32_t *)a - (int)*(const uint32_t *)b;
}

static const Pb__Node *node_of(const struct onejob *c, const Pb__Placement *p)
{
    for (size_t i = 0; i < c->node_count; i++)
        if (id_equal(c->nodes[i]->id.data, p->node_id.data))
            return c->nodes[i];
    return NULL;
}

static bool ready(const struct onejob *c, const Pb__Placement *p)
{
    return node_of(c, p)->status == PB__NODE__STATUS__READY;
}

static bool reference_fits(struct onejob *c, const Pb__Placement *p)
{
    const Pb__NodeUsage *u = onejob_usage(c, p->node_id.data);
    return ready(c, p) && usage_fits(u, p->resources, p->ports, p->n_ports) == FIT &&
           grants_fit(u, node_of(c, p), p->grants, p->n_grants) == FIT;
}

struct using
{
    struct onejob *c;
    Pb__NodeUsage *usage;
    int sign;
};

static void use_core(void *self, uint32_t core)
{
    const struct using *x = self;
    Pb__NodeUsage *u = x->usage;
    if (x->sign > 0)
        u->cores[u->n_cores++] = core;
    for (size_t i = 0; x->sign < 0 && i < u->n_cores; i++)
        if (u->cores[i] == core) {
            u->cores[i] = u->cores[--u->n_cores];
            return;
        }
}

static void use_device(void *self, const char *name)
{
    const struct using *x = self;
    Pb__NodeUsage *u = x->usage;
    if (x->sign > 0)
        u->devices[u->n_devices++] = arena_strdup(x->c->arena, name);
    for (size_t i = 0; x->sign < 0 && i < u->n_devices; i++)
        if (strcmp(u->devices[i], name) == 0) {
            u->devices[i] = u->devices[--u->n_devices];
            return;
        }
}

static void reference_use(struct onejob *c, const Pb__Placement *p, int sign)
{
    Pb__NodeUsage *u = onejob_usage(c, p->node_id.data);
    u->used->cpu += (uint32_t)(sign * (int)p->resources->cpu);
    u->used->memory_mb += (uint32_t)(sign * (int)p->resources->memory_mb);
    for (size_t i = 0; i < p->n_ports; i++) {
        if (sign > 0) {
            u->ports[u->n_ports++] = p->ports[i]->value;
            continue;
        }
        for (size_t k = 0; k < u->n_ports; k++)
            if (u->ports[k] == p->ports[i]->value) {
                u->ports[k] = u->ports[--u->n_ports];
                break;
            }
    }
    qsort(u->ports, u->n_ports, sizeof(*u->ports), compare_ports);
    grants_each(p->grants, p->n_grants,
                &(struct grant_visitor){&(struct using){c, u, sign}, use_core, use_device});
}

static bool is_accepted(const struct verified *v, const Pb__Placement *p)
{
    for (size_t i = 0; v->plan != NULL && i < v->plan->n_placements; i++)
        if (v->plan->placements[i] == p)
            return true;
    return false;
}

/* The reference takes the placements one after another; those of a plan that is refused whole are
 * given back. */
static void check_plan(struct onejob *c, const Pb__Plan *plan, const struct verified *v,
                       unsigned seed)
{
    bool took[16];
    uint32_t refused = 0;
    for (size_t i = 0; i < plan->n_placements; i++) {
        took[i] = reference_fits(c, plan->placements[i]);
        refused += !took[i];
        if (took[i])
            reference_use(c, plan->placements[i], 1);
    }
    cr_assert_eq(v->refused, refused, "seed %u: %u refused, not %u", seed, v->refused, refused);
    uint32_t told = 0;
    for (size_t i = 0; i < v->refusal_count; i++)
        told += v->refusals[i]->placements;
    cr_assert_eq(told, refused, "seed %u", seed);
    if (refused == 0)
        cr_assert_eq(v->plan, plan, "seed %u: a plan that fits was changed", seed);
    else if (v->plan != NULL)
        cr_assert(!plan->all_at_once && !v->plan->has_status, "seed %u: cut, but ended", seed);
    for (size_t i = 0; i < plan->n_placements; i++) {
        if (v->plan != NULL)
            cr_assert_eq(is_accepted(v, plan->placements[i]), took[i], "seed %u", seed);
        else if (took[i])
            reference_use(c, plan->placements[i], -1);
    }
}

static void add_node(struct onejob *c)
{
    Pb__Node *n = onejob_add_node(c, 1000, 1000, 1000);
    node_list_cores(c->arena, n, 8);
    node_add_device(c->arena, n, a_device(c->arena, "acme/gpu/x1", "a b"));
}

Test(verify_property, takes_what_fits_and_nothing_else)
{
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct onejob c;
        struct prng r;
        prng_seed(&r, seed);
        onejob_init(&c);
        for (size_t n = 1 + prng_below(&r, 6); n > 0; n--)
            add_node(&c);
        if (prng_below(&r, 3) == 0)
            c.nodes[0]->status = PB__NODE__STATUS__DOWN;
        struct fleet *f = onejob_fleet(&c), *untouched = onejob_fleet(&c);
        struct hold *holds[20];
        for (size_t i = 0; i < 20; i++) {
            Pb__Plan *plan = a_plan(&c, c.arena, &r);
            struct verified v;
            verify_plan(c.arena, f, plan, &v);
            check_plan(&c, plan, &v, seed);
            cr_assert_eq(v.hold == NULL, v.plan == NULL, "seed %u", seed);
            holds[i] = v.hold;
            fleet_check(f);
        }
        /* Released, they leave nothing behind. */
        for (size_t i = 0; i < 20; i++)
            fleet_release(f, holds[i]);
        fleet_check(f);
        for (size_t i = 0; i < c.node_count; i++) {
            uint32_t slot = fleet_slot(f, c.nodes[i]->id.data);
            cr_assert_eq(fleet_room(f, slot).cpu, fleet_room(untouched, slot).cpu, "seed %u", seed);
            Pb__TaskGrant *all = a_grant(c.arena, "t");
            for (uint32_t core = 0; core < 8; core++)
                grant_core(c.arena, all, core);
            cr_assert_eq(fleet_grants_fit(f, slot, &all, 1, false), FIT, "seed %u: a core stays",
                         seed);
        }
        fleet_free(f);
        fleet_free(untouched);
        onejob_fini(&c);
    }
}

Test(verify, what_a_refused_placement_was_to_replace_goes_on)
{
    struct onejob c;
    onejob_init(&c);
    Pb__Node *n = onejob_add_node(&c, 1000, 1000, 1000);
    onejob_set_job(&c, "service", 2, 10, 10);
    Pb__Alloc *kept = onejob_add_alloc(&c, "g", 0, n), *lost = onejob_add_alloc(&c, "g", 1, n);
    Pb__Stop stops[2] = {PB__STOP__INIT, PB__STOP__INIT}, *stop_list[] = {&stops[0], &stops[1]};
    Pb__Placement new[2] = {PB__PLACEMENT__INIT, PB__PLACEMENT__INIT}, *list[] = {&new[0], &new[1]};
    Pb__Amount ask = PB__AMOUNT__INIT;
    ask.cpu = 5000;
    for (size_t i = 0; i < 2; i++) {
        stops[i].has_alloc_id = new[i].has_previous_alloc = new[i].has_node_id = 1;
        stops[i].alloc_id = new[i].previous_alloc = i == 0 ? kept->id : lost->id;
        new[i].node_id = n->id;
        new[i].resources = &ask;
    }
    stops[1].client_status = PB__ALLOC__CLIENT_STATUS__LOST;
    Pb__Plan plan = PB__PLAN__INIT;
    plan.stops = stop_list, plan.n_stops = 2;
    plan.placements = list, plan.n_placements = 2;
    plan.has_status = plan.has_create_blocked = plan.create_blocked = 1;
    plan.status = PB__EVAL__STATUS__COMPLETE;
    struct fleet *f = onejob_fleet(&c);
    struct verified v;
    verify_plan(c.arena, f, &plan, &v);
    cr_assert_not_null(v.plan);
    cr_assert_eq(v.plan->n_placements, 0);
    cr_assert_eq(v.plan->n_stops, 1);
    cr_assert_eq(v.plan->stops[0], &stops[1]);
    cr_assert(!v.plan->has_status && !v.plan->create_blocked);
    cr_assert_eq(plan.n_stops, 2, "the plan itself is untouched");
    cr_assert_str_eq(v.refusals[0]->reason, "cpu");
    fleet_free(f);
    onejob_fini(&c);
}

/* A plan that displaces takes over what is used, but not what a plan on its way has. */
Test(verify, pieces_of_who_is_displaced_count_as_free_once)
{
    struct onejob c;
    struct verified v[2];
    onejob_init(&c);
    Pb__Node *n = onejob_add_node(&c, 4000, 4000, 4000);
    node_list_cores(c.arena, n, 1);
    c.usages[0]->cores = arena_array(c.arena, uint32_t, 1);
    c.usages[0]->n_cores = 1; /* core 0 */
    Pb__Displaced d = PB__DISPLACED__INIT, *displaced[] = {&d};
    Pb__TaskGrant *grants[] = {a_grant(c.arena, "t")};
    Pb__Placement at = PB__PLACEMENT__INIT, *placements[] = {&at};
    Pb__Plan plan = PB__PLAN__INIT;
    grant_core(c.arena, grants[0], 0);
    at.has_node_id = 1;
    at.node_id = n->id;
    at.n_grants = 1;
    at.grants = grants;
    at.preempts = displaced;
    plan.n_placements = 1;
    plan.placements = placements;
    struct fleet *f = onejob_fleet(&c);
    verify_plan(c.arena, f, &plan, &v[0]);
    cr_assert_eq(v[0].refused, 1, "somebody has it");
    at.n_preempts = 1;
    verify_plan(c.arena, f, &plan, &v[0]);
    cr_assert_eq(v[0].refused, 0);
    verify_plan(c.arena, f, &plan, &v[1]);
    cr_assert_eq(v[1].refused, 1, "it is given over already");
    fleet_release(f, v[0].hold);
    fleet_check(f);
    fleet_free(f);
    onejob_fini(&c);
}
