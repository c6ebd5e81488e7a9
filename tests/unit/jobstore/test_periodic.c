/* Launches of periodic jobs, as commands. state_check counts the children again after each. */
#include "cluster.h"
#include <criterion/criterion.h>
#include <string.h>

#define SECOND INT64_C(1000000000)

static struct cluster *c;
static Pb__Periodic periodic;

static void begin(void)
{
    c = cluster_new();
    pb__periodic__init(&periodic);
    periodic.has_enabled = periodic.enabled = true;
}

static void end(void)
{
    cluster_free(c);
}

TestSuite(launch, .init = begin, .fini = end);

static Pb__Outcome *register_tick(uint32_t count)
{
    Pb__Job *job = a_job(c, "tick", count);
    job->periodic = &periodic;
    return register_job(c, job);
}

static Pb__Outcome *launch_at(int64_t seconds, bool force, uint64_t job_modify_index)
{
    Pb__PeriodicLaunch body = PB__PERIODIC_LAUNCH__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.job_id = (char *)(uintptr_t) "tick";
    body.has_launch_time = body.has_force = body.has_job_modify_index = true;
    body.launch_time = seconds * SECOND;
    body.force = force;
    body.job_modify_index = job_modify_index;
    cmd.body_case = PB__COMMAND__BODY_PERIODIC_LAUNCH;
    cmd.periodic_launch = &body;
    return cluster_apply(c, &cmd, 0);
}

static Pb__Outcome *launch(int64_t seconds)
{
    return launch_at(seconds, false, 0);
}

static void check_children(uint32_t pending, uint32_t running, uint32_t dead)
{
    Pb__ChildrenSummary none = PB__CHILDREN_SUMMARY__INIT, *kept = get_summary(c, "tick")->children;
    if (kept == NULL)
        kept = &none;
    cr_assert(kept->pending == pending && kept->running == running && kept->dead == dead,
              "%u pending, %u running, %u dead", kept->pending, kept->running, kept->dead);
}

Test(launch, registering_a_periodic_job_makes_no_evaluation_and_it_runs_until_it_is_stopped)
{
    cr_assert_not(register_tick(1)->has_eval_id);
    cr_assert_str_eq(get_job(c, "tick")->status, "running");
    cr_assert_not(deregister_job(c, "tick", false)->has_eval_id);
    cr_assert_str_eq(get_job(c, "tick")->status, "dead");
    register_tick(1);
    cr_assert_str_eq(get_job(c, "tick")->status, "running");
}

Test(launch, of_a_sysbatch_job_makes_a_child_that_is_for_each_node)
{
    ProtobufCBinaryData evals[4];
    Pb__Job *job = a_job(c, "tick", 1);
    job->periodic = &periodic;
    job->type = arena_strdup(c->arena, "sysbatch");
    cr_assert_not(register_job(c, job)->has_eval_id);
    Pb__Outcome *out = launch(1795426916);
    cr_assert_str_eq(get_job(c, out->child_id)->type, "sysbatch");
    cr_assert_str_eq(get_eval(c, out->eval_id)->type, "sysbatch");
    register_node(c, a_node(c, 1, 1000, 1000));
    cr_assert_eq(ids_by(c, PB__TABLE__NAME__EVALS, PB__LIST__BY__JOB, "tick",
                        (ProtobufCBinaryData){0}, evals, 4),
                 0, "a template has nothing to place on a new node");
    cr_assert_eq(ids_by(c, PB__TABLE__NAME__EVALS, PB__LIST__BY__JOB, out->child_id,
                        (ProtobufCBinaryData){0}, evals, 4),
                 2);
}

Test(launch, makes_a_child_and_its_evaluation)
{
    register_tick(2);
    Pb__Outcome *out = launch(1795426916);
    cr_assert_str_eq(out->child_id, "tick/periodic-1795426916");
    Pb__Job *child = get_job(c, out->child_id);
    cr_assert_str_eq(child->name, child->id);
    cr_assert_str_eq(child->parent_id, "tick");
    cr_assert_str_eq(child->status, "pending");
    cr_assert_null(child->periodic);
    cr_assert_eq(child->version, 0);
    cr_assert_eq(child->task_groups[0]->count, 2);
    cr_assert_eq(child->job_modify_index, out->index);
    Pb__Eval *eval = get_eval(c, out->eval_id);
    cr_assert_str_eq(eval->triggered_by, "periodic-job");
    cr_assert_str_eq(eval->job_id, child->id);
    Pb__Job *parent = get_job(c, "tick");
    cr_assert_eq(parent->last_launch, 1795426916 * SECOND);
    cr_assert_eq(parent->version, 0);
    cr_assert_lt(parent->job_modify_index, out->index);
    check_children(1, 0, 0);
}

Test(launch, a_time_is_taken_once_whoever_asks)
{
    register_tick(1);
    cr_assert_not_null(launch(100)->child_id);
    const int64_t again[] = {100, 99, 1};
    for (size_t i = 0; i < COUNT_OF(again); i++) {
        Pb__Outcome *out = launch(again[i]);
        cr_assert_eq(out->code, PB__OUTCOME__CODE__APPLIED);
        cr_assert(out->unchanged && !out->has_eval_id && out->child_id == NULL);
    }
    cr_assert_not_null(launch(101)->child_id);
    check_children(2, 0, 0);
    /* a new version of the job remembers */
    cr_assert_eq(register_tick(3)->job_version, 1);
    cr_assert(launch(101)->unchanged);
    cr_assert_eq(register_tick(3)->job_version, 1);
    /* and so does one that was stopped meanwhile */
    deregister_job(c, "tick", false);
    register_tick(3);
    cr_assert(launch(101)->unchanged);
    cr_assert_not_null(launch(102)->child_id);
}

