#include "apply_rollout.h"
#include "apply_deployment.h"
#include "sched/deployment.h"

static void end(struct view *v, const Pb__DeploymentUpdate *u)
{
    Pb__Deployment *d = has_id(u->has_deployment_id, u->deployment_id)
                            ? state_deployment(v, state_command_arena(v), u->deployment_id.data)
                            : NULL;
    if (d != NULL)
        deployment_end(v, d, u->status, u->status_description);
}

/* Apply trusts nobody: what a group is to be comes from the plan, what it is begins here. */
static Pb__DeploymentGroup *new_group(struct view *v, const Pb__DeploymentGroup *planned)
{
    Pb__DeploymentGroup *g = arena_copy(state_command_arena(v), planned, sizeof *g);
    g->n_placed_canaries = 0;
    g->has_placed_allocs = g->has_healthy_allocs = g->has_unhealthy_allocs = true;
    g->placed_allocs = g->healthy_allocs = g->unhealthy_allocs = 0;
    g->has_promoted = true;
    g->promoted = false;
    g->has_require_progress_by = true;
    g->require_progress_by =
        g->progress_deadline_ns > 0 ? state_command_time(v) + g->progress_deadline_ns : 0;
    return g;
}

static Pb__Deployment *make(struct view *v, const Pb__Job *job, const Pb__Deployment *planned)
{
    struct arena *a = state_command_arena(v);
    Pb__Deployment *d = arena_alloc(a, sizeof *d);
    deployment_cancel(v, job->namespace_, job->id, "Cancelled due to newer version of job");
    pb__deployment__init(d);
    d->has_id = d->has_status = d->has_job_version = d->has_job_create_index = true;
    d->has_job_modify_index = d->has_job_spec_modify_index = true;
    d->id = state_fresh_id(v);
    d->namespace_ = text(namespace_or_default(job->namespace_));
    d->job_id = job->id;
    d->job_version = job->version;
    d->job_create_index = job->create_index;
    d->job_modify_index = job->modify_index;
    d->job_spec_modify_index = job->job_modify_index;
    d->status = PB__DEPLOYMENT__STATUS__RUNNING;
    d->status_description = planned->status_description;
    d->task_groups = arena_array(a, Pb__DeploymentGroup *, planned->n_task_groups + 1);
    for (size_t i = 0; i < planned->n_task_groups; i++)
        if (planned->task_groups[i]->name != NULL)
            d->task_groups[d->n_task_groups++] = new_group(v, planned->task_groups[i]);
    state_put_deployment(v, d);
    return d;
}

void apply_rollout_begin(struct rollout *r, struct view *v, const Pb__Job *job,
                         const Pb__Plan *plan)
{
    *r = (struct rollout){.view = v, .job = job};
    for (size_t i = 0; i < plan->n_deployment_updates; i++)
        end(v, plan->deployment_updates[i]);
    if (job == NULL || job->stop)
        return;
    Pb__Deployment *d =
        state_latest_deployment(v, state_command_arena(v), job->namespace_, job->id);
    bool present =
        d != NULL && d->job_create_index == job->create_index && d->job_version == job->version;
    if (present && deployment_is_active(d))
        r->deployment = d;
    else if (!present && plan->deployment != NULL && plan->job_version == job->version)
        r->deployment = make(v, job, plan->deployment);
}

static void note_canary(struct rollout *r, Pb__DeploymentGroup *g, const Pb__Alloc *alloc)
{
    ProtobufCBinaryData *ids =
        arena_array(state_command_arena(r->view), ProtobufCBinaryData, g->n_placed_canaries + 1);
    if (g->n_placed_canaries > 0)
        memcpy(ids, g->placed_canaries, g->n_placed_canaries * sizeof *ids);
    ids[g->n_placed_canaries++] = alloc->id;
    g->placed_canaries = ids;
}

void apply_rollout_place(struct rollout *r, Pb__Alloc *alloc, bool canary)
{
    Pb__DeploymentGroup *g =
        r->deployment != NULL ? deployment_group(r->deployment, alloc->task_group) : NULL;
    bool known = alloc->deployment_id.len == ID_SIZE && r->deployment != NULL &&
                 id_equal(alloc->deployment_id.data, r->deployment->id.data);
    if (g == NULL || known)
        return;
    alloc->has_deployment_id = true;
    alloc->deployment_id = r->deployment->id;
    alloc->deployment_status = NULL; /* its health is found anew */
    g->placed_allocs++;
    r->changed = true;
    if (!canary)
        return;
    Pb__DeploymentStatus *s = arena_alloc(state_command_arena(r->view), sizeof *s);
    pb__deployment_status__init(s);
    s->has_canary = s->canary = true;
    s->has_modify_index = true;
    s->modify_index = state_command_index(r->view);
    alloc->deployment_status = s;
    note_canary(r, g, alloc);
}

void apply_rollout_finish(struct rollout *r)
{
    if (r->changed)
        deployment_settle(r->view, r->deployment);
}

/* ---- later */

static Pb__Eval *make_follow_up(struct view *v, const Pb__Eval *e, const Pb__FollowUp *f)
{
    struct arena *a = state_command_arena(v);
    const Pb__Job *job = state_job(v, a, e->namespace_, e->job_id);
    Pb__Eval *n = eval_new(v, e->namespace_, e->job_id, job, f->triggered_by);
    n->has_previous_eval = n->has_wait_until = true;
    n->previous_eval = e->id;
    n->wait_until = f->wait_until;
    state_put_eval(v, n);
    return n;
}

void apply_follow_ups(struct view *v, Pb__Eval *e, const Pb__Plan *plan)
{
    struct arena *a = state_command_arena(v);
    for (size_t i = 0; i < plan->n_follow_ups; i++) {
        const Pb__FollowUp *f = plan->follow_ups[i];
        if (f->triggered_by == NULL)
            continue;
        Pb__Eval *n = make_follow_up(v, e, f);
        for (size_t k = 0; k < f->n_alloc_ids; k++) {
            Pb__Alloc *old =
                f->alloc_ids[k].len == ID_SIZE ? state_alloc(v, a, f->alloc_ids[k].data) : NULL;
            if (old == NULL || strcmp(old->job_id, e->job_id) != 0 ||
                strcmp(namespace_or_default(old->namespace_), n->namespace_) != 0)
                continue;
            Pb__Alloc waiting = *old;
            waiting.has_follow_up_eval = true;
            waiting.follow_up_eval = n->id;
            state_change_alloc(v, old, &waiting, false);
        }
    }
}
