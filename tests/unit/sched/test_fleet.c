#include "onejob.h"
#include "sched/fleet.h"
#include <criterion/criterion.h>

Test(fleet, a_held_plan_counts_until_it_is_released)
{
    struct onejob c;
    onejob_init(&c);
    Pb__Node *n = onejob_add_node(&c, 1000, 1000, 1000);
    onejob_set_job(&c, "service", 2, 100, 50);
    group_add_port(&c, c.view.job->task_groups[0], "http", 0);
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    struct fleet *f = onejob_fleet(&c);
    uint32_t slot = fleet_slot(f, n->id.data), port = plan->placements[0]->ports[0]->value;
    struct hold *h = fleet_hold(f, plan);
    cr_assert_eq(fleet_room(f, slot).cpu, 800);
    cr_assert_eq(fleet_room(f, slot).memory_mb, 900);
    cr_assert(!fleet_port_is_free(f, slot, port));
    fleet_check(f);
    /* A listing anew does not forget it. */
    fleet_reset(f);
    onejob_fill(&c, f, NULL);
    cr_assert_eq(fleet_room(f, slot).cpu, 800);
    fleet_release(f, h);
    cr_assert_eq(fleet_room(f, slot).cpu, 1000);
    cr_assert(fleet_port_is_free(f, slot, port));
    fleet_check(f);
    fleet_free(f);
    onejob_fini(&c);
}

Test(fleet, values_come_from_the_kind_and_from_the_node)
{
    struct onejob c;
    onejob_init(&c);
    Pb__Node *n = onejob_add_node(&c, 1, 1, 1);
    node_set_attribute(&c, n, "cpu.arch", "amd64");
    node_set_attribute(&c, n, "unique.hostname", "h1");
    struct fleet *f = onejob_fleet(&c);
    uint32_t slot = fleet_slot(f, n->id.data);
    cr_assert_str_eq(fleet_value(f, slot, "attr.cpu.arch"), "amd64");
    cr_assert_str_eq(fleet_value(f, slot, "attr.unique.hostname"), "h1");
    cr_assert_str_eq(fleet_value(f, slot, "node.unique.name"), "n0");
    cr_assert_str_eq(fleet_value(f, slot, "node.datacenter"), "dc1");
    cr_assert_null(fleet_value(f, slot, "attr.nothing"));
    fleet_free(f);
    onejob_fini(&c);
}

Test(fleet, a_node_may_go_and_come_back)
{
    struct onejob c;
    onejob_init(&c);
    Pb__Node *n = onejob_add_node(&c, 10, 10, 10);
    struct fleet *f = onejob_fleet(&c);
    uint32_t slot = fleet_slot(f, n->id.data);
    cr_assert(fleet_node_is_ready(f, slot));
    fleet_remove_node(f, n->id.data);
    cr_assert(!fleet_node_is_ready(f, slot));
    cr_assert_eq(fleet_count(f), 0);
    cr_assert_eq(fleet_room(f, slot).cpu, 0);
    fleet_check(f);
    onejob_fill(&c, f, NULL);
    cr_assert(fleet_node_is_ready(f, slot));
    cr_assert_eq(fleet_slot(f, n->id.data), slot);
    n->status = PB__NODE__STATUS__DOWN;
    onejob_fill(&c, f, NULL);
    cr_assert(fleet_node_is_down(f, slot));
    fleet_free(f);
    onejob_fini(&c);
}
