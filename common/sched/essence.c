#include "sched/essence.h"
#include "wire/wire.h"

static Pb__Task *task_essence(struct arena *a, const Pb__Task *task)
{
    Pb__Task *t = arena_copy(a, task, sizeof(*task));
    t->n_constraints = t->n_affinities = 0;
    t->services_json = t->scaling_policies_json = t->kind = NULL;
    return t;
}

/* What the running tasks depend on. All that is not taken out here is destructive when it changes:
 * an unknown field errs on the side of a restart, never on that of a task that runs with what was
 * replaced. */
static Pb__TaskGroup *group_essence(struct arena *a, const Pb__TaskGroup *group)
{
    Pb__TaskGroup *g = arena_copy(a, group, sizeof(*group));
    g->has_count = 0;
    g->count = 0;
    g->n_constraints = g->n_affinities = g->n_spreads = 0;
    g->reschedule_policy = NULL;
    g->migrate = NULL;
    g->update = NULL;
    g->disconnect = NULL;
    g->services_json = g->scaling_json = NULL;
    g->has_stop_after_client_disconnect_ns = 0;
    g->tasks = arena_array(a, Pb__Task *, group->n_tasks + 1);
    for (size_t i = 0; i < group->n_tasks; i++)
        g->tasks[i] = task_essence(a, group->tasks[i]);
    return g;
}

static bool pairs_equal(Pb__KeyValue *const *a, size_t a_count, Pb__KeyValue *const *b,
                        size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++)
        if (!wire_equal(&a[i]->base, &b[i]->base))
            return false;
    return true;
}

bool group_update_is_destructive(struct arena *a, const Pb__Job *was_job, const Pb__TaskGroup *was,
                                 const Pb__Job *now_job, const Pb__TaskGroup *now)
{
    /* The job's meta is in the tasks' environment. */
    return !pairs_equal(was_job->meta, was_job->n_meta, now_job->meta, now_job->n_meta) ||
           !wire_equal(&group_essence(a, was)->base, &group_essence(a, now)->base);
}
