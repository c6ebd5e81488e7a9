/* Registration and deregistration of jobs, as the recordings of Nomad's API show them. */
#include "apply_deployment.h"
#include "apply_scaling.h"
#include "sched/specification.h"
#include "wire/template.h"
#include <stdio.h>

static bool index_is_enforced(struct view *v, const Pb__JobRegister *cmd, const Pb__Job *old,
                              Pb__Outcome *out)
{
    unsigned long long wanted = cmd->job_modify_index;
    if (!cmd->enforce_index)
        return true;
    if (wanted == 0 && old != NULL)
        refuse(v, out, PB__OUTCOME__CODE__STALE,
               "Enforcing job modify index 0: job already exists");
    else if (wanted != 0 && old == NULL)
        refuse(v, out, PB__OUTCOME__CODE__STALE,
               "Enforcing job modify index %llu: job does not exist", wanted);
    else if (wanted != 0 && old->job_modify_index != wanted)
        refuse(
            v, out, PB__OUTCOME__CODE__STALE,
            "Enforcing job modify index %llu: job exists with conflicting job modify index: %llu",
            wanted, (unsigned long long)old->job_modify_index);
    return out->reason == NULL;
}

/* Apply trusts a job to be complete, yet must survive one that is not. */
static bool job_is_storable(struct view *v, const Pb__Job *job, Pb__Outcome *out)
{
    const char *mistake = NULL;
    if (job == NULL || job->id == NULL || job->id[0] == '\0')
        mistake = "a job needs an id";
    else if (strlen(job->id) > STATE_MAX_JOB_ID)
        mistake = "the job's id is too long";
    else if (job->namespace_ != NULL && strlen(job->namespace_) > STATE_MAX_NAMESPACE)
        mistake = "the job's namespace is too long";
    for (size_t i = 0; mistake == NULL && i < job->n_task_groups; i++) {
        if (job->task_groups[i]->name == NULL)
            mistake = "a task group needs a name";
        for (size_t k = 0; mistake == NULL && k < i; k++)
            if (strcmp(job->task_groups[i]->name, job->task_groups[k]->name) == 0)
                mistake = "two task groups have the same name";
    }
    if (mistake != NULL)
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "%s", mistake);
    return mistake == NULL;
}

static bool has_its_place(struct view *v, const Pb__Job *job, Pb__Outcome *out)
{
    const char *pool = job->node_pool != NULL ? job->node_pool : "";
    if (!state_has_namespace(v, job->namespace_))
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "job \"%s\" is in nonexistent namespace \"%s\"",
               job->id, job->namespace_);
    else if (pool[0] != '\0' && !state_has_node_pool(v, pool))
        refuse(v, out, PB__OUTCOME__CODE__INVALID,
               "job \"%s\" is in nonexistent node pool \"%.150s\"", job->id, pool);
    return out->reason == NULL;
}

/* What runs under one kind of scheduler cannot be handed to another. */
static bool keeps_type(struct view *v, const Pb__Job *old, const Pb__Job *job, Pb__Outcome *out)
{
    const char *from = old == NULL || old->type == NULL ? "" : old->type;
    const char *to = job->type == NULL ? "" : job->type;
    if (old == NULL || strcmp(from, to) == 0)
        return true;
    refuse(v, out, PB__OUTCOME__CODE__INVALID, "cannot update job from type \"%s\" to \"%s\"", from,
           to);
    return false;
}

/* Nor does a job become one that makes others, or stop being one. */
static bool keeps_kind(struct view *v, const Pb__Job *old, const Pb__Job *job, Pb__Outcome *out)
{
    if (old == NULL)
        return true;
    if ((old->periodic != NULL) != (job->periodic != NULL))
        refuse(v, out, PB__OUTCOME__CODE__INVALID,
               "cannot update %speriodic job to being %speriodic",
               old->periodic != NULL ? "" : "non-", job->periodic != NULL ? "" : "non-");
    else if ((old->parameterized_job != NULL) != (job->parameterized_job != NULL))
        refuse(v, out, PB__OUTCOME__CODE__INVALID,
               "cannot update %sparameterized job to being %sparameterized",
               old->parameterized_job != NULL ? "" : "non-",
               job->parameterized_job != NULL ? "" : "non-");
    return out->reason == NULL;
}

/* What is not for who submits a job to say. */
static void keep_own(Pb__Job *job, const Pb__Job *old)
{
    job->parent_id = old != NULL ? old->parent_id : NULL;
    job->has_last_launch = old != NULL && old->has_last_launch;
    job->last_launch = job->has_last_launch ? old->last_launch : 0;
}

/* Jobs do not wait for each other in a circle. */
static bool may_wait(struct view *v, const Pb__Job *job, Pb__Outcome *out)
{
    const char *mistake = job->n_depends_on > 0 ? state_dependency_mistake(v, job) : NULL;
    if (mistake != NULL)
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "%s", mistake);
    return mistake == NULL;
}

