/* taskdock: stands for a container in the place of a task's process, below a taskshim like any
 * other. What the container writes it writes, the signals it gets it passes on, and it ends with
 * the container's exit code. So output, adoption, restarts and limits of time are taskshim's.
 *
 *   taskdock run SOCKET NAME SPEC     makes, starts and follows the container. SPEC is JSON:
 *                                     {"create": the engine's words, "pull": bool, "load": path}
 *                                     Its environment is the container's.
 *   taskdock remove SOCKET ALLOC      of an allocation that is over, whatever is left; prints "ok"
 *   taskdock exec SOCKET NAME tty|pipes COMMAND...
 *                                     a command in the container, at its own standard streams
 *
 * Exits     as the container, or the command; 125 when there could be none: why is its last line on
 * stderr */
#include "dock.h"
#include "base/strbuf.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define PULL_MS       600000 /* without a sign of progress */
#define DRAIN_MS      5000   /* for the last output of one that has ended */
#define NO_START      125
#define LOOK_AGAIN_MS 100
#define LABEL         "org.norn.alloc"

/* ---- the image */

static enum err load_image(const struct dock *d, const char *file, struct reason *why)
{
    struct question q = dock_ask(d, "POST", "/images/load?quiet=1");
    q.file = open(file, O_RDONLY | O_CLOEXEC);
    if (q.file < 0)
        return reason_errno(why, ERR_NOT_FOUND, "load %s", file);
    enum err e = engine_call(&q, NULL, why);
    close(q.file);
    return e == OK ? OK : reason_add(why, e, "load %s", file);
}

/* One line of progress; what is wrong comes as one, too. */
static enum err take_progress(struct strbuf *line, struct reason *why)
{
    json_t *said = json_loadb(strbuf_text(line), line->len, 0, NULL);
    const char *error = json_string_value(json_object_get(said, "error"));
    enum err e = error == NULL ? OK : reason_set(why, ERR_NOT_FOUND, "%s", error);
    json_decref(said);
    strbuf_clear(line);
    return e;
}

static enum err follow_pull(struct answer *a, struct reason *why)
{
    struct strbuf line = STRBUF_INIT;
    enum err e = OK;
    char c;
    ssize_t n;
    while (e == OK && (n = answer_read(a, &c, 1, PULL_MS)) > 0) {
        if (c != '\n' && line.len < 65536)
            strbuf_add(&line, &c, 1);
        else
            e = take_progress(&line, why);
    }
    if (e == OK && n < 0)
        e = reason_set(why, ERR_UNAVAILABLE, "it was cut short");
    if (e == OK)
        e = take_progress(&line, why);
    strbuf_free(&line);
    return e;
}

/* "name" is "name:latest"; a tag stands behind the last slash, a digest behind @. */
static enum err pull_image(const struct dock *d, const char *image, struct reason *why)
{
    char path[512];
    struct answer a;
    const char *slash = strrchr(image, '/');
    bool named = strchr(slash == NULL ? image : slash, ':') != NULL || strchr(image, '@') != NULL;
    snprintf(path, sizeof path, "/images/create?fromImage=%s%s", image, named ? "" : ":latest");
    struct question q = dock_ask(d, "POST", path);
    q.timeout_ms = PULL_MS;
    enum err e = engine_ask(&q, &a, why);
    if (e != OK)
        return e;
    if (a.status >= 400)
        e = reason_set(why, ERR_NOT_FOUND, "the engine answered %u", a.status);
    enum err followed = follow_pull(&a, why);
    answer_close(&a);
    return reason_add(why, e == OK ? followed : e, "pull %s", image);
}

static enum err have_image(const struct dock *d, struct reason *why)
{
    char path[512];
    const char *load = json_string_value(json_object_get(d->spec, "load"));
    const char *image =
        json_string_value(json_object_get(json_object_get(d->spec, "create"), "Image"));
    if (load != NULL)
        return load_image(d, load, why);
    if (!json_is_true(json_object_get(d->spec, "pull"))) {
        dock_path(path, "/images/%s/json", image);
        struct question q = dock_ask(d, "GET", path);
        enum err e = engine_call(&q, NULL, why);
        if (e != ERR_NOT_FOUND)
            return e;
    }
    return pull_image(d, image, why);
}

/* ---- the container */

static enum err remove_container(const struct dock *d, const char *name, struct reason *why)
{
    char path[512];
    dock_path(path, "/containers/%s?force=1&v=1", name);
    struct question q = dock_ask(d, "DELETE", path);
    enum err e = engine_call(&q, NULL, why);
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err create(const struct dock *d, struct reason *why)
{
    char path[512];
    json_t *body = json_object_get(d->spec, "create"), *env = json_array();
    for (char **e = environ; *e != NULL; e++)
        json_array_append_new(env, json_string(*e));
    json_object_set_new(body, "Env", env);
    dock_path(path, "/containers/create?name=%s", d->name);
    struct question q = dock_ask(d, "POST", path);
    q.json = body;
    enum err e = engine_call(&q, NULL, why);
    return e == OK ? OK : reason_add(why, e, "create the container");
}

static enum err attach(struct dock *d, struct reason *why)
{
    char path[512];
    dock_path(path, "/containers/%s/attach?stream=1&stdout=1&stderr=1", d->name);
    struct question q = dock_ask(d, "POST", path);
    enum err e = engine_ask(&q, &d->output, why);
    if (e == OK && d->output.status >= 400)
        e = reason_set(why, ERR_UNAVAILABLE, "its output cannot be had: %u", d->output.status);
    d->output.body = (struct body){.kind = BODY_OPEN}; /* taken over, whatever its head says */
    return e;
}

/* Its answer's head may come at once or with the end. */
static enum err start(struct dock *d, struct reason *why)
{
    char path[512];
    dock_path(path, "/containers/%s/start", d->name);
    struct question q = dock_ask(d, "POST", path);
    enum err e = engine_call(&q, NULL, why);
    return e == OK ? OK : reason_add(why, e, "start the container");
}

static enum err begin(struct dock *d, struct reason *why)
{
    enum err e = remove_container(d, d->name, why); /* of an earlier run that was killed */
    if (e == OK)
        e = have_image(d, why);
    if (e == OK)
        e = create(d, why);
    if (e == OK)
        e = attach(d, why);
    return e == OK ? start(d, why) : e;
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
        char path[512];
        struct reason why;
        snprintf(path, sizeof path, "/containers/%s/kill?signal=%u", d->name, info.ssi_signo);
        struct question q = dock_ask(d, "POST", path);
        if (engine_call(&q, NULL, &why) != OK)
            fprintf(stderr, "taskdock: signal %u: %s\n", info.ssi_signo, why.text);
    }
}

