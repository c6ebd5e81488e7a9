/* A command in a running task, for a client somewhere. A visit of taskshim (shim/visit.h) is its
 * parent; the command's descriptors come here and are the client's. When our end of the visit's
 * socket is closed, the command dies with all it started. */
#include "base/id.h"
#include "channel.h"
#include "launch.h"
#include "sessions.h"
#include "shim/visit.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TERMINAL "TERM=xterm" /* where the task says nothing else */

struct exec_session {
    struct session session;
    char *program; /* for what is told when it cannot be started */
    int visit;     /* -1: none */
    struct watch *watch;
    int terminal; /* -1: none */
};

static struct exec_session *of(struct session *s)
{
    return container_of(s, struct exec_session, session);
}

static void leave_visit(struct exec_session *x)
{
    watch_close(x->watch);
    x->watch = NULL;
    if (x->visit >= 0)
        close(x->visit);
    x->visit = -1;
}

static void stop(struct session *s)
{
    struct exec_session *x = of(s);
    leave_visit(x);
    if (x->terminal >= 0)
        close(x->terminal);
    free(x->program);
    free(x);
}

static void resize(struct session *s, unsigned rows, unsigned columns)
{
    const struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
    if (of(s)->terminal >= 0)
        ioctl(of(s)->terminal, TIOCSWINSZ, &size);
}

struct session *exec_session_new(void)
{
    struct exec_session *x = xcalloc(1, sizeof *x);
    x->session = (struct session){.stop = stop, .resized = resize};
    x->visit = x->terminal = -1;
    return &x->session;
}

/* ---- while it runs */

static void take_streams(struct exec_session *x, const int *fds, size_t count)
{
    struct channel *c = x->session.channel;
    if (count == VISIT_STREAMS_MOST) {
        channel_output(c, fds[1], "stdout");
        channel_output(c, fds[2], "stderr");
        channel_input(c, fds[0], CHANNEL_CLOSE);
        return;
    }
    if (count != 1)
        return;
    int input = fcntl(fds[0], F_DUPFD_CLOEXEC, 0); /* what is watched must not be the same one */
    x->terminal = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
    channel_output(c, fds[0], "stdout");
    if (input >= 0)
        channel_input(c, input, CHANNEL_TERMINAL);
}

static void tell_failure(struct exec_session *x, const struct shim_message *m)
{
    char text[400], error[100];
    snprintf(error, sizeof error, "%s", strerror(m->error));
    error[0] = (char)tolower((unsigned char)error[0]);
    if (strcmp(m->text, "exec") == 0)
        snprintf(text, sizeof text,
                 "rpc error: code = Unknown desc = failed to start command: fork/exec %.200s: %s",
                 x->program, error);
    else
        snprintf(text, sizeof text, "failed to start command: %s: %s", m->text, error);
    channel_fail(x->session.channel, 500, text);
}

static void on_message(struct exec_session *x, struct shim_message *m, const int *fds, size_t count)
{
    m->text[sizeof m->text - 1] = '\0';
    if (m->kind == SHIM_STREAMS)
        take_streams(x, fds, count);
    else if (m->kind == SHIM_START_FAILED)
        tell_failure(x, m);
    else if (m->kind == SHIM_EXITED)
        channel_finish(x->session.channel, m->exit_code);
}

static void on_readable(void *owner, int events)
{
    struct exec_session *x = owner;
    union {
        char bytes[CMSG_SPACE(VISIT_STREAMS_MOST * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct shim_message m;
    struct iovec part = {&m, sizeof m};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control};
    ssize_t n = recvmsg(x->visit, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n != (ssize_t)sizeof m || m.magic != SHIM_MAGIC) { /* it has gone; harmless after its end */
        leave_visit(x);
        channel_fail(x->session.channel, 500, "the command's parent process was killed");
        return;
    }
    int fds[VISIT_STREAMS_MOST];
    size_t count = 0;
    const struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
        count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(c), count * sizeof(int));
    }
    on_message(x, &m, fds, count);
}

/* ---- the beginning */

static struct task_run *find_run(struct runner *r, const Pb__AgentRequest *q)
{
    struct alloc_run *run = map_get_id(r->allocs, q->alloc_id.data);
    for (size_t i = 0; run != NULL && q->task != NULL && i < run->task_count; i++)
        if (strcmp(run->tasks[i].name, q->task) == 0)
            return &run->tasks[i];
    return NULL;
}

