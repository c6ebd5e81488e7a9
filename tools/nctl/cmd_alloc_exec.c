/* nctl alloc exec: a command in a running task, at our terminal or between our pipes. */
#include "allocs.h"
#include "base/arena.h"
#include "base/err.h"
#include "command.h"
#include "escape.h"
#include "show.h"
#include "websocket.h"
#include "wire/execjson.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define FAILED "failed to exec into task"

enum {
    HEARTBEAT_MS = 10000,
    INPUT_PIECE = 32 << 10,
    UNSENT_MAX = 128 << 10, /* then our input waits */
    MESSAGE_ARENA = 4 << 20,
};

struct session {
    struct websocket *socket;
    bool tty;
    bool reads; /* our input, until its end */
    bool left;  /* by the escape, or a signal */
    bool exited;
    int exit_code;
    struct escape escape;
    int signals;
    int64_t beat_at;
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- what goes there */

static void say(struct session *s, const struct exec_message *m)
{
    struct strbuf text = STRBUF_INIT;
    exec_message_write(&text, m);
    websocket_send(s->socket, true, text.data, text.len);
    strbuf_free(&text);
}

static void say_size(struct session *s)
{
    struct winsize size;
    if (s->tty && ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0)
        say(s, &(struct exec_message){.rows = size.ws_row, .columns = size.ws_col});
}

static void end_input(struct session *s)
{
    s->reads = false;
    say(s, &(struct exec_message){.input.close = true});
}

static void read_input(struct session *s)
{
    static char in[INPUT_PIECE], out[INPUT_PIECE + 1];
    size_t len;
    ssize_t n = read(STDIN_FILENO, in, sizeof(in));
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        end_input(s);
        return;
    }
    s->left = escape_filter(&s->escape, in, (size_t)n, out, &len);
    if (len > 0)
        say(s, &(struct exec_message){.input.data = {len, (uint8_t *)out}});
}

/* ---- what comes from there */

static void print_all(int fd, ProtobufCBinaryData data)
{
    for (size_t done = 0; done < data.len;) {
        ssize_t n = write(fd, data.data + done, data.len - done);
        if (n < 0 && errno == EAGAIN)
            poll(&(struct pollfd){fd, POLLOUT, 0}, 1, -1);
        else if (n < 0 && errno != EINTR)
            return; /* nobody reads it */
        else
            done += n > 0 ? (size_t)n : 0;
    }
}

static void on_message(void *self, bool text, const void *data, size_t len)
{
    struct session *s = self;
    struct exec_message m;
    struct reason why;
    struct arena *a = arena_new(MESSAGE_ARENA);
    if (exec_message_read(a, data, len, &m, &why) == OK) {
        print_all(STDOUT_FILENO, m.output.data);
        print_all(STDERR_FILENO, m.error.data);
        s->exited = s->exited || m.exited;
        s->exit_code = m.exited ? m.exit_code : s->exit_code;
    }
    arena_free(a);
}

/* ---- signals and the terminal */

/* Those that end us end the command, too: the connection closes. At a terminal the keys for them
 * are the command's. */
static int take_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void on_signal(struct session *s)
{
    struct signalfd_siginfo info;
    while (read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGWINCH)
            say_size(s);
        else
            s->left = true;
    }
}

static bool make_raw(struct termios *before)
{
    struct termios raw;
    if (tcgetattr(STDIN_FILENO, before) != 0)
        return false;
    raw = *before;
    cfmakeraw(&raw);
    return tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

/* ---- the session */

static void beat(struct session *s)
{
    if (now_ms() < s->beat_at)
        return;
    s->beat_at = now_ms() + HEARTBEAT_MS;
    say(s, &(struct exec_message){0});
}

static void talk(struct session *s)
{
    s->beat_at = now_ms() + HEARTBEAT_MS;
    say_size(s);
    if (!s->reads)
        end_input(s);
    while (!s->left && websocket_run(s->socket)) {
        bool reads = s->reads && websocket_unsent(s->socket) < UNSENT_MAX;
        int64_t left = s->beat_at - now_ms();
        struct pollfd fds[] = {{websocket_fd(s->socket), websocket_events(s->socket), 0},
                               {s->signals, POLLIN, 0},
                               {reads ? STDIN_FILENO : -1, POLLIN, 0}};
        poll(fds, 3, left > 0 ? (int)left : 0);
        if (fds[1].revents != 0)
            on_signal(s);
        if (fds[2].revents != 0)
            read_input(s);
        beat(s);
    }
}

static int conclude(const struct session *s)
{
    const char *reason;
    unsigned code = websocket_ending(s->socket, &reason);
    if (s->exited)
        return s->exit_code & 0xff;
    if (s->left)
        fprintf(stderr, FAILED ": interrupted\n");
    else if (code == 0)
        fprintf(stderr, FAILED ": the connection was lost\n");
    else
        fprintf(stderr, FAILED ": %s\n", *reason != '\0' ? reason : "the server ended it");
    return EXIT_ERROR;
}

static int run_session(struct session *s, struct client *c, const char *path, const char *query)
{
    struct termios before;
    const struct websocket_handlers h = {on_message, s};
    s->socket = websocket_open(c, path, query, FAILED, &h);
    if (s->socket == NULL)
        return EXIT_ERROR;
    s->signals = take_signals();
    bool raw = s->tty && s->reads && make_raw(&before);
    talk(s);
    if (raw)
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
    int code = conclude(s);
    websocket_free(s->socket);
    close(s->signals);
    return code;
}

/* ---- the arguments */

static bool flag_or(const struct args *args, const char *name, bool otherwise)
{
    const char *text = args_text(args, name, NULL);
    return text != NULL ? strcmp(text, "true") == 0 : otherwise;
}

/* False: told. */
static bool read_flags(const struct args *args, struct session *s)
{
    const char *escape = args_text(args, "e", "~");
    bool both = flag_or(args, "it", false);
    s->tty = flag_or(args, "t", both || (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)));
    s->reads = flag_or(args, "i", true);
    s->escape.character = s->tty ? (unsigned char)escape[0] : -1;
    if (strcmp(escape, "none") == 0) {
        s->escape.character = -1;
    } else if (strlen(escape) != 1) {
        fprintf(stderr, "-e requires 'none' or a single character\n");
        return false;
    }
    if (s->tty && !s->reads) {
        fprintf(stderr, "-i must be enabled if running with tty\n");
        return false;
    }
    return true;
}

