#include "containers.h"
#include "allocdir.h"
#include "base/log.h"
#include "drivers/driver.h"
#include "helper.h"
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct slot {
    struct alloc_run *run;
    int fd; /* what taskdock says; -1: it does not run */
    struct watch *watch;
    bool done;
};

static bool has_containers(const struct alloc_run *run)
{
    struct arena *a = arena_new(RUN_ARENA_CAP);
    const Pb__LocalAlloc *local = local_alloc(run->runner->options.local, a, run->id);
    const Pb__Job *job =
        local == NULL ? NULL : local_job(run->runner->options.local, a, local->alloc);
    const Pb__TaskGroup *group = job == NULL ? NULL : group_of(job, local->alloc->task_group);
    bool found = false;
    for (size_t i = 0; group != NULL && i < group->n_tasks && !found; i++) {
        const struct driver *d = driver_find(group->tasks[i]->driver);
        found = d != NULL && d->container;
    }
    arena_free(a);
    return found;
}

static void finish(struct slot *s)
{
    watch_close(s->watch);
    s->watch = NULL;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    s->done = true;
}

static void on_said(void *owner, int events)
{
    struct slot *s = owner;
    char said[200];
    ssize_t n = read(s->fd, said, sizeof said - 1);
    said[n > 0 ? n : 0] = '\0';
    said[strcspn(said, "\n")] = '\0';
    if (strcmp(said, "ok") != 0)
        log_warn("containers_left", "alloc=%s reason=%s", log_id(s->run->id),
                 log_quote(n > 0 ? said : "taskdock was killed"));
    finish(s);
    alloc_run_touch(s->run);
}

static bool run_taskdock(struct slot *s)
{
    const struct driver_host *h = s->run->runner->options.host;
    char id[ID_TEXT_SIZE];
    int ends[2];
    pid_t pid;
    struct reason why;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    id_format(s->run->id, id);
    char *argv[] = {(char *)(uintptr_t)h->dock, (char[]){"remove"},
                    (char *)(uintptr_t)h->docker_socket, id, NULL};
    enum err e = helper_spawn(&pid, argv, -1, ends[1], &why);
    close(ends[1]);
    s->fd = ends[0];
    if (e == OK)
        s->watch = watch_open(s->run->runner->loop, s->fd, WATCH_READ, on_said, s);
    else
        log_warn("containers_left", "alloc=%s reason=%s", log_id(s->run->id), log_quote(why.text));
    return e == OK;
}

static enum err ready(struct launch *l, void **slot, struct reason *why)
{
    return OK;
}

static enum err end(struct alloc_run *run, void **slot)
{
    struct slot *s = *slot;
    const struct driver_host *h = run->runner->options.host;
    if (s != NULL)
        return s->done ? OK : ERR_AGAIN;
    if (h == NULL || h->docker_socket == NULL || h->dock == NULL || !has_containers(run))
        return OK;
    *slot = s = xcalloc(1, sizeof *s);
    s->run = run;
    s->fd = -1;
    if (run_taskdock(s))
        return ERR_AGAIN;
    finish(s);
    return OK;
}

static void slot_free(void *slot)
{
    struct slot *s = slot;
    if (s != NULL)
        finish(s);
    free(s);
}

const struct alloc_step containers_step = {
    .name = "containers", .ready = ready, .end = end, .free = slot_free};

/* ---- what taskdock leaves for us */

static json_t *state_of(const struct task_run *t, struct arena *a)
{
    const struct runner *r = t->alloc->runner;
    const char *dir = allocdir_shim_path(a, r->options.data_dir, t->alloc->id, t->name);
    return json_load_file(arena_printf(a, "%s/container", dir), 0, NULL);
}

static const char *text_in(const json_t *state, const char *key, struct arena *a)
{
    const char *text = json_string_value(json_object_get(state, key));
    return arena_strdup(a, text == NULL ? "" : text);
}

bool containers_places(const struct task_run *t, struct arena *a, struct usage_places *out)
{
    json_t *state = state_of(t, a);
    const struct usage_places found = {text_in(state, "tree", a), text_in(state, "memory", a),
                                       text_in(state, "cpu", a)};
    json_decref(state);
    if (found.tree[0] == '\0')
        return false;
    *out = found;
    return true;
}

void containers_add_end(const struct task_run *t, struct arena *a, struct task_input *in)
{
    json_t *state = state_of(t, a);
    const char *failed = text_in(state, "failed", a);
    in->oom_kills += (uint32_t)json_integer_value(json_object_get(state, "oom_kills"));
    if (in->text == NULL && failed[0] != '\0')
        in->text = failed;
    json_decref(state);
}
