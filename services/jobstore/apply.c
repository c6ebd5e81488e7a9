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

/* One kind of command, by the function of its name. */
#define APPLY(kind, name)                                                                          \
    case PB__COMMAND__BODY_##kind:                                                                 \
        apply_##name(v, cmd->name, out);                                                           \
        break

static void apply_body(struct view *v, const Pb__Command *cmd, Pb__Outcome *out)
{
    switch (cmd->body_case) {
    case PB__COMMAND__BODY_NOOP:
        break;
    case PB__COMMAND__BODY_PLAN_APPLY:
        apply_plan(v, cmd->plan_apply->plan, out);
        break;
        APPLY(JOB_REGISTER, job_register);
        APPLY(JOB_DEREGISTER, job_deregister);
        APPLY(PERIODIC_LAUNCH, periodic_launch);
        APPLY(JOB_REVERT, job_revert);
        APPLY(JOB_STABLE, job_stable);
        APPLY(SCALING_NOTE, scaling_note);
        APPLY(ALLOC_STOP, alloc_stop);
        APPLY(JOB_DISPATCH, job_dispatch);
        APPLY(NODE_REGISTER, node_register);
        APPLY(NODE_STATUS, node_status);
        APPLY(NODE_ELIGIBILITY, node_eligibility);
        APPLY(NODE_DRAIN, node_drain);
        APPLY(DRAIN_STEP, drain_step);
        APPLY(EVAL_UPDATES, eval_updates);
        APPLY(ALLOC_UPDATES, alloc_updates);
        APPLY(DEPLOYMENT_PROMOTE, deployment_promote);
        APPLY(DEPLOYMENT_PAUSE, deployment_pause);
        APPLY(DEPLOYMENT_FAIL, deployment_fail);
        APPLY(ALLOC_HEALTH, alloc_health);
        APPLY(AUTOPILOT_SET, autopilot_set);
        APPLY(SCHEDULER_SET, scheduler_set);
        APPLY(SERVER_SET, server_set);
        APPLY(NODE_EVALUATE, node_evaluate);
        APPLY(NODE_PURGE, node_purge);
        APPLY(NODE_POOL_SET, node_pool_set);
        APPLY(NODE_POOL_DELETE, node_pool_delete);
        APPLY(NAMESPACE_SET, namespace_set);
        APPLY(NAMESPACE_DELETE, namespace_delete);
        APPLY(RESTORE_PART, restore_part);
        APPLY(JOB_EVALUATE, job_evaluate);
        APPLY(COLLECT, collect);
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
