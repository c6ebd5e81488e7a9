#include "base/err.h"
#include "onejob.h"
#include "sched/reconcile.h"
#include "sched/sched.h"
#include "sched/fit.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static const Pb__CountOf *count_named(Pb__CountOf *const *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i]->name, name) == 0)
            return list[i];
    cr_assert_fail("no count of %s", name);
    return NULL;
}

Test(plan, scores_are_those_of_best_fit)
{
    struct onejob c;
    onejob_init(&c);
    onejob_add_node(&c, 4000, 8192, 10000);
    onejob_set_job(&c, "service", 2, 500, 256);
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 2);
    cr_assert_eq(plan->status, PB__EVAL__STATUS__COMPLETE);
    const Pb__NodeScore *s = plan->placed_groups[0]->scores[0];
    double expect = (20 - pow(10, 3500 / 4000.0) - pow(10, 7936 / 8192.0)) / 18;
    cr_assert_float_eq(s->norm_score, expect, 1e-9);
    cr_assert_str_eq(s->parts[0]->name, "binpack");
    cr_assert_float_eq(s->parts[0]->score, expect, 1e-9);
    cr_assert_str_eq(s->parts[1]->name, "job-anti-affinity");
    /* As in the recordings: one is there, two are wanted: -(1 + 1) / 2. */
    onejob_apply(&c, plan);
    onejob_end_alloc(&c, c.view.allocs[1], PB__ALLOC__CLIENT_STATUS__COMPLETE);
    plan = onejob_plan(&c, c.arena);
    s = plan->placed_groups[0]->scores[0];
    cr_assert_float_eq(s->parts[1]->score, -1, 1e-9);
    cr_assert_float_eq(s->norm_score, (s->parts[0]->score - 1) / 2, 1e-9);
    onejob_fini(&c);
}

Test(plan, says_why_nothing_could_be_placed)
{
    struct onejob c;
    onejob_init(&c);
    for (int i = 0; i < 3; i++) {
        Pb__Node *n = onejob_add_node(&c, i == 0 ? 100 : 4000, i == 1 ? 100 : 8000, 100);
        n->node_class = arena_strdup(c.arena, i == 2 ? "blue" : "red");
        node_set_attribute(&c, n, "kernel.name", i == 2 ? "plan9" : "linux");
    }
    Pb__Node *undriven = onejob_add_node(&c, 4000, 8000, 100);
    undriven->drivers[0]->detected = 0;
    Pb__Node *elsewhere = onejob_add_node(&c, 4000, 8000, 100);
    elsewhere->datacenter = arena_strdup(c.arena, "dc9");
    Pb__Job *job = onejob_set_job(&c, "service", 2, 500, 256);
    job->constraints[job->n_constraints++] =
        a_constraint(c.arena, "${attr.kernel.name}", "=", "linux");
    node_set_attribute(&c, undriven, "kernel.name", "linux");

    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 0);
    cr_assert_eq(plan->status, PB__EVAL__STATUS__COMPLETE);
    cr_assert(plan->create_blocked);
    cr_assert_eq(count_named(plan->queued, plan->n_queued, "g")->count, 2);
    const Pb__PlacementMetrics *m = plan->failed_groups[0];
    cr_assert_eq(m->nodes_evaluated, 4);
    cr_assert_eq(m->nodes_filtered, 2);
    cr_assert_eq(m->nodes_exhausted, 2);
    cr_assert_eq(m->coalesced_failures, 1);
    cr_assert_eq(count_named(m->nodes_available, m->n_nodes_available, "dc1")->count, 4);
    cr_assert_eq(
        count_named(m->constraint_filtered, m->n_constraint_filtered, "missing drivers")->count, 1);
    cr_assert_eq(
        count_named(m->constraint_filtered, m->n_constraint_filtered, "${attr.kernel.name} = linux")
            ->count,
        1);
    cr_assert_eq(count_named(m->class_filtered, m->n_class_filtered, "blue")->count, 1);
    cr_assert_eq(count_named(m->class_exhausted, m->n_class_exhausted, "red")->count, 2);
    cr_assert_eq(count_named(m->dimension_exhausted, m->n_dimension_exhausted, "cpu")->count, 1);
    cr_assert_eq(count_named(m->dimension_exhausted, m->n_dimension_exhausted, "memory")->count, 1);
    onejob_fini(&c);
}

