/* Counts that an autoscaler or an operator sets, and what is told of it: the newest few events of
 * each group are kept with the job. */
#include "apply_scaling.h"
#include "sched/deployment.h"

#define EVENTS_KEPT 20 /* of each group; as Nomad */

static const Pb__TaskGroup *group_of(const Pb__Job *job, const char *name)
{
    for (size_t i = 0; name != NULL && i < job->n_task_groups; i++)
        if (strcmp(job->task_groups[i]->name, name) == 0)
            return job->task_groups[i];
    return NULL;
}

static Pb__GroupScalingEvents *events_of(struct arena *a, Pb__ScalingEvents *all, const char *group)
{
    for (size_t i = 0; i < all->n_groups; i++)
        if (strcmp(all->groups[i]->task_group, group) == 0)
            return all->groups[i];
    Pb__GroupScalingEvents **groups = arena_array(a, Pb__GroupScalingEvents *, all->n_groups + 1);
    if (all->n_groups > 0)
        memcpy(groups, all->groups, all->n_groups * sizeof *groups);
    Pb__GroupScalingEvents *g = arena_alloc(a, sizeof *g);
    pb__group_scaling_events__init(g);
    g->task_group = text(group);
    groups[all->n_groups++] = g;
    all->groups = groups;
    return g;
}

static void put_first(struct arena *a, Pb__GroupScalingEvents *g, Pb__ScalingEvent *event)
{
    size_t kept = g->n_events < EVENTS_KEPT ? g->n_events : EVENTS_KEPT - 1;
    Pb__ScalingEvent **events = arena_array(a, Pb__ScalingEvent *, kept + 1);
    events[0] = event;
    if (kept > 0)
        memcpy(events + 1, g->events, kept * sizeof *events);
    g->events = events;
    g->n_events = kept + 1;
}

static void record(struct view *v, const Pb__Job *job, const Pb__TaskGroup *before,
                   const Pb__ScalingEvent *event, const Pb__Eval *eval)
{
    struct arena *a = state_command_arena(v);
    Pb__ScalingEvents *all = state_scaling_events(v, a, job->namespace_, job->id);
    Pb__ScalingEvent *e = arena_copy(a, event, sizeof *e);
    if (all == NULL) {
        all = arena_alloc(a, sizeof *all);
        pb__scaling_events__init(all);
        all->namespace_ = text(namespace_or_default(job->namespace_));
        all->job_id = job->id;
    }
    e->has_time = e->has_previous_count = e->has_create_index = true;
    e->time = state_command_time(v);
    e->previous_count = before->count;
    e->create_index = state_command_index(v);
    e->has_eval_id = eval != NULL;
    if (eval != NULL)
        e->eval_id = eval->id;
    put_first(a, events_of(a, all, before->name), e);
    state_put_scaling_events(v, all);
}

static bool deployment_goes_on(struct view *v, const Pb__Job *job)
{
    const Pb__Deployment *d =
        state_latest_deployment(v, state_command_arena(v), job->namespace_, job->id);
    return d != NULL && d->job_create_index == job->create_index && deployment_is_active(d);
}

static void refuse_group(struct view *v, const char *name, Pb__Outcome *out)
{
    refuse(v, out, PB__OUTCOME__CODE__INVALID,
           "task group \"%s\" specified for scaling does not exist in job",
           name == NULL ? "" : name);
}

bool scaling_is_possible(struct view *v, const Pb__JobRegister *cmd, const Pb__Job *old,
                         Pb__Outcome *out)
{
    if (cmd->scaling == NULL)
        return true;
    if (old == NULL)
        refuse(v, out, PB__OUTCOME__CODE__NOT_FOUND, "job \"%s\" not found", cmd->job->id);
    else if (group_of(old, cmd->scaling_group) == NULL)
        refuse_group(v, cmd->scaling_group, out);
    else if (deployment_goes_on(v, old))
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "job scaling blocked due to active deployment");
    return out->reason == NULL;
}

void scaling_record(struct view *v, const Pb__JobRegister *cmd, const Pb__Job *old,
                    const Pb__Eval *eval)
{
    if (cmd->scaling != NULL)
        record(v, old, group_of(old, cmd->scaling_group), cmd->scaling, eval);
}

void apply_scaling_note(struct view *v, const Pb__ScalingNote *cmd, Pb__Outcome *out)
{
    struct arena *a = state_command_arena(v);
    Pb__Job *job = cmd->job_id != NULL ? state_job(v, a, cmd->namespace_, cmd->job_id) : NULL;
    if (job == NULL) {
        refuse(v, out, PB__OUTCOME__CODE__NOT_FOUND, "job \"%s\" not found",
               cmd->job_id == NULL ? "" : cmd->job_id);
        return;
    }
    const Pb__TaskGroup *group = group_of(job, cmd->task_group);
    if (group == NULL || cmd->event == NULL) {
        refuse_group(v, cmd->task_group, out);
        return;
    }
    record(v, job, group, cmd->event, NULL);
    out->has_job_modify_index = true;
    out->job_modify_index = job->modify_index;
}
