/* An operator wants another allocation in the place of one. */
#include "apply_internal.h"

void apply_alloc_stop(struct view *v, const Pb__AllocStop *cmd, Pb__Outcome *out)
{
    struct arena *a = state_command_arena(v);
    Pb__Alloc *old =
        has_id(cmd->has_alloc_id, cmd->alloc_id) ? state_alloc(v, a, cmd->alloc_id.data) : NULL;
    if (old == NULL) {
        refuse(v, out, PB__OUTCOME__CODE__NOT_FOUND, "allocation not found");
        return;
    }
    if (alloc_is_wanted(old) && !old->stop_wanted) {
        Pb__Alloc *next = arena_copy(a, old, sizeof *next);
        next->has_stop_wanted = next->stop_wanted = true;
        state_change_alloc(v, old, next, true);
    }
    Pb__Eval *eval = eval_new(v, old->namespace_, old->job_id,
                              state_job(v, a, old->namespace_, old->job_id), "alloc-stop");
    state_put_eval(v, eval);
    out->has_eval_id = true;
    out->eval_id = eval->id;
}
