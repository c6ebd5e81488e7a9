#include "healthwatch.h"
#include "base/log.h"
#include "wire/wire.h"
#include <string.h>

static const Pb__TaskGroup *group_in(const Pb__Job *job, const Pb__Alloc *alloc)
{
    return job != NULL ? group_of(job, alloc->task_group) : NULL;
}

static bool is_judged(const Pb__Alloc *alloc)
{
    return alloc->deployment_status != NULL && alloc->deployment_status->has_healthy;
}

void healthwatch_note(struct alloc_run *run, const Pb__Alloc *alloc, const Pb__Job *job)
{
    struct health *h = &run->health;
    const Pb__TaskGroup *group = group_in(job, alloc);
    if (alloc->deployment_id.len != ID_SIZE || group == NULL || is_judged(alloc))
        return;
    if (h->watched && memcmp(h->deployment, alloc->deployment_id.data, ID_SIZE) == 0)
        return;
    health_begin(h, alloc->deployment_id.data, group, loop_wall_ns(run->runner->loop));
    run->health_sent = false;
    run->dirty = true;
}

void healthwatch_restore(struct alloc_run *run, const Pb__LocalAlloc *saved, const Pb__Job *job)
{
    health_load(&run->health, saved->health, group_in(job, saved->alloc));
}

void healthwatch_step(struct alloc_run *run)
{
    struct health *h = &run->health;
    if (!health_step(h, run->members, run->task_count, run->stopping,
                     loop_wall_ns(run->runner->loop)))
        return;
    log_info("alloc_health", "alloc=%s deployment=%s healthy=%d", log_id(run->id),
             log_id(h->deployment), h->verdict == HEALTH_GOOD);
    run->changed++;
    run->dirty = true;
}

static void on_due(void *owner)
{
    alloc_run_touch(owner);
}

void healthwatch_arm(struct alloc_run *run)
{
    struct loop *l = run->runner->loop;
    int64_t due = health_due_ns(&run->health, run->members, run->task_count);
    int64_t left = due - loop_wall_ns(l);
    if (due == 0 || run->stopping)
        timer_cancel(l, &run->health_timer);
    else
        timer_arm(l, &run->health_timer, left <= 0 ? 0 : (uint64_t)(left / 1000000) + 1, on_due,
                  run);
}

void healthwatch_tell(struct alloc_run *run, struct arena *a, Pb__AllocUpdate *update)
{
    const struct health *h = &run->health;
    if (!h->watched || h->verdict == HEALTH_UNKNOWN || h->told)
        return;
    update->has_healthy = update->has_healthy_at = update->has_deployment_id = true;
    update->deployment_id = wire_id(a, h->deployment);
    update->healthy = h->verdict == HEALTH_GOOD;
    update->healthy_at = h->decided_ns;
    run->health_sent = true;
}

void healthwatch_told(struct alloc_run *run, bool acknowledged)
{
    if (run->health_sent && acknowledged)
        run->health.told = true;
    run->health_sent = false;
}
