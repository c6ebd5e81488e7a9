/* Random clusters and jobs that ask for everything at once: constraints, distinct hosts and
 * properties, affinity, spread, ports, several groups. The seed is in each message. */
#include "naive.h"
#include "pieces.h"
#include "sched/reconcile.h"
#include "sched/sched.h"
#include "wire/wire.h"
#include "world.h"
#include <criterion/criterion.h>
#include <string.h>

#define SEEDS 200

static const char *const racks[] = {"r1", "r2", "r3", "r4"};
static const char *const zones[] = {"a", "b"};
static const char *const datacenters[] = {"dc1", "dc*", "d?2", "*", "eu-*"};
static const char *const pools[] = {NULL, "default", "gpu", "all"};
static const char *const attributes[] = {"${attr.rack}", "${attr.zone}", "${attr.unique.name}"};

/* What is given piece by piece: up to six cores, and devices of three models. */
static void add_pieces(struct onejob *c, Pb__Node *node, struct prng *r)
{
    static const char *const models[][2] = {
        {"acme/fpga/f1", "7 GiB"}, {"acme/gpu/x1", "8000 MB"}, {"acme/gpu/x2", "16 GiB"}};
    node->has_cores = 1;
    node->cores = 1 + (uint32_t)prng_below(r, 6);
    node_list_cores(c->arena, node, node->cores - (uint32_t)prng_below(r, 2));
    for (size_t i = 0; i < 3; i++) {
        if (prng_below(r, 2) == 0)
            continue;
        Pb__NodeDevice *d = a_device(c->arena, models[i][0], prng_below(r, 2) ? "a b c d" : "a b");
        device_attribute(c->arena, d, "memory", models[i][1]);
        d->instances[0]->healthy = prng_below(r, 3) > 0;
        node_add_device(c->arena, node, d);
    }
}

static Pb__RequestedDevice *random_request(struct onejob *c, struct prng *r)
{
    static const char *const names[] = {"gpu", "gpu", "acme/gpu", "acme/gpu/x2", "fpga"};
    Pb__RequestedDevice *d = arena_array(c->arena, Pb__RequestedDevice, 1);
    pb__requested_device__init(d);
    d->name = arena_strdup(c->arena, names[prng_below(r, 5)]);
    d->has_count = 1;
    d->count = 1 + prng_below(r, 2);
    d->constraints = arena_array(c->arena, Pb__Constraint *, 1);
    d->affinities = arena_array(c->arena, Pb__Affinity *, 2);
    if (prng_below(r, 3) == 0)
        d->constraints[d->n_constraints++] = a_constraint(
            c->arena, "${device.attr.memory}", ">=", prng_below(r, 2) ? "7000 MB" : "8 GiB");
    for (size_t n = prng_below(r, 3); n > 0; n--) {
        Pb__Affinity *f = d->affinities[d->n_affinities++] = arena_array(c->arena, Pb__Affinity, 1);
        pb__affinity__init(f);
        f->l_target = arena_strdup(c->arena, "${device.model}");
        f->operand = arena_strdup(c->arena, "=");
        f->r_target = arena_strdup(c->arena, prng_below(r, 2) ? "x1" : "x2");
        f->has_weight = 1;
        f->weight = prng_below(r, 3) ? 60 : -40;
    }
    return d;
}

static void ask_for_pieces(struct onejob *c, Pb__TaskGroup *g, struct prng *r)
{
    Pb__Resources *ask = g->tasks[0]->resources;
    if (prng_below(r, 2) == 0) {
        ask->has_cores = 1;
        ask->cores = 1 + (uint32_t)prng_below(r, 2);
        ask->cpu = 0;
    }
    ask->devices = arena_array(c->arena, Pb__RequestedDevice *, 2);
    for (size_t n = prng_below(r, 3); n > 0; n--)
        ask->devices[ask->n_devices++] = random_request(c, r);
}

static void add_nodes(struct onejob *c, struct prng *r, bool pieces)
{
    size_t n = 1 + prng_below(r, 24);
    for (size_t i = 0; i < n; i++) {
        Pb__Node *node = onejob_add_node(c, 500 + (uint32_t)prng_below(r, 4) * 500,
                                         512 + (uint32_t)prng_below(r, 4) * 512, 10000);
        if (prng_below(r, 8) > 0)
            node_set_attribute(c, node, "rack", racks[prng_below(r, 4)]);
        node_set_attribute(c, node, "zone", zones[prng_below(r, 2)]);
        node_set_attribute(c, node, "cores", prng_below(r, 2) ? "8" : "16");
        node_set_attribute(c, node, "unique.name", node->name);
        if (prng_below(r, 12) == 0)
            node->datacenter = arena_strdup(c->arena, prng_below(r, 2) ? "dc2" : "eu-1");
        if (prng_below(r, 5) == 0)
            node->node_pool = arena_strdup(c->arena, prng_below(r, 2) ? "gpu" : "default");
        if (prng_below(r, 12) == 0)
            node->drivers[0]->healthy = 0;
        if (prng_below(r, 12) == 0)
            node->eligibility = PB__NODE__ELIGIBILITY__INELIGIBLE;
        if (pieces)
            add_pieces(c, node, r);
    }
}

