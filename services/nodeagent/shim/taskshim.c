/* taskshim: the parent of one task. It starts the task, keeps its output in size-rotated files,
 * kills it with all it left behind, and holds its exit status until an agent has acknowledged it.
 * It outlives the agent.
 *
 * Hears     nodeagent, on the pair it was started with and on the socket `sock` in its directory
 * Says      lines of output to syslog or journald, if the task wants that
 * Owns      one tree of processes, its two output pipes, the file `state`
 * Signals   none: only an agent's word counts, so all that can be blocked are blocked
 * Memory    one per running task, so every page counts: static, no malloc, one thread, one buffer
 *
 * If it is killed, its task is killed too: a task without a parent has no exit status and would run
 * beside its own replacement. */
#include "child.h"
#include "confine.h"
#include "limits.h"
#include "mock.h"
#include "network.h"
#include "relay.h"
#include "room.h"
#include "rotate.h"
#include "shim.h"
#include "spec.h"
#include "tree.h"
#include "visit.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_AGENTS    4
#define NEVER         INT64_MAX
#define KILL_ROUND_MS 2
/* Then its end is told even if the kernel holds a process fast (a dead disk or network mount). */
#define KILL_GIVE_UP_MS 30000
#define GONE_CHECK_MS   3000

enum phase {
    RUNNING,
    ENDING, /* the first process is gone, the rest is being killed */
    ENDED,
};

struct shim {
    enum phase phase;
    struct shim_message state; /* as it is told */
    int dir, listener, signals;
    int agents[MAX_AGENTS];
    int output[2]; /* read ends: stdout, stderr; -1 closed */
    bool files;    /* output is written to logs */
    bool leaves;   /* once the task has ended, whether or not an agent knows of it */
    struct rotate logs[2];
    struct relay *relay;
    struct tree tree;
    struct room room;
    struct limits limits;
    int64_t kill_at, give_up_at; /* monotonic ms */
    int64_t gone_check_at;       /* likewise: when to see again whether our directory is there */
    char task[256], cgroup[512], controllers[SHIM_CONTROLLERS][512];
};

static char buffer[65536];

static int64_t monotonic_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t wall_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- what is told */

