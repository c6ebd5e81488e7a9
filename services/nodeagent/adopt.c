#include "allocdir.h"
#include "base/id.h"
#include "base/log.h"
#include "containers.h"
#include "healthwatch.h"
#include "heir.h"
#include "launch.h"
#include "remains.h"
#include "run.h"
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what a shim says */

static void started(struct task_run *t, const struct shim_message *m)
{
    if (t->core.phase == TASK_STARTING)
        task_run_input(t, (struct task_input){.kind = TASK_IN_STARTED, .now_ns = m->started_at});
}

static void exited(struct task_run *t, const struct shim_message *m)
{
    struct arena *a = arena_new(1 << 16);
    struct task_input in = {
        .kind = TASK_IN_EXITED,
        .now_ns = m->finished_at,
        .exit_code = m->exit_code,
        .signal = m->signal,
        .oom_kills = m->oom_kills,
    };
    containers_add_end(t, a, &in);
    if (m->relay_lost > 0) {
        log_warn("lines_not_forwarded", "alloc=%s task=%s lines=%u", log_id(t->alloc->id),
                 log_quote(t->name), m->relay_lost);
        if (in.text == NULL && in.oom_kills == 0)
            in.text = arena_printf(a, "%u lines of its output were not forwarded", m->relay_lost);
    }
    task_run_input(t, in);
    arena_free(a);
}

void task_run_on_state(void *owner, const struct shim_message *m)
{
    struct task_run *t = owner;
    switch (m->kind) {
    case SHIM_STARTED:
        started(t, m);
        break;
    case SHIM_START_FAILED:
        task_run_input(t, (struct task_input){
                              .kind = TASK_IN_START_FAILED,
                              .text = m->text,
                              .recoverable = m->error == EAGAIN || m->error == ENOMEM,
                          });
        break;
    case SHIM_EXITED:
        /* The start was missed: the agent was away, or the task was that quick. */
        started(t, m);
        exited(t, m);
        break;
    default:
        break;
    }
}

/* ---- a shim that is no more */

/* The shim was killed, and the kernel killed the task's first process with it; not what that left
 * behind. */
static void kill_remains(struct task_run *t, const struct shim_message *m)
{
    const struct cgroups *c = t->alloc->runner->options.cgroups;
    if (m != NULL && supervisor_process_lives(m))
        kill(m->pid, SIGKILL);
    cgroups_clear(c, t->alloc->id, t->name, 50);
    remains_kill(t->alloc->id, t->name);
}

static void end_without_shim(struct task_run *t, bool same_boot)
{
    struct shim_message m;
    struct arena *a = arena_new(1 << 16);
    const char *dir =
        allocdir_shim_path(a, t->alloc->runner->options.data_dir, t->alloc->id, t->name);
    bool known = supervisor_last_state(dir, &m);
    arena_free(a);
    if (known && m.kind != SHIM_STARTED) {
        task_run_on_state(t, &m);
        return;
    }
    if (same_boot)
        kill_remains(t, known ? &m : NULL);
    if (!known && t->core.phase == TASK_STARTING) {
        task_run_input(t, (struct task_input){.kind = TASK_IN_NEVER_STARTED});
        return;
    }
    if (known)
        started(t, &m);
    log_warn("task_lost", "alloc=%s task=%s same_boot=%d", log_id(t->alloc->id), log_quote(t->name),
             same_boot);
    task_run_input(t, (struct task_input){
                          .kind = TASK_IN_EXITED,
                          .exit_code = -1,
                          .text = same_boot ? "its supervisor was killed: exit status unknown"
                                            : "the machine was restarted: exit status unknown",
                      });
}

void task_run_on_lost(void *owner)
{
    struct task_run *t = owner;
    supervisor_close(t->shim);
    t->shim = NULL;
    end_without_shim(t, true);
}

/* ---- after a restart of the agent */

static struct supervisor_handlers handlers_of(struct task_run *t)
{
    return (struct supervisor_handlers){task_run_on_state, task_run_on_lost, t};
}

static void task_run_adopt(struct task_run *t, bool same_boot)
{
    struct supervisor_handlers h = handlers_of(t);
    struct runner *r = t->alloc->runner;
    enum err e = ERR_NOT_FOUND;
    if (same_boot) {
        struct arena *a = arena_new(1 << 16);
        const char *dir = allocdir_shim_path(a, r->options.data_dir, t->alloc->id, t->name);
        e = supervisor_attach(&t->shim, r->loop, dir, &h, NULL);
        arena_free(a);
    }
    if (e == OK) {
        log_info("task_adopted", "alloc=%s task=%s", log_id(t->alloc->id), log_quote(t->name));
        templates_adopt(t);
    } else
        end_without_shim(t, same_boot);
}

/* ---- orphans */