Test(launch, force_takes_no_launch_away)
{
    register_tick(1);
    launch(100);
    cr_assert_str_eq(launch_at(105, true, 0)->child_id, "tick/periodic-105");
    cr_assert_str_eq(launch(103)->child_id, "tick/periodic-103");
    /* what was forced in a second is the launch of that second */
    cr_assert(launch(105)->unchanged);
    check_children(3, 0, 0);
    /* forced twice in a second: the same child, looked at again */
    Pb__Outcome *out = launch_at(105, true, 0);
    cr_assert_str_eq(out->child_id, "tick/periodic-105");
    cr_assert(out->has_eval_id);
    check_children(3, 0, 0);
    /* one that is not enabled can be forced */
    periodic.enabled = false;
    register_tick(1);
    cr_assert_not_null(launch_at(106, true, 0)->child_id);
}

static void finish_child(const char *child)
{
    ProtobufCBinaryData eval, alloc, none = {0};
    cr_assert_eq(ids_by(c, PB__TABLE__NAME__EVALS, PB__LIST__BY__JOB, child, none, &eval, 1), 1);
    Pb__Plan *p = a_plan(c, eval);
    plan_place(c, p, id_of(c, "node", 1), 100, 100, 0);
    apply_a_plan(c, p);
    cr_assert_eq(ids_by(c, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, child, none, &alloc, 1), 1);
    check_children(0, 1, 0);
    update_alloc(c, alloc, PB__ALLOC__CLIENT_STATUS__RUNNING);
    check_children(0, 1, 0);
    update_alloc(c, alloc, PB__ALLOC__CLIENT_STATUS__COMPLETE);
}

Test(launch, is_left_out_while_an_earlier_child_is_not_dead_where_overlap_is_prohibited)
{
    periodic.has_prohibit_overlap = periodic.prohibit_overlap = true;
    register_tick(1);
    register_node(c, a_node(c, 1, 1000, 1000));
    launch(100);
    cr_assert(launch(101)->unchanged);
    cr_assert_eq(get_job(c, "tick")->last_launch, 101 * SECOND); /* it is not made up for */
    finish_child("tick/periodic-100");
    check_children(0, 0, 1);
    cr_assert(launch(101)->unchanged);
    cr_assert_not_null(launch(102)->child_id);
    check_children(1, 0, 1);
    /* forced: whatever runs */
    cr_assert_not_null(launch_at(103, true, 0)->child_id);
    check_children(2, 0, 1);
    /* whoever forgets a child frees the way */
    deregister_job(c, "tick/periodic-102", true);
    deregister_job(c, "tick/periodic-103", true);
    check_children(0, 0, 1);
    cr_assert_not_null(launch(104)->child_id);
}

Test(launch, stopping_the_parent_ends_launches_and_leaves_children)
{
    register_tick(1);
    launch(100);
    deregister_job(c, "tick", false);
    Pb__Outcome *out = launch_at(101, true, 0);
    cr_assert_eq(out->code, PB__OUTCOME__CODE__INVALID);
    cr_assert_not_null(strstr(out->reason, "is stopped"));
    cr_assert_str_eq(get_job(c, "tick/periodic-100")->status, "pending");
    deregister_job(c, "tick", true);
    cr_assert_eq(launch(102)->code, PB__OUTCOME__CODE__NOT_FOUND);
    /* a new job of the name does not count the children of the old one */
    register_tick(1);
    check_children(0, 0, 0);
    deregister_job(c, "tick/periodic-100", true);
    check_children(0, 0, 0);
}

Test(launch, is_refused_when_the_job_has_changed_since)
{
    Pb__Outcome *out = register_tick(1);
    uint64_t index = out->job_modify_index;
    cr_assert_not_null(launch_at(100, false, index)->child_id);
    register_tick(2);
    cr_assert_eq(launch_at(101, false, index)->code, PB__OUTCOME__CODE__STALE);
    cr_assert_not_null(launch(101)->child_id);
}

Test(launch, is_of_periodic_jobs_only)
{
    register_job(c, a_job(c, "tick", 1));
    Pb__Outcome *out = launch_at(100, true, 0);
    cr_assert_eq(out->code, PB__OUTCOME__CODE__INVALID);
    cr_assert_str_eq(out->reason, "can't force launch non-periodic job");
    out = register_tick(1);
    cr_assert_str_eq(out->reason, "cannot update non-periodic job to being periodic");
    deregister_job(c, "tick", true);
    register_tick(1);
    out = register_job(c, a_job(c, "tick", 1));
    cr_assert_str_eq(out->reason, "cannot update periodic job to being non-periodic");
}

Test(launch, nobody_can_submit_a_child)
{
    register_tick(1);
    Pb__Job *job = a_job(c, "other", 1);
    job->parent_id = (char *)(uintptr_t) "tick";
    register_job(c, job);
    cr_assert_null(get_job(c, "other")->parent_id);
}
