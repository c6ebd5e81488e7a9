#include "sched/specification.h"
#include "wire/wire.h"
#include <string.h>

/* What is not the specification takes the other's values, so that comparing bytes compares
 * specifications. */
static void take_state_fields(Pb__Job *job, const Pb__Job *from)
{
    job->has_version = from->has_version;
    job->version = from->version;
    job->has_stop = from->has_stop;
    job->stop = from->stop;
    job->has_stable = from->has_stable;
    job->stable = from->stable;
    job->status = from->status;
    job->status_description = from->status_description;
    job->has_submit_time = from->has_submit_time;
    job->submit_time = from->submit_time;
    job->has_create_index = from->has_create_index;
    job->create_index = from->create_index;
    job->has_modify_index = from->has_modify_index;
    job->modify_index = from->modify_index;
    job->has_job_modify_index = from->has_job_modify_index;
    job->job_modify_index = from->job_modify_index;
    job->nomad_token_id = from->nomad_token_id;
    job->has_last_launch = from->has_last_launch;
    job->last_launch = from->last_launch;
    job->idempotency_token = from->idempotency_token;
}

static bool same_specification(const Pb__Job *old, const Pb__Job *job)
{
    Pb__Job probe = *job;
    take_state_fields(&probe, old);
    return wire_equal(&old->base, &probe.base);
}

void job_keep_counts(struct arena *a, Pb__Job *job, const Pb__Job *old)
{
    Pb__TaskGroup **groups = arena_array(a, Pb__TaskGroup *, job->n_task_groups + 1);
    for (size_t i = 0; i < job->n_task_groups; i++) {
        groups[i] = arena_copy(a, job->task_groups[i], sizeof **groups);
        for (size_t k = 0; k < old->n_task_groups; k++)
            if (strcmp(groups[i]->name, old->task_groups[k]->name) == 0) {
                groups[i]->has_count = old->task_groups[k]->has_count;
                groups[i]->count = old->task_groups[k]->count;
            }
    }
    job->task_groups = groups;
}

bool job_is_unchanged(const Pb__Job *old, const Pb__Job *job)
{
    return old != NULL && !old->stop && same_specification(old, job);
}