Test(plan, a_blocked_evaluation_ends_or_stays_blocked)
{
    struct onejob c;
    onejob_init(&c);
    Pb__Node *n = onejob_add_node(&c, 1000, 1000, 100);
    n->computed_class = arena_strdup(c.arena, "v1:7");
    onejob_set_job(&c, "service", 3, 500, 10);
    c.eval.status = PB__EVAL__STATUS__BLOCKED;
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 2);
    cr_assert_eq(plan->status, PB__EVAL__STATUS__BLOCKED);
    cr_assert(!plan->create_blocked);
    cr_assert_eq(plan->n_classes, 1);
    cr_assert_str_eq(plan->classes[0]->class_, "v1:7");
    cr_assert(plan->classes[0]->eligible);
    cr_assert(!plan->escaped_class);
    onejob_apply(&c, plan);
    onejob_add_node(&c, 1000, 1000, 100);
    plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 1);
    cr_assert_eq(plan->status, PB__EVAL__STATUS__COMPLETE);
    onejob_fini(&c);
}

Test(plan, a_class_that_can_never_suit_is_told_apart_and_the_unique_escapes)
{
    struct onejob c;
    onejob_init(&c);
    onejob_add_node(&c, 1000, 1000, 100)->computed_class = arena_strdup(c.arena, "v1:a");
    Pb__Job *job = onejob_set_job(&c, "service", 1, 1, 1);
    job->constraints[job->n_constraints++] = a_constraint(c.arena, "${attr.x}", "=", "y");
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert(!plan->classes[0]->eligible);
    cr_assert(!plan->escaped_class);
    job->constraints[0] = a_constraint(c.arena, "${node.unique.name}", "=", "other");
    plan = onejob_plan(&c, c.arena);
    cr_assert(plan->classes[0]->eligible);
    cr_assert(plan->escaped_class);
    cr_assert_eq(count_named(plan->failed_groups[0]->constraint_filtered,
                             plan->failed_groups[0]->n_constraint_filtered,
                             "${node.unique.name} = other")
                     ->count,
                 1);
    onejob_fini(&c);
}

Test(plan, ports_are_distinct_within_range_and_keep_their_labels)
{
    struct onejob c;
    onejob_init(&c);
    onejob_add_node(&c, 100000, 100000, 100);
    Pb__Job *job = onejob_set_job(&c, "service", 50, 1, 1);
    group_add_port(&c, job->task_groups[0], "a", 0);
    group_add_port(&c, job->task_groups[0], "b", 0);
    job->task_groups[0]->networks[0]->dynamic_ports[0]->has_to = 1;
    job->task_groups[0]->networks[0]->dynamic_ports[0]->to = 8080;
    job->task_groups[0]->networks[0]->dynamic_ports[1]->has_to = 1;
    job->task_groups[0]->networks[0]->dynamic_ports[1]->to = -1;
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 50);
    for (size_t i = 0; i < plan->n_placements; i++) {
        Pb__Port *const *p = plan->placements[i]->ports;
        cr_assert_eq(plan->placements[i]->n_ports, 2);
        for (size_t k = 0; k < 2; k++)
            cr_assert(p[k]->value >= DYNAMIC_PORT_MIN && p[k]->value <= DYNAMIC_PORT_MAX);
        cr_assert_str_eq(p[0]->label, "a");
        cr_assert_eq(p[0]->to, 8080);
        cr_assert_eq(p[1]->to, (int32_t)p[1]->value);
    }
    onejob_apply(&c, plan); /* distinct */
    onejob_fini(&c);
}

Test(plan, dynamic_ports_run_out_as_a_dimension)
{
    struct onejob c;
    onejob_init(&c);
    Pb__Node *n = onejob_add_node(&c, 100000, 100000, 100);
    Pb__NodeUsage *u = onejob_usage(&c, n->id.data);
    for (uint32_t p = DYNAMIC_PORT_MIN + 3; p <= DYNAMIC_PORT_MAX; p++)
        u->ports[u->n_ports++] = p;
    Pb__Job *job = onejob_set_job(&c, "service", 5, 1, 1);
    group_add_port(&c, job->task_groups[0], "a", 0);
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 3);
    cr_assert_str_eq(plan->failed_groups[0]->dimension_exhausted[0]->name,
                     "network: dynamic port selection failed");
    onejob_fini(&c);
}

