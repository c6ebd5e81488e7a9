/* Random lives of a worker's view of the nodes: every plan that is kept can be made again, and is
 * the same; what is kept stays within its bounds. The seed is in each message. */
#include "../sched/world.h"
#include "base/err.h"
#include "sched/question.h"
#include "sched/sched.h"
#include "schedworker/history.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS 60
#define STEPS 60
#define HELD  8
#define MOST  6

struct life {
    struct onejob c;
    struct prng chance;
    unsigned seed;
    struct fleet *fleet;
    struct history *history;
    struct hold *holds[HELD];
    uint64_t numbers[HELD];
    size_t held;
    uint8_t evals[STEPS][ID_SIZE];
    size_t plans, again;
};

static uint32_t below(struct life *l, uint32_t n)
{
    return (uint32_t)prng_below(&l->chance, n);
}

static void tell(struct life *l, Pb__Object *o, Pb__Table__Name table)
{
    o->has_table = 1;
    o->table = table;
    /* As in life: it has come over the wire. */
    struct arena *a = arena_new(1 << 20);
    const Pb__Object *wired = (const Pb__Object *)wire_clone(a, &o->base);
    fleet_set_object(l->fleet, wired);
    history_object(l->history, wired);
    arena_free(a);
}

/* The records of one node as they are now; or, rarely, that it is gone. */
static void tell_node(struct life *l, size_t i, bool may_go)
{
    Pb__Object node = PB__OBJECT__INIT, usage = PB__OBJECT__INIT;
    Pb__Key key = PB__KEY__INIT;
    if (may_go && below(l, 20) == 0) {
        key.has_table = key.has_id = 1;
        key.table = PB__TABLE__NAME__NODES;
        key.id = l->c.nodes[i]->id;
        node.deleted = &key;
        tell(l, &node, PB__TABLE__NAME__NODES);
        return;
    }
    node.value_case = PB__OBJECT__VALUE_NODE;
    node.node = l->c.nodes[i];
    usage.value_case = PB__OBJECT__VALUE_NODE_USAGE;
    usage.node_usage = l->c.usages[i];
    tell(l, &node, PB__TABLE__NAME__NODES);
    tell(l, &usage, PB__TABLE__NAME__NODE_USAGE);
}

static void tell_all(struct life *l)
{
    for (size_t i = 0; i < l->c.node_count; i++)
        tell_node(l, i, false);
}

static void release(struct life *l, size_t i)
{
    fleet_release(l->fleet, l->holds[i]);
    history_release(l->history, l->numbers[i]);
    l->held--;
    l->holds[i] = l->holds[l->held];
    l->numbers[i] = l->numbers[l->held];
}

static void make_plan(struct life *l)
{
    struct arena *a = arena_new(64 << 20);
    bool commit = below(l, 3) == 0;
    if (commit) {
        tell_all(l);
        while (l->held > 0)
            release(l, 0);
    }
    if (l->held == HELD)
        release(l, below(l, HELD));
    struct sched_options o = {.max_changes = below(l, 4) == 0 ? 3 : 0,
                              .spreads_load = below(l, 3) == 0};
    /* Several plans of one evaluation come too. */
    if (l->plans == 0 || below(l, 3) > 0)
        l->c.eval.id.data[15] = (uint8_t)(l->plans + 1);
    struct history_inputs in = {.view = (Pb__JobView *)wire_clone(a, &l->c.view.base),
                                .eval = (Pb__Eval *)wire_clone(a, &l->c.eval.base),
                                .seed = below(l, 1000),
                                .fleet_index = fleet_index(l->fleet),
                                .options = &o};
    Pb__Plan *plan = sched_plan(a, l->fleet, in.view, in.eval, in.seed, &o);
    l->numbers[l->held] = history_made(l->history, &in, plan);
    l->holds[l->held++] = fleet_hold(l->fleet, plan);
    memcpy(l->evals[l->plans++], l->c.eval.id.data, ID_SIZE);
    if (commit)
        onejob_apply(&l->c, plan);
    arena_free(a);
}

static void check_again(struct life *l)
{
    size_t found = 0;
    for (size_t i = 0; i < l->plans; i++) {
        struct history_plan p;
        struct arena *a = arena_new(64 << 20);
        if (history_find(l->history, a, l->evals[i], &p)) {
            Pb__Answer *x = sched_answer_again(a, p.fleet, p.inputs.view, p.inputs.eval,
                                               p.inputs.seed, p.inputs.options, p.plan);
            cr_assert(x->same, "seed %u: %s", l->seed,
                      x->n_differences > 0 ? x->differences[0] : "?");
            cr_assert(id_equal(x->eval->id.data, l->evals[i]));
            fleet_free(p.fleet);
            found++;
        }
        arena_free(a);
    }
    cr_assert_geq(found, history_count(l->history), "seed %u: kept, yet not found", l->seed);
    l->again += found;
}

static void step(struct life *l)
{
    switch (below(l, 6)) {
    case 0:
        world_event(&l->c, &l->chance);
        break;
    case 1:
    case 2:
        tell_node(l, below(l, (uint32_t)l->c.node_count), true);
        break;
    case 3:
        if (l->held > 0)
            release(l, below(l, (uint32_t)l->held));
        break;
    default:
        make_plan(l);
    }
    if (below(l, 40) == 0) {
        fleet_reset(l->fleet);
        history_reset(l->history);
        cr_assert_eq(history_count(l->history), 0);
        tell_all(l);
    }
    history_check(l->history);
    if (below(l, 8) == 0)
        check_again(l);
}

static size_t live(unsigned seed)
{
    struct life *l = xcalloc(1, sizeof *l);
    l->seed = seed;
    world_make(&l->c, &l->chance, seed);
    l->fleet = fleet_new();
    l->history = history_new(MOST, seed % 3 == 0 ? 20000 : 4 << 20);
    tell_all(l);
    for (int i = 0; i < STEPS; i++)
        step(l);
    check_again(l);
    size_t again = l->again;
    while (l->held > 0)
        release(l, 0);
    history_free(l->history);
    fleet_free(l->fleet);
    onejob_fini(&l->c);
    free(l);
    return again;
}

Test(history, every_plan_that_is_kept_can_be_made_again, .timeout = 120)
{
    size_t again = 0;
    for (unsigned seed = 1; seed <= SEEDS; seed++)
        again += live(seed);
    cr_assert_geq(again, 1000, "only %zu were looked at", again);
}

Test(history, nothing_is_kept_when_nothing_is_to_be_kept)
{
    struct history *h = history_new(0, 1 << 20);
    Pb__Object o = PB__OBJECT__INIT;
    history_object(h, &o);
    cr_assert_eq(history_bytes(h), 0);
    history_check(h);
    history_free(h);
}
