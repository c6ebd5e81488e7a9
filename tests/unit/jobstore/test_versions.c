/* Going back to older versions, counts set by scaling, and allocations stopped by hand. */
#include "cluster.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct cluster *c;

static void begin(void)
{
    c = cluster_new();
}

static void end(void)
{
    cluster_free(c);
}

TestSuite(versions, .init = begin, .fini = end);

static char *text(const char *s)
{
    return arena_strdup(c->arena, s);
}

static Pb__Outcome *revert(const char *job, uint64_t version, int64_t prior)
{
    Pb__JobRevert body = PB__JOB_REVERT__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.job_id = text(job);
    body.has_version = true;
    body.version = version;
    body.has_enforce_prior = body.enforce_prior = prior >= 0;
    body.has_prior_version = true;
    body.prior_version = (uint64_t)prior;
    cmd.body_case = PB__COMMAND__BODY_JOB_REVERT;
    cmd.job_revert = &body;
    return cluster_apply(c, &cmd, 0);
}

static Pb__Outcome *set_stable(const char *job, uint64_t version)
{
    Pb__JobStable body = PB__JOB_STABLE__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.job_id = text(job);
    body.has_version = body.has_stable = body.stable = true;
    body.version = version;
    cmd.body_case = PB__COMMAND__BODY_JOB_STABLE;
    cmd.job_stable = &body;
    return cluster_apply(c, &cmd, 0);
}

Test(versions, a_revert_makes_the_older_specification_the_newest_version)
{
    register_job(c, a_job(c, "web", 3));
    register_job(c, a_job(c, "web", 5));
    Pb__Outcome *out = revert("web", 0, -1);
    cr_assert_eq(out->code, PB__OUTCOME__CODE__APPLIED);
    cr_assert_eq(out->job_version, 2);
    Pb__Job *job = get_job(c, "web");
    cr_assert_eq(job->version, 2);
    cr_assert_eq(job->task_groups[0]->count, 3);
    cr_assert_eq(job->job_modify_index, out->index);
    cr_assert_eq(job->create_index, 1);
    cr_assert_str_eq(get_eval(c, out->eval_id)->triggered_by, "job-register");
}

Test(versions, a_revert_of_a_stopped_job_runs_it_again)
{
    register_job(c, a_job(c, "web", 3));
    deregister_job(c, "web", false);
    revert("web", 0, -1);
    cr_assert_not(get_job(c, "web")->stop);
    cr_assert_eq(get_job(c, "web")->version, 2);
}

Test(versions, reverts_are_refused_in_the_recorded_words)
{
    register_job(c, a_job(c, "web", 3));
    register_job(c, a_job(c, "web", 5));
    cr_assert_str_eq(revert("ghost", 0, -1)->reason, "job \"ghost\" not found");
    cr_assert_str_eq(revert("web", 1, -1)->reason, "can't revert to current version");
    cr_assert_str_eq(revert("web", 99, -1)->reason,
                     "job \"web\" in namespace \"default\" at version 99 not found");
    Pb__Outcome *out = revert("web", 0, 77);
    cr_assert_eq(out->code, PB__OUTCOME__CODE__STALE);
    cr_assert_str_eq(out->reason, "Current job has version 1; enforcing version 77");
    cr_assert_eq(get_job(c, "web")->version, 1);
    cr_assert_eq(revert("web", 0, 1)->code, PB__OUTCOME__CODE__APPLIED);
}

Test(versions, a_version_is_marked_stable_and_an_unknown_one_refused)
{
    register_job(c, a_job(c, "web", 3));
    register_job(c, a_job(c, "web", 5));
    cr_assert_eq(set_stable("web", 0)->code, PB__OUTCOME__CODE__APPLIED);
    cr_assert_eq(set_stable("web", 1)->code, PB__OUTCOME__CODE__APPLIED);
    cr_assert(get_job(c, "web")->stable);
    cr_assert_eq(get_job(c, "web")->version, 1);
    struct view *v = state_read(c->state);
    cr_assert(state_job_version(v, c->arena, NULL, "web", 0)->stable);
    view_abort(v);
    cr_assert_str_eq(set_stable("web", 99)->reason,
                     "job \"web\" in namespace \"default\" at version 99 not found");
}

/* ---- scaling */

static Pb__Outcome *scale(Pb__Job *job, const char *group, int64_t count, const char *message)
{
    Pb__JobRegister body = PB__JOB_REGISTER__INIT;
    Pb__ScalingEvent event = PB__SCALING_EVENT__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    event.has_count = true;
    event.count = count;
    event.message = text(message);
    job->task_groups[0]->count = (uint32_t)count;
    body.job = job;
    body.scaling = &event;
    body.scaling_group = text(group);
    cmd.body_case = PB__COMMAND__BODY_JOB_REGISTER;
    cmd.job_register = &body;
    return cluster_apply(c, &cmd, 0);
}

static Pb__Outcome *note(const char *job, const char *group, const char *message)
{
    Pb__ScalingNote body = PB__SCALING_NOTE__INIT;
    Pb__ScalingEvent event = PB__SCALING_EVENT__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    event.message = text(message);
    body.job_id = text(job);
    body.task_group = text(group);
    body.event = &event;
    cmd.body_case = PB__COMMAND__BODY_SCALING_NOTE;
    cmd.scaling_note = &body;
    return cluster_apply(c, &cmd, 0);
}

static Pb__ScalingEvents *events(const char *job)
{
    struct view *v = state_read(c->state);
    Pb__ScalingEvents *all = state_scaling_events(v, c->arena, NULL, job);
    view_abort(v);
    return all;
}