static void save_state(const struct shim *s, bool sync)
{
    int fd =
        openat(s->dir, "state.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return;
    bool whole = write(fd, &s->state, sizeof s->state) == (ssize_t)sizeof s->state;
    if (sync)
        fsync(fd);
    close(fd);
    if (whole && renameat(s->dir, "state.new", s->dir, "state") == 0 && sync)
        fsync(s->dir);
}

static void tell(const struct shim *s, int agent)
{
    send(agent, &s->state, sizeof s->state, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void tell_all(const struct shim *s)
{
    for (int i = 0; i < MAX_AGENTS; i++)
        if (s->agents[i] >= 0)
            tell(s, s->agents[i]);
}

/* Before an end is told: the task's next run makes cgroups of the same names. */
static void remove_cgroups(struct shim *s)
{
    limits_fini(&s->limits, s->controllers);
    if (s->tree.cgroup >= 0)
        tree_remove(s->cgroup);
}

static void set_failed(struct shim *s, int error, const char *what)
{
    if (s->room.init != 0) {
        kill(s->room.init, SIGKILL);
        waitpid(s->room.init, NULL, 0);
    }
    s->state.kind = SHIM_START_FAILED;
    s->state.error = error;
    snprintf(s->state.text, sizeof s->state.text, "%s: %s", what, strerror(error));
    s->state.finished_at = wall_ns();
    s->phase = ENDED;
    remove_cgroups(s);
}

/* ---- starting */

/* Whether the shim reads what the task prints. */
static bool wants_output(const struct shim_spec *h)
{
    return h->max_files > 0 || h->relay != SHIM_RELAY_NONE;
}

/* A task may open its output anew (/dev/stdout), also when it is not ours. */
static void give_streams(const struct shim_spec *h, const int ends[2], int report)
{
    int null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, 0) < 0 || dup2(ends[0], 1) < 0 || dup2(ends[1], 2) < 0)
        child_fails(report, "set up standard streams");
    if (h->set_user && wants_output(h) &&
        (fchown(1, h->uid, h->gid) != 0 || fchown(2, h->uid, h->gid) != 0))
        child_fails(report, "give the task its output");
}

static void take_place(const struct shim *s, const struct spec_view *v, int report)
{
    if (!tree_enter(&s->tree) || !limits_enter(&s->limits))
        child_fails(report, "enter cgroup");
    if (v->head->isolate && !room_enter(&s->room))
        child_fails(report, "enter the task's root");
    const char *failed = network_take(v);
    if (failed != NULL)
        child_fails(report, failed);
    if (!confine_ulimits(v->head))
        child_fails(report, "set ulimit");
    if (v->head->isolate && !confine_bounding_set())
        child_fails(report, "drop capabilities");
    child_become_user(v->head, report);
    /* A change of user takes this back, so it comes after. In a room the init has it. */
    if (!v->head->isolate)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static _Noreturn void run_child(const struct shim *s, const struct spec_view *v, char **vectors,
                                const int ends[2], int report)
{
    child_begin();
    give_streams(v->head, ends, report);
    take_place(s, v, report);
    child_exec(v, vectors, report);
}

static bool prepare_place(struct shim *s, const struct spec_view *v)
{
    for (int i = 0; i < SHIM_CONTROLLERS; i++)
        snprintf(s->controllers[i], sizeof s->controllers[i], "%s", v->controllers[i]);
    tree_init(&s->tree, (int)v->head->tree, v->cgroup);
    const char *failed = limits_init(&s->limits, v);
    if (failed == NULL)
        failed = network_enter(v);
    if (failed == NULL && v->head->isolate)
        failed = room_open(&s->room, v);
    if (failed != NULL)
        set_failed(s, errno, failed);
    return failed == NULL;
}

/* Both ends of the task's output, which may be read by nobody. */
static bool make_output(const struct spec_view *v, int out[2])
{
    if (wants_output(v->head))
        return pipe2(out, O_CLOEXEC) == 0;
    out[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
    return out[1] >= 0;
}

static void start_child(struct shim *s, const struct spec_view *v)
{
    int out[2] = {-1, -1}, err[2] = {-1, -1}, report[2] = {-1, -1};
    size_t size = ((size_t)v->head->argc + v->head->envc + 2) * sizeof(char *);
    char **vectors = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (vectors == MAP_FAILED || !make_output(v, out) || !make_output(v, err) ||
        pipe2(report, O_CLOEXEC) != 0) {
        set_failed(s, errno, "make pipes");
        return;
    }
    spec_vectors(v, vectors);
    pid_t pid = v->head->isolate ? room_fork(&s->room, &s->tree) : tree_fork(&s->tree);
    if (pid == 0)
        run_child(s, v, vectors, (const int[2]){out[1], err[1]}, report[1]);
    int fork_error = errno;
    munmap((void *)vectors, size);
    close(out[1]);
    close(err[1]);
    close(report[1]);
    struct child_error e = {0};
    ssize_t n = pid < 0 ? -1 : read(report[0], &e, sizeof e);
    close(report[0]);
    s->output[0] = out[0];
    s->output[1] = err[0];
    for (int i = 0; i < 2; i++)
        if (s->output[i] >= 0)
            fcntl(s->output[i], F_SETFL, O_NONBLOCK);
    if (pid < 0) {
        set_failed(s, fork_error, "fork");
    } else if (n == (ssize_t)sizeof e) {
        waitpid(pid, NULL, 0);
        e.what[sizeof e.what - 1] = '\0';
        set_failed(s, e.error, e.what);
    } else {
        s->state.kind = SHIM_STARTED;
        s->state.pid = pid;
        s->state.pid_start = child_start_time(pid);
        s->state.started_at = wall_ns();
        relay_begin(s->relay, pid);
    }
}

static void open_logs(struct shim *s, const struct spec_view *v)
{
    int dir = open(v->log_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    snprintf(s->task, sizeof s->task, "%s", v->task);
    s->files = v->head->max_files > 0;
    s->relay = relay_new(v);
    rotate_init(&s->logs[0], dir, s->task, "stdout", v->head->max_files, v->head->max_file_bytes);
    rotate_init(&s->logs[1], dir, s->task, "stderr", v->head->max_files, v->head->max_file_bytes);
}

static bool shim_init(struct shim *s)
{
    struct spec_view v;
    memset(s, 0, sizeof *s);
    s->state.magic = SHIM_MAGIC;
    s->state.version = SHIM_VERSION;
    s->kill_at = s->give_up_at = NEVER;
    s->listener = SHIM_FD_LISTEN;
    for (int i = 0; i < MAX_AGENTS; i++)
        s->agents[i] = -1;
    s->agents[0] = SHIM_FD_AGENT;
    s->output[0] = s->output[1] = -1;
    syscall(SYS_close_range, SHIM_FD_AGENT + 1, ~0U, 0);
    for (int fd = SHIM_FD_SPEC; fd <= SHIM_FD_AGENT; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(s->listener, F_SETFL, O_NONBLOCK);
    if (!spec_map(&v, SHIM_FD_SPEC))
        return false;
    close(SHIM_FD_SPEC);
    setsid();
    prctl(PR_SET_NAME, "taskshim");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    s->dir = open(v.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir < 0 || chdir("/") != 0)
        return false;
    sigset_t all, heard;
    sigfillset(&all);
    sigemptyset(&heard);
    sigaddset(&heard, SIGCHLD);
    sigaddset(&heard, SIGTERM);
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_SETMASK, &all, NULL);
    s->signals = signalfd(-1, &heard, SFD_CLOEXEC | SFD_NONBLOCK);
    snprintf(s->cgroup, sizeof s->cgroup, "%s", v.cgroup);
    open_logs(s, &v);
    bool placed = prepare_place(s, &v);
    /* Moving takes time. A task that is not born in a cgroup of its own must not stay the agent's.
     */
    bool later = s->tree.kind == SHIM_TREE_CGROUP2;
    if (!later)
        child_leave_agents_cgroup(v.shims_cgroup);
    if (placed)
        start_child(s, &v);
    save_state(s, s->phase == ENDED);
    tell_all(s);
    if (later)
        child_leave_agents_cgroup(v.shims_cgroup);
    spec_unmap(&v);
    return true;
}

/* ---- running */

static void take_output(struct shim *s, int i, size_t len)
{
    if (s->files)
        rotate_write(&s->logs[i], buffer, len);
    if (s->relay != NULL)
        relay_write(s->relay, i, buffer, len, monotonic_ms());
    s->state.relay_lost = relay_lost(s->relay);
}

/* False: nothing more will come. */
static bool pump(struct shim *s, int i)
{
    for (int rounds = 0; rounds < 16; rounds++) {
        ssize_t n = read(s->output[i], buffer, sizeof buffer);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        if (n == 0)
            return false;
        take_output(s, i, (size_t)n);
        if (n < (ssize_t)sizeof buffer / 2)
            return true;
    }
    return true;
}

static void pump_all(struct shim *s)
{
    for (int i = 0; i < 2; i++) {
        if (s->output[i] >= 0 && !pump(s, i)) {
            close(s->output[i]);
            s->output[i] = -1;
        }
    }
}

static void on_task_end(struct shim *s, int status, const struct rusage *usage)
{
    s->state.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    s->state.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    s->state.max_rss_kb = (uint64_t)usage->ru_maxrss;
    s->state.finished_at = wall_ns();
    s->phase = ENDING;
    s->kill_at = NEVER;
    s->give_up_at = monotonic_ms() + KILL_GIVE_UP_MS;
}

static void reap(struct shim *s)
{
    int status;
    pid_t pid;
    struct rusage usage;
    while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0)
        if (pid == s->state.pid && s->phase == RUNNING)
            on_task_end(s, status, &usage);
}

/* Whatever the first process left behind goes too; then the last output is written and the end is
 * told. */
static void end_rest(struct shim *s)
{
    bool empty = tree_kill(&s->tree);
    reap(s);
    if (!empty && monotonic_ms() < s->give_up_at)
        return;
    for (int i = 0; i < 2; i++) {
        while (s->output[i] >= 0) {
            ssize_t n = read(s->output[i], buffer, sizeof buffer);
            if (n > 0) {
                take_output(s, i, (size_t)n);
            } else if (n == 0 || errno != EINTR) {
                close(s->output[i]);
                s->output[i] = -1;
            }
        }
        rotate_fini(&s->logs[i]);
    }
    relay_end(s->relay, monotonic_ms());
    s->state.relay_lost = relay_lost(s->relay);
    s->state.oom_kills = limits_oom_kills(&s->limits);
    remove_cgroups(s);
    s->phase = ENDED;
    s->state.kind = SHIM_EXITED;
    save_state(s, true);
    tell_all(s);
}

static void signal_task(const struct shim *s, int number)
{
    /* Not reaped yet in this phase, so the pid is still its own. */
    if (s->phase == RUNNING && number > 0 && number < 65)
        kill(s->state.pid, number);
}

static void on_message(struct shim *s, int agent, const struct shim_message *m)
{
    switch (m->kind) {
    case SHIM_STATUS:
        tell(s, agent);
        break;
    case SHIM_SIGNAL:
        signal_task(s, m->signal);
        break;
    case SHIM_KILL: {
        int64_t at = monotonic_ms() + (int64_t)m->timeout_ms;
        signal_task(s, m->signal);
        if (s->phase == RUNNING && at < s->kill_at)
            s->kill_at = at;
        break;
    }
    case SHIM_ACK:
        /* sock and state stay: the agent may have made those of the task's next run by now. */
        if (s->phase == ENDED)
            _exit(0);
        break;
    default:
        break;
    }
}

static void on_agent(struct shim *s, int i)
{
    struct shim_message m;
    ssize_t n = recv(s->agents[i], &m, sizeof m, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n != (ssize_t)sizeof m || m.magic != SHIM_MAGIC) {
        close(s->agents[i]);
        s->agents[i] = -1;
        return;
    }
    on_message(s, s->agents[i], &m);
}

static void accept_agent(struct shim *s)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 ||
        (peer.uid != 0 && peer.uid != geteuid())) {
        close(fd);
        return;
    }
    int i = 0;
    while (i < MAX_AGENTS - 1 && s->agents[i] >= 0)
        i++;
    if (s->agents[i] >= 0) /* the newest agent is the one that counts */
        close(s->agents[i]);
    s->agents[i] = fd;
    tell(s, fd);
}

static bool is_alone(const struct shim *s)
{
    for (int i = 0; i < MAX_AGENTS; i++)
        if (s->agents[i] >= 0)
            return false;
    return true;
}

/* at: the next thing to be done by time. */
static int poll_timeout(const struct shim *s, int64_t at)
{
    if (s->phase == ENDING)
        return KILL_ROUND_MS;
    if (s->phase == ENDED)
        return GONE_CHECK_MS;
    if (at == NEVER)
        return is_alone(s) ? GONE_CHECK_MS : -1;
    int64_t left = at - monotonic_ms();
    return left < 0 ? 0 : left > 3600000 ? 3600000 : (int)left;
}

/* Without an agent, and its directory removed: nobody can find us any more, to ask or to stop the
 * task. */
static void leave_if_forgotten(struct shim *s)
{
    struct stat st;
    if (!is_alone(s) || fstat(s->dir, &st) != 0 || st.st_nlink != 0)
        return;
    if (s->phase == ENDED)
        _exit(0);
    tree_kill(&s->tree);
}

static void turn(struct shim *s)
{
    int64_t at = s->kill_at;
    int relay = s->phase == ENDED ? -1 : relay_waits(s->relay, &at);
    struct pollfd fds[5 + MAX_AGENTS] = {
        {s->signals, POLLIN, 0},
        {s->listener, POLLIN, 0},
        {s->output[0], POLLIN, 0},
        {s->output[1], POLLIN, 0},
    };
    for (int i = 0; i < MAX_AGENTS; i++)
        fds[4 + i] = (struct pollfd){s->agents[i], POLLIN, 0};
    fds[4 + MAX_AGENTS] = (struct pollfd){relay, POLLOUT, 0};
    int n = poll(fds, 5 + MAX_AGENTS, poll_timeout(s, at));
    if (s->phase != ENDING && monotonic_ms() >= s->gone_check_at) { /* however busy the task is */
        s->gone_check_at = monotonic_ms() + GONE_CHECK_MS;
        leave_if_forgotten(s);
    }
    if (n > 0 && fds[0].revents) {
        struct signalfd_siginfo info;
        while (read(s->signals, &info, sizeof info) > 0)
            s->leaves = s->leaves || info.ssi_signo == SIGTERM;
        reap(s);
    }
    if (s->phase != ENDED) {
        relay_flush(s->relay, monotonic_ms());
        pump_all(s);
    }
    for (int i = 0; n > 0 && i < MAX_AGENTS; i++)
        if (fds[4 + i].revents)
            on_agent(s, i);
    if (n > 0 && fds[1].revents)
        accept_agent(s);
    if (s->phase == RUNNING && monotonic_ms() >= s->kill_at)
        tree_kill(&s->tree); /* the first process dies of it and is reaped in the next turn */
    if (s->phase == ENDING)
        end_rest(s);
    if (s->phase == ENDED && s->leaves)
        _exit(0);
}

static int say_whether_we_can_isolate(void)
{
    const char *missing = room_probe();
    if (missing != NULL && write(STDOUT_FILENO, missing, strlen(missing)) < 0)
        return 2;
    return missing == NULL ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--mock") == 0)
        return mock_main(argc - 2, argv + 2);
    if (argc > 1 && strcmp(argv[1], "--visit") == 0)
        return visit_main(argc - 2, argv + 2);
    if (argc > 1 && strcmp(argv[1], "--can-isolate") == 0)
        return say_whether_we_can_isolate();
    struct shim s;
    if (argc != 1 || !shim_init(&s)) {
        static const char text[] = "taskshim is started by nodeagent, one for each task\n";
        return write(STDERR_FILENO, text, sizeof text - 1) < 0 ? 1 : 2;
    }
    for (;;)
        turn(&s);
}
