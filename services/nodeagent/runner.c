#include "runner.h"
#include "allocdir.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "deadlines.h"
#include "drivers/driver.h"
#include "healthwatch.h"
#include "launch.h"
#include "pinning.h"
#include "run.h"
#include "waiting.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define COMMIT_RETRY_MS 1000
#define SAID_EACH       60

static void run_step(void *owner);

/* ---- allocations in memory */

const Pb__TaskGroup *group_of(const Pb__Job *job, const char *name)
{
    for (size_t i = 0; name != NULL && i < job->n_task_groups; i++)
        if (strcmp(job->task_groups[i]->name, name) == 0)
            return job->task_groups[i];
    return NULL;
}

/* What runs in containers is used to be told to end by TERM. */
static int usual_kill_signal(const Pb__Task *task)
{
    const struct driver *d = driver_find(task->driver);
    return d != NULL && d->container ? SIGTERM : SIGINT;
}

static void task_run_init(struct task_run *t, struct alloc_run *run, const Pb__Task *task)
{
    const char *name = task->kill_signal;
    t->alloc = run;
    t->name = xstrdup(task->name);
    t->leader = task->leader;
    t->role = group_role_of(task);
    t->kill_signal = name == NULL || *name == '\0' ? usual_kill_signal(task) : signal_number(name);
}

/* What else checks jobs is elsewhere; here a name becomes a path. */
static bool names_are_usable(const Pb__TaskGroup *group)
{
    for (size_t i = 0; i < group->n_tasks; i++)
        if (group->tasks[i]->name == NULL || !allocdir_name_is_usable(group->tasks[i]->name))
            return false;
    return true;
}

/* Without tasks when the job is unknown: it is then over at once. */
struct alloc_run *alloc_run_new(struct runner *r, const Pb__Alloc *alloc, const Pb__Job *job)
{
    struct alloc_run *run = xcalloc(1, sizeof *run);
    const Pb__TaskGroup *group = job == NULL ? NULL : group_of(job, alloc->task_group);
    run->runner = r;
    memcpy(run->id, alloc->id.data, 16);
    run->refused = group != NULL && !names_are_usable(group);
    run->task_count = group == NULL || run->refused ? 0 : group->n_tasks;
    run->tasks = xcalloc(run->task_count + 1, sizeof *run->tasks);
    for (size_t i = 0; i < run->task_count; i++)
        task_run_init(&run->tasks[i], run, group->tasks[i]);
    run->members = xcalloc(run->task_count + 1, sizeof *run->members);
    for (size_t i = 0; i < run->task_count; i++)
        run->members[i] = (struct group_member){.task = &run->tasks[i].core,
                                                .name = run->tasks[i].name,
                                                .leader = run->tasks[i].leader,
                                                .role = run->tasks[i].role};
    if (group != NULL && group->ephemeral_disk != NULL)
        run->disk_bytes = (uint64_t)group->ephemeral_disk->size_mb << 20;
    run->stopping = alloc->desired != PB__ALLOC__DESIRED__RUN;
    run->status = PB__ALLOC__CLIENT_STATUS__PENDING;
    deadlines_note(run, group);
    waiting_note(run, alloc, group);
    pinning_note(run, alloc);
    map_put(r->allocs, run->id, 16, run);
    return run;
}

void alloc_run_free(struct alloc_run *run)
{
    struct runner *r = run->runner;
    for (size_t i = 0; i < run->task_count; i++) {
        struct task_run *t = &run->tasks[i];
        timer_cancel(r->loop, &t->timer);
        task_run_free_steps(t);
        supervisor_close(t->shim);
        task_fini(&t->core);
        free(t->name);
    }
    alloc_steps_free(run);
    timer_cancel(r->loop, &run->health_timer);
    deadlines_forget(run);
    waiting_forget(run);
    pinning_forget(run);
    list_remove(&run->touched);
    map_remove(r->allocs, run->id, 16);
    free(run->members);
    free(run->tasks);
    free(run);
}

void runner_write_soon(struct runner *r)
{
    step_mark(r->loop, &r->step, run_step, r);
}

void alloc_run_touch(struct alloc_run *run)
{
    if (!link_is_linked(&run->touched))
        list_push_back(&run->runner->touched, &run->touched);
    step_mark(run->runner->loop, &run->runner->step, run_step, run->runner);
}