static Pb__Constraint *random_constraint(struct onejob *c, struct prng *r)
{
    struct arena *a = c->arena;
    switch (prng_below(r, 8)) {
    case 0:
        return a_constraint(a, "${attr.rack}", "!=", racks[prng_below(r, 4)]);
    case 1:
        return a_constraint(a, "${attr.rack}", "regexp", "^r[1-3]$");
    case 2:
        return a_constraint(a, "${attr.cores}", ">=", "9");
    case 3:
        return a_constraint(a, "${attr.unique.name}", "regexp", "[02468]");
    case 4:
        return a_constraint(a, "${attr.rack}", "is_set", "");
    case 5:
        return a_constraint(a, "", "distinct_hosts", "true");
    default:
        return a_constraint(a, attributes[prng_below(r, 3)], "distinct_property",
                            prng_below(r, 2) ? "1" : "3");
    }
}

static Pb__Affinity *random_affinity(struct onejob *c, struct prng *r)
{
    Pb__Affinity *f = arena_array(c->arena, Pb__Affinity, 1);
    pb__affinity__init(f);
    bool by_name = prng_below(r, 4) == 0;
    f->l_target = arena_strdup(c->arena, by_name ? "${attr.unique.name}" : "${attr.rack}");
    f->operand = arena_strdup(c->arena, by_name ? "regexp" : "=");
    f->r_target = arena_strdup(c->arena, by_name ? "[13]" : racks[prng_below(r, 4)]);
    f->has_weight = 1;
    f->weight = (int32_t)prng_below(r, 200) - 100;
    if (f->weight == 0)
        f->weight = 100;
    return f;
}

static Pb__Spread *random_spread(struct onejob *c, struct prng *r)
{
    Pb__Spread *s = arena_array(c->arena, Pb__Spread, 1);
    pb__spread__init(s);
    s->attribute = arena_strdup(c->arena, attributes[prng_below(r, 3)]);
    s->has_weight = 1;
    s->weight = 1 + (int32_t)prng_below(r, 100);
    uint32_t left = 100;
    size_t targets = prng_below(r, 2) ? 0 : 1 + prng_below(r, 3);
    s->spread_target = arena_array(c->arena, Pb__SpreadTarget *, 4);
    for (size_t i = 0; i < targets; i++) {
        Pb__SpreadTarget *t = arena_array(c->arena, Pb__SpreadTarget, 1);
        pb__spread_target__init(t);
        bool zone = strcmp(s->attribute, "${attr.zone}") == 0;
        t->value = arena_strdup(c->arena, zone ? zones[i % 2] : racks[i]);
        t->has_percent = 1;
        t->percent = 1 + (uint32_t)prng_below(r, left - 5);
        left -= t->percent;
        if (zone && i == 2)
            break;
        s->spread_target[s->n_spread_target++] = t;
        if (left < 10)
            break;
    }
    return s;
}

static void add_wishes(struct onejob *c, Pb__TaskGroup *g, struct prng *r)
{
    g->affinities = arena_array(c->arena, Pb__Affinity *, 4);
    g->spreads = arena_array(c->arena, Pb__Spread *, 4);
    for (size_t n = prng_below(r, 3); n > 0; n--)
        g->constraints[g->n_constraints++] = random_constraint(c, r);
    for (size_t n = prng_below(r, 3); n > 0; n--)
        g->affinities[g->n_affinities++] = random_affinity(c, r);
    for (size_t n = prng_below(r, 3); n > 0; n--)
        g->spreads[g->n_spreads++] = random_spread(c, r);
    if (prng_below(r, 3) == 0)
        group_add_port(c, g, "http", 0);
    if (prng_below(r, 8) == 0)
        group_add_port(c, g, "fixed", 8080);
}

static Pb__TaskGroup *add_group(struct onejob *c, Pb__Job *job, struct prng *r)
{
    Pb__TaskGroup *g = (Pb__TaskGroup *)wire_clone(c->arena, &job->task_groups[0]->base);
    g->name = arena_printf(c->arena, "g%zu", job->n_task_groups);
    g->constraints = arena_array(c->arena, Pb__Constraint *, 8);
    g->networks = arena_array(c->arena, Pb__Network *, 2);
    g->count = (uint32_t)prng_below(r, 20);
    job->task_groups[job->n_task_groups++] = g;
    return g;
}

