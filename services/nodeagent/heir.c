#include "heir.h"
#include "base/log.h"
#include "inherit.h"
#include <stdlib.h>
#include <string.h>

/* How many that never came to their disk may stand between an allocation and its data. */
#define GENERATIONS_MOST 16

struct slot {
    bool moved; /* or cannot be */
};

static bool is_sticky(const Pb__TaskGroup *group)
{
    return group != NULL && group->ephemeral_disk != NULL && group->ephemeral_disk->sticky;
}

/* What it was to take over, it has: it may also be of an agent that took nothing over. */
static bool has_begun(const Pb__LocalAlloc *saved)
{
    for (size_t i = 0; i < saved->n_tasks; i++)
        if (saved->tasks[i]->state != NULL && saved->tasks[i]->state->started_at != 0)
            return true;
    return false;
}

/* One that was to take over another's disk, and ended before it could. */
static bool is_empty_handed(struct runner *r, struct arena *a, const Pb__LocalAlloc *saved)
{
    if (saved->disk_moved || has_begun(saved) || saved->alloc->previous_alloc.len != 16)
        return false;
    const Pb__Job *job = local_job(r->options.local, a, saved->alloc);
    return job != NULL && is_sticky(group_of(job, saved->alloc->task_group));
}

bool heir_finds(struct runner *r, const Pb__Alloc *alloc, const Pb__TaskGroup *group,
                uint8_t from[16])
{
    if (!is_sticky(group) || alloc->previous_alloc.len != 16)
        return false;
    memcpy(from, alloc->previous_alloc.data, 16);
    for (int i = 0; i < GENERATIONS_MOST; i++) {
        struct arena *a = arena_new(RUN_ARENA_CAP);
        const Pb__LocalAlloc *saved = local_alloc(r->options.local, a, from);
        bool on = saved != NULL && is_empty_handed(r, a, saved);
        if (on)
            memcpy(from, saved->alloc->previous_alloc.data, 16);
        arena_free(a);
        if (!on)
            break;
    }
    return true;
}

static void tell_tasks(struct alloc_run *run, const char *text)
{
    log_warn("disk_not_moved", "alloc=%s reason=%s", log_id(run->id), log_quote(text));
    for (size_t i = 0; i < run->task_count; i++)
        task_run_input(&run->tasks[i],
                       (struct task_input){.kind = TASK_IN_DISK_NOT_MOVED, .text = text});
}

static void take_over(const struct launch *l, const uint8_t from[16])
{
    struct reason why;
    char **tasks = arena_array(l->arena, char *, l->group->n_tasks + 1);
    for (size_t i = 0; i < l->group->n_tasks; i++)
        tasks[i] = l->group->tasks[i]->name;
    enum err e = inherit_disk(l->run->alloc->runner->options.data_dir, from, l->run->alloc->id,
                              tasks, l->group->n_tasks, &why);
    if (e != OK)
        tell_tasks(l->run->alloc, why.text);
    else
        log_info("disk_moved", "alloc=%s from=%s", log_id(l->run->alloc->id), log_id(from));
}

static enum err ready(struct launch *l, void **memory, struct reason *why)
{
    struct alloc_run *run = l->run->alloc;
    uint8_t from[16];
    if (*memory == NULL)
        *memory = xcalloc(1, sizeof(struct slot));
    struct slot *s = *memory;
    if (s->moved)
        return OK;
    if (heir_finds(run->runner, l->local->alloc, l->group, from))
        take_over(l, from);
    s->moved = run->dirty = true;
    alloc_run_touch(run);
    return OK;
}

static void save(struct alloc_run *run, void *memory, struct arena *a, Pb__LocalAlloc *out)
{
    const struct slot *s = memory;
    if (s != NULL && s->moved)
        out->has_disk_moved = out->disk_moved = true;
}

static void restore(struct alloc_run *run, void **memory, const Pb__LocalAlloc *saved)
{
    struct slot *s = xcalloc(1, sizeof *s);
    s->moved = saved->disk_moved || has_begun(saved);
    *memory = s;
}

const struct alloc_step disk_step = {
    .name = "disk", .ready = ready, .save = save, .restore = restore, .free = free};
