/* A container from its making to its end. */
#include "base/strbuf.h"
#include "dock.h"
#include "join.h"
#include "memory.h"
#include "owndir.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define DRAIN_MS        5000 /* for the last output of one that has ended */
#define LOOK_AGAIN_MS   100  /* at an engine that has gone, at first */
#define LOOK_AGAIN_MOST 5000

struct container {
    struct dock dock;
    const char *state_path;
    json_t *state; /* what the agent may read */
    char id[80];   /* what its events are told by */
    struct answer wait, events;
    struct strbuf waited, told;
    struct memory_watch memory;
};

/* ---- what the agent reads */

static void tell(const struct container *c)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s.new", c->state_path) >= (int)sizeof path)
        return;
    if (json_dump_file(c->state, path, JSON_COMPACT) != 0 || rename(path, c->state_path) != 0)
        fprintf(stderr, "taskdock: write %s: %s\n", c->state_path, strerror(errno));
}

static void tell_failure(struct container *c, const struct reason *why)
{
    fprintf(stderr, "taskdock: %s\n", why->text);
    json_object_set_new(c->state, "failed", json_string(why->text));
    tell(c);
}

/* ---- making it */

/* The job's variables have a + before their names, for this program's own are not the job's to
 * set. */
static json_t *environment(void)
{
    json_t *list = json_array();
    for (char **e = environ; *e != NULL; e++)
        if ((*e)[0] == '+')
            json_array_append_new(list, json_string(*e + 1));
    return list;
}

static enum err create(struct container *c, struct reason *why)
{
    const struct dock *d = &c->dock;
    char path[DOCK_PATH];
    json_t *body = json_object_get(d->spec, "create"), *made = NULL;
    json_object_set_new(body, "Env", environment());
    dock_path(path, "/containers/create?name=%s", d->name);
    struct question q = dock_ask(d, "POST", path);
    q.json = body;
    enum err e = engine_call(&q, &made, why);
    const char *id = json_string_value(json_object_get(made, "Id"));
    snprintf(c->id, sizeof c->id, "%s", id == NULL ? "" : id);
    json_decref(made);
    return e == OK ? OK : reason_add(why, e, "create the container");
}

static enum err attach(struct dock *d, struct reason *why)
{
    char path[DOCK_PATH];
    dock_path(path, "/containers/%s/attach?stream=1&stdout=1&stderr=1", d->name);
    struct question q = dock_ask(d, "POST", path);
    enum err e = engine_ask(&q, &d->output, why);
    if (e == OK && d->output.status >= 400)
        e = reason_add(why, engine_refusal(&d->output, CALL_MS, why), "follow its output");
    d->output.body = (struct body){.kind = BODY_OPEN}; /* taken over, whatever its head says */
    d->frame_len = d->frame_left = 0;
    if (e != OK)
        answer_close(&d->output);
    return e;
}

/* NULL: the engine does not say. */
static json_t *inspect(const struct dock *d, enum err *e)
{
    char path[DOCK_PATH];
    struct reason why;
    json_t *all = NULL;
    dock_path(path, "/containers/%s/json", d->name);
    struct question q = dock_ask(d, "GET", path);
    *e = engine_call(&q, &all, &why);
    json_t *state = json_incref(json_object_get(all, "State"));
    json_decref(all);
    return state;
}

/* What the kernel knows of it, once there is a process. */
static void look_at_processes(struct container *c)
{
    enum err e;
    struct cgroup_paths paths;
    if (json_object_get(c->state, "tree") != NULL)
        return;
    json_t *state = inspect(&c->dock, &e);
    pid_t pid = (pid_t)json_integer_value(json_object_get(state, "Pid"));
    json_decref(state);
    if (pid <= 1)
        return; /* not yet, or no more */
    cgroup_paths_of(pid, &paths);
    memory_watch_open(&c->memory, paths.memory);
    json_object_set_new(c->state, "tree", json_string(paths.tree));
    json_object_set_new(c->state, "memory", json_string(paths.memory));
    json_object_set_new(c->state, "cpu", json_string(paths.cpu));
    tell(c);
}

/* podman, which does not tell what died for want of memory, makes the process without starting it:
 * so none dies before we look. Docker knows of no such thing, and tells. */
static void prepare(struct container *c)
{
    char path[DOCK_PATH];
    struct reason why;
    dock_path(path, "/libpod/containers/%s/init", c->dock.name);
    struct question q = dock_ask(&c->dock, "POST", path);
    if (engine_call(&q, NULL, &why) == OK)
        look_at_processes(c);
}

static enum err start(const struct dock *d, struct reason *why)
{
    char path[DOCK_PATH];
    dock_path(path, "/containers/%s/start", d->name);
    struct question q = dock_ask(d, "POST", path);
    enum err e = engine_call(&q, NULL, why);
    return e == OK ? OK : reason_add(why, e, "start the container");
}

