/* Jobs that want all or nothing. */
#include "base/id.h"
#include "onejob.h"
#include "sched/reconcile.h"
#include "sched/sched.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <string.h>

static struct onejob c;
static struct arena *a;

static void set_up(void)
{
    onejob_init(&c);
    a = arena_new(1u << 26);
}

static void tear_down(void)
{
    arena_free(a);
    onejob_fini(&c);
}

TestSuite(together, .init = set_up, .fini = tear_down);

/* A service of so many, each of 400 MHz. */
static Pb__Job *a_job(uint32_t count)
{
    Pb__Job *job = onejob_set_job(&c, "service", count, 400, 10);
    job->has_all_at_once = job->all_at_once = true;
    return job;
}

static Pb__Plan *plan(void)
{
    return onejob_plan(&c, a);
}

static uint32_t queued(const Pb__Plan *p, const char *group)
{
    for (size_t i = 0; i < p->n_queued; i++)
        if (strcmp(p->queued[i]->name, group) == 0)
            return p->queued[i]->count;
    return 0;
}

static void check_nothing(const Pb__Plan *p)
{
    cr_assert_eq(p->n_placements, 0);
    cr_assert_eq(p->n_stops, 0);
    cr_assert_eq(p->n_placed_groups, 0);
    cr_assert(p->create_blocked);
}

Test(together, what_fits_whole_is_placed)
{
    onejob_add_node(&c, 1000, 1000, 10000);
    onejob_add_node(&c, 1000, 1000, 10000);
    a_job(4);
    const Pb__Plan *p = plan();
    cr_assert_eq(p->n_placements, 4);
    cr_assert(p->all_at_once, "who checks the plan must know");
    cr_assert_not(p->create_blocked);
}

Test(together, of_what_does_not_fit_whole_nothing_is_placed)
{
    onejob_add_node(&c, 1000, 1000, 10000);
    onejob_add_node(&c, 1000, 1000, 10000);
    a_job(5);
    const Pb__Plan *p = plan();
    check_nothing(p);
    cr_assert_eq(queued(p, "g"), 5, "all of it waits");
    cr_assert_eq(p->n_failed_groups, 1);
    cr_assert_eq(p->failed_groups[0]->nodes_exhausted, 2);
    cr_assert_gt(p->n_classes, 0);
    onejob_add_node(&c, 400, 1000, 10000);
    cr_assert_eq(plan()->n_placements, 5);
}

Test(together, one_group_waits_for_the_other)
{
    onejob_add_node(&c, 1000, 1000, 10000);
    Pb__Job *job = a_job(2);
    Pb__TaskGroup *other = (Pb__TaskGroup *)wire_clone(c.arena, &job->task_groups[0]->base);
    other->name = arena_strdup(c.arena, "other");
    other->count = 1;
    job->task_groups[job->n_task_groups++] = other;
    const Pb__Plan *p = plan();
    check_nothing(p);
    cr_assert_eq(queued(p, "g"), 2);
    cr_assert_eq(queued(p, "other"), 1);
    cr_assert_eq(p->n_failed_groups, 1, "only one of them is short of room");
}

Test(together, an_update_without_room_stops_nothing)
{
    onejob_add_node(&c, 1000, 1000, 10000);
    a_job(2);
    onejob_apply(&c, plan());
    onejob_next_version(&c)->task_groups[0]->tasks[0]->user = arena_strdup(c.arena, "other");
    check_nothing(plan());
    onejob_add_node(&c, 1000, 1000, 10000);
    const Pb__Plan *p = plan();
    cr_assert_eq(p->n_placements, 2);
    cr_assert_eq(p->n_stops, 2);
}

Test(together, what_does_not_depend_on_it_happens)
{
    Pb__Node *node = onejob_add_node(&c, 1000, 1000, 10000);
    onejob_add_node(&c, 1000, 1000, 10000);
    a_job(4);
    onejob_apply(&c, plan());
    node->status = PB__NODE__STATUS__DOWN;
    const Pb__Plan *p = plan();
    cr_assert_eq(p->n_placements, 0);
    cr_assert_eq(p->n_stops, 2, "the lost ones are lost");
    cr_assert_eq(queued(p, "g"), 2, "what runs is not counted");
}

Test(together, what_must_go_stops_alone)
{
    onejob_add_node(&c, 1000, 1000, 10000);
    a_job(2);
    onejob_apply(&c, plan());
    c.nodes[0]->drain = c.view.allocs[0]->migrate = c.view.allocs[1]->migrate = true;
    check_nothing(plan());
    c.view.allocs[1]->stop_wanted = true;
    const Pb__Plan *p = plan();
    cr_assert_eq(p->n_stops, 1);
    cr_assert(id_equal(p->stops[0]->alloc_id.data, c.view.allocs[1]->id.data));
    cr_assert_eq(p->n_placements, 0);
    cr_assert(p->create_blocked);
}

Test(together, a_plan_of_few_changes_is_not_cut)
{
    for (int i = 0; i < 10; i++)
        onejob_add_node(&c, 1000, 1000, 10000);
    a_job(20);
    struct fleet *f = onejob_fleet(&c);
    struct sched_options o = {.max_changes = 3};
    const Pb__Plan *p = sched_plan(a, f, &c.view, &c.eval, 1, &o);
    cr_assert_eq(p->n_placements, 20);
    cr_assert(p->has_status);
    fleet_free(f);
}

Test(together, nobody_is_displaced_for_a_part)
{
    Pb__Alloc low = PB__ALLOC__INIT, *others[] = {&low};
    Pb__Node *node = onejob_add_node(&c, 1000, 1000, 10000);
    Pb__NodeUsage *u = onejob_usage(&c, node->id.data);
    low.has_id = low.has_node_id = low.has_priority = true;
    low.id = wire_id(c.arena, (const uint8_t *)"0123456789abcdef");
    low.node_id = node->id;
    low.job_id = arena_strdup(c.arena, "low");
    low.task_group = arena_strdup(c.arena, "g");
    low.priority = 10;
    low.resources = arena_array(c.arena, Pb__Amount, 1);
    pb__amount__init(low.resources);
    low.resources->has_cpu = true;
    low.resources->cpu = u->used->cpu = 600;
    low.has_desired = low.has_client_status = true;
    low.desired = PB__ALLOC__DESIRED__RUN;
    low.client_status = PB__ALLOC__CLIENT_STATUS__RUNNING;
    struct sched_options o = {.others = others, .other_count = 1};
    for (uint32_t count = 2; count <= 3; count++) {
        Pb__Job *job = a_job(count);
        job->has_priority = 1;
        job->priority = 50;
        struct fleet *f = onejob_fleet(&c);
        const Pb__Plan *p = sched_plan(a, f, &c.view, &c.eval, 1, &o);
        cr_assert_eq(p->n_placements, count == 2 ? 2 : 0, "%u: %zu", count, p->n_placements);
        fleet_free(f);
    }
}

Test(together, each_place_of_a_system_job_stands_for_itself)
{
    onejob_add_node(&c, 1000, 1000, 10000);
    onejob_add_node(&c, 300, 1000, 10000);
    Pb__Job *job = onejob_set_job(&c, "system", 1, 400, 10);
    job->has_all_at_once = job->all_at_once = true;
    const Pb__Plan *p = plan();
    cr_assert_eq(p->n_placements, 1);
    cr_assert_not(p->all_at_once);
}
