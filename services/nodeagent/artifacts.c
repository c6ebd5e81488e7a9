/* The step of a launch that brings a task's artifacts, one after the other, each by a process of
 * the program taskfetch. It is done once for a task, whatever its restarts. */
#include "base/strbuf.h"
#include "helper.h"
#include "launch.h"
#include "place.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MOST_SAID 2048
#define NOBODY    65534
#define EXTRA_MS  10000 /* beyond its own limit, before it is killed from here */

struct fetching {
    struct task_run *task;
    size_t next; /* of the artifacts: brought so far */
    pid_t pid;   /* 0: nothing is under way */
    int fd;
    struct watch *watch;
    struct timer limit;
    struct strbuf said;
    enum err result; /* of the last one, to be told in the next round */
    bool recoverable, done;
    struct reason why;
};

/* Lies beside the shim's files, out of the task's reach. */
static char *marker_of(const struct launch *l)
{
    return arena_printf(l->arena, "%s/fetched", l->shim_dir);
}

/* ---- one artifact: what is to be done */

static json_t *pairs_json(const struct launch *l, Pb__KeyValue *const *pairs, size_t count)
{
    json_t *object = json_object();
    for (size_t i = 0; i < count; i++)
        json_object_set_new(object, pairs[i]->key,
                            json_string(taskenv_expand(
                                l->env, l->arena, pairs[i]->value == NULL ? "" : pairs[i]->value)));
    return object;
}

static json_t *limits_json(const struct artifact_limits *m)
{
    return json_pack("{sI,sI,sI,sI}", "bytes", (json_int_t)m->max_bytes, "unpacked",
                     (json_int_t)m->max_unpacked, "files", (json_int_t)m->max_files, "seconds",
                     (json_int_t)m->timeout_s);
}

static void add_user(const struct launch *l, json_t *spec)
{
    json_t *groups = json_array();
    for (int i = 0; i < l->group_count; i++)
        json_array_append_new(groups, json_integer(l->groups[i]));
    json_object_set_new(spec, "uid", json_integer(l->uid));
    json_object_set_new(spec, "gid", json_integer(l->gid));
    json_object_set_new(spec, "groups", groups);
}

/* A task that is kept in a root of its own as root, or as a user of its image, must not be brought
 * the node's files that only the node's root may read. */
static bool is_strange(const struct launch *l)
{
    return l->uid == 0 && (l->driver->own_root || l->driver->container);
}

static json_t *nobody(void)
{
    const struct passwd *p = getpwnam("nobody");
    return json_pack("{sI,sI}", "uid", (json_int_t)(p == NULL ? NOBODY : p->pw_uid), "gid",
                     (json_int_t)(p == NULL ? NOBODY : p->pw_gid));
}

/* NULL: wrong. */
static json_t *spec_of(const struct launch *l, const Pb__Artifact *artifact, struct reason *why)
{
    const struct artifact_limits *m = &l->run->alloc->runner->options.artifacts;
    const char *source = artifact->getter_source, *dest = artifact->relative_dest;
    source = taskenv_expand(l->env, l->arena, source == NULL ? "" : source);
    dest = taskenv_expand(l->env, l->arena, dest == NULL || *dest == '\0' ? "local/" : dest);
    const char *place = place_of(l->arena, l->alloc_dir, l->run->name, dest);
    if (place == NULL) {
        reason_set(why, ERR_INVALID, "destination \"%.100s\" is outside of the task's directories",
                   dest);
        return NULL;
    }
    json_t *spec =
        json_pack("{ss,so,so,ss,sb,ss,ss,ss,so,sb}", "source", source, "options",
                  pairs_json(l, artifact->getter_options, artifact->n_getter_options), "headers",
                  pairs_json(l, artifact->getter_headers, artifact->n_getter_headers), "mode",
                  artifact->getter_mode == NULL ? "" : artifact->getter_mode, "insecure",
                  artifact->getter_insecure, "root", l->alloc_dir, "task", l->run->name, "place",
                  place, "limits", limits_json(m), "checksum_required", m->checksum_required);
    if (l->set_user)
        add_user(l, spec);
    if (is_strange(l))
        json_object_set_new(spec, "reads_as", nobody());
    return spec;
}

/* ---- the process */

static void stop(struct fetching *f)
{
    if (f->pid == 0)
        return;
    kill(-f->pid, SIGKILL);
    f->pid = 0;
    watch_close(f->watch);
    close(f->fd);
    timer_cancel(f->task->alloc->runner->loop, &f->limit);
    strbuf_clear(&f->said);
}

static void finish(struct fetching *f, enum err result, bool recoverable, const char *text)
{
    stop(f);
    f->result = result;
    f->recoverable = recoverable;
    if (result == OK)
        f->next++;
    else
        reason_set(&f->why, result, "%s", text);
    task_run_launch(f->task);
}

