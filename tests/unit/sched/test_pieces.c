/* Whole cores and devices. */
#include "onejob.h"
#include "pieces.h"
#include "sched/model.h"
#include "sched/quantity.h"
#include "sched/sched.h"
#include "wire/grant.h"
#include <criterion/criterion.h>
#include <string.h>

Test(quantity, a_number_has_a_unit_that_is_known_or_none)
{
    static const struct {
        const char *text;
        bool is;
        enum quantity_of of;
        double value;
    } cases[] = {
        {"11 GiB", true, BYTES, 11811160064.0},
        {"11GiB", true, BYTES, 11811160064.0},
        {"1.5 kB/s", true, BYTES_PER_SECOND, 1500},
        {"1500 MHz", true, HERTZ, 1.5e9},
        {"250 W", true, WATTS, 250},
        {"42", true, PLAIN, 42},
        {"-3", true, PLAIN, -3},
        {"", false, PLAIN, 0},
        {"GiB", false, PLAIN, 0},
        {"12 apples", false, PLAIN, 0},
        {"12  GiB", false, PLAIN, 0},
        {"12 MHz/s", false, PLAIN, 0},
        {"nan", false, PLAIN, 0},
        {" 1", false, PLAIN, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct quantity q = {PLAIN, 0};
        cr_assert_eq(quantity_parse(cases[i].text, &q), cases[i].is, "%s", cases[i].text);
        cr_assert(q.of == cases[i].of && q.value == cases[i].value, "%s", cases[i].text);
    }
}

static struct model *a_model(struct arena *a, struct texts *kind)
{
    Pb__NodeDevice *d = a_device(a, "nvidia/gpu/1080ti", "0 1");
    device_attribute(a, d, "memory", "11 GiB");
    device_attribute(a, d, "driver", "515.48.07");
    struct strbuf b = STRBUF_INIT;
    model_encode(&b, d);
    kind->size = strlen(MODEL_KEY) + 1 + b.len + 1;
    kind->data = arena_alloc(a, kind->size);
    memcpy(kind->data, MODEL_KEY, strlen(MODEL_KEY));
    memcpy(kind->data + strlen(MODEL_KEY) + 1, b.data, b.len);
    strbuf_free(&b);
    uint32_t count;
    struct model *m = models_new(kind, &count);
    cr_assert_eq(count, 1);
    return m;
}

Test(model, is_asked_for_by_type_or_by_more_and_compared_by_value)
{
    struct arena *a = arena_new(1 << 20);
    struct texts kind;
    struct model *m = a_model(a, &kind);
    cr_assert_eq(m->instances, 2);
    cr_assert(model_is(m, "gpu") && model_is(m, "nvidia/gpu") && model_is(m, "nvidia/gpu/1080ti"));
    cr_assert_not(model_is(m, "nvidia"));
    cr_assert_not(model_is(m, "amd/gpu"));
    cr_assert_not(model_is(m, "nvidia/gpu/1080"));
    cr_assert_not(model_is(m, "nvidia/gpu/1080ti/0"));
    static const struct {
        const char *left, *operand, *right;
        bool holds;
    } cases[] = {
        {"${device.attr.memory}", ">=", "10 GiB", true},
        {"${device.attr.memory}", ">", "11 GiB", false},
        {"${device.attr.memory}", "=", "11264 MiB", true},
        {"${device.attr.memory}", "!=", "11264 MiB", false},
        {"${device.attr.memory}", ">", "11 GB", true},
        {"${device.attr.memory}", ">", "10", false}, /* of what? */
        {"${device.attr.memory}", "!=", "11 GHz", true},
        {"${device.attr.driver}", "version", ">= 500", true},
        {"${device.attr.driver}", "regexp", "^515", true},
        {"${device.attr.absent}", "is_not_set", "", true},
        {"${device.attr.absent}", "=", "1", false},
        {"${device.vendor}", "=", "nvidia", true},
        {"${device.type}", "!=", "gpu", false},
        {"${device.model}", "set_contains_any", "1070, 1080ti", true},
        {"1070,1080ti", "set_contains_any", "${device.model}", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct condition c;
        condition_init(&c, a, cases[i].left, cases[i].operand, cases[i].right);
        cr_assert_eq(model_condition_holds(&c, m), cases[i].holds, "%s %s %s", cases[i].left,
                     cases[i].operand, cases[i].right);
    }
    models_free(m, 1);
    arena_free(a);
}

static void request(struct onejob *c, const char *name, uint32_t count, const char *liked)
{
    Pb__Resources *ask = c->view.job->task_groups[0]->tasks[0]->resources;
    if (ask->devices == NULL)
        ask->devices = arena_array(c->arena, Pb__RequestedDevice *, 4);
    Pb__RequestedDevice *d = arena_array(c->arena, Pb__RequestedDevice, 1);
    pb__requested_device__init(d);
    d->name = arena_strdup(c->arena, name);
    d->has_count = 1;
    d->count = count;
    ask->devices[ask->n_devices++] = d;
    if (liked == NULL)
        return;
    Pb__Affinity *f = arena_array(c->arena, Pb__Affinity, 1);
    pb__affinity__init(f);
    f->l_target = arena_strdup(c->arena, "${device.model}");
    f->operand = arena_strdup(c->arena, "=");
    f->r_target = arena_strdup(c->arena, liked);
    f->has_weight = 1;
    f->weight = 50;
    d->affinities = arena_array(c->arena, Pb__Affinity *, 1);
    d->affinities[d->n_affinities++] = f;
}

static void ask_for_cores(struct onejob *c, uint32_t cores)
{
    Pb__Resources *ask = c->view.job->task_groups[0]->tasks[0]->resources;
    ask->has_cores = 1;
    ask->cores = cores;
    ask->cpu = 0;
}

static Pb__Node *a_node_with_pieces(struct onejob *c)
{
    Pb__Node *n = onejob_add_node(c, 4000, 4000, 4000);
    n->has_cores = 1;
    n->cores = 4;
    node_list_cores(c->arena, n, 4);
    node_add_device(c->arena, n, a_device(c->arena, "acme/gpu/x1", "a b"));
    node_add_device(c->arena, n, a_device(c->arena, "acme/gpu/x2", "c d"));
    return n;
}

Test(pieces, a_request_gives_way_to_another_that_has_no_choice)
{
    struct onejob c;
    onejob_init(&c);
    a_node_with_pieces(&c);
    onejob_set_job(&c, "service", 1, 100, 100);
    request(&c, "gpu", 2, "x2"); /* likes what the other needs */
    request(&c, "acme/gpu/x2", 1, NULL);
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 1);
    const Pb__TaskGrant *g = plan->placements[0]->grants[0];
    cr_assert_str_eq(g->task, "t");
    cr_assert_str_eq(g->devices[0]->name, "x1");
    cr_assert_eq(g->devices[0]->n_device_ids, 2);
    cr_assert_str_eq(g->devices[1]->name, "x2");
    cr_assert_str_eq(g->devices[1]->device_ids[0], "c");
    onejob_fini(&c);
}

Test(pieces, cores_count_as_their_share_of_the_cpu_and_are_given_from_the_lowest_on)
{
    struct onejob c;
    onejob_init(&c);
    a_node_with_pieces(&c);
    onejob_set_job(&c, "service", 3, 0, 100);
    ask_for_cores(&c, 2);
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 2);
    for (uint32_t i = 0; i < 2; i++) {
        const Pb__TaskGrant *g = plan->placements[i]->grants[0];
        cr_assert_eq(plan->placements[i]->resources->cpu, 2000);
        cr_assert(g->n_cores == 2 && g->cores[0] == 2 * i && g->cores[1] == 2 * i + 1);
    }
    cr_assert_eq(plan->n_failed_groups, 1);
    cr_assert_str_eq(plan->failed_groups[0]->dimension_exhausted[0]->name, "cores");
    onejob_apply(&c, plan);
    onejob_end_alloc(&c, c.view.allocs[0], PB__ALLOC__CLIENT_STATUS__COMPLETE);
    plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 1);
    cr_assert_eq(plan->placements[0]->grants[0]->cores[0], 0,
                 "what has ended gives its cores back");
    onejob_fini(&c);
}

