/* What a node's score is made of, part by part, and what it leads to. */
#include "onejob.h"
#include "sched/sched.h"
#include <criterion/criterion.h>
#include <string.h>

static const char *const racks[] = {"r1", "r2", "r3"};

/* A node for each name, on the rack that the name begins with: "r1a". */
static void add_racked(struct onejob *c, size_t count, const char *const *rack_of)
{
    for (size_t i = 0; i < count; i++) {
        Pb__Node *n = onejob_add_node(c, 1000, 1000, 1000);
        if (rack_of[i] != NULL)
            node_set_attribute(c, n, "rack", rack_of[i]);
    }
}

static double part(const Pb__NodeScore *s, const char *name)
{
    for (size_t i = 0; i < s->n_parts; i++)
        if (strcmp(s->parts[i]->name, name) == 0)
            return s->parts[i]->score;
    cr_assert_fail("no part %s", name);
    return 0;
}

static bool has_part(const Pb__NodeScore *s, const char *name)
{
    for (size_t i = 0; i < s->n_parts; i++)
        if (strcmp(s->parts[i]->name, name) == 0)
            return true;
    return false;
}

static const char *rack_of(const struct onejob *c, const Pb__Placement *p)
{
    for (size_t i = 0; i < c->node_count; i++)
        if (id_equal(c->nodes[i]->id.data, p->node_id.data))
            return c->nodes[i]->n_attributes > 0 ? c->nodes[i]->attributes[0]->value : "";
    return NULL;
}

static size_t placed_on(const struct onejob *c, const Pb__Plan *plan, const char *rack)
{
    size_t n = 0;
    for (size_t i = 0; i < plan->n_placements; i++)
        n += strcmp(rack_of(c, plan->placements[i]), rack) == 0;
    return n;
}

static Pb__Affinity *an_affinity(struct onejob *c, const char *rack, int32_t weight)
{
    Pb__Affinity *f = arena_array(c->arena, Pb__Affinity, 1);
    pb__affinity__init(f);
    f->l_target = arena_strdup(c->arena, "${attr.rack}");
    f->operand = arena_strdup(c->arena, "=");
    f->r_target = arena_strdup(c->arena, rack);
    f->has_weight = 1;
    f->weight = weight;
    return f;
}

static Pb__Spread *a_spread(struct onejob *c, const char *attribute)
{
    Pb__Spread *s = arena_array(c->arena, Pb__Spread, 1);
    pb__spread__init(s);
    s->attribute = arena_strdup(c->arena, attribute);
    s->has_weight = 1;
    s->weight = 50;
    s->spread_target = arena_array(c->arena, Pb__SpreadTarget *, 4);
    return s;
}

static void add_target(struct onejob *c, Pb__Spread *s, const char *value, uint32_t percent)
{
    Pb__SpreadTarget *t = arena_array(c->arena, Pb__SpreadTarget, 1);
    pb__spread_target__init(t);
    t->value = arena_strdup(c->arena, value);
    t->has_percent = 1;
    t->percent = percent;
    s->spread_target[s->n_spread_target++] = t;
}

static Pb__Job *a_job_of(struct onejob *c, uint32_t count)
{
    Pb__Job *job = onejob_set_job(c, "service", count, 10, 10);
    job->affinities = arena_array(c->arena, Pb__Affinity *, 4);
    job->spreads = arena_array(c->arena, Pb__Spread *, 4);
    return job;
}

Test(score, affinities_are_the_share_of_the_weights_that_hold)
{
    struct onejob c;
    onejob_init(&c);
    add_racked(&c, 3, racks);
    Pb__Job *job = a_job_of(&c, 1);
    job->affinities[job->n_affinities++] = an_affinity(&c, "r1", 60);
    Pb__TaskGroup *g = job->task_groups[0];
    g->affinities = arena_array(c.arena, Pb__Affinity *, 1);
    g->affinities[g->n_affinities++] = an_affinity(&c, "r2", -30);
    g->tasks[0]->affinities = arena_array(c.arena, Pb__Affinity *, 1);
    g->tasks[0]->affinities[g->tasks[0]->n_affinities++] = an_affinity(&c, "r2", -10);
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    const Pb__PlacementMetrics *m = plan->placed_groups[0];
    cr_assert_eq(m->n_scores, 3);
    cr_assert_float_eq(part(m->scores[0], "node-affinity"), 0.6, 1e-9);
    cr_assert_float_eq(part(m->scores[1], "node-affinity"), 0, 1e-9);
    cr_assert_float_eq(part(m->scores[2], "node-affinity"), -0.4, 1e-9);
    for (size_t i = 0; i < 3; i++) {
        const Pb__NodeScore *s = m->scores[i];
        cr_assert_float_eq(s->norm_score, (part(s, "binpack") + part(s, "node-affinity")) / 2,
                           1e-9);
        cr_assert(!has_part(s, "allocation-spread"));
    }
    cr_assert_eq(placed_on(&c, plan, "r1"), 1);
    onejob_fini(&c);
}

