#include "containers.h"
#include "base/log.h"
#include "drivers/driver.h"
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
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
    posix_spawn_file_actions_t actions;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    id_format(s->run->id, id);
    char *argv[] = {(char[]){"taskdock"}, (char[]){"remove"}, xstrdup(h->docker_socket), id, NULL};
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    int error = posix_spawn(&pid, h->dock, &actions, NULL, argv, (char *[]){NULL});
    posix_spawn_file_actions_destroy(&actions);
    free(argv[2]);
    close(ends[1]);
    s->fd = ends[0];
    if (error == 0)
        s->watch = watch_open(s->run->runner->loop, s->fd, WATCH_READ, on_said, s);
    return error == 0;
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
