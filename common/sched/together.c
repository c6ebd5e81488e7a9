#include "sched/together.h"
#include <string.h>

bool job_is_together(const Pb__Job *job)
{
    return job != NULL && job->all_at_once && !job_is_system(job);
}

/* Who registers such a job is refused more than SCHED_MOST_TOGETHER, so the budget has an end here
 * too: what cuts other plans must not cut this one. */
bool together_begin(struct planner *p)
{
    if (!job_is_together(p->job))
        return true;
    if (p->more)
        return false;
    p->stops_apart = p->plan->n_stops;
    p->budget = SIZE_MAX / 2;
    return true;
}

static size_t group_of(const struct planner *p, const char *name)
{
    size_t i = 0;
    while (i < p->job->n_task_groups && strcmp(p->job->task_groups[i]->name, name) != 0)
        i++;
    return i;
}

/* Each placement counts as one that found no place. */
static void count_missing(struct planner *p)
{
    for (size_t i = 0; i < p->plan->n_placements; i++) {
        size_t at = group_of(p, p->plan->placements[i]->task_group);
        if (at == p->job->n_task_groups)
            continue;
        planner_feasible(p, at); /* what a blocked evaluation tells of classes */
        p->failed_of_group[at]++;
        p->failed++;
        if (p->why != NULL && p->why[at] != NULL && p->why[at]->placed > 0) {
            p->why[at]->placed--;
            p->why[at]->missing++;
        }
    }
}

/* Those that stop whether or not another one takes their place. */
static void stop_what_must_go(struct planner *p, const struct wanted *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].replaces && list[i].previous->stop_wanted)
            planner_stop(p, list[i].previous, DESCRIBE_MIGRATING, false);
}

void together_end(struct planner *p)
{
    if (!job_is_together(p->job) || p->failed == 0)
        return;
    count_missing(p);
    p->plan->n_placements = p->plan->n_placed_groups = 0;
    p->plan->n_stops = p->stops_apart;
    for (size_t i = 0; i < p->job->n_task_groups; i++) {
        const struct group_changes *g = &p->changes.groups[i];
        stop_what_must_go(p, g->wanted, g->wanted_count);
        stop_what_must_go(p, g->older, g->older_count);
    }
    for (size_t i = 0; i < p->victim_count; i++)
        p->victims[i].gone = false;
    p->displaced = 0;
}
