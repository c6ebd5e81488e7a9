#include "sched/deployment.h"
#include <stddef.h>
#include <string.h>

bool deployment_is_active(const Pb__Deployment *d)
{
    return d->status == PB__DEPLOYMENT__STATUS__RUNNING ||
           d->status == PB__DEPLOYMENT__STATUS__PAUSED ||
           d->status == PB__DEPLOYMENT__STATUS__BLOCKED ||
           d->status == PB__DEPLOYMENT__STATUS__PENDING;
}

Pb__DeploymentGroup *deployment_group(const Pb__Deployment *d, const char *name)
{
    for (size_t i = 0; name != NULL && i < d->n_task_groups; i++)
        if (d->task_groups[i]->name != NULL && strcmp(d->task_groups[i]->name, name) == 0)
            return d->task_groups[i];
    return NULL;
}

bool group_needs_promotion(const Pb__DeploymentGroup *g)
{
    return g->desired_canaries > 0 && !g->promoted;
}

bool deployment_needs_promotion(const Pb__Deployment *d)
{
    for (size_t i = 0; i < d->n_task_groups; i++)
        if (group_needs_promotion(d->task_groups[i]))
            return true;
    return false;
}

static bool group_is_done(const Pb__DeploymentGroup *g)
{
    return !group_needs_promotion(g) && g->healthy_allocs >= g->desired_total &&
           g->healthy_allocs >= g->desired_canaries;
}

bool deployment_is_complete(const Pb__Deployment *d)
{
    for (size_t i = 0; i < d->n_task_groups; i++)
        if (!group_is_done(d->task_groups[i]))
            return false;
    return true;
}

int64_t group_due(const Pb__DeploymentGroup *g)
{
    uint32_t wanted = group_needs_promotion(g) ? g->desired_canaries : g->desired_total;
    return g->healthy_allocs < wanted ? g->require_progress_by : 0;
}

int64_t deployment_due(const Pb__Deployment *d)
{
    int64_t due = 0;
    for (size_t i = 0; d->status == PB__DEPLOYMENT__STATUS__RUNNING && i < d->n_task_groups; i++) {
        int64_t at = group_due(d->task_groups[i]);
        if (at != 0 && (due == 0 || at < due))
            due = at;
    }
    return due;
}