Test(score, the_node_where_it_failed_is_penalized_but_possible)
{
    for (size_t nodes = 1; nodes <= 2; nodes++) {
        struct onejob c;
        onejob_init(&c);
        add_racked(&c, nodes, racks);
        a_job_of(&c, 1);
        Pb__Plan *plan = onejob_plan(&c, c.arena);
        const char *first = rack_of(&c, plan->placements[0]);
        onejob_apply(&c, plan);
        onejob_end_alloc(&c, c.view.allocs[0], PB__ALLOC__CLIENT_STATUS__FAILED);
        onejob_next_version(&c)->task_groups[0]->tasks[0]->user = arena_strdup(c.arena, "u");
        plan = onejob_plan(&c, c.arena);
        cr_assert_eq(plan->n_placements, 1);
        cr_assert_eq(strcmp(rack_of(&c, plan->placements[0]), first) == 0, nodes == 1);
        const Pb__PlacementMetrics *m = plan->placed_groups[0];
        const Pb__NodeScore *last = m->scores[m->n_scores - 1];
        cr_assert_float_eq(part(last, "node-reschedule-penalty"), -1, 1e-9);
        cr_assert_float_eq(last->norm_score, (part(last, "binpack") - 1) / 2, 1e-9);
        onejob_fini(&c);
    }
}

/* One fails, the one in its place ends as told; returns where the next one goes. */
static const char *third_place(struct onejob *c, Pb__Alloc__ClientStatus second,
                               const char *before[2])
{
    add_racked(c, 3, racks);
    a_job_of(c, 1);
    for (size_t i = 0; i < 2; i++) {
        Pb__Plan *plan = onejob_plan(c, c->arena);
        cr_assert_eq(plan->n_placements, 1);
        before[i] = rack_of(c, plan->placements[0]);
        onejob_apply(c, plan);
        Pb__Alloc *last = c->view.allocs[c->view.n_allocs - 1];
        onejob_end_alloc(c, last, i == 0 ? PB__ALLOC__CLIENT_STATUS__FAILED : second);
        last->has_reschedule = last->reschedule = 1;
    }
    cr_assert_str_neq(before[0], before[1]);
    return rack_of(c, onejob_plan(c, c->arena)->placements[0]);
}

Test(score, nodes_where_those_before_it_failed_are_penalized_too)
{
    struct onejob c;
    const char *before[2];
    onejob_init(&c);
    const char *third = third_place(&c, PB__ALLOC__CLIENT_STATUS__FAILED, before);
    cr_assert_str_neq(third, before[0]);
    cr_assert_str_neq(third, before[1]);
    onejob_fini(&c);
}

Test(score, a_loss_does_not_make_the_nodes_of_earlier_failures_forgotten)
{
    struct onejob c;
    const char *before[2];
    onejob_init(&c);
    cr_assert_str_neq(third_place(&c, PB__ALLOC__CLIENT_STATUS__LOST, before), before[0]);
    onejob_fini(&c);
}

Test(score, the_algorithm_spread_takes_empty_nodes_first)
{
    struct onejob c;
    onejob_init(&c);
    add_racked(&c, 3, racks);
    c.usages[0]->used->cpu = 500;
    c.usages[1]->used->cpu = 100;
    Pb__Job *job = a_job_of(&c, 1);
    cr_assert_eq(placed_on(&c, onejob_plan(&c, c.arena), "r1"), 1);
    job->scheduler_algorithm = arena_strdup(c.arena, "spread");
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(placed_on(&c, plan, "r3"), 1);
    double best = part(plan->placed_groups[0]->scores[0], "binpack");
    cr_assert(best > 0.9 && best <= 1);
    onejob_fini(&c);
}

Test(score, an_even_spread_gives_each_value_the_same)
{
    static const char *const uneven[] = {"r1", "r1", "r1", "r2", "r3", NULL};
    struct onejob c;
    onejob_init(&c);
    add_racked(&c, 6, uneven);
    Pb__Job *job = a_job_of(&c, 10);
    job->spreads[job->n_spreads++] = a_spread(&c, "${attr.rack}");
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    size_t r1 = placed_on(&c, plan, "r1"), r2 = placed_on(&c, plan, "r2"),
           r3 = placed_on(&c, plan, "r3");
    cr_assert_eq(r1 + r2 + r3, 10, "nothing where the attribute is missing");
    cr_assert(r1 >= 3 && r2 >= 3 && r3 >= 3);
    const Pb__PlacementMetrics *m = plan->placed_groups[0];
    cr_assert_float_eq(part(m->scores[0], "allocation-spread"), 1, 1e-9);
    cr_assert_float_eq(m->scores[0]->norm_score, (part(m->scores[0], "binpack") + 1) / 2, 1e-9);
    onejob_fini(&c);
}