static void stamp(struct view *v, Pb__Job *job, const Pb__Job *old)
{
    job->has_version = job->has_create_index = job->has_job_modify_index = true;
    job->has_submit_time = true;
    job->version = old != NULL ? old->version + 1 : 0;
    job->create_index = old != NULL ? old->create_index : state_command_index(v);
    job->job_modify_index = state_command_index(v);
    job->submit_time = state_command_time(v);
    job->has_stop = job->has_stable = true;
    job->stop = job->stable = false;
}

Pb__Job *job_register_again(struct view *v, const Pb__Job *current, const Pb__Job *older)
{
    Pb__Job *job = arena_copy(state_command_arena(v), older, sizeof *job);
    keep_own(job, current);
    stamp(v, job, current);
    pool_make(v, job->node_pool); /* it may have been deleted since */
    state_put_job(v, job);
    return job;
}

void apply_job_register(struct view *v, const Pb__JobRegister *cmd, Pb__Outcome *out)
{
    struct arena *a = state_command_arena(v);
    if (!job_is_storable(v, cmd->job, out))
        return;
    Pb__Job *job = arena_copy(a, cmd->job, sizeof *job);
    job->namespace_ = text(namespace_or_default(job->namespace_));
    Pb__Job *old = state_job(v, a, job->namespace_, job->id);
    if (!has_its_place(v, job, out))
        return;
    if (!index_is_enforced(v, cmd, old, out) || !scaling_is_possible(v, cmd, old, out) ||
        !keeps_type(v, old, job, out) || !keeps_kind(v, old, job, out) || !may_wait(v, job, out))
        return;
    keep_own(job, old);
    if (old != NULL && cmd->preserve_counts)
        job_keep_counts(a, job, old); /* what a scaling has set since wins */
    if (job_is_unchanged(old, job)) {
        job = old; /* nothing new, but the wish to have it looked at */
    } else {
        stamp(v, job, old);
        state_put_job(v, job);
    }
    out->has_job_modify_index = out->has_job_version = true;
    out->job_modify_index = job->job_modify_index;
    out->job_version = job->version;
    if (job_is_template(job)) {
        scaling_record(v, cmd, old, NULL);
        return; /* a template: what it launches is evaluated */
    }
    Pb__Eval *eval = eval_new(v, job->namespace_, job->id, job,
                              cmd->scaling != NULL ? "job-scaling" : "job-register");
    if (cmd->eval_priority != 0)
        eval->priority = cmd->eval_priority;
    state_put_eval(v, eval);
    scaling_record(v, cmd, old, eval);
    out->has_eval_id = true;
    out->eval_id = eval->id;
}

/* Nothing to stop is no error: whoever asks wants it gone, and gets an evaluation that finds it so.
 */
void apply_job_deregister(struct view *v, const Pb__JobDeregister *cmd, Pb__Outcome *out)
{
    struct arena *a = state_command_arena(v);
    const char *ns = namespace_or_default(cmd->namespace_);
    if (cmd->job_id == NULL || cmd->job_id[0] == '\0' || strlen(cmd->job_id) > STATE_MAX_JOB_ID ||
        strlen(ns) > STATE_MAX_NAMESPACE) {
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "no job has such an id");
        return;
    }
    Pb__Job *job = state_job(v, a, ns, cmd->job_id);
    out->has_job_modify_index = true;
    out->job_modify_index = state_command_index(v);
    deployment_cancel(v, ns, cmd->job_id, "Cancelled because job is stopped");
    bool template = job != NULL && job_is_template(job);
    if (cmd->purge && state_queue_length(v, ns, cmd->job_id) > 0) {
        refuse(v, out, PB__OUTCOME__CODE__INVALID,
               "%llu children of job \"%.80s\" wait for their turn: stop the job without a purge, "
               "and purge it when they have run or have been stopped",
               (unsigned long long)state_queue_length(v, ns, cmd->job_id), cmd->job_id);
        return;
    }
    if (cmd->purge) {
        state_delete_job(v, ns, cmd->job_id);
    } else if (job != NULL && !job->stop) {
        bool stable = job->stable;
        int64_t submitted = job->submit_time;
        Pb__Job *stopped = arena_copy(a, job, sizeof *job);
        stamp(v, stopped, job);
        stopped->stop = true;
        stopped->stable = stable;
        stopped->submit_time = submitted;
        state_put_job(v, stopped);
        job = stopped;
    }
    if (template)
        return;
    Pb__Eval *eval = eval_new(v, ns, cmd->job_id, job, "job-deregister");
    eval->has_job_modify_index = true;
    eval->job_modify_index = state_command_index(v);
    state_put_eval(v, eval);
    out->has_eval_id = true;
    out->eval_id = eval->id;
}
