/* What is collected and what stays, as the query finds it and the command deletes it. */
#include "cluster.h"
#include "query_collect.h"
#include <criterion/criterion.h>

#define ALLOCS PB__TABLE__NAME__ALLOCS
#define EVALS  PB__TABLE__NAME__EVALS

static const ProtobufCBinaryData none;
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

TestSuite(collect, .init = begin, .fini = end);

/* One round on what was last changed before `before`. */
static void collect_before(int64_t before)
{
    static const Pb__Table__Name tables[] = {EVALS, PB__TABLE__NAME__DEPLOYMENTS,
                                             PB__TABLE__NAME__JOBS, PB__TABLE__NAME__NODES};
    for (size_t i = 0; i < COUNT_OF(tables); i++) {
        struct reason why;
        Pb__CollectRead q = PB__COLLECT_READ__INIT;
        Pb__CollectFound found = PB__COLLECT_FOUND__INIT;
        q.table = tables[i];
        q.before = q.batch_before = before;
        q.index = before == INT64_MAX ? UINT64_MAX : 0;
        struct view *v = state_read(c->state);
        cr_assert_eq(query_collectable(v, c->arena, &q, &found, &why), OK);
        view_abort(v);
        cr_assert_null(found.next);
        if (found.collect == NULL)
            continue;
        Pb__Command cmd = PB__COMMAND__INIT;
        cmd.body_case = PB__COMMAND__BODY_COLLECT;
        cmd.collect = found.collect;
        cr_assert_not(cluster_apply(c, &cmd, 0)->unchanged);
    }
}

static size_t count(Pb__Table__Name table, const char *job)
{
    ProtobufCBinaryData ids[16];
    return ids_by(c, table, PB__LIST__BY__JOB, job, none, ids, COUNT_OF(ids));
}

static ProtobufCBinaryData only_alloc(const char *job)
{
    ProtobufCBinaryData id;
    cr_assert_eq(ids_by(c, ALLOCS, PB__LIST__BY__JOB, job, none, &id, 1), 1);
    return id;
}

static ProtobufCBinaryData run_job(const char *name, const char *type, uint32_t groups_run)
{
    Pb__Job *job = a_job(c, name, groups_run);
    job->type = arena_strdup(c->arena, type);
    ProtobufCBinaryData eval = register_job(c, job)->eval_id;
    Pb__Plan *p = a_plan(c, eval);
    for (uint32_t i = 0; i < groups_run; i++)
        plan_place(c, p, id_of(c, "node", 1), 100, 100, 0);
    cr_assert_eq(apply_a_plan(c, p)->placed, groups_run);
    return eval;
}

static void finish_eval(ProtobufCBinaryData eval)
{
    apply_a_plan(c, a_plan(c, eval));
}

Test(collect, a_running_job_stays_whole)
{
    run_job("web", "service", 1);
    collect_before(INT64_MAX);
    cr_assert_not_null(get_job(c, "web"));
    cr_assert_eq(count(ALLOCS, "web"), 1);
    cr_assert_eq(count(EVALS, "web"), 1);
    cr_assert_not_null(get_node(c, id_of(c, "node", 1)));
}

Test(collect, a_stopped_job_goes_when_its_tasks_have_ended)
{
    run_job("web", "service", 1);
    ProtobufCBinaryData alloc = only_alloc("web");
    ProtobufCBinaryData eval = deregister_job(c, "web", false)->eval_id;
    Pb__Plan *p = a_plan(c, eval);
    plan_stop(c, p, alloc, false);
    apply_a_plan(c, p);
    collect_before(INT64_MAX);
    cr_assert_not_null(get_job(c, "web"), "its task still runs");
    cr_assert_eq(count(ALLOCS, "web"), 1);
    update_alloc(c, alloc, PB__ALLOC__CLIENT_STATUS__COMPLETE);
    collect_before(INT64_MAX);
    cr_assert_null(get_job(c, "web"));
    cr_assert_null(get_summary(c, "web"));
    cr_assert_eq(count(ALLOCS, "web") + count(EVALS, "web"), 0);
}

Test(collect, what_is_young_stays)
{
    run_job("sum", "batch", 1);
    int64_t before = c->time;
    update_alloc(c, only_alloc("sum"), PB__ALLOC__CLIENT_STATUS__COMPLETE);
    collect_before(before);
    cr_assert_not_null(get_job(c, "sum"));
    collect_before(INT64_MAX);
    cr_assert_null(get_job(c, "sum"));
}