void task_run_input(struct task_run *t, struct task_input in)
{
    struct runner *r = t->alloc->runner;
    if (in.now_ns == 0)
        in.now_ns = loop_wall_ns(r->loop);
    in.random = loop_random(r->loop);
    enum task_phase before = t->core.phase;
    unsigned todo = task_step(&t->core, &in);
    task_check(&t->core);
    if (todo & TASK_DO_REPORT)
        t->alloc->changed++;
    t->todo |= todo;
    if (todo != 0 || before != t->core.phase || in.kind >= TASK_IN_KILL)
        t->alloc->dirty = true;
    if (before == TASK_STARTING && t->core.phase != TASK_STARTING)
        task_run_settle(t);
    alloc_run_touch(t->alloc);
}

void alloc_run_load(struct alloc_run *run, const Pb__LocalAlloc *saved, const Pb__Job *job)
{
    const Pb__TaskGroup *group = job == NULL ? NULL : group_of(job, saved->alloc->task_group);
    run->run_until_ns = saved->run_until;
    int64_t now_ns = loop_wall_ns(run->runner->loop);
    for (size_t i = 0; group != NULL && i < run->task_count; i++) {
        struct task_rules rules =
            task_rules_of(job, group, group->tasks[i], run->runner->options.max_kill_timeout_ns);
        if (i < saved->n_tasks)
            task_load(&run->tasks[i].core, &rules, saved->tasks[i]);
        else
            task_init(&run->tasks[i].core, &rules, now_ns);
    }
}

/* ---- the step: cores, then the local state, then deeds */

struct group_status alloc_run_status(const struct alloc_run *run)
{
    if (run->refused)
        return (struct group_status){PB__ALLOC__CLIENT_STATUS__FAILED,
                                     "A task's name cannot be that of a directory"};
    return group_status(run->members, run->task_count);
}

bool alloc_run_is_over(const struct alloc_run *run)
{
    for (size_t i = 0; i < run->task_count; i++)
        if (run->tasks[i].core.phase != TASK_DEAD)
            return false;
    return true;
}

/* One that has no process yet gets none: what prepares it stops. */
static void kill_task(struct task_run *t, const struct group_kill *kill)
{
    task_run_input(t, (struct task_input){.kind = kill->why, .text = kill->sibling});
    if (t->core.phase == TASK_STARTING && t->shim == NULL)
        task_run_input(t, (struct task_input){.kind = TASK_IN_NEVER_STARTED});
}

/* What one task's end means for the others, until nothing more follows. */
static void settle_group(struct alloc_run *run)
{
    bool again = true, stop = deadlines_stop_now(run);
    bool waits = waiting_is_on(run) || orphans_live(run->runner, run->id);
    for (size_t i = 0; i < run->task_count; i++)
        run->members[i].launched = run->tasks[i].shim != NULL;
    while (again) {
        again = false;
        for (size_t i = 0; i < run->task_count; i++) {
            struct task_run *t = &run->tasks[i];
            struct group_kill kill;
            enum task_phase before = t->core.phase;
            if (group_must_kill(run->members, run->task_count, i, stop, &kill) &&
                !t->core.kill_wanted)
                kill_task(t, &kill);
            if (t->core.phase == TASK_NEW && !waits &&
                group_may_begin(run->members, run->task_count, i, stop))
                task_run_input(t, (struct task_input){.kind = TASK_IN_BEGIN});
            again |= before != t->core.phase;
        }
    }
}

void alloc_run_save(struct alloc_run *run)
{
    struct runner *r = run->runner;
    struct arena *a = arena_new(RUN_ARENA_CAP);
    Pb__LocalAlloc *saved = local_alloc(r->options.local, a, run->id);
    if (saved != NULL) {
        saved->n_tasks = run->task_count;
        saved->tasks = arena_array(a, Pb__LocalTask *, run->task_count);
        for (size_t i = 0; i < run->task_count; i++)
            saved->tasks[i] = task_save(a, &run->tasks[i].core, run->tasks[i].name);
        saved->has_unreported = true;
        saved->unreported = run->acknowledged != run->changed;
        saved->health = health_save(a, &run->health);
        saved->has_run_until = run->run_until_ns != 0;
        saved->run_until = run->run_until_ns;
        alloc_steps_save(run, a, saved);
        local_put_alloc(r->options.local, saved);
    }
    arena_free(a);
    run->dirty = false;
}

static void on_timer(void *owner)
{
    struct task_run *t = owner;
    task_run_input(t, (struct task_input){.kind = TASK_IN_TIMER});
}

static void arm_timer(struct task_run *t)
{
    struct loop *l = t->alloc->runner->loop;
    int64_t left = t->core.timer_at_ns - loop_wall_ns(l);
    timer_arm(l, &t->timer, left <= 0 ? 0 : (uint64_t)(left / 1000000), on_timer, t);
}