Test(plan, a_static_port_is_given_once_per_node)
{
    struct onejob c;
    onejob_init(&c);
    onejob_add_node(&c, 1000, 1000, 100);
    onejob_add_node(&c, 1000, 1000, 100);
    Pb__Job *job = onejob_set_job(&c, "service", 3, 1, 1);
    group_add_port(&c, job->task_groups[0], "web", 8080);
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 2);
    cr_assert_str_eq(plan->failed_groups[0]->dimension_exhausted[0]->name,
                     "network: port 8080 taken");
    onejob_apply(&c, plan);
    onejob_fini(&c);
}

/* The new one needs the room of the old one: that is stopped now, the new one waits for its end. */
Test(plan, an_update_on_a_full_node_stops_first)
{
    struct onejob c;
    onejob_init(&c);
    onejob_add_node(&c, 1000, 1000, 100);
    Pb__Job *job = onejob_set_job(&c, "service", 1, 800, 10);
    group_add_port(&c, job->task_groups[0], "web", 8080);
    onejob_apply(&c, onejob_plan(&c, c.arena));
    onejob_next_version(&c)->task_groups[0]->tasks[0]->user = arena_strdup(c.arena, "u");
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_stops, 1);
    cr_assert_eq(plan->n_placements, 0);
    cr_assert(plan->create_blocked);
    onejob_apply(&c, plan);
    plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_stops + plan->n_placements, 0);
    onejob_end_alloc(&c, c.view.allocs[0], PB__ALLOC__CLIENT_STATUS__COMPLETE);
    plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 1);
    cr_assert(id_equal(plan->placements[0]->previous_alloc.data, c.view.allocs[0]->id.data));
    onejob_fini(&c);
}

static Pb__Job *sticky_job(struct onejob *c, uint32_t count, uint32_t cpu)
{
    Pb__Job *job = onejob_set_job(c, "service", count, cpu, 10);
    Pb__EphemeralDisk *disk = arena_array(c->arena, Pb__EphemeralDisk, 1);
    pb__ephemeral_disk__init(disk);
    disk->has_sticky = disk->sticky = 1;
    job->task_groups[0]->ephemeral_disk = disk;
    return job;
}

/* The empty node would be better for a job that spreads its load. */
Test(plan, a_sticky_disk_draws_the_replacement_to_its_node)
{
    struct onejob c;
    onejob_init(&c);
    onejob_add_node(&c, 1000, 1000, 100);
    sticky_job(&c, 1, 100)->scheduler_algorithm = arena_strdup(c.arena, "spread");
    onejob_apply(&c, onejob_plan(&c, c.arena));
    onejob_add_node(&c, 1000, 1000, 100);
    onejob_next_version(&c)->task_groups[0]->tasks[0]->user = arena_strdup(c.arena, "u");
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 1);
    cr_assert(id_equal(plan->placements[0]->node_id.data, c.nodes[0]->id.data));
    onejob_apply(&c, plan);
    /* Also where it failed: the data are worth more than another machine. */
    onejob_end_alloc(&c, c.view.allocs[0], PB__ALLOC__CLIENT_STATUS__COMPLETE);
    onejob_end_alloc(&c, c.view.allocs[1], PB__ALLOC__CLIENT_STATUS__LOST);
    plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 1);
    cr_assert(id_equal(plan->placements[0]->node_id.data, c.nodes[0]->id.data));
    /* A node that takes no work is left. */
    c.nodes[0]->eligibility = PB__NODE__ELIGIBILITY__INELIGIBLE;
    plan = onejob_plan(&c, c.arena);
    cr_assert(id_equal(plan->placements[0]->node_id.data, c.nodes[1]->id.data));
    onejob_fini(&c);
}

Test(plan, a_sticky_disk_waits_for_the_room_that_its_owner_leaves)
{
    struct onejob c;
    onejob_init(&c);
    onejob_add_node(&c, 1000, 1000, 100);
    sticky_job(&c, 1, 800);
    onejob_apply(&c, onejob_plan(&c, c.arena));
    onejob_add_node(&c, 1000, 1000, 100); /* has room at once */
    onejob_next_version(&c)->task_groups[0]->tasks[0]->user = arena_strdup(c.arena, "u");
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_stops, 1);
    cr_assert_eq(plan->n_placements, 0);
    cr_assert(plan->create_blocked);
    onejob_apply(&c, plan);
    plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_stops + plan->n_placements, 0, "it went elsewhere meanwhile");
    onejob_end_alloc(&c, c.view.allocs[0], PB__ALLOC__CLIENT_STATUS__COMPLETE);
    plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 1);
    cr_assert(id_equal(plan->placements[0]->node_id.data, c.nodes[0]->id.data));
    onejob_fini(&c);
}

