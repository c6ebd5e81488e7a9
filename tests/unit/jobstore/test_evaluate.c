/* A job that is looked at again because somebody asks for it. */
#include "cluster.h"
#include <criterion/criterion.h>

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

TestSuite(evaluate, .init = begin, .fini = end);

static Pb__Outcome *evaluate(const char *job, bool reschedule)
{
    Pb__JobEvaluate body = PB__JOB_EVALUATE__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.job_id = arena_strdup(c->arena, job);
    body.has_reschedule = true;
    body.reschedule = reschedule;
    cmd.body_case = PB__COMMAND__BODY_JOB_EVALUATE;
    cmd.job_evaluate = &body;
    return cluster_apply(c, &cmd, 0);
}

/* A batch job with one allocation that failed. */
static ProtobufCBinaryData a_failed_alloc(bool with_policy)
{
    ProtobufCBinaryData id;
    Pb__Job *job = a_job(c, "sum", 1);
    Pb__ReschedulePolicy policy = PB__RESCHEDULE_POLICY__INIT;
    policy.has_attempts = true;
    policy.attempts = 1;
    job->type = arena_strdup(c->arena, "batch");
    job->task_groups[0]->reschedule_policy = with_policy ? &policy : NULL;
    Pb__Plan *p = a_plan(c, register_job(c, job)->eval_id);
    plan_place(c, p, id_of(c, "node", 1), 100, 100, 0);
    apply_a_plan(c, p);
    cr_assert_eq(ids_by(c, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, "sum", none, &id, 1), 1);
    update_alloc(c, id, PB__ALLOC__CLIENT_STATUS__FAILED);
    return id;
}

Test(evaluate, makes_a_pending_evaluation_of_the_job)
{
    uint64_t index = register_job(c, a_job(c, "web", 1))->index;
    Pb__Outcome *o = evaluate("web", false);
    cr_assert_eq(o->code, PB__OUTCOME__CODE__APPLIED);
    cr_assert_eq(o->job_modify_index, index);
    Pb__Eval *e = get_eval(c, o->eval_id);
    cr_assert_eq(e->status, PB__EVAL__STATUS__PENDING);
    cr_assert_str_eq(e->triggered_by, "job-register");
    cr_assert_eq(e->job_modify_index, index);
}

Test(evaluate, what_failed_is_let_through_only_when_asked_for)
{
    ProtobufCBinaryData id = a_failed_alloc(true);
    evaluate("sum", false);
    cr_assert_not(get_alloc(c, id)->reschedule);
    evaluate("sum", true);
    cr_assert(get_alloc(c, id)->reschedule);
}

Test(evaluate, without_a_policy_nothing_is_placed_anew)
{
    ProtobufCBinaryData id = a_failed_alloc(false);
    evaluate("sum", true);
    cr_assert_not(get_alloc(c, id)->reschedule);
}

Test(evaluate, templates_and_unknown_jobs_are_refused)
{
    Pb__Periodic periodic = PB__PERIODIC__INIT;
    Pb__Job *job = a_job(c, "tick", 1);
    job->periodic = &periodic;
    register_job(c, job);
    cr_assert_str_eq(evaluate("tick", false)->reason, "can't evaluate periodic job");
    cr_assert_str_eq(evaluate("ghost", false)->reason, "job not found");
}
