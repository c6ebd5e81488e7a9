/* What the servers want: allocations that are new, that have changed, or that are gone. */
#include "base/log.h"
#include "healthwatch.h"
#include "run.h"
#include "wire/wire.h"
#include <string.h>

static const Pb__Job *job_in(const Pb__NodeNews *news, const Pb__Alloc *alloc)
{
    for (size_t i = 0; i < news->n_jobs; i++) {
        const Pb__Job *j = news->jobs[i];
        if (j->id != NULL && alloc->job_id != NULL && strcmp(j->id, alloc->job_id) == 0 &&
            j->version == alloc->job_version && j->create_index == alloc->job_create_index)
            return j;
    }
    return NULL;
}

static bool is_terminal(Pb__Alloc__ClientStatus s)
{
    return s == PB__ALLOC__CLIENT_STATUS__COMPLETE || s == PB__ALLOC__CLIENT_STATUS__FAILED ||
           s == PB__ALLOC__CLIENT_STATUS__LOST;
}

static void put_record(struct runner *r, struct arena *a, const Pb__Alloc *alloc)
{
    Pb__LocalAlloc *saved = local_alloc(r->options.local, a, alloc->id.data);
    if (saved == NULL) {
        saved = arena_alloc(a, sizeof *saved);
        pb__local_alloc__init(saved);
    }
    saved->alloc = (Pb__Alloc *)(uintptr_t)alloc;
    local_put_alloc(r->options.local, saved);
}

/* One that is over here, but that the servers do not know to be. */
static void tell_again(struct runner *r, struct arena *a, const Pb__LocalAlloc *saved)
{
    const Pb__Job *job = local_job(r->options.local, a, saved->alloc);
    struct alloc_run *run = alloc_run_new(r, saved->alloc, job);
    alloc_run_load(run, saved, job);
    healthwatch_restore(run, saved, job);
    run->changed++;
    run->dirty = true;
    alloc_run_touch(run);
}

static void begin(struct runner *r, const Pb__Alloc *alloc, const Pb__Job *job)
{
    struct alloc_run *run = alloc_run_new(r, alloc, job);
    const Pb__TaskGroup *group = job == NULL ? NULL : group_of(job, alloc->task_group);
    int64_t now_ns = loop_wall_ns(r->loop);
    for (size_t i = 0; group != NULL && i < run->task_count; i++) {
        struct task_rules rules =
            task_rules_of(job, group, group->tasks[i], r->options.max_kill_timeout_ns);
        task_init(&run->tasks[i].core, &rules, now_ns);
    }
    healthwatch_note(run, alloc, job);
    log_info("alloc_received", "alloc=%s job=%s group=%s", log_id(run->id),
             log_quote(alloc->job_id), log_quote(alloc->task_group));
    run->changed++;
    run->dirty = true;
    alloc_run_touch(run);
}

static void apply_alloc(struct runner *r, struct arena *a, const Pb__NodeNews *news,
                        const Pb__Alloc *alloc)
{
    struct alloc_run *run = map_get_id(r->allocs, alloc->id.data);
    const Pb__LocalAlloc *saved =
        run != NULL ? NULL : local_alloc(r->options.local, a, alloc->id.data);
    bool terminal_there = is_terminal(alloc->client_status);
    if (run == NULL && saved == NULL && terminal_there)
        return; /* over before we knew of it, or lost while we were away */
    const Pb__Job *job = job_in(news, alloc);
    if (job != NULL)
        local_put_job(r->options.local, job);
    else
        job = local_job(r->options.local, a, alloc);
    if (job == NULL && run == NULL && alloc->desired == PB__ALLOC__DESIRED__RUN) {
        log_error("job_missing", "alloc=%s job=%s version=%llu", log_id(alloc->id.data),
                  log_quote(alloc->job_id), (unsigned long long)alloc->job_version);
        return;
    }
    put_record(r, a, alloc);
    if (run != NULL) {
        run->seen = true;
        if (alloc->desired != PB__ALLOC__DESIRED__RUN || terminal_there)
            run->stopping = true;
        healthwatch_note(run, alloc, job);
        if (alloc->client_status == PB__ALLOC__CLIENT_STATUS__UNREACHABLE) {
            run->changed++; /* the servers had given us up: tell them how it is */
            run->dirty = true;
        }
        alloc_run_touch(run);
    } else if (saved == NULL) {
        begin(r, alloc, job);
        ((struct alloc_run *)map_get_id(r->allocs, alloc->id.data))->seen = true;
    } else if (!terminal_there) {
        tell_again(r, a, saved);
        ((struct alloc_run *)map_get_id(r->allocs, alloc->id.data))->seen = true;
    }
    runner_write_soon(r);
}

static void drop_missing(struct runner *r)
{
    const void *key;
    void *value;
    for (size_t i = 0; map_next(r->allocs, &i, &key, NULL, &value);) {
        struct alloc_run *run = value;
        /* One that is over is not listed, although it is still known: its end must yet be told. */
        if (run->seen || alloc_run_is_over(run))
            continue;
        log_info("alloc_gone", "alloc=%s", log_id(run->id));
        run->removed = run->stopping = true;
        alloc_run_touch(run);
    }
}

void runner_apply(struct runner *r, const Pb__NodeNews *news)
{
    const void *key;
    void *value;
    if (r->stopping_all)
        return;
    for (size_t i = 0; map_next(r->allocs, &i, &key, NULL, &value);)
        ((struct alloc_run *)value)->seen = false;
    struct arena *a = arena_new(RUN_ARENA_CAP);
    for (size_t i = 0; i < news->n_allocs; i++) {
        if (news->allocs[i]->id.len == 16)
            apply_alloc(r, a, news, news->allocs[i]);
        arena_reset(a);
    }
    arena_free(a);
    if (news->full)
        drop_missing(r);
}
