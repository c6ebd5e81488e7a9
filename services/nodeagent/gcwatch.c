#include "gcwatch.h"
#include "base/log.h"
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define SOON_MS 500 /* after one has gone, or while the local state is being written */

struct gcwatch {
    struct loop *loop;
    struct gcwatch_options options;
    struct timer timer;
    /* while the local state is walked */
    struct gc_ended *ended;
    size_t count, room, allocs;
};

static int64_t end_of(const Pb__LocalAlloc *saved)
{
    int64_t end = 0;
    for (size_t i = 0; i < saved->n_tasks; i++)
        if (saved->tasks[i]->state != NULL && saved->tasks[i]->state->finished_at > end)
            end = saved->tasks[i]->state->finished_at;
    return end;
}

static void note(void *owner, const Pb__LocalAlloc *saved)
{
    struct gcwatch *g = owner;
    g->allocs++;
    if (saved->alloc == NULL || saved->alloc->id.len != 16 ||
        runner_has(g->options.runner, saved->alloc->id.data))
        return;
    if (g->count == g->room) {
        g->room = g->room == 0 ? 64 : 2 * g->room;
        g->ended = xrealloc(g->ended, g->room * sizeof *g->ended);
    }
    struct gc_ended *e = &g->ended[g->count++];
    memcpy(e->id, saved->alloc->id.data, sizeof e->id);
    e->ended_at = end_of(saved);
}

static double percent(uint64_t used, uint64_t free)
{
    return used + free == 0 ? 0 : 100.0 * (double)used / (double)(used + free);
}

static struct gc_use measure(const struct gcwatch *g)
{
    struct gc_use use = {.allocs = g->allocs};
    struct statvfs v;
    if (statvfs(g->options.data_dir, &v) == 0) {
        use.disk_percent = percent(v.f_blocks - v.f_bfree, v.f_bavail);
        use.inode_percent = percent(v.f_files - v.f_ffree, v.f_favail);
    }
    return use;
}

static void look(void *owner)
{
    struct gcwatch *g = owner;
    size_t gone = 0;
    bool wait = local_is_dirty(g->options.local);
    if (!wait) {
        g->count = g->allocs = 0;
        local_each_alloc(g->options.local, note, g);
        const struct gc_use use = measure(g);
        gone = gc_choose(&g->options.limits, &use, g->ended, g->count);
        if (gone > 0)
            log_info("gc", "allocs=%zu kept=%zu disk=%.0f%% inodes=%.0f%%", gone, g->allocs - gone,
                     use.disk_percent, use.inode_percent);
        for (size_t i = 0; i < gone; i++)
            runner_forget(g->options.runner, g->ended[i].id);
    }
    timer_arm(g->loop, &g->timer, wait || gone > 0 ? SOON_MS : g->options.interval_ms, look, g);
}

struct gcwatch *gcwatch_new(struct loop *l, const struct gcwatch_options *o)
{
    struct gcwatch *g = xcalloc(1, sizeof *g);
    g->loop = l;
    g->options = *o;
    timer_arm(l, &g->timer, o->interval_ms, look, g);
    return g;
}

void gcwatch_free(struct gcwatch *g)
{
    if (g == NULL)
        return;
    timer_cancel(g->loop, &g->timer);
    free(g->ended);
    free(g);
}
