#include "state/internal.h"
#include "base/fault.h"
#include <string.h>

bool alloc_has_ended(const Pb__Alloc *a)
{
    return a->client_status == PB__ALLOC__CLIENT_STATUS__COMPLETE ||
           a->client_status == PB__ALLOC__CLIENT_STATUS__FAILED ||
           a->client_status == PB__ALLOC__CLIENT_STATUS__LOST;
}

bool alloc_uses_node(const Pb__Alloc *a)
{
    return !alloc_has_ended(a) && a->desired != PB__ALLOC__DESIRED__EVICT;
}

bool alloc_is_wanted(const Pb__Alloc *a)
{
    return a->desired == PB__ALLOC__DESIRED__RUN && !alloc_has_ended(a);
}

Pb__Alloc *state_alloc(struct view *v, struct arena *a, const uint8_t *id)
{
    return (Pb__Alloc *)record_message(v, a, T_ALLOCS, id_bytes(id), &pb__alloc__descriptor);
}

static void index_pair(struct view *v, unsigned table, const uint8_t *first, const uint8_t *id,
                       bool present)
{
    uint8_t key[2 * ID_SIZE];
    memcpy(key, first, ID_SIZE);
    memcpy(key + ID_SIZE, id, ID_SIZE);
    if (present)
        txn_put(v->txn, table, bytes_of(key, sizeof key), bytes_of("", 0));
    else
        txn_del(v->txn, table, bytes_of(key, sizeof key));
}

/* from NULL: it is new. */
static void count_move(struct view *v, const Pb__Alloc *from, const Pb__Alloc *to)
{
    struct job_edit *j = job_edit(v, to->namespace_, to->job_id, to->job_create_index);
    if (j == NULL)
        return;
    summary_move(v, j, to->task_group, from, to);
    uint64_t was = from != NULL && alloc_is_wanted(from), is = alloc_is_wanted(to);
    if (from != NULL && was == is)
        return;
    j->counts.allocs += from == NULL;
    j->counts.wanted += is - was;
    j->counts_changed = true;
}

/* A server has decided something about the job's allocations. */
static void note_planned(struct view *v, const Pb__Alloc *a)
{
    struct job_edit *j = job_edit(v, a->namespace_, a->job_id, a->job_create_index);
    if (j == NULL)
        return;
    j->counts.planned_index = v->index;
    j->counts_changed = true;
}

void state_add_alloc(struct view *v, Pb__Alloc *alloc)
{
    struct key by_job;
    must(key_job_prefix(&by_job, alloc->namespace_, alloc->job_id));
    key_add(&by_job, alloc->id.data, ID_SIZE);
    alloc->has_create_index = alloc->has_modify_index = alloc->has_alloc_modify_index = true;
    alloc->create_index = alloc->modify_index = alloc->alloc_modify_index = v->index;
    alloc->has_create_time = alloc->has_modify_time = true;
    alloc->create_time = alloc->modify_time = v->time;
    record_put(v, T_ALLOCS, id_bytes(alloc->id.data), &alloc->base);
    txn_put(v->txn, T_ALLOCS_BY_JOB, key_bytes(&by_job), bytes_of("", 0));
    index_pair(v, T_ALLOCS_BY_NODE, alloc->node_id.data, alloc->id.data, true);
    index_pair(v, T_ALLOCS_BY_EVAL, alloc->eval_id.data, alloc->id.data, true);
    count_move(v, NULL, alloc);
    note_planned(v, alloc);
    if (alloc_uses_node(alloc))
        usage_add(v, alloc->node_id.data, alloc_load(alloc));
}

void state_change_alloc(struct view *v, const Pb__Alloc *old, Pb__Alloc *alloc, bool by_server)
{
    alloc->has_modify_index = alloc->has_modify_time = true;
    alloc->modify_index = v->index;
    alloc->modify_time = v->time;
    if (by_server) {
        alloc->has_alloc_modify_index = true;
        alloc->alloc_modify_index = v->index;
    }
    record_put(v, T_ALLOCS, id_bytes(alloc->id.data), &alloc->base);
    if (!id_equal(old->eval_id.data, alloc->eval_id.data)) {
        index_pair(v, T_ALLOCS_BY_EVAL, old->eval_id.data, alloc->id.data, false);
        index_pair(v, T_ALLOCS_BY_EVAL, alloc->eval_id.data, alloc->id.data, true);
    }
    count_move(v, old, alloc);
    if (by_server)
        note_planned(v, alloc);
    must(!alloc_has_ended(old) || alloc_has_ended(alloc));
    must(alloc_uses_node(old) || !alloc_uses_node(alloc));
    if (alloc_uses_node(old) && !alloc_uses_node(alloc) && !MUTANT("usage-kept"))
        usage_remove(v, alloc->node_id.data, alloc_load(alloc));
}

/* What it was counted as is counted no more. */
static void count_away(struct view *v, const Pb__Alloc *a)
{
    struct job_edit *j = job_edit(v, a->namespace_, a->job_id, a->job_create_index);
    if (j == NULL)
        return;
    summary_remove(v, j, a);
    must(j->counts.allocs > 0);
    j->counts.allocs--;
    j->counts_changed = true;
}

void state_delete_alloc(struct view *v, const Pb__Alloc *alloc)
{
    struct key by_job;
    must(alloc_has_ended(alloc));
    must(key_job_prefix(&by_job, alloc->namespace_, alloc->job_id));
    key_add(&by_job, alloc->id.data, ID_SIZE);
    txn_del(v->txn, T_ALLOCS_BY_JOB, key_bytes(&by_job));
    index_pair(v, T_ALLOCS_BY_NODE, alloc->node_id.data, alloc->id.data, false);
    index_pair(v, T_ALLOCS_BY_EVAL, alloc->eval_id.data, alloc->id.data, false);
    record_del(v, T_ALLOC_TASKS, id_bytes(alloc->id.data));
    record_del(v, T_ALLOCS, id_bytes(alloc->id.data));
    count_away(v, alloc);
}

Pb__AllocTasks *state_alloc_tasks(struct view *v, struct arena *a, const uint8_t *id)
{
    return (Pb__AllocTasks *)record_message(v, a, T_ALLOC_TASKS, id_bytes(id),
                                            &pb__alloc_tasks__descriptor);
}

void state_put_alloc_tasks(struct view *v, const Pb__AllocTasks *tasks)
{
    record_put(v, T_ALLOC_TASKS, id_bytes(tasks->alloc_id.data), &tasks->base);
}
