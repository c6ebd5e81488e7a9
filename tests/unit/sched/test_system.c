/* Plans for jobs that run once on each node. */
#include "onejob.h"
#include "sched/sched.h"
#include <criterion/criterion.h>
#include <string.h>

static size_t on_node(const struct onejob *c, const Pb__Plan *plan, const Pb__Node *n)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->n_placements; i++)
        count += id_equal(plan->placements[i]->node_id.data, n->id.data);
    return count;
}

Test(system, each_feasible_node_gets_one_and_a_new_one_too)
{
    struct onejob c;
    onejob_init(&c);
    for (int i = 0; i < 5; i++)
        onejob_add_node(&c, 1000, 1000, 100);
    c.nodes[1]->drivers[0]->healthy = 0;
    c.nodes[2]->eligibility = PB__NODE__ELIGIBILITY__INELIGIBLE;
    onejob_set_job(&c, "system", 1, 100, 100);
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 3);
    for (size_t i = 0; i < 5; i++)
        cr_assert_eq(on_node(&c, plan, c.nodes[i]), i != 1 && i != 2, "node %zu", i);
    cr_assert_eq(plan->status, PB__EVAL__STATUS__COMPLETE);
    cr_assert(!plan->create_blocked);
    cr_assert_eq(plan->placements[2]->name_index, 0, "as in Nomad, each is number 0");
    onejob_apply(&c, plan);
    cr_assert_eq(onejob_plan(&c, c.arena)->n_placements, 0);
    Pb__Node *fresh = onejob_add_node(&c, 1000, 1000, 100);
    plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 1);
    cr_assert_eq(on_node(&c, plan, fresh), 1);
    onejob_fini(&c);
}

Test(system, a_full_node_blocks_without_holding_up_the_others)
{
    struct onejob c;
    onejob_init(&c);
    for (int i = 0; i < 4; i++)
        onejob_add_node(&c, 1000, 1000, 100);
    c.usages[1]->used->cpu = 950;
    Pb__TaskGroup *g = onejob_set_job(&c, "system", 1, 100, 100)->task_groups[0];
    group_add_port(&c, g, "fixed", 9000);
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 3);
    cr_assert_eq(on_node(&c, plan, c.nodes[1]), 0);
    cr_assert(plan->create_blocked);
    cr_assert_eq(plan->queued[0]->count, 1);
    cr_assert_str_eq(plan->failed_groups[0]->dimension_exhausted[0]->name, "cpu");
    onejob_apply(&c, plan);
    c.usages[1]->used->cpu = 0;
    c.index++;
    plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 1);
    cr_assert_eq(on_node(&c, plan, c.nodes[1]), 1);
    onejob_fini(&c);
}

/* Beside the old one where there is room; where there is none the old one goes first. */
Test(system, a_changed_task_is_replaced_on_its_own_node)
{
    for (uint32_t cpu = 300; cpu <= 600; cpu += 300) {
        struct onejob c;
        onejob_init(&c);
        for (int i = 0; i < 3; i++)
            onejob_add_node(&c, 1000, 1000, 100);
        onejob_set_job(&c, "system", 1, cpu, 10);
        onejob_apply(&c, onejob_plan(&c, c.arena));
        onejob_next_version(&c)->task_groups[0]->tasks[0]->user = arena_strdup(c.arena, "u");
        Pb__Plan *plan = onejob_plan(&c, c.arena);
        cr_assert_eq(plan->n_stops, 3);
        cr_assert_eq(plan->n_placements, cpu == 300 ? 3 : 0);
        onejob_apply(&c, plan);
        for (size_t i = 0; i < 3; i++)
            onejob_end_alloc(&c, c.view.allocs[i], PB__ALLOC__CLIENT_STATUS__COMPLETE);
        plan = onejob_plan(&c, c.arena);
        cr_assert_eq(plan->n_placements, cpu == 300 ? 0 : 3);
        onejob_apply(&c, plan);
        for (size_t i = 0; i < 3; i++)
            cr_assert_eq(c.usages[i]->used->cpu, cpu);
        onejob_fini(&c);
    }
}

Test(system, sysbatch_runs_once_on_each_node)
{
    struct onejob c;
    onejob_init(&c);
    for (int i = 0; i < 3; i++)
        onejob_add_node(&c, 1000, 1000, 100);
    onejob_set_job(&c, "sysbatch", 1, 10, 10);
    onejob_apply(&c, onejob_plan(&c, c.arena));
    cr_assert_eq(onejob_running(&c), 3);
    for (size_t i = 0; i < 3; i++)
        onejob_end_alloc(&c, c.view.allocs[i],
                         i == 0 ? PB__ALLOC__CLIENT_STATUS__FAILED
                                : PB__ALLOC__CLIENT_STATUS__COMPLETE);
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements + plan->n_stops, 0);
    onejob_fini(&c);
}

Test(system, small_plans_reach_every_node)
{
    struct onejob c;
    onejob_init(&c);
    for (int i = 0; i < 20; i++)
        onejob_add_node(&c, 1000, 1000, 100);
    onejob_set_job(&c, "system", 1, 10, 10);
    size_t plans = 0;
    for (bool more = true; more; plans++) {
        struct fleet *f = onejob_fleet(&c);
        struct sched_options few = {.max_changes = 6};
        Pb__Plan *plan = sched_plan(c.arena, f, &c.view, &c.eval, c.index, &few);
        more = !plan->has_status;
        onejob_apply(&c, plan);
        fleet_free(f);
    }
    cr_assert_eq(plans, 4);
    cr_assert_eq(onejob_running(&c), 20);
    onejob_fini(&c);
}
