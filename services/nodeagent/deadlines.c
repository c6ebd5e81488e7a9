#include "deadlines.h"
#include "base/duration.h"
#include "base/log.h"
#include <stdio.h>
#include <stdio.h>

void deadlines_note(struct alloc_run *run, const Pb__TaskGroup *group)
{
    if (group == NULL)
        return;
    run->max_run_ns = group->max_run_duration_ns;
    run->stop_delay_ns = group->shutdown_delay_ns;
}

static int64_t first_start(const struct alloc_run *run)
{
    int64_t first = 0;
    for (size_t i = 0; i < run->task_count; i++) {
        int64_t at = run->tasks[i].core.started_at;
        if (at != 0 && (first == 0 || at < first))
            first = at;
    }
    return first;
}

/* Poststop tasks clean up after the others, however those ended. */
static void end_tasks(struct alloc_run *run)
{
    char limit[32], text[96];
    duration_format(run->max_run_ns, limit);
    snprintf(text, sizeof text, "The allocation has run for its max_run_duration of %s", limit);
    log_info("max_run_duration", "alloc=%s limit=%s", log_id(run->id), limit);
    for (size_t i = 0; i < run->task_count; i++)
        if (run->tasks[i].role != GROUP_POSTSTOP)
            task_run_input(&run->tasks[i],
                           (struct task_input){.kind = TASK_IN_OVERDUE, .text = text});
}

void deadlines_step(struct alloc_run *run)
{
    if (run->max_run_ns <= 0 || alloc_run_is_over(run))
        return;
    int64_t start = run->run_until_ns == 0 ? first_start(run) : 0;
    if (start != 0) {
        run->run_until_ns = start + run->max_run_ns;
        run->dirty = true;
    }
    if (run->run_until_ns == 0 || loop_wall_ns(run->runner->loop) < run->run_until_ns ||
        run->overdue)
        return;
    run->overdue = true;
    end_tasks(run);
}

static bool anything_runs(const struct alloc_run *run)
{
    for (size_t i = 0; i < run->task_count; i++)
        if (run->tasks[i].core.phase == TASK_RUNNING)
            return true;
    return false;
}

bool deadlines_stop_now(struct alloc_run *run)
{
    const struct runner *r = run->runner;
    if (!run->stopping)
        return false;
    if (run->stop_delay_ns <= 0 || run->removed || r->stopping_all)
        return true;
    int64_t now = loop_wall_ns(r->loop);
    if (run->stop_at_ns == 0)
        run->stop_at_ns = now + (anything_runs(run) ? run->stop_delay_ns : 0);
    return now >= run->stop_at_ns;
}

static void on_due(void *owner)
{
    alloc_run_touch(owner);
}

void deadlines_arm(struct alloc_run *run)
{
    struct loop *l = run->runner->loop;
    int64_t now = loop_wall_ns(l), due = run->overdue ? 0 : run->run_until_ns;
    if (run->stop_at_ns > now && (due == 0 || run->stop_at_ns < due))
        due = run->stop_at_ns;
    if (due == 0 || alloc_run_is_over(run))
        timer_cancel(l, &run->deadline);
    else
        timer_arm(l, &run->deadline, due <= now ? 0 : (uint64_t)((due - now) / 1000000) + 1, on_due,
                  run);
}

void deadlines_forget(struct alloc_run *run)
{
    timer_cancel(run->runner->loop, &run->deadline);
}