/* Whether it has ended, as far as the engine says, and how. One that somebody else removed has. */
static bool has_ended(const struct dock *d, int *code)
{
    char path[512];
    struct reason why;
    json_t *all = NULL;
    dock_path(path, "/containers/%s/json", d->name);
    struct question q = dock_ask(d, "GET", path);
    enum err e = engine_call(&q, &all, &why);
    const json_t *state = json_object_get(all, "State");
    bool ended =
        e == ERR_NOT_FOUND || (e == OK && json_is_false(json_object_get(state, "Running")));
    *code = e == OK ? (int)json_integer_value(json_object_get(state, "ExitCode")) : 128 + SIGKILL;
    if (ended && json_is_true(json_object_get(state, "OOMKilled")))
        fprintf(stderr, "taskdock: the container was killed for its memory limit\n");
    json_decref(all);
    return ended;
}

/* As long as the connection with its output lasts. */
static void follow_output(struct dock *d)
{
    bool open = true;
    while (open) {
        struct pollfd fds[] = {{d->output.fd, POLLIN, 0}, {d->signals, POLLIN, 0}};
        bool more = answer_has_more(&d->output);
        if (poll(fds, 2, more ? 0 : -1) < 0)
            continue;
        if (fds[1].revents != 0)
            pass_signal(d);
        if (fds[0].revents != 0 || more)
            open = pump(d, DRAIN_MS);
    }
    answer_close(&d->output);
}

/* The output ends with the container, or with the engine: that is then asked until it says. */
static int follow(struct dock *d)
{
    int code;
    struct reason why;
    for (;;) {
        follow_output(d);
        while (!has_ended(d, &code)) {
            struct pollfd fd = {d->signals, POLLIN, 0};
            if (poll(&fd, 1, LOOK_AGAIN_MS) > 0)
                pass_signal(d);
            if (attach(d, &why) == OK)
                break;
            answer_close(&d->output);
        }
        if (d->output.fd < 0)
            return code;
    }
}

static int run(struct dock *d)
{
    struct reason why = {""};
    sigset_t set;
    sigfillset(&set);
    sigdelset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    d->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    enum err e = begin(d, &why);
    int code = NO_START;
    if (e == OK)
        code = follow(d);
    else
        fprintf(stderr, "taskdock: %s\n", why.text);
    remove_container(d, d->name, &why);
    return code;
}

static int run_main(const char *socket, const char *name, const char *text)
{
    struct dock d = {.socket = socket, .name = name, .output.fd = -1};
    json_error_t error;
    d.spec = json_loads(text, 0, &error);
    json_t *body = json_object_get(d.spec, "create");
    if (!json_is_object(body) || !json_is_string(json_object_get(body, "Image"))) {
        fprintf(stderr, "taskdock: SPEC is not as expected\n");
        json_decref(d.spec);
        return 2;
    }
    d.raw = json_is_true(json_object_get(body, "Tty"));
    int code = run(&d);
    answer_close(&d.output);
    json_decref(d.spec);
    return code;
}

static int remove_main(const char *socket, const char *alloc)
{
    struct dock d = {.socket = socket};
    struct reason why = {""};
    char path[512];
    json_t *found = NULL, *one;
    size_t i;
    snprintf(path, sizeof path,
             "/containers/json?all=1&filters=%%7B%%22label%%22%%3A%%5B%%22" LABEL
             "%%3D%s%%22%%5D%%7D",
             alloc);
    struct question q = dock_ask(&d, "GET", path);
    enum err e = engine_call(&q, &found, &why);
    json_array_foreach(found, i, one)
    {
        const char *id = json_string_value(json_object_get(one, "Id"));
        if (e == OK && id != NULL)
            e = remove_container(&d, id, &why);
    }
    json_decref(found);
    printf("%s\n", e == OK ? "ok" : why.text);
    return e == OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "run") == 0)
        return run_main(argv[2], argv[3], argv[4]);
    if (argc == 4 && strcmp(argv[1], "remove") == 0)
        return remove_main(argv[2], argv[3]);
    if (argc > 5 && strcmp(argv[1], "exec") == 0)
        return command_main(argv[2], argv[3], strcmp(argv[4], "tty") == 0, argv + 5, argc - 5);
    fprintf(stderr, "taskdock is started by nodeagent, one for each container\n");
    return 2;
}