Test(plan, an_update_that_fits_nowhere_leaves_the_old_one_running)
{
    struct onejob c;
    onejob_init(&c);
    onejob_add_node(&c, 1000, 1000, 100);
    onejob_set_job(&c, "service", 1, 800, 10);
    onejob_apply(&c, onejob_plan(&c, c.arena));
    onejob_next_version(&c)->task_groups[0]->tasks[0]->resources->cpu = 2000;
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_stops, 0);
    cr_assert_eq(plan->n_placements, 0);
    cr_assert(plan->create_blocked);
    onejob_fini(&c);
}

Test(plan, what_must_go_stops_without_another_place_and_is_placed_when_there_is_one)
{
    struct onejob c;
    onejob_init(&c);
    onejob_add_node(&c, 1000, 1000, 100);
    onejob_set_job(&c, "service", 1, 800, 10);
    onejob_apply(&c, onejob_plan(&c, c.arena));
    Pb__Alloc *old = c.view.allocs[0];
    c.nodes[0]->drain = old->migrate = true;
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_stops, 0, "until the deadline it goes on");
    old->stop_wanted = true;
    plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_stops, 1);
    cr_assert_eq(plan->n_placements, 0);
    cr_assert(plan->create_blocked);
    onejob_apply(&c, plan);
    onejob_end_alloc(&c, old, PB__ALLOC__CLIENT_STATUS__COMPLETE);
    onejob_add_node(&c, 1000, 1000, 100);
    plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 1);
    cr_assert(id_equal(plan->placements[0]->previous_alloc.data, old->id.data));
    onejob_fini(&c);
}

Test(plan, groups_of_one_job_do_not_take_the_same_room)
{
    struct onejob c;
    onejob_init(&c);
    onejob_add_node(&c, 1000, 1000, 100);
    onejob_add_node(&c, 1000, 1000, 100);
    Pb__Job *job = onejob_set_job(&c, "service", 2, 600, 10);
    Pb__TaskGroup *h = arena_copy(c.arena, job->task_groups[0], sizeof(*h));
    h->name = arena_strdup(c.arena, "h");
    job->task_groups[job->n_task_groups++] = h;
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 2);
    cr_assert_eq(plan->n_failed_groups, 1);
    onejob_apply(&c, plan);
    onejob_fini(&c);
}

Test(plan, distinct_hosts_holds_against_what_runs_and_what_is_placed)
{
    struct onejob c;
    onejob_init(&c);
    for (int i = 0; i < 3; i++)
        onejob_add_node(&c, 1000, 1000, 100);
    Pb__Job *job = onejob_set_job(&c, "service", 2, 10, 10);
    job->constraints[job->n_constraints++] = a_constraint(c.arena, "", "distinct_hosts", "true");
    onejob_apply(&c, onejob_plan(&c, c.arena));
    onejob_next_version(&c)->task_groups[0]->count = 5;
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 1);
    const Pb__PlacementMetrics *m = plan->failed_groups[0];
    cr_assert_eq(
        count_named(m->constraint_filtered, m->n_constraint_filtered, "distinct_hosts")->count, 3);
    cr_assert_eq(m->nodes_exhausted, 0);
    cr_assert_eq(m->nodes_filtered, 3);
    onejob_fini(&c);
}

/* Another worker placed it on a node that our view still shows as down, or not at all. */
Test(plan, what_is_newer_than_the_view_is_not_taken_for_lost)
{
    struct onejob c;
    onejob_init(&c);
    Pb__Node *n = onejob_add_node(&c, 1000, 1000, 100);
    onejob_set_job(&c, "service", 1, 10, 10);
    n->status = PB__NODE__STATUS__DOWN;
    struct fleet *f = onejob_fleet(&c);
    onejob_add_alloc(&c, "g", 0, n);
    Pb__Plan *plan = sched_plan(c.arena, f, &c.view, &c.eval, 1, NULL);
    cr_assert_eq(plan->n_stops, 0);
    fleet_set_index(f, c.index);
    plan = sched_plan(c.arena, f, &c.view, &c.eval, 1, NULL);
    cr_assert_eq(plan->n_stops, 1);
    cr_assert_eq(plan->stops[0]->client_status, PB__ALLOC__CLIENT_STATUS__LOST);
    fleet_free(f);
    onejob_fini(&c);
}

