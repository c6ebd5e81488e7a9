/* What operators say of deployments, and the controller of their deadlines; refusals as the
 * recordings of Nomad's API show them. */
#include "apply_deployment.h"
#include "sched/deployment.h"

/* NULL: refused. what: what cannot be done to one that has ended. */
static Pb__Deployment *find(struct view *v, protobuf_c_boolean has, ProtobufCBinaryData id,
                            const char *what, Pb__Outcome *out)
{
    Pb__Deployment *d =
        has_id(has, id) ? state_deployment(v, state_command_arena(v), id.data) : NULL;
    if (d == NULL) {
        refuse(v, out, PB__OUTCOME__CODE__NOT_FOUND, "deployment not found");
        return NULL;
    }
    if (deployment_is_active(d))
        return d;
    refuse(v, out, PB__OUTCOME__CODE__INVALID, "can't %s terminal deployment", what);
    return NULL;
}

static void report(struct view *v, const Pb__Deployment *d, struct fallback back,
                   const Pb__Eval *eval, Pb__Outcome *out)
{
    out->has_deployment_id = out->has_deployment_modify_index = true;
    out->deployment_id = d->id;
    out->deployment_modify_index = state_command_index(v);
    out->has_eval_id = eval != NULL;
    if (eval != NULL)
        out->eval_id = eval->id;
    if (back.target == NULL)
        return;
    out->has_reverted = out->reverted = true;
    out->has_job_version = true;
    out->job_version = back.target->version;
}

/* Stores it as its counts make it, with an evaluation. */
static void go_on(struct view *v, Pb__Deployment *d, Pb__Outcome *out)
{
    struct fallback back = deployment_settle(v, d);
    report(v, d, back, deployment_evaluate(v, d, back.job), out);
}

/* ---- promotion */

static bool is_picked(const Pb__DeploymentPromote *cmd, const Pb__DeploymentGroup *g)
{
    for (size_t i = 0; !cmd->all && i < cmd->n_groups; i++)
        if (strcmp(cmd->groups[i], g->name) == 0)
            return true;
    return cmd->all;
}

/* The groups that are not ready, in Nomad's words; NULL: all are. */
static const char *unready(struct view *v, const Pb__Deployment *d,
                           const Pb__DeploymentPromote *cmd)
{
    struct arena *a = state_command_arena(v);
    const char *list = "";
    unsigned count = 0;
    for (size_t i = 0; i < d->n_task_groups; i++) {
        const Pb__DeploymentGroup *g = d->task_groups[i];
        if (!is_picked(cmd, g) || !group_needs_promotion(g))
            continue;
        uint32_t healthy = deployment_healthy_canaries(v, g);
        if (healthy >= g->desired_canaries)
            continue;
        list = arena_printf(a, "%s\t* Task group \"%s\" has %u/%u healthy allocations\n", list,
                            g->name, healthy, g->desired_canaries);
        count++;
    }
    if (count == 0)
        return NULL;
    return arena_printf(a, "%u error%s occurred:\n%s\n", count, count == 1 ? "" : "s", list);
}

void apply_deployment_promote(struct view *v, const Pb__DeploymentPromote *cmd, Pb__Outcome *out)
{
    Pb__Deployment *d = find(v, cmd->has_id, cmd->id, "promote", out);
    if (d == NULL)
        return;
    const char *why = unready(v, d, cmd);
    if (why != NULL) {
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "%s", why);
        return;
    }
    for (size_t i = 0; i < d->n_task_groups; i++)
        if (is_picked(cmd, d->task_groups[i]))
            deployment_promote_group(v, d, d->task_groups[i]);
    go_on(v, d, out);
}

/* ---- pause and resume */

/* What stood still on purpose has not failed to progress. */
static void give_time(struct view *v, Pb__Deployment *d)
{
    int64_t now = state_command_time(v);
    for (size_t i = 0; i < d->n_task_groups; i++) {
        Pb__DeploymentGroup *g = d->task_groups[i];
        if (g->require_progress_by != 0 && g->require_progress_by <= now)
            g->require_progress_by = now + g->progress_deadline_ns;
    }
}

void apply_deployment_pause(struct view *v, const Pb__DeploymentPause *cmd, Pb__Outcome *out)
{
    Pb__Deployment *d = find(v, cmd->has_id, cmd->id, cmd->pause ? "pause" : "resume", out);
    if (d == NULL)
        return;
    if (cmd->pause) {
        d->status = PB__DEPLOYMENT__STATUS__PAUSED;
        d->status_description = text("Deployment is paused");
        state_put_deployment(v, d);
        report(v, d, (struct fallback){0}, NULL, out);
        return;
    }
    if (d->status == PB__DEPLOYMENT__STATUS__PAUSED)
        give_time(v, d);
    d->status = PB__DEPLOYMENT__STATUS__RUNNING;
    d->status_description = text("Deployment is running");
    go_on(v, d, out);
}

/* ---- failure */

