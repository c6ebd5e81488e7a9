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

/* What is to be moved gets our project first. */
struct passing {
    struct worker_job job;
    struct worker *worker;
    struct slot *slot;
    struct arena *arena;
    const char *from_dir, *heir_dir;
    char **tasks;
    size_t task_count;
    bool over;
    enum err result;
    struct reason why;
};

struct slot {
    struct alloc_run *run;
    bool moved;              /* or cannot be */
    bool unwritten;          /* and the local state may not say so yet */
    struct passing *passing; /* NULL: not begun */
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

/* ---- from one directory to the other */

static void work(struct worker_job *job)
{
    struct passing *p = container_of(job, struct passing, job);
    p->result = inherit_project(p->from_dir, p->heir_dir, p->tasks, p->task_count, &p->why);
}

static void on_passed(struct worker_job *job)
{
    struct passing *p = container_of(job, struct passing, job);
    struct alloc_run *run = p->slot->run;
    p->over = true;
    alloc_run_touch(run); /* it may have been stopped meanwhile, and its end waits for this */
    alloc_run_launch(run);
}

/* Then ready() is asked again. */
static void pass(const struct launch *l, struct slot *s, const char *from_dir)
{
    struct passing *p = s->passing = xcalloc(1, sizeof *p);
    p->job.work = work;
    p->job.done = on_passed;
    p->slot = s;
    p->arena = arena_new(RUN_ARENA_CAP);
    p->from_dir = arena_strdup(p->arena, from_dir);
    p->heir_dir = allocdir_path(p->arena, s->run->runner->options.data_dir, s->run->id);
    p->tasks = arena_array(p->arena, char *, l->group->n_tasks + 1);
    for (size_t i = 0; i < l->group->n_tasks; i++)
        p->tasks[p->task_count++] = arena_strdup(p->arena, l->group->tasks[i]->name);
    p->worker = worker_new(s->run->runner->loop);
    worker_submit(p->worker, &p->job);
}

/* Waits for what is under way: the tree may be large. */
static void free_passing(struct slot *s)
{
    struct passing *p = s->passing;
    if (p == NULL)
        return;
    worker_free(p->worker);
    if (!p->over)
        loop_unpost(s->run->runner->loop, &p->job.done_post);
    arena_free(p->arena);
    free(p);
    s->passing = NULL;
}

static void take_over(struct slot *s, bool replace)
{
    struct alloc_run *run = s->run;
    const struct passing *p = s->passing;
    struct reason why;
    enum err e = inherit_disk(p->from_dir, run->runner->options.data_dir, run->id, p->tasks,
                              p->task_count, replace, &why);
    if (e == OK)
        log_info("disk_moved", "alloc=%s from=%s", log_id(run->id), log_quote(p->from_dir));
    else
        tell_tasks(run, p->result == OK ? why.text : p->why.text);
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

/* Whether it is under way now; not: there is nothing to take over, or it would be in vain. */
static bool fetch(struct launch *l, struct slot *s, const uint8_t from[16])
{
    const char *data_dir = s->run->runner->options.data_dir;
    if (s->arrived && s->result == OK) {
        pass(l, s, allocdir_moving_path(l->arena, data_dir, s->run->id));
        return true;
    }
    if (s->arrived) {
        tell_tasks(s->run, s->why.text);
        runner_remove_moving(s->run->runner, s->run->id);
        return false;
    }
    if (is_here(l, from)) {
        pass(l, s, allocdir_path(l->arena, data_dir, from));
        return true;
    }
    return l->group->ephemeral_disk->migrate && send_for(l, s, from);
}

/* No task has run yet: what is there already is of an agent that was killed in the middle of this,
 * and may be half a disk. What came from another node is whole, and replaces it. */
static void settle(struct slot *s)
{
    take_over(s, s->arrived);
    free_passing(s);
    if (s->arrived)
        runner_remove_moving(s->run->runner, s->run->id);
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
    if (s->arrival != NULL || (s->passing != NULL && !s->passing->over))
        return ERR_AGAIN;
    bool any = s->passing != NULL || s->arrived ||
               heir_finds(run->runner, l->local->alloc, l->group, from);
    if (s->passing != NULL)
        settle(s);
    else if (any && fetch(l, s, from))
        return ERR_AGAIN;
    s->moved = run->dirty = true;
    s->unwritten = any;
    alloc_run_touch(run);
    return any ? start_when_written(run) : OK;
}

static enum err end(struct alloc_run *run, void **memory)
{
    struct slot *s = *memory;
    if (s != NULL && s->passing != NULL && !s->passing->over)
        return ERR_AGAIN;
    if (s != NULL && (s->arrival != NULL || (s->passing != NULL && s->arrived))) {
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

static bool is_after(const struct alloc_run *run, const uint8_t from[16])
{
    for (size_t i = 0; i < run->after_count; i++)
        if (memcmp(run->after[i].bytes, from, 16) == 0)
            return true;
    return false;
}

bool heir_is_due(const struct runner *r, const uint8_t from[16])
{
    const void *key;
    void *value;
    for (size_t i = 0; r->waiting_count > 0 && map_next(r->allocs, &i, &key, NULL, &value);) {
        const struct alloc_run *run = value;
        const struct slot *s = alloc_steps_slot(run, &disk_step);
        if (is_after(run, from) && !run->ended && (s == NULL || !s->moved))
            return true;
    }
    return false;
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
    if (s != NULL) {
        arrival_free(s->arrival);
        free_passing(s);
    }
    free(s);
}

const struct alloc_step disk_step = {.name = "disk",
                                     .ready = ready,
                                     .end = end,
                                     .save = save,
                                     .restore = restore,
                                     .free = free_slot};
