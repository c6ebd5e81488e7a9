#include "apply_dispatch.h"
#include "apply_internal.h"
#include <stdarg.h>
#include <stdio.h>

void refuse(struct view *v, Pb__Outcome *out, Pb__Outcome__Code code, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    out->code = code;
    out->reason = arena_strdup(state_command_arena(v), line);
}

static void apply_body(struct view *v, const Pb__Command *cmd, Pb__Outcome *out)
{
    switch (cmd->body_case) {
    case PB__COMMAND__BODY_NOOP:
        return;
    case PB__COMMAND__BODY_JOB_REGISTER:
        apply_job_register(v, cmd->job_register, out);
        return;
    case PB__COMMAND__BODY_JOB_DEREGISTER:
        apply_job_deregister(v, cmd->job_deregister, out);
        return;
    case PB__COMMAND__BODY_PERIODIC_LAUNCH:
        apply_periodic_launch(v, cmd->periodic_launch, out);
        return;
    case PB__COMMAND__BODY_JOB_REVERT:
        apply_job_revert(v, cmd->job_revert, out);
        return;
    case PB__COMMAND__BODY_JOB_STABLE:
        apply_job_stable(v, cmd->job_stable, out);
        return;
    case PB__COMMAND__BODY_SCALING_NOTE:
        apply_scaling_note(v, cmd->scaling_note, out);
        return;
    case PB__COMMAND__BODY_ALLOC_STOP:
        apply_alloc_stop(v, cmd->alloc_stop, out);
        return;
    case PB__COMMAND__BODY_JOB_DISPATCH:
        apply_job_dispatch(v, cmd->job_dispatch, out);
        return;
    case PB__COMMAND__BODY_NODE_REGISTER:
        apply_node_register(v, cmd->node_register, out);
        return;
    case PB__COMMAND__BODY_NODE_STATUS:
        apply_node_status(v, cmd->node_status, out);
        return;
    case PB__COMMAND__BODY_NODE_ELIGIBILITY:
        apply_node_eligibility(v, cmd->node_eligibility, out);
        return;
    case PB__COMMAND__BODY_NODE_DRAIN:
        apply_node_drain(v, cmd->node_drain, out);
        return;
    case PB__COMMAND__BODY_DRAIN_STEP:
        apply_drain_step(v, cmd->drain_step, out);
        return;
    case PB__COMMAND__BODY_PLAN_APPLY:
        apply_plan(v, cmd->plan_apply->plan, out);
        return;
    case PB__COMMAND__BODY_EVAL_UPDATES:
        apply_eval_updates(v, cmd->eval_updates, out);
        return;
    case PB__COMMAND__BODY_ALLOC_UPDATES:
        apply_alloc_updates(v, cmd->alloc_updates, out);
        return;
    case PB__COMMAND__BODY_DEPLOYMENT_PROMOTE:
        apply_deployment_promote(v, cmd->deployment_promote, out);
        return;
    case PB__COMMAND__BODY_DEPLOYMENT_PAUSE:
        apply_deployment_pause(v, cmd->deployment_pause, out);
        return;
    case PB__COMMAND__BODY_DEPLOYMENT_FAIL:
        apply_deployment_fail(v, cmd->deployment_fail, out);
        return;
    case PB__COMMAND__BODY_ALLOC_HEALTH:
        apply_alloc_health(v, cmd->alloc_health, out);
        return;
    case PB__COMMAND__BODY_AUTOPILOT_SET:
        apply_autopilot_set(v, cmd->autopilot_set, out);
        return;
    case PB__COMMAND__BODY_SCHEDULER_SET:
        apply_scheduler_set(v, cmd->scheduler_set, out);
        return;
    case PB__COMMAND__BODY_SERVER_SET:
        apply_server_set(v, cmd->server_set, out);
        return;
    case PB__COMMAND__BODY_NODE_EVALUATE:
        apply_node_evaluate(v, cmd->node_evaluate, out);
        return;
    case PB__COMMAND__BODY_NODE_PURGE:
        apply_node_purge(v, cmd->node_purge, out);
        return;
    case PB__COMMAND__BODY_NODE_POOL_SET:
        apply_node_pool_set(v, cmd->node_pool_set, out);
        return;
    case PB__COMMAND__BODY_NODE_POOL_DELETE:
        apply_node_pool_delete(v, cmd->node_pool_delete, out);
        return;
    case PB__COMMAND__BODY_NAMESPACE_SET:
        apply_namespace_set(v, cmd->namespace_set, out);
        return;
    case PB__COMMAND__BODY_NAMESPACE_DELETE:
        apply_namespace_delete(v, cmd->namespace_delete, out);
        return;
    case PB__COMMAND__BODY_RESTORE_PART:
        apply_restore_part(v, cmd->restore_part, out);
        return;
    case PB__COMMAND__BODY_JOB_EVALUATE:
        apply_job_evaluate(v, cmd->job_evaluate, out);
        return;
    case PB__COMMAND__BODY_COLLECT:
        apply_collect(v, cmd->collect, out);
        return;
    default:
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "a command of an unknown kind");
    }
}

/* Jobs that waited for what the command has brought about. */
static void apply_consequences(struct view *v)
{
    state_settle_jobs(v);
    apply_turns(v);
    state_open_gates(v);
}

static Pb__Outcome *outcome_new(struct view *v)
{
    Pb__Outcome *out = arena_alloc(state_command_arena(v), sizeof *out);
    pb__outcome__init(out);
    out->has_code = true;
    out->has_index = true;
    out->index = state_command_index(v);
    return out;
}

Pb__Outcome *apply(struct view *v, const Pb__Command *cmd, uint64_t index, uint64_t term)
{
    bool known = cmd != NULL && has_id(cmd->has_request_id, cmd->request_id);
    state_command_begin(v, index, term, cmd != NULL ? cmd->time : 0,
                        known ? cmd->request_id.data : NULL);
    Pb__Outcome *out =
        known ? state_outcome(v, state_command_arena(v), cmd->request_id.data) : NULL;
    if (out == NULL) {
        out = outcome_new(v);
        if (known) {
            apply_body(v, cmd, out);
            apply_consequences(v);
            state_put_outcome(v, cmd->request_id.data, out);
        } else if (cmd != NULL && cmd->body_case != PB__COMMAND__BODY_NOOP) {
            refuse(v, out, PB__OUTCOME__CODE__INVALID, "a command without the id of its request");
        }
    }
    state_command_end(v);
    return out;
}

void apply_members(struct view *v, const void *data, size_t len, uint64_t index, uint64_t term)
{
    state_command_begin(v, index, term, 0, NULL);
    state_put_members(v, data, len);
    state_command_end(v);
}

Pb__Outcome *apply_refused(struct view *v, const Pb__Command *cmd, uint64_t index, uint64_t term,
                           const char *reason)
{
    state_command_begin(v, index, term, cmd->time, cmd->request_id.data);
    Pb__Outcome *out = outcome_new(v);
    refuse(v, out, PB__OUTCOME__CODE__INVALID, "%s", reason);
    state_incoming_clear(v);
    state_put_outcome(v, cmd->request_id.data, out);
    state_command_end(v);
    return out;
}