Test(score, targets_are_percentages_and_the_rest_is_for_all_others)
{
    static const struct {
        uint32_t r1, r2;
        size_t want[3];
    } cases[] = {
        {70, 30, {7, 3, 0}},
        {50, 20, {5, 2, 3}},
        {100, 0, {10, 0, 0}},
        {0, 0, {5, 5, 0}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct onejob c;
        onejob_init(&c);
        add_racked(&c, 3, racks);
        Pb__Job *job = a_job_of(&c, 10);
        Pb__Spread *s = job->spreads[job->n_spreads++] = a_spread(&c, "${attr.rack}");
        add_target(&c, s, "r1", cases[i].r1);
        add_target(&c, s, "r2", cases[i].r2);
        Pb__Plan *plan = onejob_plan(&c, c.arena);
        cr_assert_eq(plan->n_placements, 10);
        for (size_t k = 0; k < 3; k++)
            cr_assert_eq(placed_on(&c, plan, racks[k]), cases[i].want[k], "case %zu: %zu on %s", i,
                         placed_on(&c, plan, racks[k]), racks[k]);
        onejob_fini(&c);
    }
}

Test(score, a_spread_goes_on_from_what_is_there)
{
    struct onejob c;
    onejob_init(&c);
    add_racked(&c, 3, racks);
    Pb__Job *job = a_job_of(&c, 6);
    for (uint32_t i = 0; i < 3; i++)
        onejob_add_alloc(&c, "g", i, c.nodes[0]);
    job->spreads[job->n_spreads++] = a_spread(&c, "${attr.rack}");
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 3);
    cr_assert_eq(placed_on(&c, plan, "r1"), 0);
    cr_assert_geq(placed_on(&c, plan, "r2"), 1);
    cr_assert_geq(placed_on(&c, plan, "r3"), 1);
    onejob_fini(&c);
}

Test(score, of_several_spreads_the_heavier_decides_where_not_all_can_be_met)
{
    for (int heavier = 0; heavier < 2; heavier++) {
        struct onejob c;
        onejob_init(&c);
        static const char *const two[] = {"r1", "r2"};
        add_racked(&c, 2, two);
        for (size_t i = 0; i < 2; i++)
            node_set_attribute(&c, c.nodes[i], "zone", i == 0 ? "a" : "b");
        Pb__Job *job = a_job_of(&c, 2);
        onejob_add_alloc(&c, "g", 0, c.nodes[0]);
        /* by racks r2 is short, by zones (all of it in "a") r1 is */
        Pb__Spread *s = job->spreads[job->n_spreads++] = a_spread(&c, "${attr.rack}");
        Pb__Spread *z = job->spreads[job->n_spreads++] = a_spread(&c, "${attr.zone}");
        add_target(&c, z, "a", 100);
        s->weight = heavier == 0 ? 100 : 1;
        Pb__Plan *plan = onejob_plan(&c, c.arena);
        cr_assert_eq(plan->n_placements, 1);
        cr_assert_str_eq(rack_of(&c, plan->placements[0]), heavier == 0 ? "r2" : "r1");
        onejob_fini(&c);
    }
}

Test(score, distinct_property_allows_so_many_of_a_value_and_says_so)
{
    static const char *const uneven[] = {"r1", "r1", "r2", NULL};
    struct onejob c;
    onejob_init(&c);
    add_racked(&c, 4, uneven);
    Pb__Job *job = a_job_of(&c, 6);
    job->constraints[job->n_constraints++] =
        a_constraint(c.arena, "${attr.rack}", "distinct_property", "2");
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 4);
    cr_assert_eq(placed_on(&c, plan, "r1"), 2);
    cr_assert_eq(placed_on(&c, plan, "r2"), 2);
    const Pb__PlacementMetrics *m = plan->failed_groups[0];
    cr_assert_eq(m->nodes_filtered, 4);
    cr_assert_eq(m->nodes_exhausted, 0);
    cr_assert_eq(m->n_constraint_filtered, 2);
    cr_assert_str_eq(m->constraint_filtered[0]->name, "${attr.rack} distinct_property 2");
    cr_assert_eq(m->constraint_filtered[0]->count, 3);
    cr_assert_str_eq(m->constraint_filtered[1]->name, "missing property \"${attr.rack}\"");
    onejob_fini(&c);
}

/* Of the job: both groups count together. Of the group: each for itself. */
Test(score, distinct_property_counts_for_the_job_or_for_the_group)
{
    for (int of_job = 0; of_job < 2; of_job++) {
        struct onejob c;
        onejob_init(&c);
        add_racked(&c, 3, racks);
        Pb__Job *job = a_job_of(&c, 2);
        Pb__TaskGroup *second = arena_array(c.arena, Pb__TaskGroup, 1);
        *second = *job->task_groups[0];
        second->name = arena_strdup(c.arena, "h");
        second->constraints = arena_array(c.arena, Pb__Constraint *, 8);
        job->task_groups[job->n_task_groups++] = second;
        Pb__Constraint *k = a_constraint(c.arena, "${attr.rack}", "distinct_property", "1");
        if (of_job) {
            job->constraints[job->n_constraints++] = k;
        } else {
            job->task_groups[0]->constraints[job->task_groups[0]->n_constraints++] = k;
            second->constraints[second->n_constraints++] = k;
        }
        Pb__Plan *plan = onejob_plan(&c, c.arena);
        cr_assert_eq(plan->n_placements, of_job ? 3 : 4);
        onejob_apply(&c, plan);
        cr_assert_eq(onejob_plan(&c, c.arena)->n_placements, 0);
        onejob_fini(&c);
    }
}