static void carry_out(struct task_run *t)
{
    unsigned todo = t->todo;
    t->todo = 0;
    if (todo & TASK_DO_RELEASE) {
        supervisor_release(t->shim);
        t->shim = NULL;
        if (t->core.phase == TASK_DEAD)
            allocdir_drop_shim(t->alloc->runner->options.data_dir, t->alloc->id, t->name);
    }
    if ((todo & TASK_DO_KILL) && t->core.phase == TASK_STOPPING && t->shim != NULL)
        supervisor_kill(t->shim, t->kill_signal == 0 ? SIGTERM : t->kill_signal,
                        task_kill_timeout_left(&t->core, loop_wall_ns(t->alloc->runner->loop)));
    if (t->core.timer_at_ns == 0 || t->core.phase == TASK_STOPPING)
        timer_cancel(t->alloc->runner->loop, &t->timer);
    else if (todo & TASK_DO_TIMER)
        arm_timer(t);
    if ((todo & TASK_DO_LAUNCH) && t->core.phase == TASK_STARTING)
        task_run_launch(t);
}

/* ---- directories that go */

static void remove_alloc(struct alloc_run *run)
{
    struct runner *r = run->runner;
    uint8_t id[16];
    memcpy(id, run->id, sizeof id);
    alloc_run_free(run);
    runner_remove_files(r, id);
}

/* ---- the step */

bool alloc_run_is_settled(const struct alloc_run *run)
{
    return run->ended && !run->removed && !run->under_way && run->changed == run->acknowledged;
}

/* True: it has something to tell the servers soon. */
static bool note_status(struct alloc_run *run, bool *urgent)
{
    struct group_status now = alloc_run_status(run);
    if (alloc_run_is_over(run) && !run->ended)
        return false; /* its end is told when others may have what it had */
    if (now.status != run->status) {
        log_info("alloc_status", "alloc=%s status=%s", log_id(run->id), log_quote(now.description));
        run->status = now.status;
        *urgent = true;
    }
    return run->changed != run->acknowledged && !run->under_way;
}

static bool all_dead(const struct runner *r)
{
    const void *key;
    void *value;
    for (size_t i = 0; map_next(r->allocs, &i, &key, NULL, &value);)
        if (!((struct alloc_run *)value)->ended)
            return false;
    return true;
}

static void finish_if_stopped(struct runner *r)
{
    if (r->stopped == NULL || !all_dead(r))
        return;
    void (*stopped)(void *) = r->stopped;
    r->stopped = NULL;
    stopped(r->stopped_owner);
}

/* What its tasks shared goes when they are dead: only then may others have it. */
static void end_if_over(struct alloc_run *run)
{
    if (run->ended || !alloc_run_is_over(run) || alloc_steps_end(run) == ERR_AGAIN)
        return;
    run->ended = true;
    waiting_wake(run->runner);
}

/* Deeds may lead to further inputs (a driver that refuses): those mark the next step. */
static void act(struct runner *r)
{
    struct link now;
    struct alloc_run *run;
    bool tell = false, urgent = false;
    list_init(&now);
    while ((run = list_first(&r->touched, struct alloc_run, touched)) != NULL) {
        list_remove(&run->touched);
        list_push_back(&now, &run->touched);
    }
    while ((run = list_first(&now, struct alloc_run, touched)) != NULL) {
        list_remove(&run->touched);
        for (size_t i = 0; i < run->task_count; i++)
            carry_out(&run->tasks[i]);
        healthwatch_arm(run);
        deadlines_arm(run);
        end_if_over(run);
        tell |= note_status(run, &urgent);
        if (run->removed && run->ended)
            remove_alloc(run);
        else if (alloc_run_is_settled(run))
            alloc_run_free(run);
    }
    if (tell && !r->stopping_all)
        r->options.changed(r->options.owner, urgent);
    finish_if_stopped(r);
    /* What the deeds wrote (a removal) goes with the next step. */
    if (local_is_dirty(r->options.local))
        step_mark(r->loop, &r->step, run_step, r);
}

/* True if it was never written down: then nothing has been done for it either. */
static bool is_unwritten(const struct alloc_run *run)
{
    struct arena *a = arena_new(RUN_ARENA_CAP);
    bool missing = local_alloc(run->runner->options.local, a, run->id) == NULL;
    arena_free(a);
    return missing;
}

/* Nothing is done that is not written down: it waits until there is room. What is damaged stays so:
 * the next agent can put it aside and adopt what runs, this one cannot. */
static void on_commit_failed(struct runner *r, enum err e, const struct reason *why)
{
    struct alloc_run *run;
    if (r->commits_failed++ % SAID_EACH == 0)
        log_error("local_state_not_written", "times=%u reason=%s", r->commits_failed,
                  log_quote(why->text));
    if (e == ERR_CORRUPT)
        daemon_end(1);
    list_each(&r->touched, struct alloc_run, touched, run)
    {
        run->dirty = true;
        if (is_unwritten(run))
            alloc_run_free(run);
    }
    r->options.news_lost(r->options.owner);
    timer_arm(r->loop, &r->retry, COMMIT_RETRY_MS, run_step, r);
}

