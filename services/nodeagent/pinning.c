#include "pinning.h"
#include "base/log.h"
#include <stdlib.h>
#include <string.h>

static const Pb__TaskGrant *grant_of(const Pb__Alloc *alloc, const char *task)
{
    for (size_t i = 0; i < alloc->n_grants; i++)
        if (alloc->grants[i]->task != NULL && strcmp(alloc->grants[i]->task, task) == 0)
            return alloc->grants[i];
    return NULL;
}

void pinning_note(struct alloc_run *run, const Pb__Alloc *alloc)
{
    struct core_set cores = {{0}};
    core_set_add_grants(&cores, alloc->grants, alloc->n_grants);
    if (core_set_count(&cores) == 0)
        return;
    run->cores = xcalloc(1, sizeof *run->cores);
    *run->cores = cores;
    for (size_t i = 0; i < run->task_count; i++)
        run->tasks[i].own_cores = grant_of(alloc, run->tasks[i].name) != NULL &&
                                  grant_of(alloc, run->tasks[i].name)->n_cores > 0;
    run->runner->with_cores++;
}

void pinning_forget(struct alloc_run *run)
{
    if (run->cores == NULL)
        return;
    free(run->cores);
    run->cores = NULL;
    run->runner->with_cores--;
}

static struct core_set given_now(const struct runner *r)
{
    struct core_set given = {{0}};
    size_t w = 0;
    const void *key;
    size_t len;
    void *value;
    while (r->with_cores > 0 && map_next(r->allocs, &w, &key, &len, &value)) {
        const struct alloc_run *run = value;
        for (size_t i = 0;
             run->cores != NULL && !alloc_run_is_over(run) && i < COUNT_OF(given.bits); i++)
            given.bits[i] |= run->cores->bits[i];
    }
    return given;
}

/* cgroup2: each task has a directory of its own. */
static void move_each(struct runner *r, const char *cpus)
{
    size_t w = 0;
    const void *key;
    size_t len;
    void *value;
    while (map_next(r->allocs, &w, &key, &len, &value)) {
        const struct alloc_run *run = value;
        for (size_t i = 0; i < run->task_count; i++)
            if (run->tasks[i].core.phase == TASK_RUNNING && !run->tasks[i].own_cores)
                cgroups_keep_to(r->options.cgroups, run->id, run->tasks[i].name, cpus);
    }
}

static char *shared_text(const struct runner *r, struct arena *a)
{
    struct core_set shared = cores_shared(r->options.node, &r->given);
    return core_set_text(&shared, a);
}

void pinning_step(struct runner *r)
{
    if (r->with_cores == 0 && !r->any_given)
        return;
    struct core_set given = given_now(r);
    if (r->any_given && memcmp(&given, &r->given, sizeof given) == 0)
        return;
    struct arena *a = arena_new(1 << 20);
    r->given = given;
    r->any_given = core_set_count(&given) > 0;
    const char *cpus = shared_text(r, a);
    cgroups_share(r->options.cgroups, cpus);
    if (r->options.cgroups->limits_v2)
        move_each(r, cpus);
    log_info("cores", "given=%s left=%s", core_set_text(&given, a), cpus);
    arena_free(a);
}

enum err pinning_spec(const struct task_run *t, const Pb__Alloc *alloc, const Pb__Task *task,
                      struct arena *a, struct supervisor_spec *spec, struct reason *why)
{
    struct runner *r = t->alloc->runner;
    const Pb__TaskGrant *g = grant_of(alloc, t->name);
    uint32_t wanted = task->resources != NULL ? task->resources->cores : 0;
    size_t have = g != NULL ? g->n_cores : 0;
    char path[600];
    pinning_step(r);
    if (have < wanted)
        return reason_set(why, ERR_INVALID, "it is to have %u cores, and was given %zu", wanted,
                          have);
    if (have == 0) {
        cgroups_share_path(r->options.cgroups, t->alloc->id, t->name, path, sizeof path);
        spec->cpus = shared_text(r, a);
        cgroups_share(r->options.cgroups, spec->cpus); /* the directory may be a new one */
    } else {
        struct core_set own = {{0}};
        core_set_add_grants(&own, (Pb__TaskGrant *const[]){(Pb__TaskGrant *)(uintptr_t)g}, 1);
        cgroups_limit_path(r->options.cgroups, SHIM_CPUSET, t->alloc->id, t->name, path,
                           sizeof path);
        if (path[0] == '\0')
            return reason_set(why, ERR_UNAVAILABLE, "this node can keep no task to its cores");
        spec->cpus = core_set_text(&own, a);
        spec->own_cores = true;
    }
    spec->controllers[SHIM_CPUSET] = arena_strdup(a, path);
    return OK;
}
