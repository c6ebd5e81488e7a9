#include "deadlines.h"
#include "base/duration.h"
#include "base/log.h"
#include <stdio.h>

void deadlines_note(struct alloc_run *run, const Pb__TaskGroup *group)
{
    if (group == NULL)
        return;
    run->max_run_ns = group->max_run_duration_ns;
    run->stop_delay_ns = group->shutdown_delay_ns;
    run->unheard_ns = group->stop_after_client_disconnect_ns;
    if (run->unheard_ns == 0 && group->disconnect != NULL)
        run->unheard_ns = group->disconnect->stop_on_client_after_ns;
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
static void end_tasks(struct alloc_run *run, enum task_input_kind kind, int64_t limit_ns,
                      const char *sentence)
{
    char limit[32], text[128];
    duration_format(limit_ns, limit);
    snprintf(text, sizeof text, "%s %s", sentence, limit);
    log_info("alloc_ended", "alloc=%s reason=%s", log_id(run->id), log_quote(text));
    for (size_t i = 0; i < run->task_count; i++)
        if (run->tasks[i].role != GROUP_POSTSTOP)
            task_run_input(&run->tasks[i], (struct task_input){.kind = kind, .text = text});
}

static void look_at_run_time(struct alloc_run *run)
{
    if (run->max_run_ns <= 0 || run->overdue)
        return;
    int64_t start = run->run_until_ns == 0 ? first_start(run) : 0;
    if (start != 0) {
        run->run_until_ns = start + run->max_run_ns;
        run->dirty = true;
    }
    if (run->run_until_ns == 0 || loop_wall_ns(run->runner->loop) < run->run_until_ns)
        return;
    run->overdue = true;
    end_tasks(run, TASK_IN_OVERDUE, run->max_run_ns,
              "The allocation has run for its max_run_duration of");
}

static int64_t silence_ns(const struct alloc_run *run)
{
    const struct runner_options *o = &run->runner->options;
    return (int64_t)o->silence_ms(o->owner) * 1000000;
}

/* The servers place it elsewhere soon: it must not run twice. */
static void look_at_silence(struct alloc_run *run)
{
    if (run->unheard_ns <= 0 || run->unheard || silence_ns(run) < run->unheard_ns)
        return;
    run->unheard = true;
    end_tasks(run, TASK_IN_UNHEARD, run->unheard_ns, "No server has been heard for");
}

void deadlines_step(struct alloc_run *run)
{
    if (alloc_run_is_over(run))
        return;
    look_at_run_time(run);
    look_at_silence(run);
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

static void take_earlier(int64_t *due, int64_t at)
{
    if (*due == 0 || at < *due)
        *due = at;
}

void deadlines_arm(struct alloc_run *run)
{
    struct loop *l = run->runner->loop;
    int64_t now = loop_wall_ns(l), due = run->overdue ? 0 : run->run_until_ns;
    if (run->stop_at_ns > now)
        take_earlier(&due, run->stop_at_ns);
    if (run->unheard_ns > 0 && !run->unheard)
        take_earlier(&due, now + run->unheard_ns - silence_ns(run));
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