/* The answer is the client's when there is none. */
static struct task_run *find_task(struct session *s, const Pb__AgentRequest *q)
{
    struct task_run *t = find_run(session_runner(s), q);
    const char *task = q->task == NULL ? "" : q->task;
    char text[300], id[ID_TEXT_SIZE];
    if (t != NULL && t->shim != NULL)
        return t;
    switch (runner_find(session_runner(s), q->alloc_id.data, task)) {
    case RUNNER_NO_ALLOC:
        id_format(q->alloc_id.data, id);
        snprintf(text, sizeof text, "Unknown allocation \"%s\"", id);
        channel_fail(s->channel, 404, text);
        break;
    case RUNNER_NO_TASK:
        channel_fail(s->channel, 500, "task not found");
        break;
    case RUNNER_NOT_STARTED:
    case RUNNER_FOUND:
        snprintf(text, sizeof text, "task \"%.200s\" is not running.", task);
        channel_fail(s->channel, 400, text);
        break;
    }
    return NULL;
}

static void add_terminal(struct arena *a, struct supervisor_spec *spec)
{
    char **envp = arena_array(a, char *, spec->envc + 1);
    for (size_t i = 0; i < spec->envc; i++) {
        if (strncmp(spec->envp[i], "TERM=", 5) == 0)
            return;
        envp[i] = spec->envp[i];
    }
    envp[spec->envc++] = arena_strdup(a, TERMINAL);
    spec->envp = envp;
}

static enum err run_visit(struct exec_session *x, const struct supervisor_spec *spec,
                          const struct shim_message *task, bool tty, struct reason *why)
{
    char pid[16], start[24];
    int pair[2];
    int memory = supervisor_spec_memory(spec, why);
    if (memory < 0)
        return ERR_INVALID;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        close(memory);
        return reason_errno(why, ERR_IO, "make a socket pair");
    }
    snprintf(pid, sizeof pid, "%d", task->pid);
    snprintf(start, sizeof start, "%llu", (unsigned long long)task->pid_start);
    char pipes[] = "pipes", terminal[] = "tty";
    char *const argv[] = {
        (char[]){"taskshim"}, (char[]){"--visit"}, pid, start, tty ? terminal : pipes, NULL};
    const int fds[] = {memory, pair[1]};
    enum err e = supervisor_run(spec->shim, argv, fds, COUNT_OF(fds), why);
    close(memory);
    close(pair[1]);
    if (e != OK) {
        close(pair[0]);
        return e;
    }
    x->visit = pair[0];
    x->watch = watch_open(session_loop(&x->session), x->visit, WATCH_READ, on_readable, x);
    return OK;
}

static void set_command(const struct launch *l, const Pb__AgentRequest *q,
                        struct supervisor_spec *spec)
{
    struct driver_plan plan = {.program = q->command[0], .argv = q->command, .argc = q->n_command};
    const struct driver_ask ask = {.arena = l->arena,
                                   .task = l->task,
                                   .alloc = l->local->alloc,
                                   .host = l->run->alloc->runner->options.host};
    if (l->driver->exec != NULL)
        l->driver->exec(&ask, q->tty, q->command, q->n_command, &plan);
    spec->program = plan.program;
    spec->argv = plan.argv;
    spec->argc = plan.argc;
}

static enum err visit(struct exec_session *x, struct launch *l, const Pb__AgentRequest *q,
                      struct reason *why)
{
    struct supervisor_spec spec;
    struct shim_message task;
    enum err e = launch_describe(l, &spec, why);
    if (e != OK)
        return e;
    if (!supervisor_last_state(l->shim_dir, &task) || task.kind != SHIM_STARTED)
        return reason_set(why, ERR_NOT_FOUND, "task \"%.200s\" is not running.", l->run->name);
    set_command(l, q, &spec);
    spec.mount_count = 0; /* it finds the task's root made */
    if (q->tty)
        add_terminal(l->arena, &spec);
    return run_visit(x, &spec, &task, q->tty, why);
}

void exec_session_begin(struct session *s, const Pb__AgentRequest *q)
{
    struct reason why;
    struct launch l = {.run = find_task(s, q)};
    if (l.run == NULL)
        return;
    if (q->n_command == 0 || q->command[0][0] == '\0') {
        channel_fail(s->channel, 400, "command is not present");
        return;
    }
    of(s)->program = xstrdup(q->command[0]);
    l.arena = arena_new(RUN_ARENA_CAP);
    enum err e = visit(of(s), &l, q, &why);
    if (e != OK)
        channel_fail(s->channel, e == ERR_NOT_FOUND ? 400 : 500, why.text);
    arena_free(l.arena);
}
