/* Launches of periodic jobs. A launch time is taken once: the parent remembers the last one, and
 * the child's name holds it, so whoever proposes a launch again, or late, changes nothing. */
#include "apply_internal.h"
#include "wire/template.h"
#include <stdio.h>

#define SECOND_NS INT64_C(1000000000)

/* The job that is to be launched; NULL: refused. */
static Pb__Job *job_to_launch(struct view *v, const Pb__PeriodicLaunch *cmd, Pb__Outcome *out)
{
    const char *ns = namespace_or_default(cmd->namespace_);
    bool valid = cmd->job_id != NULL && strlen(cmd->job_id) <= STATE_MAX_JOB_ID &&
                 strlen(ns) <= STATE_MAX_NAMESPACE;
    Pb__Job *job = valid ? state_job(v, state_command_arena(v), ns, cmd->job_id) : NULL;
    if (job == NULL)
        refuse(v, out, PB__OUTCOME__CODE__NOT_FOUND, "job not found");
    else if (job->periodic == NULL || !job_is_template(job))
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "can't force launch non-periodic job");
    else if (job->stop)
        refuse(v, out, PB__OUTCOME__CODE__INVALID,
               "job \"%.80s\" is stopped: submit it again to have it launched", job->id);
    else if (cmd->job_modify_index != 0 && cmd->job_modify_index != job->job_modify_index)
        refuse(v, out, PB__OUTCOME__CODE__STALE, "job \"%.80s\" has been changed since", job->id);
    else if (cmd->launch_time <= 0)
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "a launch needs a time");
    else
        return job;
    return NULL;
}

static const char *child_id(struct arena *a, const Pb__Job *parent, int64_t launch_time)
{
    char id[STATE_MAX_JOB_ID + 40];
    snprintf(id, sizeof id, "%s/periodic-%lld", parent->id, (long long)(launch_time / SECOND_NS));
    return arena_strdup(a, id);
}

static void remember(struct view *v, const Pb__Job *parent, int64_t launch_time)
{
    Pb__Job *job = arena_copy(state_command_arena(v), parent, sizeof *parent);
    job->has_last_launch = true;
    job->last_launch = launch_time;
    state_put_job(v, job);
}

/* Whether an earlier child still runs, or waits to. */
static bool is_busy(struct view *v, const Pb__Job *parent)
{
    const Pb__JobSummary *s =
        state_summary(v, state_command_arena(v), parent->namespace_, parent->id);
    return s != NULL && s->children != NULL && s->children->pending + s->children->running > 0;
}

Pb__Job *job_make_child(struct view *v, const Pb__Job *parent, const char *id)
{
    Pb__Job *child = arena_copy(state_command_arena(v), parent, sizeof *parent);
    child->id = child->name = text(id);
    child->parent_id = parent->id;
    child->periodic = NULL;
    child->has_last_launch = false;
    child->has_stop = child->has_stable = true;
    child->stop = child->stable = false;
    child->has_version = child->has_create_index = child->has_job_modify_index = true;
    child->version = 0;
    child->create_index = child->job_modify_index = state_command_index(v);
    child->has_submit_time = true;
    child->submit_time = state_command_time(v);
    child->status_description = NULL;
    return child;
}

static void evaluate(struct view *v, const Pb__Job *child, Pb__Outcome *out)
{
    Pb__Eval *eval = eval_new(v, child->namespace_, child->id, child, "periodic-job");
    state_put_eval(v, eval);
    out->has_eval_id = true;
    out->eval_id = eval->id;
    out->child_id = child->id;
}

/* One that time brought: left out if it was made before, or if it may not run beside an earlier
 * one.
 */
static bool is_wanted(struct view *v, const Pb__Job *job, const Pb__PeriodicLaunch *cmd,
                      const Pb__Job *child)
{
    if (job->has_last_launch && cmd->launch_time <= job->last_launch)
        return false;
    bool busy = job->periodic->prohibit_overlap && is_busy(v, job);
    remember(v, job, cmd->launch_time);
    return child == NULL && !busy;
}

void apply_periodic_launch(struct view *v, const Pb__PeriodicLaunch *cmd, Pb__Outcome *out)
{
    struct arena *a = state_command_arena(v);
    Pb__Job *job = job_to_launch(v, cmd, out);
    if (job == NULL)
        return;
    const char *id = child_id(a, job, cmd->launch_time);
    if (strlen(id) > STATE_MAX_JOB_ID) {
        refuse(v, out, PB__OUTCOME__CODE__INVALID,
               "the id of job \"%.40s...\" is too long for its children's", job->id);
        return;
    }
    Pb__Job *child = state_job(v, a, job->namespace_, id);
    if (!cmd->force && !is_wanted(v, job, cmd, child)) {
        out->has_unchanged = out->unchanged = true;
        return;
    }
    if (child == NULL) {
        child = job_make_child(v, job, id);
        state_put_job(v, child);
    }
    evaluate(v, child, out);
}