Test(plan, a_port_on_a_named_host_network_needs_a_node_that_has_it)
{
    struct onejob c;
    onejob_init(&c);
    for (size_t i = 0; i < 3; i++) {
        Pb__Node *n = onejob_add_node(&c, 1000, 1000, 100);
        Pb__NodeNetwork *network = arena_array(c.arena, Pb__NodeNetwork, 1);
        Pb__NodeAddress *address = arena_array(c.arena, Pb__NodeAddress, 1);
        pb__node_network__init(network);
        pb__node_address__init(address);
        address->alias = arena_strdup(c.arena, i == 1 ? "private" : "default");
        network->addresses = arena_array(c.arena, Pb__NodeAddress *, 1);
        network->addresses[network->n_addresses++] = address;
        n->networks = arena_array(c.arena, Pb__NodeNetwork *, 1);
        n->networks[n->n_networks++] = network;
    }
    Pb__TaskGroup *g = onejob_set_job(&c, "service", 2, 600, 1)->task_groups[0];
    group_add_port(&c, g, "admin", 0);
    g->networks[0]->dynamic_ports[0]->host_network = arena_strdup(c.arena, "default");
    cr_assert_eq(onejob_plan(&c, c.arena)->n_placements, 2);
    g->networks[0]->dynamic_ports[0]->host_network = arena_strdup(c.arena, "private");
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 1);
    cr_assert(id_equal(plan->placements[0]->node_id.data, c.nodes[1]->id.data));
    cr_assert_str_eq(plan->placements[0]->ports[0]->host_network, "private");
    const Pb__PlacementMetrics *m = plan->failed_groups[0];
    cr_assert_eq(count_named(m->constraint_filtered, m->n_constraint_filtered,
                             "missing host network \"private\" for port \"admin\"")
                     ->count,
                 2);
    Pb__Network *fixed = g->networks[0];
    fixed->reserved_ports[fixed->n_reserved_ports++] =
        fixed->dynamic_ports[--fixed->n_dynamic_ports];
    fixed->reserved_ports[0]->has_value = 1;
    fixed->reserved_ports[0]->value = 80;
    plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 1, "a static port asks for it, too");
    cr_assert(id_equal(plan->placements[0]->node_id.data, c.nodes[1]->id.data));
    onejob_fini(&c);
}

Test(plan, each_task_needs_its_driver)
{
    struct onejob c;
    onejob_init(&c);
    onejob_add_node(&c, 1000, 1000, 100);
    Pb__TaskGroup *g = onejob_set_job(&c, "service", 1, 10, 10)->task_groups[0];
    Pb__Task *second = arena_copy(c.arena, g->tasks[0], sizeof(*second));
    g->tasks[g->n_tasks++] = second;
    cr_assert_eq(onejob_plan(&c, c.arena)->n_placements, 1);
    second->driver = arena_strdup(c.arena, "exec");
    cr_assert_eq(onejob_plan(&c, c.arena)->n_placements, 0);
    onejob_fini(&c);
}

Test(plan, a_volume_is_on_the_node_and_writable_where_the_group_writes)
{
    static const struct {
        bool node_reads, group_reads;
        size_t placed;
    } cases[] = {{false, false, 1}, {false, true, 1}, {true, true, 1}, {true, false, 0}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct onejob c;
        Pb__HostVolume volume = PB__HOST_VOLUME__INIT, *volumes[] = {&volume};
        Pb__VolumeRequest request = PB__VOLUME_REQUEST__INIT, *requests[] = {&request};
        onejob_init(&c);
        onejob_add_node(&c, 1000, 1000, 100);
        volume.name = request.source = (char[]){"scratch"};
        volume.read_only = cases[i].node_reads;
        request.read_only = cases[i].group_reads;
        Pb__Node *n = onejob_add_node(&c, 1000, 1000, 100);
        n->host_volumes = volumes;
        n->n_host_volumes = 1;
        Pb__TaskGroup *g = onejob_set_job(&c, "service", 1, 600, 1)->task_groups[0];
        g->volumes = requests;
        g->n_volumes = 1;
        Pb__Plan *plan = onejob_plan(&c, c.arena);
        cr_expect_eq(plan->n_placements, cases[i].placed, "case %zu", i);
        if (plan->n_placements == 1)
            cr_expect(id_equal(plan->placements[0]->node_id.data, n->id.data));
        else
            cr_expect_eq(count_named(plan->failed_groups[0]->constraint_filtered,
                                     plan->failed_groups[0]->n_constraint_filtered,
                                     "missing compatible host volumes")
                             ->count,
                         2);
        onejob_fini(&c);
    }
}