/* "t" and "u", alike. */
static void add_second_task(struct onejob *c)
{
    Pb__TaskGroup *g = c->view.job->task_groups[0];
    Pb__Task *second = arena_copy(c->arena, g->tasks[0], sizeof(*second));
    second->name = arena_strdup(c->arena, "u");
    g->tasks[g->n_tasks++] = second;
}

Test(pieces, tasks_of_one_group_share_neither_cores_nor_devices)
{
    struct onejob c;
    onejob_init(&c);
    a_node_with_pieces(&c);
    onejob_set_job(&c, "service", 1, 0, 100);
    ask_for_cores(&c, 2);
    request(&c, "acme/gpu/x1", 1, NULL);
    add_second_task(&c);
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 1);
    cr_assert_eq(plan->placements[0]->n_grants, 2);
    cr_assert_eq(plan->placements[0]->resources->cpu, 4000);
    const Pb__TaskGrant *t = plan->placements[0]->grants[0], *u = plan->placements[0]->grants[1];
    cr_assert_eq(t->n_cores, 2);
    cr_assert_eq(u->n_cores, 2);
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert_eq(t->cores[i], i);
        cr_assert_eq(u->cores[i], 2 + i);
    }
    cr_assert_str_eq(t->devices[0]->device_ids[0], "a");
    cr_assert_str_eq(u->devices[0]->device_ids[0], "b");
    onejob_fini(&c);
}