static const char *const volume_names[] = {"scratch", "certs"};

/* After all else, so that the other worlds stay as they are. */
static void add_volumes(struct onejob *c, const Pb__Job *job, struct prng *r)
{
    for (size_t i = 0; i < c->node_count; i++) {
        Pb__Node *n = c->nodes[i];
        n->host_volumes = arena_array(c->arena, Pb__HostVolume *, 2);
        for (size_t k = 0; k < COUNT_OF(volume_names); k++) {
            if (prng_below(r, 3) == 0)
                continue;
            Pb__HostVolume *v = arena_array(c->arena, Pb__HostVolume, 1);
            pb__host_volume__init(v);
            v->name = arena_strdup(c->arena, volume_names[k]);
            v->has_read_only = true;
            v->read_only = prng_below(r, 3) == 0;
            n->host_volumes[n->n_host_volumes++] = v;
        }
    }
    for (size_t i = 0; i < job->n_task_groups; i++) {
        Pb__TaskGroup *g = job->task_groups[i];
        Pb__VolumeRequest *v = arena_array(c->arena, Pb__VolumeRequest, 1);
        pb__volume_request__init(v);
        v->name = arena_strdup(c->arena, "v");
        v->has_read_only = true;
        v->source = arena_strdup(c->arena, volume_names[prng_below(r, 2)]);
        v->read_only = prng_below(r, 2) == 0;
        g->volumes = arena_array(c->arena, Pb__VolumeRequest *, 1);
        g->volumes[g->n_volumes++] = v;
    }
}

static void make_sticky(struct onejob *c, Pb__TaskGroup *g)
{
    g->ephemeral_disk = arena_array(c->arena, Pb__EphemeralDisk, 1);
    pb__ephemeral_disk__init(g->ephemeral_disk);
    g->ephemeral_disk->has_sticky = g->ephemeral_disk->sticky = 1;
}

static void make_world(struct onejob *c, struct prng *r, unsigned seed)
{
    prng_seed(r, seed);
    onejob_init(c);
    bool pieces = seed % 3 == 0;
    add_nodes(c, r, pieces);
    Pb__Job *job =
        onejob_set_job(c, prng_below(r, 2) ? "service" : "batch", (uint32_t)prng_below(r, 40),
                       10 + (uint32_t)prng_below(r, 300), 10 + (uint32_t)prng_below(r, 300));
    if (prng_below(r, 3) == 0) {
        const char *pool = pools[prng_below(r, 4)];
        job->datacenters[0] = arena_strdup(c->arena, datacenters[prng_below(r, 5)]);
        job->node_pool = pool != NULL ? arena_strdup(c->arena, pool) : NULL;
    }
    job->affinities = arena_array(c->arena, Pb__Affinity *, 4);
    job->spreads = arena_array(c->arena, Pb__Spread *, 4);
    if (prng_below(r, 4) == 0)
        job->scheduler_algorithm = arena_strdup(c->arena, "spread");
    for (size_t n = prng_below(r, 3); n > 0; n--)
        add_group(c, job, r);
    for (size_t i = 0; i < job->n_task_groups; i++)
        add_wishes(c, job->task_groups[i], r);
    for (size_t i = 0; pieces && i < job->n_task_groups; i++)
        ask_for_pieces(c, job->task_groups[i], r);
    if (prng_below(r, 4) == 0)
        job->constraints[job->n_constraints++] = random_constraint(c, r);
    if (prng_below(r, 4) == 0)
        job->affinities[job->n_affinities++] = random_affinity(c, r);
    if (prng_below(r, 4) == 0)
        job->spreads[job->n_spreads++] = random_spread(c, r);
    if (seed % 4 == 1)
        add_volumes(c, job, r);
    for (size_t i = 0; seed % 5 == 2 && i < job->n_task_groups; i++)
        make_sticky(c, job->task_groups[i]);
    if (seed % 7 == 3)
        world_make_disk_scarce(c, r);
}