static char *query_of(const struct args *args, const char *task, bool tty)
{
    struct strbuf query = STRBUF_INIT, text = STRBUF_INIT;
    json_t *command = json_array();
    for (int i = 1; i < args->count; i++)
        json_array_append_new(command, json_string(args->items[i]));
    char *list = json_dumps(command, JSON_COMPACT);
    query_add(&query, "task", task);
    query_add(&query, "tty", tty ? "true" : "false");
    query_add(&query, "command", list != NULL ? list : "[]"); /* not UTF-8: refused there */
    free(list);
    json_decref(command);
    strbuf_free(&text);
    return strbuf_take(&query);
}

/* One of the job's running allocations, by chance. NULL: told. The caller frees. */
static char *alloc_of_job(struct client *c, const char *job)
{
    struct answer a;
    char *path = path_of("/v1/job/", job, "/allocations"), *id = NULL;
    unsigned chance = 0, count = 0;
    size_t i;
    json_t *alloc;
    if (getrandom(&chance, sizeof(chance), 0) < 0)
        chance = (unsigned)getpid();
    if (client_get_json(c, &a, "Error querying job allocations", path, "all=false")) {
        json_array_foreach(a.json, i, alloc) count +=
            strcmp(text_at(alloc, "ClientStatus"), "running") == 0;
        chance = count > 0 ? chance % count : 0;
        json_array_foreach(
            a.json, i, alloc) if (strcmp(text_at(alloc, "ClientStatus"), "running") == 0 &&
                                  chance-- == 0 && id == NULL) id = xstrdup(text_at(alloc, "ID"));
        if (id == NULL)
            fprintf(stderr, "No running allocations found for job \"%s\"\n", job);
    }
    answer_free(&a);
    free(path);
    return id;
}

static bool has_task(const json_t *alloc, const char *task)
{
    const json_t *tasks = value_at(value_at(alloc, "AllocatedResources"), "Tasks");
    if (json_object_get(tasks, task) != NULL)
        return true;
    size_t count;
    const char **names = sorted_keys(tasks, &count);
    fprintf(stderr, "Could not find task named: %s, found:\n", task);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "%s\n", names[i]);
    free(names);
    return false;
}

static int exec_in(struct client *c, const struct args *args, const json_t *alloc)
{
    struct session s = {0};
    const char *task = alloc_pick_task(alloc, args_text(args, "task", NULL));
    if (task == NULL || !has_task(alloc, task) || !read_flags(args, &s))
        return EXIT_ERROR;
    char *path = path_of("/v1/client/allocation/", text_at(alloc, "ID"), "/exec");
    char *query = query_of(args, task, s.tty);
    int code = run_session(&s, c, path, query);
    free(path);
    free(query);
    return code;
}

static int run_exec(const struct args *args)
{
    struct client *c = client_open(args);
    int code = EXIT_ERROR;
    if (c != NULL) {
        char *of_job = args_has(args, "job") ? alloc_of_job(c, args->items[0]) : NULL;
        const char *id = args_has(args, "job") ? of_job : args->items[0];
        json_t *alloc = id != NULL ? alloc_get(c, id) : NULL;
        if (alloc != NULL)
            code = exec_in(c, args, alloc);
        json_decref(alloc);
        free(of_job);
    }
    client_close(c);
    return code;
}

static const struct flag exec_flags[] = {
    {"task", FLAG_TEXT, "TASK", "the task, where the allocation has several"},
    {"job", FLAG_BOOL, NULL,
     "the first argument is a job: one of its running allocations, by chance"},
    {"i", FLAG_BOOL, NULL, "pass our input on; -i=false: the command has none"},
    {"t", FLAG_BOOL, NULL, "give the command a terminal; without the flag: if we have one"},
    {"it", FLAG_BOOL, NULL, "both"},
    {"e", FLAG_TEXT, "CHAR",
     "the escape at a terminal, ~ or this or none: at the beginning of a "
     "line and followed by a full stop it ends the session"},
    FLAG_END,
};

const struct command commands_exec[] = {
    {"alloc exec", "exec", "<alloc> <command> [argument...]", "run a command in a running task",
     "Flags stand before the allocation; what follows it is the command's. It runs in the task's\n"
     "namespaces, root, directory and cgroups, as its user and with its environment. When nctl "
     "goes,\n"
     "or the task ends, the command dies with all it started. Exits with the command's code.",
     exec_flags, 2, ARGS_COMMAND, run_exec},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
