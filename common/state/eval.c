#include "state/internal.h"

Pb__Eval *state_eval(struct view *v, struct arena *a, const uint8_t *id)
{
    return (Pb__Eval *)record_message(v, a, T_EVALS, id_bytes(id), &pb__eval__descriptor);
}

static bool is_open(const Pb__Eval *e)
{
    return e->status == PB__EVAL__STATUS__PENDING || e->status == PB__EVAL__STATUS__BLOCKED;
}

void state_put_eval(struct view *v, Pb__Eval *eval)
{
    struct key by_job;
    Pb__Eval *old = state_eval(v, v->arena, eval->id.data);
    eval->has_modify_index = eval->has_modify_time = true;
    eval->modify_index = v->index;
    eval->modify_time = v->time;
    must(key_job_prefix(&by_job, eval->namespace_, eval->job_id));
    struct job_edit *j = job_edit(v, eval->namespace_, eval->job_id, 0);
    /* Evaluations of an earlier job of this name do not count for the present one. */
    if (j != NULL && old != NULL && old->create_index < j->counts.create_index)
        j = NULL;
    if (j != NULL)
        gate_hold(v, j, eval);
    if (old == NULL) {
        eval->has_create_index = eval->has_create_time = true;
        eval->create_index = v->index;
        eval->create_time = v->time;
        key_add(&by_job, eval->id.data, ID_SIZE);
        txn_put(v->txn, T_EVALS_BY_JOB, key_bytes(&by_job), bytes_of("", 0));
    }
    record_put(v, T_EVALS, id_bytes(eval->id.data), &eval->base);
    if (j == NULL)
        return;
    j->counts.evals += old == NULL;
    j->counts.open_evals += is_open(eval);
    j->counts.open_evals -= old != NULL && is_open(old);
    j->counts_changed = true;
    if (is_open(eval))
        queue_leave(v, j);
    gate_note(v, j, eval);
}

void state_delete_eval(struct view *v, const Pb__Eval *eval)
{
    struct key by_job;
    must(!is_open(eval));
    must(key_job_prefix(&by_job, eval->namespace_, eval->job_id));
    key_add(&by_job, eval->id.data, ID_SIZE);
    txn_del(v->txn, T_EVALS_BY_JOB, key_bytes(&by_job));
    record_del(v, T_EVALS, id_bytes(eval->id.data));
    struct job_edit *j = job_edit(v, eval->namespace_, eval->job_id, 0);
    if (j == NULL || eval->create_index < j->counts.create_index)
        return;
    must(j->counts.evals > 0);
    j->counts.evals--;
    j->counts_changed = true;
}