Test(versions, a_scaling_is_a_new_version_and_an_event)
{
    register_job(c, a_job(c, "web", 3));
    Pb__Outcome *out = scale(a_job(c, "web", 3), "g", 7, "more");
    cr_assert_eq(get_job(c, "web")->task_groups[0]->count, 7);
    cr_assert_eq(get_job(c, "web")->version, 1);
    cr_assert_str_eq(get_eval(c, out->eval_id)->triggered_by, "job-scaling");
    Pb__ScalingEvents *all = events("web");
    cr_assert_eq(all->n_groups, 1);
    cr_assert_eq(all->groups[0]->n_events, 1);
    Pb__ScalingEvent *e = all->groups[0]->events[0];
    cr_assert_eq(e->count, 7);
    cr_assert_eq(e->previous_count, 3);
    cr_assert_eq(e->create_index, out->index);
    cr_assert(id_equal(e->eval_id.data, out->eval_id.data));
}

Test(versions, twenty_scaling_events_of_a_group_are_kept_the_newest_first)
{
    register_job(c, a_job(c, "web", 3));
    for (int i = 0; i < 25; i++) {
        char message[16];
        snprintf(message, sizeof message, "%d", i);
        cr_assert_eq(note("web", "g", message)->code, PB__OUTCOME__CODE__APPLIED);
    }
    Pb__GroupScalingEvents *g = events("web")->groups[0];
    cr_assert_eq(g->n_events, 20);
    cr_assert_str_eq(g->events[0]->message, "24");
    cr_assert_str_eq(g->events[19]->message, "5");
    cr_assert_not(g->events[0]->has_eval_id);
    cr_assert_eq(get_job(c, "web")->version, 0);
    deregister_job(c, "web", true);
    cr_assert_null(events("web"));
}

Test(versions, scaling_is_refused_for_unknown_jobs_and_groups)
{
    cr_assert_str_eq(note("ghost", "g", "")->reason, "job \"ghost\" not found");
    cr_assert_str_eq(scale(a_job(c, "ghost", 1), "g", 2, "")->reason, "job \"ghost\" not found");
    register_job(c, a_job(c, "web", 3));
    cr_assert_str_eq(note("web", "nope", "")->reason,
                     "task group \"nope\" specified for scaling does not exist in job");
    cr_assert_str_eq(scale(a_job(c, "web", 3), "nope", 2, "")->reason,
                     "task group \"nope\" specified for scaling does not exist in job");
    cr_assert_eq(get_job(c, "web")->task_groups[0]->count, 3);
}

static void put_deployment(Pb__Deployment__Status status)
{
    Pb__Deployment d = PB__DEPLOYMENT__INIT;
    struct view *v = state_write(c->state);
    struct reason why;
    state_command_begin(v, ++c->index, 1, c->time, NULL);
    d.has_id = d.has_status = d.has_job_create_index = true;
    d.id = id_of(c, "deployment", 1);
    d.namespace_ = text("default");
    d.job_id = text("web");
    d.job_create_index = 1;
    d.status = status;
    state_put_deployment(v, &d);
    state_command_end(v);
    cr_assert_eq(view_commit(v, &why), OK);
}

Test(versions, scaling_waits_for_the_end_of_a_deployment)
{
    register_job(c, a_job(c, "web", 3));
    put_deployment(PB__DEPLOYMENT__STATUS__RUNNING);
    cr_assert_str_eq(scale(a_job(c, "web", 3), "g", 7, "")->reason,
                     "job scaling blocked due to active deployment");
    cr_assert_eq(get_job(c, "web")->task_groups[0]->count, 3);
    put_deployment(PB__DEPLOYMENT__STATUS__SUCCESSFUL);
    cr_assert_eq(scale(a_job(c, "web", 3), "g", 7, "")->code, PB__OUTCOME__CODE__APPLIED);
}

/* ---- an allocation stopped by hand */

static Pb__Outcome *stop_alloc(ProtobufCBinaryData id)
{
    Pb__AllocStop body = PB__ALLOC_STOP__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.has_alloc_id = true;
    body.alloc_id = id;
    cmd.body_case = PB__COMMAND__BODY_ALLOC_STOP;
    cmd.alloc_stop = &body;
    return cluster_apply(c, &cmd, 0);
}

Test(versions, an_allocation_stopped_by_hand_is_marked_and_its_job_evaluated)
{
    ProtobufCBinaryData id, none = {0};
    register_node(c, a_node(c, 1, 1000, 1000));
    Pb__Plan *p = a_plan(c, register_job(c, a_job(c, "web", 1))->eval_id);
    plan_place(c, p, id_of(c, "node", 1), 100, 100, 0);
    apply_a_plan(c, p);
    ids_by(c, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, "web", none, &id, 1);
    Pb__Outcome *out = stop_alloc(id);
    cr_assert(get_alloc(c, id)->stop_wanted);
    cr_assert_eq(get_alloc(c, id)->desired, PB__ALLOC__DESIRED__RUN);
    cr_assert_str_eq(get_eval(c, out->eval_id)->triggered_by, "alloc-stop");
    uint64_t index = get_alloc(c, id)->modify_index;
    cr_assert_eq(stop_alloc(id)->code, PB__OUTCOME__CODE__APPLIED, "it may be asked twice");
    cr_assert_eq(get_alloc(c, id)->modify_index, index);
    cr_assert_str_eq(stop_alloc(id_of(c, "alloc", 9))->reason, "allocation not found");
}
