/* What a scheduler answers when it is only asked, on random clusters: it is what then happens, and
 * what it says would help does help. */
#include "sched/question.h"
#include "sched/sched.h"
#include "sched/specification.h"
#include "wire/wire.h"
#include "world.h"
#include <criterion/criterion.h>
#include <string.h>

#define SEEDS 120

static Pb__Question *a_question(struct arena *a, Pb__Question__Kind kind)
{
    static uint8_t id[ID_SIZE] = {0xaa};
    Pb__Question *q = arena_array(a, Pb__Question, 1);
    pb__question__init(q);
    q->has_id = q->has_kind = 1;
    q->id = wire_id(a, id);
    q->kind = kind;
    return q;
}

/* As it would come from the bus. */
static Pb__Answer *ask(struct onejob *c, struct arena *a, const Pb__Question *q)
{
    struct fleet *f = onejob_fleet(c);
    Pb__Answer *answer = sched_answer(a, f, &c->view, c->index, q, NULL);
    answer = (Pb__Answer *)wire_clone(a, &answer->base);
    fleet_free(f);
    return answer;
}

/* The job as a user would send it: without what only the servers know. */
static Pb__Job *specification(struct arena *a, const Pb__Job *job)
{
    Pb__Job *s = arena_copy(a, job, sizeof(*s));
    s->has_version = s->has_create_index = s->has_modify_index = s->has_job_modify_index = 0;
    s->version = s->create_index = s->modify_index = s->job_modify_index = 0;
    s->has_stop = s->stop = 0;
    return s;
}

static bool same_placements(const Pb__Plan *x, const Pb__Plan *y)
{
    if (x->n_placements != y->n_placements)
        return false;
    for (size_t i = 0; i < x->n_placements; i++)
        if (memcmp(x->placements[i]->node_id.data, y->placements[i]->node_id.data, ID_SIZE) != 0 ||
            x->placements[i]->name_index != y->placements[i]->name_index ||
            strcmp(x->placements[i]->task_group, y->placements[i]->task_group) != 0)
            return false;
    return true;
}

static void check_same(const Pb__Plan *said, const Pb__Plan *done, unsigned seed)
{
    cr_assert(same_placements(said, done), "seed %u: other placements", seed);
    cr_assert_eq(said->n_stops, done->n_stops, "seed %u: other stops", seed);
    for (size_t i = 0; i < said->n_stops; i++)
        cr_assert(wire_equal(&said->stops[i]->base, &done->stops[i]->base), "seed %u", seed);
    cr_assert_eq(said->n_in_place, done->n_in_place, "seed %u: other updates in place", seed);
    cr_assert_eq(said->n_failed_groups, done->n_failed_groups, "seed %u: other failures", seed);
    for (size_t i = 0; i < said->n_failed_groups; i++)
        cr_assert(wire_equal(&said->failed_groups[i]->base, &done->failed_groups[i]->base),
                  "seed %u: other reasons", seed);
    cr_assert_eq(said->create_blocked, done->create_blocked, "seed %u", seed);
}

/* Every placement, stop and update is counted in exactly one number. */
static void check_counts(const Pb__Answer *x, const Pb__Plan *done, unsigned seed)
{
    uint64_t place = 0, stop = 0, in_place = 0, destructive = 0;
    for (size_t i = 0; i < x->n_updates; i++) {
        place += x->updates[i]->place;
        stop += x->updates[i]->stop;
        in_place += x->updates[i]->in_place_update;
        destructive += x->updates[i]->destructive_update;
    }
    uint64_t failed = 0;
    for (size_t i = 0; i < done->n_failed_groups; i++)
        failed += 1 + done->failed_groups[i]->coalesced_failures;
    cr_assert_eq(in_place, done->n_in_place, "seed %u", seed);
    cr_assert_eq(place + destructive, done->n_placements + failed, "seed %u", seed);
    cr_assert(stop <= done->n_stops && done->n_stops <= stop + destructive, "seed %u", seed);
}