static void random_event(struct onejob *c, struct prng *r)
{
    Pb__Node *node = c->nodes[prng_below(r, c->node_count)];
    Pb__Alloc *alloc =
        c->view.n_allocs > 0 ? c->view.allocs[prng_below(r, c->view.n_allocs)] : NULL;
    Pb__Job *job;
    switch (prng_below(r, 8)) {
    case 0:
        node->status = PB__NODE__STATUS__DOWN;
        break;
    case 1:
        node->status = PB__NODE__STATUS__READY;
        break;
    case 2:
        job = onejob_next_version(c);
        job->task_groups[prng_below(r, job->n_task_groups)]->count = (uint32_t)prng_below(r, 40);
        break;
    case 3:
        onejob_next_version(c)->task_groups[0]->tasks[0]->user =
            arena_printf(c->arena, "u%u", (unsigned)prng_below(r, 1000));
        break;
    default:
        if (alloc != NULL && !alloc_is_terminal(alloc))
            onejob_end_alloc(c, alloc,
                             prng_below(r, 2) ? PB__ALLOC__CLIENT_STATUS__COMPLETE
                                              : PB__ALLOC__CLIENT_STATUS__FAILED);
    }
}

Test(place_property, every_placement_is_the_best_that_the_rules_allow)
{
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct onejob c;
        struct prng r;
        make_world(&c, &r, seed);
        for (int step = 0; step < 6; step++) {
            struct arena *a = arena_new(1 << 28);
            Pb__Plan *plan = onejob_plan(&c, a);
            naive_check(&c, plan, arena_printf(a, "seed %u, step %d", seed, step));
            onejob_apply(&c, plan); /* checks capacity and ports */
            Pb__Plan *again = onejob_plan(&c, a);
            cr_assert_eq(again->n_placements + again->n_stops + again->n_in_place, 0,
                         "seed %u, step %d: planning again changes something", seed, step);
            arena_free(a);
            random_event(&c, &r);
        }
        onejob_fini(&c);
    }
}

Test(place_property, every_value_gets_its_share_where_there_is_room)
{
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct onejob c;
        struct prng r;
        make_world(&c, &r, seed);
        struct arena *a = arena_new(1 << 28);
        naive_check_shares(&c, onejob_plan(&c, a), arena_printf(a, "seed %u", seed));
        arena_free(a);
        onejob_fini(&c);
    }
}

Test(place_property, the_order_of_nodes_and_allocations_does_not_show)
{
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct onejob c;
        struct prng r;
        make_world(&c, &r, seed);
        struct arena *a = arena_new(1 << 28);
        onejob_apply(&c, onejob_plan(&c, a));
        onejob_next_version(&c)->task_groups[0]->count += (uint32_t)prng_below(&r, 30);
        Pb__Plan *first = onejob_plan(&c, a);
        for (size_t i = c.view.n_allocs; i > 1; i--) {
            size_t k = prng_below(&r, i);
            Pb__Alloc *x = c.view.allocs[i - 1];
            c.view.allocs[i - 1] = c.view.allocs[k];
            c.view.allocs[k] = x;
        }
        struct fleet *f = fleet_new();
        onejob_fill(&c, f, &r);
        Pb__Plan *second = sched_plan(a, f, &c.view, &c.eval, c.index, NULL);
        cr_assert(wire_equal(&first->base, &second->base), "seed %u: another order, another plan",
                  seed);
        cr_assert_eq(first->n_stops, 0, "seed %u: more of one group moved what runs", seed);
        fleet_free(f);
        arena_free(a);
        onejob_fini(&c);
    }
}

/* The same world with and without the wish: where all fits the plans are one, else there is none.
 */
Test(place_property, all_at_once_is_all_or_nothing)
{
    size_t whole = 0, nothing = 0;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct onejob c;
        struct prng r;
        make_world(&c, &r, seed);
        struct arena *a = arena_new(1 << 28);
        const Pb__Plan *apart = onejob_plan(&c, a);
        c.view.job->has_all_at_once = c.view.job->all_at_once = 1;
        const Pb__Plan *together = onejob_plan(&c, a);
        size_t missing = 0, wanted = apart->n_placements;
        for (size_t i = 0; i < apart->n_queued; i++)
            wanted += apart->queued[i]->count;
        for (size_t i = 0; i < together->n_queued; i++)
            missing += together->queued[i]->count;
        bool fits = apart->n_failed_groups == 0;
        cr_assert_eq(together->n_placements, fits ? wanted : 0, "seed %u", seed);
        cr_assert_eq(missing, fits ? 0 : wanted, "seed %u", seed);
        cr_assert_eq(together->n_failed_groups, apart->n_failed_groups, "seed %u", seed);
        cr_assert_eq(together->create_blocked, apart->create_blocked, "seed %u", seed);
        for (size_t i = 0; i < together->n_placements; i++)
            cr_assert(wire_equal(&together->placements[i]->base, &apart->placements[i]->base),
                      "seed %u: placed elsewhere", seed);
        whole += fits;
        nothing += !fits;
        onejob_apply(&c, together);
        arena_free(a);
        onejob_fini(&c);
    }
    cr_assert(whole > 20 && nothing > 20, "%zu whole, %zu not", whole, nothing);
}