Test(pieces, cores_do_not_fit_beside_those_who_use_the_cpu_in_mhz)
{
    struct onejob c;
    onejob_init(&c);
    a_node_with_pieces(&c);
    c.usages[0]->used->cpu = 2500;
    onejob_set_job(&c, "service", 1, 0, 100);
    ask_for_cores(&c, 2);
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 0);
    cr_assert_str_eq(plan->failed_groups[0]->dimension_exhausted[0]->name, "cpu");
    onejob_fini(&c);
}

Test(pieces, what_is_missing_is_named)
{
    struct onejob c;
    onejob_init(&c);
    Pb__Node *n = a_node_with_pieces(&c);
    n->devices[1]->instances[0]->healthy = 0;
    onejob_set_job(&c, "service", 1, 100, 100);
    request(&c, "gpu", 1, NULL);
    request(&c, "acme/gpu/x2", 2, NULL);
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 0);
    cr_assert_str_eq(plan->failed_groups[0]->dimension_exhausted[0]->name, "devices: acme/gpu/x2");
    onejob_next_version(&c)->task_groups[0]->tasks[0]->resources->devices[1]->count = 3;
    plan = onejob_plan(&c, c.arena);
    cr_assert_str_eq(plan->failed_groups[0]->constraint_filtered[0]->name, "missing devices");
    cr_assert_eq(plan->failed_groups[0]->n_dimension_exhausted, 0);
    onejob_fini(&c);
}

Test(pieces, an_update_without_room_waits_for_the_cores_of_the_old_one)
{
    struct onejob c;
    onejob_init(&c);
    a_node_with_pieces(&c);
    onejob_set_job(&c, "service", 1, 0, 100);
    ask_for_cores(&c, 3);
    onejob_apply(&c, onejob_plan(&c, c.arena));
    onejob_next_version(&c)->task_groups[0]->tasks[0]->user = arena_strdup(c.arena, "someone");
    Pb__Plan *plan = onejob_plan(&c, c.arena);
    cr_assert_eq(plan->n_placements, 0);
    cr_assert_eq(plan->n_stops, 1, "its cores are what the new one needs");
    onejob_fini(&c);
}

Test(pieces, memory_max_is_granted_where_the_region_allows_it)
{
    struct onejob c;
    onejob_init(&c);
    a_node_with_pieces(&c);
    Pb__Job *job = onejob_set_job(&c, "service", 1, 0, 100);
    Pb__Resources *ask = job->task_groups[0]->tasks[0]->resources;
    ask->has_memory_max_mb = 1;
    ask->memory_max_mb = 200;
    ask_for_cores(&c, 1);
    struct fleet *f = onejob_fleet(&c);
    for (int over = 0; over < 2; over++) {
        const struct sched_options o = {.memory_over = over == 1};
        Pb__Plan *plan = sched_plan(c.arena, f, &c.view, &c.eval, c.index, &o);
        const Pb__Placement *at = plan->placements[0];
        cr_assert_eq(at->resources->memory_mb, 100, "memory is what counts");
        cr_assert_eq(at->n_grants, 1);
        cr_assert_eq(at->grants[0]->n_cores, 1);
        cr_assert_eq(grants_memory_max_mb(at->grants, at->n_grants, "t"), over == 1 ? 200 : 0);
        cr_assert_null(grants_mistake(at->grants, at->n_grants));
        cr_assert_eq(fleet_grants_fit(f, fleet_slot(f, at->node_id.data), at->grants, 1, false),
                     FIT);
    }
    fleet_free(f);
    onejob_fini(&c);
}

Test(pieces, a_node_lists_what_can_be_counted)
{
    struct arena *a = arena_new(1 << 20);
    Pb__Node n = PB__NODE__INIT;
    node_list_cores(a, &n, 2);
    node_add_device(a, &n, a_device(a, "acme/gpu/x1", "a b"));
    cr_assert_null(node_pieces_mistake(&n));
    n.reservable_cores[1] = 0;
    cr_assert_not_null(strstr(node_pieces_mistake(&n), "cores"));
    n.reservable_cores[1] = CORES_MOST;
    cr_assert_not_null(strstr(node_pieces_mistake(&n), "above"));
    n.n_reservable_cores = 0;
    node_add_device(a, &n, a_device(a, "acme/gpu/x0", "c"));
    cr_assert_not_null(strstr(node_pieces_mistake(&n), "sorted"));
    n.devices[1] = a_device(a, "acme/gpu/x2", "d c");
    cr_assert_not_null(strstr(node_pieces_mistake(&n), "sorted"));
    n.devices[1] = a_device(a, "acme/gpu/x2", "c/d");
    cr_assert_not_null(strstr(node_pieces_mistake(&n), "id"));
    n.devices[1] = a_device(a, "acme/gpu/x2", "c");
    device_attribute(a, n.devices[1], "k", "a\x1f");
    cr_assert_not_null(strstr(node_pieces_mistake(&n), "printable"));
    n.devices[1]->n_attributes = 0;
    n.devices[1]->vendor = NULL;
    cr_assert_not_null(strstr(node_pieces_mistake(&n), "vendor"));
    arena_free(a);
}