Test(question_property, what_a_plan_says_is_what_then_happens)
{
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct onejob c;
        struct prng r;
        world_make(&c, &r, seed);
        c.view.job->namespace_ = arena_strdup(c.arena, "default");
        for (int step = 0; step < 8; step++) {
            struct arena *a = arena_new(1 << 28);
            Pb__Job *before = c.view.job;
            size_t versions = c.view.n_versions;
            world_event(&c, &r);
            Pb__Job *after = c.view.job;
            /* A new version that says the same is none: registering it would change nothing. */
            bool registered = after != before && !after->stop && !job_is_unchanged(before, after);
            if (registered || after == before) {
                Pb__Question *q = a_question(a, PB__QUESTION__KIND__PLAN);
                q->job = specification(a, after);
                size_t now = c.view.n_versions;
                c.view.job = before;
                c.view.n_versions = versions;
                Pb__Answer *said = ask(&c, a, q);
                c.view.job = after;
                c.view.n_versions = now;
                if (!after->stop) {
                    Pb__Plan *done = onejob_plan(&c, a);
                    cr_assert_eq(said->code, 0, "seed %u: %s", seed, said->reason);
                    check_same(said->plan, done, seed);
                    check_counts(said, done, seed);
                }
            }
            onejob_apply(&c, onejob_plan(&c, a));
            arena_free(a);
        }
        onejob_fini(&c);
    }
}

/* ---- why */

static size_t placed_on(const Pb__Plan *plan, const uint8_t *node_id)
{
    size_t n = 0;
    for (size_t i = 0; i < plan->n_placements; i++)
        n += memcmp(plan->placements[i]->node_id.data, node_id, ID_SIZE) == 0;
    return n;
}

static void grow(struct onejob *c, const uint8_t *node_id, const Pb__Amount *by)
{
    Pb__NodeUsage *u = onejob_usage(c, node_id);
    Pb__Amount *larger = arena_copy(c->arena, u->capacity, sizeof(*larger));
    larger->cpu += by->cpu;
    larger->memory_mb += by->memory_mb;
    larger->disk_mb += by->disk_mb;
    u->capacity = larger;
}

static bool grow_less(struct onejob *c, const Pb__Lack *l)
{
    Pb__Amount by = *l->short_of;
    if (by.cpu > 0)
        by.cpu--;
    else if (by.memory_mb > 0)
        by.memory_mb--;
    else if (by.disk_mb > 0)
        by.disk_mb--;
    else
        return false;
    grow(c, l->nearest_id.data, &by);
    return true;
}

/* What it is short of helps when it is there, and one unit less does not. */
static void check_lack(struct onejob *c, struct arena *a, const Pb__Lack *l, unsigned seed)
{
    Pb__NodeUsage *u = onejob_usage(c, l->nearest_id.data);
    Pb__Amount *was = u->capacity;
    if (grow_less(c, l)) {
        const Pb__Plan *plan = onejob_plan(c, a);
        cr_assert_eq(plan->n_placements, 0, "seed %u: less than what was said was enough", seed);
    }
    u->capacity = was;
    grow(c, l->nearest_id.data, l->short_of);
    const Pb__Plan *plan = onejob_plan(c, a);
    cr_assert_geq(placed_on(plan, l->nearest_id.data), 1,
                  "seed %u: what was said to be missing is there, and still no place", seed);
    u->capacity = was;
}

Test(question_property, what_is_said_to_be_missing_is_what_helps)
{
    size_t checked = 0;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct onejob c;
        struct prng r;
        struct arena *a = arena_new(1 << 28);
        world_make(&c, &r, seed);
        onejob_apply(&c, onejob_plan(&c, a));
        Pb__Answer *x = ask(&c, a, a_question(a, PB__QUESTION__KIND__WHY));
        const Pb__GroupWhy *w = x->groups[0];
        const Pb__Plan *plan = onejob_plan(&c, a);
        cr_assert_eq(x->n_groups, 1);
        cr_assert_eq(w->staying, onejob_running(&c), "seed %u", seed);
        cr_assert_eq(w->staying + w->missing, w->count, "seed %u", seed);
        cr_assert_eq(w->missing > 0, plan->n_failed_groups > 0, "seed %u", seed);
        for (size_t i = 0; w->missing > 0 && i < w->n_lacks; i++) {
            if (w->lacks[i]->n_others > 0)
                continue;
            check_lack(&c, a, w->lacks[i], seed);
            checked++;
        }
        arena_free(a);
        onejob_fini(&c);
    }
    cr_assert_gt(checked, SEEDS / 10, "only %zu lacks were looked at", checked);
}