Test(plan, a_network_of_its_own_needs_a_node_that_can_make_it)
{
    struct onejob c;
    onejob_init(&c);
    for (size_t i = 0; i < 2; i++) {
        Pb__Node *n = onejob_add_node(&c, 1000, 1000, 100);
        Pb__NodeNetwork *network = arena_array(c.arena, Pb__NodeNetwork, 1);
        pb__node_network__init(network);
        network->mode = arena_strdup(c.arena, i == 1 ? "bridge" : "host");
        n->networks = arena_array(c.arena, Pb__NodeNetwork *, 1);
        n->networks[n->n_networks++] = network;
    }
    Pb__TaskGroup *g = onejob_set_job(&c, "service", 2, 600, 1)->task_groups[0];
    group_add_port(&c, g, "admin", 0);
    g->networks[0]->mode = arena_strdup(c.arena, "host");
    cr_assert_eq(onejob_plan(&c, c.arena)->n_placements, 2);
    g->networks[0]->mode = arena_strdup(c.arena, "bridge");
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 1);
    cr_assert(id_equal(plan->placements[0]->node_id.data, c.nodes[1]->id.data));
    const Pb__PlacementMetrics *m = plan->failed_groups[0];
    cr_assert_eq(count_named(m->constraint_filtered, m->n_constraint_filtered,
                             "missing network mode \"bridge\"")
                     ->count,
                 1);
    onejob_fini(&c);
}

/* The task's, the group's and the job's constraints, by kind of node and node by node, with the
 * attribute on either side. */
Test(plan, constraints_of_each_level_hold_on_either_side)
{
    static const struct {
        const char *left, *operand, *right;
        size_t nodes;
    } cases[] = {
        {"${attr.name}", "regexp", "^node-[02]$", 2},
        {"${attr.unique.name}", "regexp", "[01]", 2},
        {"node-1", "regexp", "${attr.name}", 1},
        {"node-1", "=", "${attr.name}", 1},
        {"3", ">=", "${attr.unique.name}", 4},
        {"2", "<", "${attr.unique.name}", 1},
        {"${meta.tags}", "set_contains", "ssd", 3},
        {"${meta.tags}", "is_not_set", "", 1},
        {"${node.unique.name}", "is_set", "", 4},
        {"${node.class}", "!=", "blue", 4},
        {"${!computed}", "is_set", "", 0},
    };
    for (size_t i = 0; i < 3 * sizeof(cases) / sizeof(cases[0]); i++) {
        struct onejob c;
        onejob_init(&c);
        for (unsigned k = 0; k < 4; k++) {
            Pb__Node *n = onejob_add_node(&c, 1000, 1000, 100);
            node_set_attribute(&c, n, "name", arena_printf(c.arena, "node-%u", k));
            node_set_attribute(&c, n, "unique.name", arena_printf(c.arena, "%u", k));
            if (k < 3) {
                n->meta = arena_array(c.arena, Pb__KeyValue *, 1);
                n->meta[n->n_meta++] = a_pair(c.arena, "tags", "gpu, ssd");
            }
        }
        Pb__Job *job = onejob_set_job(&c, "service", 4, 600, 1);
        Pb__Constraint *one =
            a_constraint(c.arena, cases[i / 3].left, cases[i / 3].operand, cases[i / 3].right);
        if (i % 3 == 0) {
            job->constraints[job->n_constraints++] = one;
        } else if (i % 3 == 1) {
            job->task_groups[0]->constraints[job->task_groups[0]->n_constraints++] = one;
        } else {
            Pb__Task *t = job->task_groups[0]->tasks[0];
            t->constraints = arena_array(c.arena, Pb__Constraint *, 1);
            t->constraints[t->n_constraints++] = one;
        }
        cr_assert_eq(onejob_plan(&c, c.arena)->n_placements, cases[i / 3].nodes, "case %zu: %s %s",
                     i / 3, cases[i / 3].left, cases[i / 3].operand);
        onejob_fini(&c);
    }
}
