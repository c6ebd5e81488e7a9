/* An allocation whose node is not heard of, and that comes back. */
#include "cluster.h"
#include <criterion/criterion.h>

static const ProtobufCBinaryData none;

Test(unheard, what_comes_back_has_no_evaluation_to_wait_for_any_more)
{
    struct cluster *c = cluster_new();
    ProtobufCBinaryData id;
    register_node(c, a_node(c, 1, 4000, 4000));
    Pb__Plan *p = a_plan(c, register_job(c, a_job(c, "web", 1))->eval_id);
    plan_place(c, p, id_of(c, "node", 1), 100, 100, 0);
    apply_a_plan(c, p);
    cr_assert_eq(ids_by(c, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, "web", none, &id, 1), 1);
    update_alloc(c, id, PB__ALLOC__CLIENT_STATUS__RUNNING);

    Pb__Unreachable away = PB__UNREACHABLE__INIT, *aways[] = {&away};
    Pb__FollowUp later = PB__FOLLOW_UP__INIT, *laters[] = {&later};
    away.has_alloc_id = true;
    away.alloc_id = id;
    later.has_wait_until = true;
    later.wait_until = 1;
    later.triggered_by = arena_strdup(c->arena, "max-disconnect-timeout");
    later.n_alloc_ids = 1;
    later.alloc_ids = &id;
    p = a_plan(c, register_job(c, a_job(c, "web", 2))->eval_id);
    p->n_unreachable = p->n_follow_ups = 1;
    p->unreachable = aways;
    p->follow_ups = laters;
    apply_a_plan(c, p);
    cr_assert_eq(get_alloc(c, id)->client_status, PB__ALLOC__CLIENT_STATUS__UNREACHABLE);
    cr_assert_eq(get_alloc(c, id)->follow_up_eval.len, 16);

    update_alloc(c, id, PB__ALLOC__CLIENT_STATUS__RUNNING);
    cr_assert_eq(get_alloc(c, id)->follow_up_eval.len, 0);
    cluster_free(c);
}