static bool reverts(const Pb__Deployment *d, int64_t due_by)
{
    for (size_t i = 0; i < d->n_task_groups; i++) {
        int64_t due = group_due(d->task_groups[i]);
        if (d->task_groups[i]->auto_revert && (due_by == 0 || (due != 0 && due <= due_by)))
            return true;
    }
    return false;
}

static void fail(struct view *v, Pb__Deployment *d, const char *words, bool rollback,
                 Pb__Outcome *out)
{
    struct fallback back = deployment_fail(v, d, words, rollback);
    report(v, d, back, deployment_evaluate(v, d, back.job), out);
}

/* The controller saw it due; it may have become healthy, paused or ended meanwhile. */
static void fail_if_due(struct view *v, const Pb__DeploymentFail *cmd, Pb__Outcome *out)
{
    int64_t now = state_command_time(v);
    Pb__Deployment *d = has_id(cmd->has_id, cmd->id)
                            ? state_deployment(v, state_command_arena(v), cmd->id.data)
                            : NULL;
    int64_t due = d != NULL ? deployment_due(d) : 0;
    if (due == 0 || due > now || (cmd->has_modify_index && cmd->modify_index != d->modify_index))
        refuse(v, out, PB__OUTCOME__CODE__STALE, "the deployment is not due");
    else
        fail(v, d, "Failed due to progress deadline", reverts(d, now), out);
}

void apply_deployment_fail(struct view *v, const Pb__DeploymentFail *cmd, Pb__Outcome *out)
{
    if (cmd->progress_deadline) {
        fail_if_due(v, cmd, out);
        return;
    }
    Pb__Deployment *d = find(v, cmd->has_id, cmd->id, "fail", out);
    if (d != NULL)
        fail(v, d, "Deployment marked as failed", reverts(d, 0), out);
}

/* ---- health by hand */

static bool are_its_allocs(struct view *v, const Pb__Deployment *d, size_t count,
                           const ProtobufCBinaryData *ids, Pb__Outcome *out)
{
    char alloc[ID_TEXT_SIZE], deployment[ID_TEXT_SIZE];
    for (size_t i = 0; i < count; i++) {
        if (!has_id(true, ids[i])) {
            refuse(v, out, PB__OUTCOME__CODE__INVALID, "an allocation's id has 16 bytes");
            return false;
        }
        const Pb__Alloc *a = state_alloc(v, state_command_arena(v), ids[i].data);
        id_format(ids[i].data, alloc);
        id_format(d->id.data, deployment);
        if (a == NULL) {
            refuse(v, out, PB__OUTCOME__CODE__INVALID, "unknown alloc \"%s\"", alloc);
            return false;
        }
        if (!has_id(a->has_deployment_id, a->deployment_id) ||
            !id_equal(a->deployment_id.data, d->id.data)) {
            refuse(v, out, PB__OUTCOME__CODE__INVALID,
                   "alloc \"%s\" is not part of deployment \"%s\"", alloc, deployment);
            return false;
        }
    }
    return true;
}

static void judge(struct view *v, struct verdicts *r, size_t count, const ProtobufCBinaryData *ids,
                  bool healthy)
{
    struct arena *a = state_command_arena(v);
    for (size_t i = 0; i < count; i++) {
        Pb__Alloc *old = state_alloc(v, a, ids[i].data);
        Pb__Alloc *next = arena_copy(a, old, sizeof *next);
        verdicts_add(r, next, healthy, state_command_time(v));
        if (next->deployment_status != old->deployment_status)
            state_change_alloc(v, old, next, false);
    }
}

/* An operator who calls one unhealthy wants the deployment to end, whatever its groups say. */
static void judge_all(struct view *v, struct verdicts *r, Pb__Deployment *d,
                      const Pb__AllocHealth *cmd, Pb__Outcome *out)
{
    judge(v, r, cmd->n_healthy, cmd->healthy, true);
    judge(v, r, cmd->n_unhealthy, cmd->unhealthy, false);
    if (cmd->n_unhealthy == 0) {
        go_on(v, d, out);
        return;
    }
    bool rollback = false;
    for (size_t i = 0; i < d->n_task_groups; i++)
        rollback |= d->task_groups[i]->auto_revert && d->task_groups[i]->unhealthy_allocs > 0;
    fail(v, d, "Failed due to unhealthy allocations", rollback, out);
}

void apply_alloc_health(struct view *v, const Pb__AllocHealth *cmd, Pb__Outcome *out)
{
    if (cmd->n_healthy + cmd->n_unhealthy == 0) {
        refuse(v, out, PB__OUTCOME__CODE__INVALID,
               "must specify at least one healthy/unhealthy allocation ID");
        return;
    }
    Pb__Deployment *d =
        find(v, cmd->has_deployment_id, cmd->deployment_id, "set health of allocations for a", out);
    if (d == NULL || !are_its_allocs(v, d, cmd->n_healthy, cmd->healthy, out) ||
        !are_its_allocs(v, d, cmd->n_unhealthy, cmd->unhealthy, out))
        return;
    struct verdicts *r = verdicts_new(v);
    d = verdicts_deployment(r, d->id.data);
    judge_all(v, r, d, cmd, out);
    verdicts_free(r);
}