/* Each ready node of the job's datacenters either could take one more, or lacks something. */
Test(question_property, every_node_is_accounted_for)
{
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct onejob c;
        struct prng r;
        struct arena *a = arena_new(1 << 28);
        world_make(&c, &r, seed);
        Pb__Answer *x = ask(&c, a, a_question(a, PB__QUESTION__KIND__WHY));
        const Pb__GroupWhy *w = x->groups[0];
        size_t here = 0, lacking = 0;
        for (size_t i = 0; i < c.node_count; i++)
            here += strcmp(c.nodes[i]->datacenter, "dc1") == 0;
        for (size_t i = 0; i < w->n_lacks; i++)
            lacking += w->lacks[i]->nodes;
        const Pb__PlacementMetrics *m = w->metrics;
        cr_assert_eq(m->nodes_evaluated + w->nodes_unready, here, "seed %u", seed);
        cr_assert_eq(lacking, m->nodes_filtered + m->nodes_exhausted, "seed %u", seed);
        arena_free(a);
        onejob_fini(&c);
    }
}

/* ---- what if */

static Pb__WhatIf *a_change(struct arena *a, const Pb__Node *node, uint32_t add)
{
    Pb__WhatIf *w = arena_array(a, Pb__WhatIf, 1);
    pb__what_if__init(w);
    w->has_node_id = 1;
    w->node_id = node->id;
    w->has_add = add > 0;
    w->add = add;
    w->has_remove = w->remove = add == 0;
    return w;
}

static Pb__Answer *ask_what_if(struct onejob *c, struct arena *a, Pb__WhatIf *change)
{
    Pb__Question *q = a_question(a, PB__QUESTION__KIND__WHY);
    q->what_if = arena_array(a, Pb__WhatIf *, 1);
    q->what_if[q->n_what_if++] = change;
    return ask(c, a, q);
}

Test(question_property, a_node_taken_away_in_thought_is_one_taken_away)
{
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct onejob c;
        struct prng r;
        struct arena *a = arena_new(1 << 28);
        world_make(&c, &r, seed);
        onejob_apply(&c, onejob_plan(&c, a));
        size_t gone = prng_below(&r, c.node_count);
        Pb__Answer *x = ask_what_if(&c, a, a_change(a, c.nodes[gone], 0));
        c.node_count--;
        c.nodes[gone] = c.nodes[c.node_count];
        c.usages[gone] = c.usages[c.node_count];
        check_same(x->plan, onejob_plan(&c, a), seed);
        arena_free(a);
        onejob_fini(&c);
    }
}

Test(question_property, nodes_added_in_thought_take_what_such_nodes_would_take)
{
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct onejob c;
        struct prng r;
        struct arena *a = arena_new(1 << 28);
        world_make(&c, &r, seed);
        onejob_apply(&c, onejob_plan(&c, a));
        const Pb__Node *like = c.nodes[prng_below(&r, c.node_count)];
        uint32_t add = 1 + (uint32_t)prng_below(&r, 5);
        Pb__Answer *x = ask_what_if(&c, a, a_change(a, like, add));
        const Pb__Amount *size = like->total;
        for (uint32_t i = 0; i < add; i++) {
            Pb__Node *n = onejob_add_node(&c, size->cpu, size->memory_mb, size->disk_mb);
            Pb__Node own = *n;
            *n = *like;
            n->id = own.id;
            n->name = own.name;
        }
        Pb__Plan *plan = onejob_plan(&c, a);
        cr_assert_eq(x->plan->n_placements, plan->n_placements, "seed %u", seed);
        cr_assert_eq(x->plan->n_failed_groups, plan->n_failed_groups, "seed %u", seed);
        arena_free(a);
        onejob_fini(&c);
    }
}

Test(question, a_node_that_is_not_there_cannot_be_taken_away)
{
    struct onejob c;
    struct prng r;
    struct arena *a = arena_new(1 << 28);
    world_make(&c, &r, 1);
    Pb__Node *stranger = arena_copy(a, c.nodes[0], sizeof(*stranger));
    uint8_t id[ID_SIZE] = {0x77};
    stranger->id = wire_id(a, id);
    Pb__Answer *x = ask_what_if(&c, a, a_change(a, stranger, 0));
    cr_assert_eq(x->code, PB__REPLY__CODE__INVALID);
    cr_assert(strstr(x->reason, "77000000-") != NULL, "%s", x->reason);
    x = ask_what_if(&c, a, a_change(a, c.nodes[0], 2000000));
    cr_assert_eq(x->code, PB__REPLY__CODE__INVALID);
    arena_free(a);
    onejob_fini(&c);
}