/* Else the scheduler would run it again. */
Test(collect, what_a_batch_job_has_run_stays_while_others_of_it_run)
{
    ProtobufCBinaryData ids[2];
    run_job("sum", "batch", 2);
    ids_by(c, ALLOCS, PB__LIST__BY__JOB, "sum", none, ids, 2);
    update_alloc(c, ids[0], PB__ALLOC__CLIENT_STATUS__COMPLETE);
    collect_before(INT64_MAX);
    cr_assert_eq(count(ALLOCS, "sum"), 2);
    cr_assert_eq(count(EVALS, "sum"), 1);
    update_alloc(c, ids[1], PB__ALLOC__CLIENT_STATUS__COMPLETE);
    collect_before(INT64_MAX);
    cr_assert_null(get_job(c, "sum"));
    cr_assert_eq(count(ALLOCS, "sum") + count(EVALS, "sum"), 0);
}

Test(collect, of_a_living_service_only_what_was_replaced_goes)
{
    run_job("web", "service", 2);
    ProtobufCBinaryData ids[2];
    ids_by(c, ALLOCS, PB__LIST__BY__JOB, "web", none, ids, 2);
    update_alloc(c, ids[0], PB__ALLOC__CLIENT_STATUS__FAILED);
    ProtobufCBinaryData eval = register_job(c, a_job(c, "web", 3))->eval_id;
    collect_before(INT64_MAX);
    cr_assert_not_null(get_alloc(c, ids[0]), "its successor is yet to come");
    Pb__Plan *p = a_plan(c, eval);
    plan_place(c, p, id_of(c, "node", 1), 100, 100, 0);
    p->placements[0]->has_previous_alloc = true;
    p->placements[0]->previous_alloc = ids[0];
    cr_assert_eq(apply_a_plan(c, p)->placed, 1);
    collect_before(INT64_MAX);
    cr_assert_null(get_alloc(c, ids[0]));
    cr_assert_not_null(get_alloc(c, ids[1]));
    cr_assert_eq(count(EVALS, "web"), 3,
                 "two have an allocation that runs, the one of the failure is still open");
}

Test(collect, a_job_without_evaluations_is_still_dead)
{
    finish_eval(register_job(c, a_job(c, "idle", 0))->eval_id);
    cr_assert_str_eq(get_job(c, "idle")->status, "dead");
    collect_before(INT64_MAX);
    cr_assert_eq(count(EVALS, "idle"), 0);
    cr_assert_str_eq(get_job(c, "idle")->status, "dead");
}

Test(collect, a_purged_job_leaves_nothing_behind)
{
    run_job("web", "service", 1);
    ProtobufCBinaryData alloc = only_alloc("web");
    ProtobufCBinaryData eval = deregister_job(c, "web", true)->eval_id;
    Pb__Plan *p = a_plan(c, eval);
    plan_stop(c, p, alloc, false);
    apply_a_plan(c, p);
    collect_before(INT64_MAX);
    cr_assert_eq(count(ALLOCS, "web"), 1);
    update_alloc(c, alloc, PB__ALLOC__CLIENT_STATUS__COMPLETE);
    collect_before(INT64_MAX);
    cr_assert_eq(count(ALLOCS, "web") + count(EVALS, "web"), 0);
}

Test(collect, a_node_goes_when_it_is_down_and_nothing_runs_there)
{
    ProtobufCBinaryData node = id_of(c, "node", 1);
    run_job("web", "service", 1);
    set_node_status(c, node, PB__NODE__STATUS__DOWN);
    collect_before(INT64_MAX);
    cr_assert_not_null(get_node(c, node));
    update_alloc(c, only_alloc("web"), PB__ALLOC__CLIENT_STATUS__FAILED);
    collect_before(INT64_MAX);
    cr_assert_null(get_node(c, node));
    cr_assert_null(get_usage(c, node));
}

Test(collect, a_table_that_is_never_collected_is_refused)
{
    struct reason why;
    Pb__CollectRead q = PB__COLLECT_READ__INIT;
    Pb__CollectFound found = PB__COLLECT_FOUND__INIT;
    q.table = PB__TABLE__NAME__NODE_USAGE;
    struct view *v = state_read(c->state);
    cr_assert_eq(query_collectable(v, c->arena, &q, &found, &why), ERR_INVALID);
    view_abort(v);
}
