/* Rounds of collection: what is read, how often, and how old things must be. */
#include "controller/collect.h"
#include "base/err.h"
#include <criterion/criterion.h>

#define SECOND 1000000000ll
#define START  (1000000 * SECOND)

static struct collect *c;
static struct arena *a;

static void begin(void)
{
    c = collect_new(&(struct collect_settings){
        .job_threshold_ms = 40000,
        .eval_threshold_ms = 10000,
        .batch_eval_threshold_ms = 20000,
        .deployment_threshold_ms = 80000,
        .node_threshold_ms = 160000,
    });
    a = arena_new(1 << 20);
}

static void end(void)
{
    collect_free(c);
    arena_free(a);
}

TestSuite(collect, .init = begin, .fini = end);

static void answer_nothing(void)
{
    Pb__CollectFound found = PB__COLLECT_FOUND__INIT;
    cr_assert_null(collect_found(c, &found));
}

static void answer_one(bool deleted)
{
    uint8_t id[16] = {1};
    ProtobufCBinaryData ids[] = {{.len = 16, .data = id}};
    Pb__CollectFound found = PB__COLLECT_FOUND__INIT;
    Pb__Collect one = PB__COLLECT__INIT;
    Pb__Outcome outcome = PB__OUTCOME__INIT;
    one.n_evals = 1;
    one.evals = ids;
    found.collect = &one;
    cr_assert_eq(collect_found(c, &found), &one);
    outcome.unchanged = !deleted;
    collect_applied(c, &outcome);
}

static Pb__CollectRead *next(Pb__Table__Name table)
{
    Pb__CollectRead *q = collect_next(c, a);
    cr_assert_not_null(q);
    cr_assert_eq(q->table, table);
    return q;
}

static void pass_over(Pb__Table__Name from)
{
    static const Pb__Table__Name tables[] = {PB__TABLE__NAME__EVALS, PB__TABLE__NAME__DEPLOYMENTS,
                                             PB__TABLE__NAME__JOBS, PB__TABLE__NAME__NODES};
    bool on = false;
    for (size_t i = 0; i < COUNT_OF(tables); i++) {
        on |= tables[i] == from;
        if (!on)
            continue;
        next(tables[i]);
        answer_nothing();
    }
}

Test(collect, a_round_that_finds_nothing_looks_once_at_each_table)
{
    cr_assert_null(collect_next(c, a));
    collect_begin(c, false, START);
    pass_over(PB__TABLE__NAME__EVALS);
    cr_assert_null(collect_next(c, a));
    cr_assert_eq(collect_count(c).passes, 1);
}

Test(collect, what_goes_makes_it_look_again)
{
    collect_begin(c, false, START);
    next(PB__TABLE__NAME__EVALS);
    answer_one(true);
    pass_over(PB__TABLE__NAME__DEPLOYMENTS);
    pass_over(PB__TABLE__NAME__EVALS);
    cr_assert_null(collect_next(c, a));
    cr_assert_eq(collect_count(c).passes, 2);
    cr_assert_eq(collect_count(c).evals, 1);
}

Test(collect, what_was_found_and_stays_does_not)
{
    collect_begin(c, false, START);
    next(PB__TABLE__NAME__EVALS);
    answer_one(false);
    pass_over(PB__TABLE__NAME__DEPLOYMENTS);
    cr_assert_null(collect_next(c, a));
}

Test(collect, passes_have_an_end)
{
    collect_begin(c, false, START);
    int pieces = 0;
    for (; collect_next(c, a) != NULL; pieces++)
        answer_one(true);
    cr_assert_eq(pieces, 400);
}

Test(collect, a_table_is_read_on_behind_the_last_piece)
{
    Pb__CollectFound found = PB__COLLECT_FOUND__INIT;
    Pb__Key key = PB__KEY__INIT;
    key.name = (char *)"web";
    found.next = &key;
    collect_begin(c, false, START);
    cr_assert_null(next(PB__TABLE__NAME__EVALS)->after);
    cr_assert_null(collect_found(c, &found));
    key.name = (char *)"overwritten";
    cr_assert_str_eq(next(PB__TABLE__NAME__EVALS)->after->name, "web");
    answer_nothing();
    cr_assert_null(next(PB__TABLE__NAME__DEPLOYMENTS)->after);
}

Test(collect, each_kind_has_its_age)
{
    collect_begin(c, false, START);
    Pb__CollectRead *q = next(PB__TABLE__NAME__EVALS);
    cr_assert_eq(q->before, START - 10 * SECOND);
    cr_assert_eq(q->batch_before, START - 20 * SECOND);
    answer_nothing();
    next(PB__TABLE__NAME__DEPLOYMENTS);
    answer_nothing();
    cr_assert_eq(next(PB__TABLE__NAME__JOBS)->before, START - 40 * SECOND);
}

Test(collect, an_index_is_as_old_as_we_have_seen_it)
{
    for (int i = 0; i <= 100; i++)
        collect_witness(c, (uint64_t)(1000 + i), START + i * SECOND);
    collect_begin(c, false, START + 100 * SECOND);
    next(PB__TABLE__NAME__EVALS);
    answer_nothing();
    cr_assert_eq(next(PB__TABLE__NAME__DEPLOYMENTS)->index, 1020);
    answer_nothing();
    cr_assert_eq(next(PB__TABLE__NAME__JOBS)->index, 1060);
    answer_nothing();
    cr_assert_eq(next(PB__TABLE__NAME__NODES)->index, 0, "we have not been here long enough");
}

/* However long it goes on: coarser, and never younger than it is. */
Test(collect, the_ages_of_a_long_life_fit)
{
    for (int i = 0; i <= 100000; i++)
        collect_witness(c, (uint64_t)(1 + i), START + i * 10 * SECOND);
    collect_begin(c, false, START + 100000 * 10 * SECOND);
    next(PB__TABLE__NAME__EVALS);
    answer_nothing();
    uint64_t index = next(PB__TABLE__NAME__DEPLOYMENTS)->index;
    cr_assert(index <= 100001 - 8 && index > 99000, "%llu", (unsigned long long)index);
}

Test(collect, by_force_everything_is_old_enough)
{
    collect_begin(c, true, START);
    Pb__CollectRead *q = next(PB__TABLE__NAME__EVALS);
    cr_assert_eq(q->before, INT64_MAX);
    cr_assert_eq(q->batch_before, INT64_MAX);
    cr_assert_eq(q->index, UINT64_MAX);
    cr_assert(collect_is_forced(c));
}
