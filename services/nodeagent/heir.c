#include "heir.h"
#include "allocdir.h"
#include "arrival.h"
#include "base/id.h"
#include "base/log.h"
#include "inherit.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many that never came to their disk may stand between an allocation and its data. */
#define GENERATIONS_MOST 16

#define DEFAULT_MB 300
#define TRIES_MOST 3

struct slot {
    struct alloc_run *run;
    bool moved;              /* or cannot be */
    bool unwritten;          /* and the local state may not say so yet */
    struct arrival *arrival; /* NULL: nothing is on its way */
    bool arrived;            /* or could not: why */
    int tries;               /* that were cut off on the way: an agent or a server went down */
    enum err result;
    struct reason why;
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

static void take_over(const struct launch *l, const char *from_dir, bool replace)
{
    struct alloc_run *run = l->run->alloc;
    struct reason why;
    char **tasks = arena_array(l->arena, char *, l->group->n_tasks + 1);
    for (size_t i = 0; i < l->group->n_tasks; i++)
        tasks[i] = l->group->tasks[i]->name;
    enum err e = inherit_disk(from_dir, run->runner->options.data_dir, run->id, tasks,
                              l->group->n_tasks, replace, &why);
    if (e != OK)
        tell_tasks(run, why.text);
    else
        log_info("disk_moved", "alloc=%s from=%s", log_id(run->id), log_quote(from_dir));
}

/* ---- from another node */

static void on_over(void *owner, enum err result, const char *text)
{
    struct slot *s = owner;
    s->arrived = result != ERR_CORRUPT || ++s->tries == TRIES_MOST;
    s->result = result;
    reason_set(&s->why, result, "%s", text);
    arrival_free(s->arrival);
    s->arrival = NULL;
    alloc_run_launch(s->run);
}

/* A disk may have held more than it should for a while, or more than its successor may. */
static uint64_t most_bytes(const Pb__TaskGroup *group)
{
    uint64_t mb = group->ephemeral_disk->size_mb;
    return (mb == 0 ? DEFAULT_MB : mb) << 21;
}

/* False: it cannot even begin. */
static bool send_for(struct launch *l, struct slot *s, const uint8_t from[16])
{
    const struct runner_options *o = &s->run->runner->options;
    const struct arrival_options a = {
        .from = from,
        .taskmove = o->taskmove,
        .dir = allocdir_moving_path(l->arena, o->data_dir, s->run->id),
        .max_bytes = most_bytes(l->group),
        .client = o->client,
        .client_owner = o->owner,
        .over = on_over,
        .owner = s,
    };
    struct reason why;
    if (arrival_new(&s->arrival, s->run->runner->loop, &a, &why) == OK)
        return true;
    tell_tasks(s->run, why.text);
    return false;
}

static void receive(struct launch *l, const struct slot *s)
{
    struct runner *r = s->run->runner;
    /* No task has run yet: what is there already is of an agent that was killed in the middle of
     * this, and may be half a disk. What came now is whole. */
    if (s->result == OK)
        take_over(l, allocdir_moving_path(l->arena, r->options.data_dir, s->run->id), true);
    else
        tell_tasks(s->run, s->why.text);
    runner_remove_moving(r, s->run->id);
}

/* ---- the step */

static bool is_here(struct launch *l, const uint8_t from[16])
{
    return local_alloc(l->run->alloc->runner->options.local, l->arena, from) != NULL;
}

static struct slot *slot_of(struct alloc_run *run, void **memory)
{
    if (*memory == NULL) {
        struct slot *s = *memory = xcalloc(1, sizeof *s);
        s->run = run;
    }
    return *memory;
}

/* Before a task writes to the disk: else an agent that is killed now would have a successor that
 * brings the old data once more, over the new. */
static enum err start_when_written(struct alloc_run *run)
{
    for (size_t i = 0; i < run->task_count; i++)
        if (run->tasks[i].core.phase == TASK_STARTING)
            run->tasks[i].todo |= TASK_DO_LAUNCH;
    alloc_run_touch(run);
    return ERR_AGAIN;
}

static enum err ready(struct launch *l, void **memory, struct reason *why)
{
    struct alloc_run *run = l->run->alloc;
    struct slot *s = slot_of(run, memory);
    uint8_t from[16];
    if (s->unwritten && run->dirty)
        return start_when_written(run);
    s->unwritten = false;
    if (s->moved)
        return OK;
    if (s->arrival != NULL)
        return ERR_AGAIN;
    bool any = s->arrived || heir_finds(run->runner, l->local->alloc, l->group, from);
    if (s->arrived)
        receive(l, s);
    else if (any && is_here(l, from))
        take_over(l, allocdir_path(l->arena, run->runner->options.data_dir, from), false);
    else if (any && l->group->ephemeral_disk->migrate && send_for(l, s, from))
        return ERR_AGAIN;
    s->moved = run->dirty = true;
    s->unwritten = any;
    alloc_run_touch(run);
    return any ? start_when_written(run) : OK;
}

static enum err end(struct alloc_run *run, void **memory)
{
    struct slot *s = *memory;
    if (s != NULL && s->arrival != NULL) {
        arrival_free(s->arrival);
        s->arrival = NULL;
        runner_remove_moving(run->runner, run->id);
    }
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
    slot_of(run, memory)->moved = saved->disk_moved || has_begun(saved);
}

/* What is still to come is made anew. */
static bool is_left_over(const struct runner *r, const uint8_t id[16])
{
    struct alloc_run *run = map_get_id(r->allocs, id);
    const struct slot *s = run == NULL ? NULL : alloc_steps_slot(run, &disk_step);
    return run == NULL || (s != NULL && s->moved);
}

void heir_clear(struct runner *r)
{
    char path[4096];
    uint8_t id[16];
    const struct dirent *entry;
    snprintf(path, sizeof path, "%s/moving", r->options.data_dir);
    DIR *dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (id_parse(entry->d_name, id) && is_left_over(r, id))
            runner_remove_moving(r, id);
    if (dir != NULL)
        closedir(dir);
}

static void free_slot(void *memory)
{
    struct slot *s = memory;
    if (s != NULL)
        arrival_free(s->arrival);
    free(s);
}

const struct alloc_step disk_step = {.name = "disk",
                                     .ready = ready,
                                     .end = end,
                                     .save = save,
                                     .restore = restore,
                                     .free = free_slot};
