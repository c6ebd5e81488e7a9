#include "suite.h"
#include "base/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BACKOFF_MIN_MS = 20, BACKOFF_MAX_MS = 5000, STEADY_MS = 5000, EXIT_USAGE = 2 };

static void own_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGCHLD);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
}

void suite_init(struct suite *s, const char *log_dir, const char *state_path)
{
    sigset_t set;
    memset(s, 0, sizeof *s);
    own_signals(&set);
    must(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    must(s->signal_fd >= 0);
    s->log_dir = log_dir;
    s->state_path = state_path;
}

struct member *suite_add(struct suite *s, const char *label, int stop_stage, uint64_t stop_ms,
                         const char *const *argv)
{
    must(s->count < SUITE_MAX_MEMBERS);
    struct member *m = &s->members[s->count++];
    snprintf(m->label, sizeof m->label, "%s", label);
    m->stop_stage = stop_stage;
    m->stop_ms = stop_ms;
    for (size_t i = 0; argv[i] != NULL; i++) {
        must(i + 1 < COUNT_OF(m->argv));
        m->argv[i] = xstrdup(argv[i]);
    }
    return m;
}

/* Whoever wants to know which process is which reads it here: people, and tests that kill. */
static void state_write(const struct suite *s)
{
    char temp[4200];
    snprintf(temp, sizeof temp, "%s.new", s->state_path);
    FILE *f = fopen(temp, "we");
    if (f == NULL)
        return;
    for (int i = 0; i < s->count; i++)
        fprintf(f, "%s %ld %u\n", s->members[i].label, (long)s->members[i].pid,
                s->members[i].restarts);
    if (fclose(f) == 0)
        rename(temp, s->state_path);
}

static int log_open(const struct suite *s, const struct member *m, int flags)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/%s.log", s->log_dir, m->label);
    return open(path, flags | O_CLOEXEC, 0640);
}

/* Between fork and exec: only what is safe there. */
_Noreturn static void child(const struct member *m, int log_fd, pid_t parent)
{
    sigset_t none;
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setsid(); /* Ctrl-C in the terminal is for our parent only: it stops us in order */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1); /* it died before prctl */
    if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0)
        _exit(1);
    execv(m->argv[0], m->argv);
    dprintf(2, "cannot execute %s: %s\n", m->argv[0], strerror(errno));
    _exit(EXIT_USAGE);
}

static enum err member_start(struct suite *s, struct member *m, struct reason *why)
{
    pid_t parent = getpid();
    int log_fd = log_open(s, m, O_WRONLY | O_CREAT | O_APPEND);
    if (log_fd < 0)
        return reason_errno(why, ERR_IO, "cannot open the log of %s in %s", m->label, s->log_dir);
    pid_t pid = fork();
    if (pid == 0)
        child(m, log_fd, parent);
    close(log_fd);
    if (pid < 0)
        return reason_errno(why, ERR_UNAVAILABLE, "cannot start %s", m->label);
    m->pid = pid;
    m->started_ms = clock_monotonic_ms();
    m->restart_at_ms = 0;
    return OK;
}

enum err suite_start(struct suite *s, struct reason *why)
{
    for (int i = 0; i < s->count; i++) {
        enum err e = member_start(s, &s->members[i], why);
        if (e != OK)
            return e;
    }
    state_write(s);
    return OK;
}

static struct member *member_of(struct suite *s, pid_t pid)
{
    for (int i = 0; i < s->count; i++)
        if (s->members[i].pid == pid)
            return &s->members[i];
    return NULL;
}

static void describe_end(int status, char *out, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(out, size, "killed by signal %d", WTERMSIG(status));
    else
        snprintf(out, size, "exited %d", WEXITSTATUS(status));
}

/* A steady one is started again at once; one that keeps dying waits longer each time. */
static void plan_restart(struct suite *s, struct member *m, int status)
{
    uint64_t now = clock_monotonic_ms();
    char end[40];
    describe_end(status, end, sizeof end);
    if (now - m->started_ms >= STEADY_MS)
        m->backoff_ms = 0;
    m->restart_at_ms = now + m->backoff_ms;
    m->restart_at_ms += m->restart_at_ms == 0;
    if (s->announce) {
        printf("%s %s; starting it again%s\n", m->label, end,
               m->backoff_ms >= 1000 ? " in a moment" : "");
        fflush(stdout);
    }
    m->backoff_ms = m->backoff_ms == 0 ? BACKOFF_MIN_MS : 2 * m->backoff_ms;
    m->backoff_ms = m->backoff_ms > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : m->backoff_ms;
}