static void run_step(void *owner)
{
    struct runner *r = owner;
    struct reason why;
    struct alloc_run *run;
    list_each(&r->touched, struct alloc_run, touched, run)
    {
        deadlines_step(run);
        settle_group(run);
    }
    list_each(&r->touched, struct alloc_run, touched, run)
    {
        healthwatch_step(run);
        if (run->dirty)
            alloc_run_save(run);
    }
    enum err e = local_commit(r->options.local, &why);
    if (e == OK)
        act(r);
    else
        on_commit_failed(r, e, &why);
    if (e == OK && r->commits_failed > 0) {
        log_info("local_state_written", "failed_before=%u", r->commits_failed);
        r->commits_failed = 0;
    }
    pinning_step(r); /* who has ended gives its cores back to all */
}

/* ---- beginning and end */

struct runner *runner_new(struct loop *l, const struct runner_options *o)
{
    struct runner *r = xcalloc(1, sizeof *r);
    r->loop = l;
    r->options = *o;
    r->allocs = map_new();
    list_init(&r->touched);
    list_init(&r->orphans);
    return r;
}

void runner_free(struct runner *r)
{
    struct orphan *o;
    const void *key;
    void *value;
    if (r == NULL)
        return;
    list_each(&r->orphans, struct orphan, link, o) orphan_free(o);
    for (size_t i = 0; map_next(r->allocs, &i, &key, NULL, &value);)
        alloc_run_free(value);
    if (r->worker != NULL)
        worker_free(r->worker);
    timer_cancel(r->loop, &r->retry);
    step_cancel(&r->step);
    map_free(r->allocs);
    free(r);
}

void runner_stop_all(struct runner *r, void (*stopped)(void *owner), void *owner)
{
    const void *key;
    void *value;
    r->stopping_all = true;
    r->stopped = stopped;
    r->stopped_owner = owner;
    for (size_t i = 0; map_next(r->allocs, &i, &key, NULL, &value);) {
        ((struct alloc_run *)value)->stopping = true;
        alloc_run_touch(value);
    }
    step_mark(r->loop, &r->step, run_step, r);
}

enum runner_lookup runner_find(struct runner *r, const uint8_t alloc[16], const char *task)
{
    struct arena *a = arena_new(RUN_ARENA_CAP);
    enum runner_lookup found = RUNNER_NO_ALLOC;
    const Pb__LocalAlloc *saved = local_alloc(r->options.local, a, alloc);
    if (saved != NULL && allocdir_exists(r->options.data_dir, alloc))
        found = task == NULL ? RUNNER_FOUND : RUNNER_NO_TASK;
    for (size_t i = 0; found == RUNNER_NO_TASK && i < saved->n_tasks; i++)
        if (strcmp(saved->tasks[i]->state->name, task) == 0)
            found = saved->tasks[i]->state->started_at != 0 ? RUNNER_FOUND : RUNNER_NOT_STARTED;
    arena_free(a);
    return found;
}

static bool is_of_system_job(const struct alloc_run *run)
{
    struct arena *a = arena_new(RUN_ARENA_CAP);
    struct local *local = run->runner->options.local;
    const Pb__LocalAlloc *saved = local_alloc(local, a, run->id);
    const Pb__Job *job = saved == NULL ? NULL : local_job(local, a, saved->alloc);
    bool is = job != NULL && job->type != NULL && strncmp(job->type, "sys", 3) == 0;
    arena_free(a);
    return is;
}

bool runner_has_work(const struct runner *r, bool but_system_jobs)
{
    const void *key;
    void *value;
    for (size_t i = 0; map_next(r->allocs, &i, &key, NULL, &value);)
        if (!but_system_jobs || !is_of_system_job(value))
            return true;
    return false;
}

struct runner_counts runner_count(const struct runner *r)
{
    struct runner_counts c = {0};
    const void *key;
    void *value;
    for (size_t i = 0; map_next(r->allocs, &i, &key, NULL, &value);) {
        const struct alloc_run *run = value;
        c.allocs++;
        for (size_t k = 0; k < run->task_count; k++) {
            const struct task_run *t = &run->tasks[k];
            c.tasks_running += t->core.phase == TASK_RUNNING;
            c.tasks_pending += t->core.phase == TASK_NEW || t->core.phase == TASK_STARTING ||
                               t->core.phase == TASK_WAITING;
            c.shims += t->shim != NULL;
        }
    }
    return c;
}