static void on_end(struct fetching *f)
{
    char text[MOST_SAID + 1];
    snprintf(text, sizeof text, "%.*s", (int)strcspn(strbuf_text(&f->said), "\n"),
             strbuf_text(&f->said));
    if (strcmp(text, "ok") == 0)
        finish(f, OK, false, "");
    else if (strncmp(text, "invalid: ", 9) == 0)
        finish(f, ERR_INVALID, false, text + 9);
    else if (strncmp(text, "failed: ", 8) == 0)
        finish(f, ERR_UNAVAILABLE, true, text + 8);
    else
        finish(f, ERR_TIMEOUT, true, "it was given up: its time was over, or it was killed");
}

static void on_output(void *owner, int events)
{
    struct fetching *f = owner;
    char part[512];
    ssize_t n = read(f->fd, part, sizeof part);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0 && f->said.len + (size_t)n <= MOST_SAID) {
        strbuf_add(&f->said, part, (size_t)n);
        return;
    }
    on_end(f);
}

static void on_limit(void *owner)
{
    finish(owner, ERR_TIMEOUT, true, "it was given up: its time was over");
}

/* What is to be done goes along as a file in memory. */
static int input_of(json_t *spec)
{
    int fd = memfd_create("artifact", MFD_CLOEXEC);
    if (fd >= 0 && (json_dumpfd(spec, fd, JSON_COMPACT) != 0 || lseek(fd, 0, SEEK_SET) != 0)) {
        close(fd);
        fd = -1;
    }
    json_decref(spec);
    return fd;
}

static enum err begin(struct fetching *f, const struct launch *l, struct reason *why)
{
    const struct runner_options *o = &f->task->alloc->runner->options;
    json_t *spec = spec_of(l, l->task->artifacts[f->next], why);
    int ends[2];
    if (spec == NULL)
        return ERR_INVALID;
    int input = input_of(spec);
    if (input < 0 || pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        if (input >= 0)
            close(input);
        return reason_errno(why, ERR_UNAVAILABLE, "fetch an artifact");
    }
    fcntl(ends[1], F_SETFL, 0);
    char *const argv[] = {(char *)(uintptr_t)o->artifacts.program, NULL};
    enum err e = helper_spawn(&f->pid, argv, input, ends[1], why);
    close(input);
    close(ends[1]);
    if (e != OK) {
        f->pid = 0;
        close(ends[0]);
        return e;
    }
    f->fd = ends[0];
    f->watch = watch_open(f->task->alloc->runner->loop, f->fd, WATCH_READ, on_output, f);
    timer_arm(f->task->alloc->runner->loop, &f->limit,
              (uint64_t)o->artifacts.timeout_s * 1000 + EXTRA_MS, on_limit, f);
    return ERR_AGAIN;
}

/* ---- the step */

static struct fetching *fetching_of(struct launch *l, void **slot)
{
    if (*slot == NULL) {
        struct fetching *f = *slot = xcalloc(1, sizeof *f);
        f->task = l->run;
        f->done = access(marker_of(l), F_OK) == 0;
    }
    return *slot;
}

static enum err mark(struct fetching *f, const struct launch *l, struct reason *why)
{
    int fd = open(marker_of(l), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return reason_errno(why, ERR_IO, "remember what was fetched");
    close(fd);
    f->done = true;
    return OK;
}

static enum err fetch_artifacts(struct launch *l, void **slot, struct reason *why)
{
    if (l->task->n_artifacts == 0)
        return OK;
    struct fetching *f = fetching_of(l, slot);
    if (f->done)
        return OK;
    if (f->pid != 0)
        return ERR_AGAIN;
    if (f->result != OK) {
        enum err e = f->result;
        f->result = OK;
        l->recoverable = f->recoverable;
        return reason_set(why, e, "failed to download artifact \"%.200s\": %s",
                          l->task->artifacts[f->next]->getter_source, f->why.text);
    }
    if (f->next == l->task->n_artifacts)
        return mark(f, l, why);
    if (f->next == 0)
        task_run_input(l->run, (struct task_input){.kind = TASK_IN_FETCHING});
    enum err e = begin(f, l, why);
    l->recoverable = e == ERR_UNAVAILABLE;
    return e;
}

static void settle(struct task_run *t, void **slot)
{
    struct fetching *f = *slot;
    if (f == NULL)
        return;
    stop(f);
    f->next = 0;
}

static void free_slot(void *slot)
{
    struct fetching *f = slot;
    if (f == NULL)
        return;
    stop(f);
    strbuf_free(&f->said);
    free(f);
}

const struct launch_step artifact_step = {.name = "artifacts",
                                          .failure = TASK_IN_FETCH_FAILED,
                                          .ready = fetch_artifacts,
                                          .settle = settle,
                                          .free = free_slot};
