/* Plans that come late: evalbroker gave their worker up, or leads no more, and another has planned
 * for the job since. Found by nsim with three servers. */
#include "cluster.h"
#include <criterion/criterion.h>

static struct cluster *c;

static void begin(void)
{
    c = cluster_new();
    register_node(c, a_node(c, 1, 4000, 4000));
}

static void end(void)
{
    cluster_free(c);
}

TestSuite(overtaken, .init = begin, .fini = end);

/* Made from the state of now. */
static Pb__Plan *plan_of_now(ProtobufCBinaryData eval)
{
    Pb__Plan *p = a_plan(c, eval);
    p->has_snapshot_index = true;
    p->snapshot_index = c->index;
    return p;
}

static void place_one(Pb__Plan *p)
{
    plan_place(c, p, id_of(c, "node", 1), 100, 100, 20000 + (uint32_t)c->index);
}

static ProtobufCBinaryData only_alloc(const char *job)
{
    static const ProtobufCBinaryData none;
    ProtobufCBinaryData id;
    cr_assert_eq(ids_by(c, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, job, none, &id, 1), 1);
    return id;
}

Test(overtaken, a_late_plan_places_nothing_that_the_next_evaluation_has_placed)
{
    ProtobufCBinaryData first = register_job(c, a_job(c, "web", 1))->eval_id;
    Pb__Plan *late = plan_of_now(first);
    place_one(late);
    ProtobufCBinaryData second = register_job(c, a_job(c, "web", 1))->eval_id;
    Pb__Plan *next = plan_of_now(second);
    place_one(next);
    cr_assert_eq(apply_a_plan(c, next)->placed, 1);
    Pb__Outcome *out = apply_a_plan(c, late);
    cr_assert_eq(out->code, PB__OUTCOME__CODE__STALE);
    cr_assert_eq(get_usage(c, id_of(c, "node", 1))->allocs, 1);
    cr_assert_eq(get_eval(c, first)->status, PB__EVAL__STATUS__PENDING, "it is planned for again");
}

Test(overtaken, a_late_stop_does_not_undo_a_newer_registration)
{
    Pb__Plan *p = plan_of_now(register_job(c, a_job(c, "web", 1))->eval_id);
    place_one(p);
    apply_a_plan(c, p);
    ProtobufCBinaryData alloc = only_alloc("web");
    Pb__Plan *late = plan_of_now(deregister_job(c, "web", false)->eval_id);
    plan_stop(c, late, alloc, false);
    register_job(c, a_job(c, "web", 1));
    cr_assert_eq(apply_a_plan(c, late)->code, PB__OUTCOME__CODE__STALE);
    cr_assert_eq(get_alloc(c, alloc)->desired, PB__ALLOC__DESIRED__RUN);
}

Test(overtaken, a_plan_that_saw_the_last_one_is_taken)
{
    Pb__Plan *p = plan_of_now(register_job(c, a_job(c, "web", 1))->eval_id);
    place_one(p);
    cr_assert_eq(apply_a_plan(c, p)->placed, 1);
    p = plan_of_now(register_job(c, a_job(c, "web", 2))->eval_id);
    place_one(p);
    cr_assert_eq(apply_a_plan(c, p)->placed, 1);
}

/* Evalbroker sees only the newest record of a node: room that was taken and given back between two
 * looks leaves the sums as they were, and is news all the same. */
Test(overtaken, a_node_tells_when_room_was_last_given_back)
{
    ProtobufCBinaryData node = id_of(c, "node", 1);
    uint64_t before = get_usage(c, node)->freed_index;
    Pb__Plan *p = plan_of_now(register_job(c, a_job(c, "web", 1))->eval_id);
    place_one(p);
    apply_a_plan(c, p);
    cr_assert_eq(get_usage(c, node)->freed_index, before, "a placement gives nothing back");
    update_alloc(c, only_alloc("web"), PB__ALLOC__CLIENT_STATUS__FAILED);
    cr_assert_eq(get_usage(c, node)->freed_index, c->index);
}
