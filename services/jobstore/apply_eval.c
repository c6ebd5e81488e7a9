#include "apply_internal.h"
#include "sched/fit.h"
#include "wire/held.h"

Pb__Eval *eval_new(struct view *v, const char *ns, const char *job_id, const Pb__Job *job,
                   const char *triggered_by)
{
    Pb__Eval *e = arena_alloc(state_command_arena(v), sizeof *e);
    pb__eval__init(e);
    e->has_id = true;
    e->id = state_fresh_id(v);
    e->namespace_ = text(namespace_or_default(ns));
    e->job_id = text(job_id);
    e->type = text(job != NULL && job->type != NULL ? job->type : "service");
    e->has_priority = true;
    e->priority = job != NULL && job->priority != 0 ? job->priority : DEFAULT_PRIORITY;
    e->triggered_by = text(triggered_by);
    e->has_status = true;
    e->status = PB__EVAL__STATUS__PENDING;
    if (job != NULL) {
        e->has_job_modify_index = true;
        e->job_modify_index = job->job_modify_index;
    }
    return e;
}

static bool is_open(const Pb__Eval *e)
{
    return e->status == PB__EVAL__STATUS__PENDING || e->status == PB__EVAL__STATUS__BLOCKED;
}

/* A fresh try, later, of what could not be delivered. */
static void make_follow_up(struct view *v, Pb__Eval *e, int64_t at)
{
    Pb__Eval *f = arena_alloc(state_command_arena(v), sizeof *f);
    pb__eval__init(f);
    f->has_id = true;
    f->id = state_fresh_id(v);
    f->namespace_ = e->namespace_;
    f->job_id = e->job_id;
    f->type = e->type;
    f->has_priority = true;
    f->priority = e->priority;
    f->triggered_by = text("failed-follow-up");
    f->has_status = true;
    f->status = PB__EVAL__STATUS__PENDING;
    f->has_job_modify_index = e->has_job_modify_index;
    f->job_modify_index = e->job_modify_index;
    f->has_previous_eval = true;
    f->previous_eval = e->id;
    f->has_wait_until = true;
    f->wait_until = at;
    f->has_deliveries = true;
    f->deliveries = e->deliveries + 1;
    state_put_eval(v, f);
    e->has_next_eval = true;
    e->next_eval = f->id;
}

static Pb__Outcome__Code update_one(struct view *v, const Pb__EvalUpdate *u)
{
    if (!has_id(u->has_id, u->id))
        return PB__OUTCOME__CODE__INVALID;
    Pb__Eval *e = state_eval(v, state_command_arena(v), u->id.data);
    if (e == NULL)
        return PB__OUTCOME__CODE__NOT_FOUND;
    bool releases = eval_is_held(e) && u->status == PB__EVAL__STATUS__PENDING;
    if (!is_open(e) || releases || (u->modify_index != 0 && u->modify_index != e->modify_index))
        return PB__OUTCOME__CODE__STALE;
    if (u->has_status && u->status != PB__EVAL__STATUS__UNKNOWN)
        e->status = u->status;
    if (u->status_description != NULL)
        e->status_description = u->status_description;
    if (u->follow_up_at != 0)
        make_follow_up(v, e, u->follow_up_at);
    state_put_eval(v, e);
    return PB__OUTCOME__CODE__APPLIED;
}

/* Each stands for itself. The outcome tells of the worst only if none could be applied. */
void apply_eval_updates(struct view *v, const Pb__EvalUpdates *cmd, Pb__Outcome *out)
{
    Pb__Outcome__Code refused = PB__OUTCOME__CODE__APPLIED;
    bool applied = cmd->n_evals == 0;
    for (size_t i = 0; i < cmd->n_evals; i++) {
        Pb__Outcome__Code code = update_one(v, cmd->evals[i]);
        applied |= code == PB__OUTCOME__CODE__APPLIED;
        if (code != PB__OUTCOME__CODE__APPLIED)
            refused = code;
    }
    if (!applied)
        refuse(v, out, refused, "no evaluation is as the command expects it");
}
