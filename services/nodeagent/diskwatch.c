#include "diskwatch.h"
#include "allocdir.h"
#include "base/log.h"
#include "diskquota.h"
#include "diskuse.h"
#include "run.h"
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define MEBI       1048576.0
#define PATHS_CAP  (16u << 20)
#define QUIETER    10 /* nice */
#define FIRST_ROOM 64

struct measured {
    uint8_t alloc[16];
    const char *path;
    uint64_t most, bytes;
    enum err result;
    struct reason why;
};

struct diskwatch {
    struct worker_job job;
    struct loop *loop;
    struct runner *runner;
    uint64_t interval_ms;
    struct worker *worker; /* NULL until it is needed */
    struct timer timer;
    bool under_way;
    /* of the round under way */
    struct arena *arena;
    struct measured *all;
    size_t count, room;
};

/* As a thread of its own it may be set apart from the loop's. */
static void work(struct worker_job *job)
{
    struct diskwatch *w = container_of(job, struct diskwatch, job);
    setpriority(PRIO_PROCESS, 0, QUIETER);
    for (size_t i = 0; i < w->count; i++) {
        struct measured *m = &w->all[i];
        m->result = diskquota_used(m->path, &m->bytes, NULL);
        /* Who owns a file may take it out of its project. */
        if (m->result != OK || m->bytes <= m->most)
            m->result = diskuse_measure(m->path, m->most, &m->bytes, &m->why);
    }
}

static void end_tasks(struct alloc_run *run, const char *why)
{
    log_warn("disk_exceeded", "alloc=%s reason=%s", log_id(run->id), log_quote(why));
    for (size_t i = 0; i < run->task_count; i++)
        task_run_input(&run->tasks[i],
                       (struct task_input){.kind = TASK_IN_DISK_EXCEEDED, .text = why});
}

static void judge(struct diskwatch *w, const struct measured *m)
{
    struct alloc_run *run = map_get_id(w->runner->allocs, m->alloc);
    struct reason why;
    if (run == NULL || alloc_run_is_over(run))
        return;
    if (m->result == ERR_INVALID)
        reason_set(&why, ERR_INVALID, "The allocation's disk cannot be measured: %s", m->why.text);
    else if (m->result == OK && m->bytes > m->most)
        reason_set(&why, ERR_NO_SPACE,
                   "The allocation's disk holds %.1f MiB or more, and %.0f were asked for",
                   (double)m->bytes / MEBI, (double)m->most / MEBI);
    else
        return;
    end_tasks(run, why.text);
}

static void measure(void *owner);

static void on_measured(struct worker_job *job)
{
    struct diskwatch *w = container_of(job, struct diskwatch, job);
    w->under_way = false;
    for (size_t i = 0; i < w->count; i++)
        judge(w, &w->all[i]);
    arena_free(w->arena);
    w->arena = NULL;
    timer_arm(w->loop, &w->timer, w->interval_ms, measure, w);
}

static bool has_process(const struct alloc_run *run)
{
    for (size_t i = 0; i < run->task_count; i++)
        if (run->tasks[i].core.phase == TASK_RUNNING)
            return true;
    return false;
}

static void note(struct diskwatch *w, const struct alloc_run *run)
{
    if (w->count == w->room) {
        w->room = w->room == 0 ? FIRST_ROOM : w->room * 2;
        w->all = xrealloc(w->all, w->room * sizeof *w->all);
    }
    struct measured *m = &w->all[w->count++];
    *m = (struct measured){.most = run->disk_bytes};
    memcpy(m->alloc, run->id, sizeof m->alloc);
    m->path = allocdir_path(w->arena, w->runner->options.data_dir, run->id);
}

static void measure(void *owner)
{
    struct diskwatch *w = owner;
    const void *key;
    void *value;
    w->arena = arena_new(PATHS_CAP);
    w->count = 0;
    for (size_t i = 0; map_next(w->runner->allocs, &i, &key, NULL, &value);) {
        const struct alloc_run *run = value;
        if (run->disk_bytes > 0 && has_process(run))
            note(w, run);
    }
    if (w->worker == NULL)
        w->worker = worker_new(w->loop);
    w->under_way = true;
    worker_submit(w->worker, &w->job);
}

struct diskwatch *diskwatch_new(struct loop *l, struct runner *r, uint64_t interval_ms)
{
    struct diskwatch *w = xcalloc(1, sizeof *w);
    *w = (struct diskwatch){.loop = l, .runner = r, .interval_ms = interval_ms};
    w->job.work = work;
    w->job.done = on_measured;
    if (interval_ms > 0)
        timer_arm(l, &w->timer, interval_ms, measure, w);
    return w;
}

void diskwatch_free(struct diskwatch *w)
{
    if (w == NULL)
        return;
    timer_cancel(w->loop, &w->timer);
    worker_free(w->worker);
    if (w->under_way)
        loop_unpost(w->loop, &w->job.done_post);
    arena_free(w->arena);
    free(w->all);
    free(w);
}
