#include "visit.h"
#include "child.h"
#include "confine.h"
#include "limits.h"
#include "spec.h"
#include "tree.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HANG_UP_MS    1000 /* for the command to end by itself, once its client or task has gone */
#define KILL_ROUND_MS 2
#define KILL_ROUNDS   15000 /* then its end is told even if the kernel holds a process fast */

struct visit {
    struct spec_view spec;
    struct tree tree;
    struct limits limits;
    char cgroup[600];
    int signals;
    int task; /* pidfd of the task's first process */
    int namespaces;
    bool tty;
    pid_t child;
    struct shim_message state;
};

/* ---- to the agent */

static void tell(const struct shim_message *m, const int *fds, size_t count)
{
    union {
        char bytes[CMSG_SPACE(VISIT_STREAMS_MOST * sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec part = {(void *)(uintptr_t)m, sizeof *m};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, count * sizeof(int));
    }
    sendmsg(VISIT_FD_AGENT, &message, MSG_NOSIGNAL);
}

static void tell_streams(const int *fds, size_t count)
{
    tell(&(struct shim_message){.magic = SHIM_MAGIC, .version = SHIM_VERSION, .kind = SHIM_STREAMS},
         fds, count);
}

static int fail(struct visit *v, int error, const char *what)
{
    v->state.kind = SHIM_START_FAILED;
    v->state.error = error;
    snprintf(v->state.text, sizeof v->state.text, "%s", what);
    tell(&v->state, NULL, 0);
    if (v->tree.cgroup >= 0)
        rmdir(v->cgroup);
    return 1;
}

/* ---- the command's side of the fork */

/* A terminal of the task's own /dev, so that the command finds its name there. */
static void take_terminal(const struct shim_spec *h, int report)
{
    int unlocked = 0;
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || ioctl(master, TIOCSPTLCK, &unlocked) != 0)
        child_fails(report, "open a terminal");
    int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0 || (h->set_user && fchown(slave, h->uid, (gid_t)-1) != 0) ||
        ioctl(slave, TIOCSCTTY, 0) != 0)
        child_fails(report, "take the terminal");
    for (int fd = 0; fd < 3; fd++)
        if (dup2(slave, fd) < 0)
            child_fails(report, "set up standard streams");
    tell_streams(&master, 1);
    close(master);
    close(slave);
}

static void take_pipes(const struct shim_spec *h, const int ends[3], int report)
{
    for (int fd = 0; fd < 3; fd++)
        if (dup2(ends[fd], fd) < 0 || (h->set_user && fchown(fd, h->uid, h->gid) != 0))
            child_fails(report, "set up standard streams");
}

static void enter(const struct visit *v, int report)
{
    const struct shim_spec *h = v->spec.head;
    if (!tree_enter(&v->tree) || !limits_enter(&v->limits))
        child_fails(report, "enter the task's cgroup");
    if (v->namespaces != 0 && setns(v->task, v->namespaces) != 0)
        child_fails(report, "enter the task's namespaces");
    if (!confine_ulimits(h))
        child_fails(report, "set ulimit");
    if (h->isolate && !confine_bounding_set())
        child_fails(report, "drop capabilities");
}

static _Noreturn void run_child(const struct visit *v, char **vectors, const int ends[3],
                                int report)
{
    const struct shim_spec *h = v->spec.head;
    child_begin();
    enter(v, report);
    if (v->tty)
        take_terminal(h, report);
    else
        take_pipes(h, ends, report);
    child_become_user(h, report);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of user takes this back, so it comes after */
    child_exec(&v->spec, vectors, report);
}

/* ---- starting */

static bool is_elsewhere(pid_t pid, const char *kind)
{
    char ours[64], theirs[64];
    struct stat a, b;
    snprintf(ours, sizeof ours, "/proc/self/ns/%s", kind);
    snprintf(theirs, sizeof theirs, "/proc/%d/ns/%s", pid, kind);
    return stat(ours, &a) == 0 && stat(theirs, &b) == 0 && a.st_ino != b.st_ino;
}

/* Those of the task that are not ours. */
static int other_namespaces(pid_t pid)
{
    static const struct {
        const char *name;
        int flag;
    } kinds[] = {{"mnt", CLONE_NEWNS},
                 {"pid", CLONE_NEWPID},
                 {"ipc", CLONE_NEWIPC},
                 {"uts", CLONE_NEWUTS},
                 {"net", CLONE_NEWNET}};
    int flags = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (is_elsewhere(pid, kinds[i].name))
            flags |= kinds[i].flag;
    return flags;
}

/* NULL, or what could not be done. */
static const char *find_task(struct visit *v, pid_t pid, uint64_t start)
{
    v->task = (int)syscall(SYS_pidfd_open, pid, 0);
    if (v->task < 0 || child_start_time(pid) != start) {
        errno = ESRCH;
        return "find the task";
    }
    /* A task of an agent that is not root: only in its user namespace may we enter the others. */
    if (is_elsewhere(pid, "user") && setns(v->task, CLONE_NEWUSER) != 0)
        return "enter the task's user namespace";
    v->namespaces = other_namespaces(pid);
    /* Of processes, only those to come can be moved into another pid namespace. */
    if ((v->namespaces & CLONE_NEWPID) != 0 && setns(v->task, CLONE_NEWPID) != 0)
        return "enter the task's namespaces";
    v->namespaces &= ~CLONE_NEWPID;
    return NULL;
}

/* Below the task's: its limits hold for us, its end is ours, and what we start can be told from
 * it. */