/* Its end is an event as well as an answer (ask_for_end): podman looks for the latter four times a
 * second. Without, that is all there is. */
static void listen_to_events(struct container *c)
{
    char path[DOCK_PATH];
    struct reason why;
    answer_close(&c->events);
    strbuf_clear(&c->told);
    if (c->id[0] == '\0')
        return;
    dock_path(path,
              "/events?filters=%%7B%%22container%%22%%3A%%5B%%22%s%%22%%5D%%2C"
              "%%22event%%22%%3A%%5B%%22die%%22%%5D%%7D",
              c->id);
    struct question q = dock_ask(&c->dock, "GET", path);
    if (engine_send(&q, &c->events, &why) != OK)
        answer_close(&c->events);
}

static enum err begin(struct container *c, struct reason *why)
{
    struct dock *d = &c->dock;
    enum err e = dock_remove(d, d->name, why); /* of an earlier run that was killed */
    if (e == OK)
        e = owndirs_make(d->spec, why);
    if (e == OK)
        e = join_begin(d, why);
    if (e == OK)
        e = create(c, why);
    if (e == OK)
        e = attach(d, why);
    if (e == OK)
        listen_to_events(c);
    if (e == OK)
        prepare(c);
    if (e == OK)
        e = start(d, why);
    join_end(d);
    return e;
}

/* ---- while it runs */

/* False: there is no more. */
static bool pump(struct dock *d, int timeout_ms)
{
    static char piece[65536];
    ssize_t n = answer_read(&d->output, piece, sizeof piece, timeout_ms);
    if (n > 0)
        dock_pass_on(d, piece, (size_t)n);
    return n > 0;
}

