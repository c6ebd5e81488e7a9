/* An evaluation of a job because somebody asks for one. */
#include "apply_internal.h"
#include "wire/template.h"

static bool may_reschedule(const Pb__Job *job, const char *group)
{
    for (size_t i = 0; i < job->n_task_groups; i++) {
        const Pb__TaskGroup *g = job->task_groups[i];
        if (strcmp(g->name, group) == 0)
            return g->reschedule_policy != NULL &&
                   (g->reschedule_policy->unlimited || g->reschedule_policy->attempts > 0);
    }
    return false;
}

/* It has failed, nothing came in its place, and its group's policy lets allocations be replaced. */
static bool is_stuck(const Pb__Job *job, const Pb__Alloc *a)
{
    return a->client_status == PB__ALLOC__CLIENT_STATUS__FAILED && !a->has_next_alloc &&
           !a->reschedule && a->desired == PB__ALLOC__DESIRED__RUN &&
           a->job_create_index == job->create_index && may_reschedule(job, a->task_group);
}

static void let_reschedule(struct view *v, const Pb__Job *job)
{
    struct walk w;
    const uint8_t *id;
    struct arena *scratch = arena_new(WIRE_MAX_UNPACKED);
    walk_open(&w, v, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, job->namespace_, job->id, NULL,
              NULL);
    while ((id = walk_next(&w)) != NULL) {
        Pb__Alloc *a = state_alloc(v, scratch, id);
        if (a != NULL && is_stuck(job, a)) {
            Pb__Alloc *changed = arena_copy(scratch, a, sizeof *changed);
            changed->has_reschedule = changed->reschedule = true;
            state_change_alloc(v, a, changed, true);
        }
        arena_reset(scratch);
    }
    walk_close(&w);
    arena_free(scratch);
}

void apply_job_evaluate(struct view *v, const Pb__JobEvaluate *cmd, Pb__Outcome *out)
{
    const char *ns = namespace_or_default(cmd->namespace_);
    Pb__Job *job =
        cmd->job_id != NULL ? state_job(v, state_command_arena(v), ns, cmd->job_id) : NULL;
    if (job == NULL) {
        refuse(v, out, PB__OUTCOME__CODE__NOT_FOUND, "job not found");
        return;
    }
    if (job_is_template(job)) {
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "can't evaluate %s job",
               job->periodic != NULL ? "periodic" : "parameterized");
        return;
    }
    if (cmd->reschedule)
        let_reschedule(v, job);
    Pb__Eval *eval = eval_new(v, ns, job->id, job, "job-register");
    state_put_eval(v, eval);
    out->has_job_modify_index = out->has_eval_id = true;
    out->job_modify_index = job->job_modify_index;
    out->eval_id = eval->id;
}