void orphan_free(struct orphan *o)
{
    list_remove(&o->link);
    struct alloc_run *run = map_get_id(o->runner->allocs, o->alloc);
    if (run != NULL)
        alloc_run_touch(run);
    supervisor_close(o->shim);
    free(o);
}

bool orphans_live(const struct runner *r, const uint8_t alloc[16])
{
    const struct orphan *o;
    list_each(&r->orphans, struct orphan, link, o)
    {
        if (memcmp(o->alloc, alloc, sizeof o->alloc) == 0)
            return true;
    }
    return false;
}

static void on_orphan_state(void *owner, const struct shim_message *m)
{
    struct orphan *o = owner;
    if (m->kind == SHIM_STARTED) {
        supervisor_kill(o->shim, SIGKILL, 0);
        return;
    }
    supervisor_release(o->shim);
    o->shim = NULL;
    orphan_free(o);
}

static void on_orphan_lost(void *owner)
{
    orphan_free(owner);
}

static bool is_claimed(const struct runner *r, const uint8_t alloc[16], const char *task)
{
    const struct alloc_run *run = map_get_id(r->allocs, alloc);
    for (size_t i = 0; run != NULL && i < run->task_count; i++)
        if (strcmp(run->tasks[i].name, task) == 0)
            return run->tasks[i].shim != NULL;
    return false;
}

static void take_orphan(struct runner *r, const uint8_t alloc[16], const char *dir)
{
    struct orphan *o = xcalloc(1, sizeof *o);
    const struct supervisor_handlers h = {on_orphan_state, on_orphan_lost, o};
    o->runner = r;
    memcpy(o->alloc, alloc, sizeof o->alloc);
    if (supervisor_attach(&o->shim, r->loop, dir, &h, NULL) != OK) {
        free(o);
        return;
    }
    log_warn("orphan_shim", "dir=%s", log_quote(dir));
    list_push_back(&r->orphans, &o->link);
}

static void look_through_alloc(struct runner *r, const char *path, const uint8_t alloc[16])
{
    struct dirent *entry;
    char dir[4096];
    DIR *d = opendir(path);
    while (d != NULL && (entry = readdir(d)) != NULL) {
        if (entry->d_name[0] == '.' || is_claimed(r, alloc, entry->d_name))
            continue;
        if (snprintf(dir, sizeof dir, "%s/%s", path, entry->d_name) < (int)sizeof dir)
            take_orphan(r, alloc, dir);
    }
    if (d != NULL)
        closedir(d);
}

static void adopt_orphans(struct runner *r)
{
    struct dirent *entry;
    char path[4096];
    uint8_t alloc[16];
    snprintf(path, sizeof path, "%s/shim", r->options.data_dir);
    DIR *d = opendir(path);
    while (d != NULL && (entry = readdir(d)) != NULL) {
        if (!id_parse(entry->d_name, alloc))
            continue;
        char below[4096];
        if (snprintf(below, sizeof below, "%s/shim/%s", r->options.data_dir, entry->d_name) <
            (int)sizeof below)
            look_through_alloc(r, below, alloc);
    }
    if (d != NULL)
        closedir(d);
}

/* ---- all that the local state holds */

static void restore_one(void *owner, const Pb__LocalAlloc *saved)
{
    struct runner *r = owner;
    bool live = saved->n_tasks == 0 || saved->unreported;
    for (size_t i = 0; i < saved->n_tasks; i++)
        live |= saved->tasks[i]->phase != TASK_DEAD;
    if (!live || saved->alloc == NULL || saved->alloc->id.len != 16)
        return;
    struct arena *a = arena_new(RUN_ARENA_CAP);
    Pb__Job *job = local_job(r->options.local, a, saved->alloc);
    struct alloc_run *run = alloc_run_new(r, saved->alloc, job);
    alloc_run_load(run, saved, job);
    healthwatch_restore(run, saved, job);
    alloc_steps_restore(run, saved);
    run->status = alloc_run_status(run).status;
    run->changed = 1;
    run->acknowledged = saved->unreported ? 0 : 1;
    arena_free(a);
    alloc_run_touch(run);
}

static void resume_task(struct task_run *t, bool same_boot)
{
    switch (t->core.phase) {
    case TASK_STARTING:
    case TASK_RUNNING:
    case TASK_DELAYING:
    case TASK_STOPPING:
        task_run_adopt(t, same_boot);
        break;
    default:
        break;
    }
    t->todo |= task_resume(&t->core);
}

void runner_restore(struct runner *r, bool same_boot)
{
    const void *key;
    void *value;
    local_each_alloc(r->options.local, restore_one, r);
    heir_clear(r);
    for (size_t i = 0; map_next(r->allocs, &i, &key, NULL, &value);) {
        struct alloc_run *run = value;
        for (size_t k = 0; k < run->task_count; k++)
            resume_task(&run->tasks[k], same_boot);
    }
    if (same_boot)
        adopt_orphans(r);
    local_drop_unused_jobs(r->options.local);
    runner_write_soon(r);
}