static void pass_signal(const struct dock *d)
{
    struct signalfd_siginfo info;
    while (read(d->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        char path[DOCK_PATH];
        struct reason why;
        snprintf(path, sizeof path, "/containers/%s/kill?signal=%u", d->name, info.ssi_signo);
        struct question q = dock_ask(d, "POST", path);
        if (engine_call(&q, NULL, &why) != OK)
            fprintf(stderr, "taskdock: signal %u: %s\n", info.ssi_signo, why.text);
    }
}

static bool look_is_final(const json_t *state, enum err e)
{
    const char *status = json_string_value(json_object_get(state, "Status"));
    bool unborn =
        status != NULL && (strcmp(status, "created") == 0 || strcmp(status, "initialized") == 0);
    return e == ERR_NOT_FOUND ||
           (e == OK && !unborn && json_is_false(json_object_get(state, "Running")));
}

static bool ask_for_end(struct container *c)
{
    char path[DOCK_PATH];
    struct reason why;
    dock_path(path, "/containers/%s/wait", c->dock.name);
    struct question q = dock_ask(&c->dock, "POST", path);
    strbuf_clear(&c->waited);
    answer_close(&c->wait);
    return engine_send(&q, &c->wait, &why) == OK;
}

/* What came of the answer: 1: it has ended, with *code; 0: not yet; -1: the engine has gone. */
static int take_end(struct container *c, int *code)
{
    int done = answer_step(&c->wait, &c->waited);
    if (done == 0)
        return 0;
    json_t *said = json_loadb(strbuf_text(&c->waited), c->waited.len, 0, NULL);
    const json_t *status = json_object_get(said, "StatusCode");
    bool known = done > 0 && c->wait.status == 200 && json_is_integer(status);
    *code = known ? (int)json_integer_value(status) : 0;
    json_decref(said);
    answer_close(&c->wait);
    return known ? 1 : -1;
}

/* {"Action": "die", "Actor": {"ID", "Attributes": {"exitCode": "7"}}} */
static bool is_its_end(const struct container *c, const json_t *event, int *code)
{
    const json_t *actor = json_object_get(event, "Actor");
    const char *action = json_string_value(json_object_get(event, "Action"));
    const char *id = json_string_value(json_object_get(actor, "ID"));
    const char *text =
        json_string_value(json_object_get(json_object_get(actor, "Attributes"), "exitCode"));
    char *end;
    if (action == NULL || strcmp(action, "die") != 0 || id == NULL || strcmp(id, c->id) != 0 ||
        text == NULL)
        return false;
    *code = (int)strtol(text, &end, 10);
    return end != text && *end == '\0';
}

/* What came of its events, a line each. True: it has ended, with *code. */
static bool take_events(struct container *c, int *code)
{
    bool ended = false, over = answer_step(&c->events, &c->told) != 0;
    size_t begin = 0;
    for (size_t i = 0; c->events.status == 200 && !ended && i < c->told.len; i++) {
        if (c->told.data[i] != '\n')
            continue;
        json_t *event = json_loadb(c->told.data + begin, i - begin, 0, NULL);
        ended = is_its_end(c, event, code);
        json_decref(event);
        begin = i + 1;
    }
    if (over)
        answer_close(&c->events);
    return ended;
}

/* Until the engine says that it has ended, or says nothing any more. */
static int follow_once(struct container *c, int *code)
{
    struct dock *d = &c->dock;
    for (;;) {
        struct pollfd fds[] = {{d->output.fd, POLLIN, 0},
                               {d->signals, POLLIN, 0},
                               {c->wait.fd, POLLIN, 0},
                               {c->memory.event, c->memory.events, 0},
                               {c->events.fd, POLLIN, 0}};
        bool more = d->output.fd >= 0 && answer_has_more(&d->output);
        if (poll(fds, COUNT_OF(fds), more ? 0 : -1) < 0)
            continue;
        if (fds[3].revents != 0)
            memory_watch_take(&c->memory);
        if (fds[1].revents != 0)
            pass_signal(d);
        if ((fds[0].revents != 0 || more) && !pump(d, DRAIN_MS))
            answer_close(&d->output); /* it may go on without */
        if (fds[4].revents != 0 && take_events(c, code))
            return 1;
        int end = fds[2].revents != 0 ? take_end(c, code) : 0;
        if (end != 0)
            return end;
    }
}

static void drain(struct dock *d)
{
    bool open = d->output.fd >= 0;
    while (open)
        open = pump(d, DRAIN_MS);
    answer_close(&d->output);
}

/* The engine has gone, and comes back or not: then its containers may have ended, or run on. True:
 * it has, with *code. */
static bool ask_again(struct container *c, int *code)
{
    struct dock *d = &c->dock;
    int pause_ms = LOOK_AGAIN_MS;
    struct reason why;
    answer_close(&d->output);
    for (;;) {
        struct pollfd fd = {d->signals, POLLIN, 0};
        enum err e;
        if (poll(&fd, 1, pause_ms) > 0)
            pass_signal(d);
        pause_ms = pause_ms * 2 < LOOK_AGAIN_MOST ? pause_ms * 2 : LOOK_AGAIN_MOST;
        json_t *state = inspect(d, &e);
        bool ended = look_is_final(state, e);
        *code = e == OK ? (int)json_integer_value(json_object_get(state, "ExitCode"))
                        : 128 + SIGKILL; /* somebody else removed it */
        json_decref(state);
        if (ended)
            return true;
        if (e == OK && ask_for_end(c)) {
            listen_to_events(c);
            if (attach(d, &why) != OK)
                fprintf(stderr, "taskdock: %s\n", why.text);
            return false;
        }
    }
}

static int follow(struct container *c)
{
    int code = 0, end = ask_for_end(c) ? 0 : -1;
    look_at_processes(c);
    for (;;) {
        if (end == 0)
            end = follow_once(c, &code);
        if (end > 0 || ask_again(c, &code))
            break;
        end = 0;
    }
    drain(&c->dock);
    return code;
}

/* The engine's word counts where it says yes; podman's no does not. */
static void tell_end(struct container *c)
{
    enum err e;
    json_t *state = inspect(&c->dock, &e);
    bool told = json_is_true(json_object_get(state, "OOMKilled"));
    json_decref(state);
    uint64_t kills = c->memory.kills == 0 && told ? 1 : c->memory.kills;
    if (kills == 0)
        return;
    json_object_set_new(c->state, "oom_kills", json_integer((json_int_t)kills));
    tell(c);
}

static int run(struct container *c)
{
    struct reason why = {""};
    sigset_t set;
    signal(SIGPIPE, SIG_IGN);
    sigfillset(&set);
    sigdelset(&set, SIGCHLD);
    sigdelset(&set, SIGPIPE);
    sigprocmask(SIG_BLOCK, &set, NULL);
    c->dock.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    unlink(c->state_path);
    enum err e = begin(c, &why);
    int code = NO_CONTAINER;
    if (e == OK) {
        code = follow(c);
        tell_end(c);
    } else {
        tell_failure(c, &why);
    }
    dock_remove(&c->dock, c->dock.name, &why);
    return code;
}

int container_main(const char *socket, const char *name, const char *spec, const char *state)
{
    struct container c = {.dock = {.socket = socket, .name = name, .output.fd = -1},
                          .state_path = state,
                          .wait.fd = -1,
                          .events.fd = -1,
                          .memory = {.event = -1, .counter = -1}};
    json_error_t error;
    c.dock.spec = json_loads(spec, 0, &error);
    json_t *body = json_object_get(c.dock.spec, "create");
    int code = 2;
    if (json_is_string(json_object_get(body, "Image"))) {
        c.state = json_object();
        c.dock.raw = json_is_true(json_object_get(body, "Tty"));
        code = run(&c);
    } else {
        fprintf(stderr, "taskdock: SPEC is not as expected\n");
    }
    answer_close(&c.dock.output);
    answer_close(&c.wait);
    answer_close(&c.events);
    memory_watch_close(&c.memory);
    strbuf_free(&c.waited);
    strbuf_free(&c.told);
    json_decref(c.state);
    json_decref(c.dock.spec);
    return code;
}