static void find_cgroups(struct visit *v)
{
    const struct spec_view *s = &v->spec;
    snprintf(v->cgroup, sizeof v->cgroup, "%s/" TREE_VISIT "%d", s->cgroup, getpid());
    tree_init(&v->tree, s->cgroup[0] == '\0' ? SHIM_TREE_WALK : (int)s->head->tree, v->cgroup);
    limits_find(&v->limits, s);
    for (int i = 0; i < SHIM_CONTROLLERS; i++) /* the same hierarchy: we are in it already */
        if (v->limits.two && v->tree.cgroup >= 0 && v->limits.dirs[i] >= 0) {
            close(v->limits.dirs[i]);
            v->limits.dirs[i] = -1;
        }
}

static bool make_pipes(int ours[3], int theirs[3])
{
    for (int i = 0; i < 3; i++) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0)
            return false;
        ours[i] = i == 0 ? ends[1] : ends[0];
        theirs[i] = i == 0 ? ends[0] : ends[1];
    }
    return true;
}

static bool start(struct visit *v)
{
    int ours[3] = {-1, -1, -1}, theirs[3] = {-1, -1, -1}, report[2];
    const struct shim_spec *h = v->spec.head;
    size_t size = ((size_t)h->argc + h->envc + 2) * sizeof(char *);
    char **vectors = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (vectors == MAP_FAILED || pipe2(report, O_CLOEXEC) != 0 ||
        (!v->tty && !make_pipes(ours, theirs))) {
        fail(v, errno, "make pipes");
        return false;
    }
    spec_vectors(&v->spec, vectors);
    v->child = fork();
    if (v->child == 0)
        run_child(v, vectors, theirs, report[1]);
    int fork_error = errno;
    struct child_error e = {0};
    close(report[1]);
    if (!v->tty)
        tell_streams(ours, 3);
    for (int i = 0; i < 3 && !v->tty; i++) {
        close(ours[i]);
        close(theirs[i]);
    }
    ssize_t n = v->child < 0 ? -1 : read(report[0], &e, sizeof e);
    close(report[0]);
    if (v->child >= 0 && n != (ssize_t)sizeof e)
        return true;
    if (v->child > 0)
        waitpid(v->child, NULL, 0);
    e.what[sizeof e.what - 1] = '\0';
    fail(v, v->child < 0 ? fork_error : e.error, v->child < 0 ? "fork" : e.what);
    return false;
}

/* ---- running */

/* Whether the command's first process has ended. */
static bool reap(struct visit *v)
{
    int status;
    pid_t pid;
    bool ended = false;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != v->child)
            continue;
        v->state.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        v->state.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        ended = true;
    }
    return ended;
}

/* Until the command has ended, or must. True: it has. */
static bool wait_for_end(struct visit *v)
{
    struct pollfd fds[] = {
        {v->signals, POLLIN, 0}, {VISIT_FD_AGENT, POLLIN, 0}, {v->task, POLLIN, 0}};
    for (;;) {
        struct signalfd_siginfo info;
        if (poll(fds, 3, -1) < 0)
            continue;
        while (read(v->signals, &info, sizeof info) > 0)
            continue;
        if (reap(v))
            return true;
        if (fds[1].revents != 0 || fds[2].revents != 0)
            return false;
    }
}

/* As when a terminal is lost. */
static void hang_up(struct visit *v)
{
    struct pollfd ended = {v->signals, POLLIN, 0};
    kill(v->child, SIGHUP);
    if (poll(&ended, 1, HANG_UP_MS) > 0)
        reap(v);
}

static void kill_all(struct visit *v)
{
    for (int i = 0; i < KILL_ROUNDS; i++) {
        bool empty = tree_kill(&v->tree);
        reap(v);
        if (empty)
            return;
        poll(NULL, 0, KILL_ROUND_MS);
    }
}

static bool prepare(struct visit *v)
{
    syscall(SYS_close_range, VISIT_FD_AGENT + 1, ~0U, 0);
    fcntl(SHIM_FD_SPEC, F_SETFD, FD_CLOEXEC);
    fcntl(VISIT_FD_AGENT, F_SETFD, FD_CLOEXEC);
    if (!spec_map(&v->spec, SHIM_FD_SPEC))
        return false;
    setsid();
    prctl(PR_SET_NAME, "taskvisit");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigset_t all, chld;
    sigfillset(&all);
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_SETMASK, &all, NULL);
    v->signals = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
    child_leave_agents_cgroup(v->spec.shims_cgroup);
    return v->signals >= 0 && chdir("/") == 0;
}

int visit_main(int argc, char **argv)
{
    struct visit v = {.tree = {.cgroup = -1},
                      .state = {.magic = SHIM_MAGIC, .version = SHIM_VERSION}};
    if (argc != 3 || !prepare(&v))
        return 2;
    v.tty = strcmp(argv[2], "tty") == 0;
    const char *failed =
        find_task(&v, (pid_t)strtol(argv[0], NULL, 10), strtoull(argv[1], NULL, 10));
    if (failed != NULL)
        return fail(&v, errno, failed);
    find_cgroups(&v);
    if (!start(&v))
        return 1;
    v.state.kind = SHIM_STARTED;
    v.state.pid = v.child;
    tell(&v.state, NULL, 0);
    if (!wait_for_end(&v))
        hang_up(&v);
    kill_all(&v);
    if (v.tree.cgroup >= 0)
        rmdir(v.cgroup);
    v.state.kind = SHIM_EXITED;
    tell(&v.state, NULL, 0);
    return 0;
}
