/* A command in a container that runs. When we are told to go (HUP, TERM), it is killed: an engine
 * lets it live on without its client. */
#include "dock.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#define FAILED       126
#define END_AGAIN_MS 20
#define END_TRIES    250

struct command {
    struct dock dock; /* its output is the command's */
    char id[80];
    bool reads; /* our input, until its end */
    bool told_to_go;
};

static enum err make(struct command *c, char **words, int count, struct reason *why)
{
    char path[DOCK_PATH];
    json_t *list = json_array(), *made = NULL;
    for (int i = 0; i < count; i++)
        json_array_append_new(list, json_string(words[i]));
    json_t *body = json_pack("{sb,sb,sb,sb,so}", "AttachStdin", 1, "AttachStdout", 1,
                             "AttachStderr", 1, "Tty", c->dock.raw, "Cmd", list);
    if (body != NULL && c->dock.raw)
        json_object_set_new(body, "Env", json_pack("[s]", "TERM=xterm"));
    dock_path(path, "/containers/%s/exec", c->dock.name);
    struct question q = dock_ask(&c->dock, "POST", path);
    q.json = body;
    enum err e = engine_call(&q, &made, why);
    const char *id = json_string_value(json_object_get(made, "Id"));
    snprintf(c->id, sizeof c->id, "%s", id == NULL ? "" : id);
    if (e == OK && c->id[0] == '\0')
        e = reason_set(why, ERR_UNAVAILABLE, "the engine made no command");
    json_decref(made);
    json_decref(body);
    return e;
}

static enum err start(struct command *c, struct reason *why)
{
    char path[DOCK_PATH];
    json_t *body = json_pack("{sb,sb}", "Detach", 0, "Tty", c->dock.raw);
    dock_path(path, "/exec/%s/start", c->id);
    struct question q = dock_ask(&c->dock, "POST", path);
    q.json = body;
    enum err e = engine_ask(&q, &c->dock.output, why);
    json_decref(body);
    if (e == OK && c->dock.output.status >= 400)
        e = engine_refusal(&c->dock.output, CALL_MS, why);
    c->dock.output.body = (struct body){.kind = BODY_OPEN}; /* taken over, whatever its head says */
    return e;
}

static json_t *inspect(const struct command *c)
{
    char path[DOCK_PATH];
    struct reason why;
    json_t *state = NULL;
    dock_path(path, "/exec/%s/json", c->id);
    struct question q = dock_ask(&c->dock, "GET", path);
    return engine_call(&q, &state, &why) == OK ? state : NULL;
}

static void tell_size(const struct command *c)
{
    struct winsize size;
    char path[DOCK_PATH];
    struct reason why;
    if (!c->dock.raw || ioctl(STDIN_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0)
        return;
    snprintf(path, sizeof path, "/exec/%s/resize?h=%u&w=%u", c->id, size.ws_row, size.ws_col);
    struct question q = dock_ask(&c->dock, "POST", path);
    if (engine_call(&q, NULL, &why) != OK)
        errno = 0; /* it ends, or has another size: no reason to end it */
}

static void take_signals(struct command *c)
{
    struct signalfd_siginfo info;
    while (read(c->dock.signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGWINCH)
            tell_size(c);
        else
            c->told_to_go = true;
    }
}

static void read_input(struct command *c)
{
    char piece[16384];
    ssize_t n = read(STDIN_FILENO, piece, sizeof piece), done = 0;
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        c->reads = false;
        shutdown(c->dock.output.fd, SHUT_WR);
        return;
    }
    while (done < n && c->reads) {
        ssize_t sent = send(c->dock.output.fd, piece + done, (size_t)(n - done), MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            c->reads = false;
        done += sent > 0 ? sent : 0;
    }
}

static void talk(struct command *c)
{
    static char piece[65536];
    ssize_t n = 1;
    while (n > 0 && !c->told_to_go) {
        struct pollfd fds[] = {{c->dock.output.fd, POLLIN, 0},
                               {c->dock.signals, POLLIN, 0},
                               {c->reads ? STDIN_FILENO : -1, POLLIN, 0}};
        bool more = answer_has_more(&c->dock.output);
        if (poll(fds, 3, more ? 0 : -1) < 0)
            continue;
        if (fds[1].revents != 0)
            take_signals(c);
        if (fds[2].revents != 0)
            read_input(c);
        if (!more && fds[0].revents == 0)
            continue;
        n = answer_read(&c->dock.output, piece, sizeof piece, CALL_MS);
        if (n > 0)
            dock_pass_on(&c->dock, piece, (size_t)n);
    }
}

/* With all below it, as far as it can be seen from here. */
static void kill_tree(pid_t pid, int depth)
{
    char path[64], list[4096] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
    FILE *f = fopen(path, "re");
    if (f != NULL && fgets(list, sizeof list, f) == NULL)
        list[0] = '\0';
    if (f != NULL)
        fclose(f);
    kill(pid, SIGKILL);
    for (char *p = list, *next; depth < 16; p = next) {
        long child = strtol(p, &next, 10);
        if (next == p || child <= 1)
            break;
        kill_tree((pid_t)child, depth + 1);
    }
}

/* Its output ends a little before the engine knows its exit code. */
static json_t *final_state(const struct command *c)
{
    json_t *state = inspect(c);
    for (int i = 0; !c->told_to_go && i < END_TRIES; i++) {
        if (!json_is_true(json_object_get(state, "Running")))
            break;
        json_decref(state);
        poll(NULL, 0, END_AGAIN_MS);
        state = inspect(c);
    }
    return state;
}

static int conclude(const struct command *c)
{
    json_t *state = final_state(c);
    pid_t pid = (pid_t)json_integer_value(json_object_get(state, "Pid"));
    bool runs = json_is_true(json_object_get(state, "Running"));
    bool known = json_is_integer(json_object_get(state, "ExitCode"));
    int code = known ? (int)json_integer_value(json_object_get(state, "ExitCode")) : FAILED;
    json_decref(state);
    if (!c->told_to_go)
        return code;
    if (runs && pid > 1)
        kill_tree(pid, 0);
    return 128 + SIGKILL;
}

/* Keys and their echo are the business of the terminal inside. */
static void make_raw(void)
{
    struct termios t;
    if (tcgetattr(STDIN_FILENO, &t) != 0)
        return;
    cfmakeraw(&t);
    tcsetattr(STDIN_FILENO, TCSANOW, &t);
}

int command_main(const char *socket, const char *name, bool tty, char **words, int count)
{
    struct command c = {.dock = {.socket = socket, .name = name, .raw = tty, .output.fd = -1},
                        .reads = true};
    struct reason why = {""};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    c.dock.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (tty)
        make_raw();
    enum err e = make(&c, words, count, &why);
    if (e == OK)
        e = start(&c, &why);
    if (e != OK) {
        fprintf(stderr, "failed to start command: %s\n", why.text);
        answer_close(&c.dock.output);
        return FAILED;
    }
    tell_size(&c);
    talk(&c);
    answer_close(&c.dock.output);
    return conclude(&c);
}