/* Buries all that have died. Gives one that has given up now, if there is one. */
static struct member *reap(struct suite *s, bool restart)
{
    struct member *gone = NULL;
    int status;
    pid_t pid;
    bool changed = false;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct member *m = member_of(s, pid);
        if (m == NULL)
            continue;
        changed = true;
        m->pid = 0;
        if (!restart)
            continue;
        if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_USAGE) {
            m->given_up = true;
            gone = m;
        } else {
            plan_restart(s, m, status);
        }
    }
    if (changed)
        state_write(s);
    return gone;
}

static void start_due(struct suite *s)
{
    uint64_t now = clock_monotonic_ms();
    bool changed = false;
    for (int i = 0; i < s->count; i++) {
        struct member *m = &s->members[i];
        if (m->restart_at_ms == 0 || m->restart_at_ms > now)
            continue;
        struct reason why;
        if (member_start(s, m, &why) == OK) {
            m->restarts++;
            changed = true;
        } else {
            m->restart_at_ms = now + BACKOFF_MAX_MS;
        }
    }
    if (changed)
        state_write(s);
}

static int until_next_restart(const struct suite *s, int wait_ms)
{
    uint64_t now = clock_monotonic_ms();
    for (int i = 0; i < s->count; i++) {
        uint64_t at = s->members[i].restart_at_ms;
        if (at == 0)
            continue;
        int left = at > now ? (int)(at - now) : 0;
        wait_ms = wait_ms < 0 || left < wait_ms ? left : wait_ms;
    }
    return wait_ms;
}

/* Takes what is pending. True: we were asked to stop. */
static bool signals_take(struct suite *s)
{
    struct signalfd_siginfo info;
    bool stop = false;
    while (read(s->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        stop = stop || info.ssi_signo != SIGCHLD;
    return stop;
}

enum suite_event suite_step(struct suite *s, int wait_ms, struct member **gone)
{
    struct pollfd p = {.fd = s->signal_fd, .events = POLLIN};
    poll(&p, 1, until_next_restart(s, wait_ms));
    bool stop = signals_take(s);
    *gone = reap(s, !stop);
    if (stop)
        return SUITE_STOP_ASKED;
    start_due(s);
    return *gone != NULL ? SUITE_MEMBER_GONE : SUITE_NOTHING;
}

static void signal_stage(struct suite *s, int stage, int signal)
{
    for (int i = 0; i < s->count; i++)
        if (s->members[i].stop_stage == stage && s->members[i].pid != 0)
            kill(s->members[i].pid, signal);
}

static bool stage_runs(const struct suite *s, int stage, uint64_t *stop_ms)
{
    bool runs = false;
    *stop_ms = 0;
    for (int i = 0; i < s->count; i++) {
        const struct member *m = &s->members[i];
        if (m->stop_stage != stage || m->pid == 0)
            continue;
        runs = true;
        *stop_ms = m->stop_ms > *stop_ms ? m->stop_ms : *stop_ms;
    }
    return runs;
}

static void stop_stage(struct suite *s, int stage)
{
    uint64_t stop_ms;
    if (!stage_runs(s, stage, &stop_ms))
        return;
    uint64_t deadline = clock_monotonic_ms() + stop_ms;
    signal_stage(s, stage, SIGTERM);
    for (uint64_t unused; stage_runs(s, stage, &unused);) {
        uint64_t now = clock_monotonic_ms();
        struct pollfd p = {.fd = s->signal_fd, .events = POLLIN};
        poll(&p, 1, now < deadline ? (int)(deadline - now) : 1000);
        if (signals_take(s) || clock_monotonic_ms() >= deadline)
            signal_stage(s, stage, SIGKILL);
        reap(s, false);
    }
}

void suite_stop(struct suite *s)
{
    int last = 0;
    for (int i = 0; i < s->count; i++) {
        s->members[i].restart_at_ms = 0;
        last = s->members[i].stop_stage > last ? s->members[i].stop_stage : last;
    }
    for (int stage = 0; stage <= last; stage++)
        stop_stage(s, stage);
    state_write(s);
    for (int i = 0; i < s->count; i++) {
        for (size_t k = 0; s->members[i].argv[k] != NULL; k++) {
            free(s->members[i].argv[k]);
            s->members[i].argv[k] = NULL;
        }
    }
}

void suite_log_tail(const struct suite *s, const struct member *m, char *out, size_t size)
{
    out[0] = '\0';
    int fd = log_open(s, m, O_RDONLY);
    if (fd < 0)
        return;
    off_t end = lseek(fd, 0, SEEK_END);
    off_t from = end > (off_t)size - 1 ? end - (off_t)size + 1 : 0;
    ssize_t n = pread(fd, out, size - 1, from);
    close(fd);
    out[n > 0 ? n : 0] = '\0';
}
