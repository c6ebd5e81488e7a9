#include "tree.h"
#include "shim.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static bool put(int dir, const char *file, const char *text)
{
    int fd = openat(dir, file, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = write(fd, text, strlen(text));
    int saved = errno;
    close(fd);
    errno = saved;
    return n >= 0;
}

/* The beginning of a small file. */
static bool get(int dir, const char *file, char *out, size_t room)
{
    out[0] = '\0';
    int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, out, room - 1);
    close(fd);
    if (n < 0)
        return false;
    out[n] = '\0';
    return true;
}

void tree_init(struct tree *t, int kind, const char *cgroup)
{
    *t = (struct tree){.kind = SHIM_TREE_WALK, .cgroup = -1};
    if (kind == SHIM_TREE_WALK || cgroup[0] == '\0')
        return;
    if (mkdir(cgroup, 0755) != 0 && errno != EEXIST)
        return;
    t->cgroup = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->cgroup >= 0)
        t->kind = kind;
}

pid_t tree_fork(struct tree *t)
{
    struct clone_args how = {
        .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)t->cgroup};
    long pid = -1;
    if (t->kind == SHIM_TREE_CGROUP2)
        pid = syscall(SYS_clone3, &how, sizeof how);
    if (pid < 0) /* also on Linux before 5.7 */
        return fork();
    t->inside = pid == 0;
    return (pid_t)pid;
}

bool tree_enter(const struct tree *t)
{
    return t->cgroup < 0 || t->inside || put(t->cgroup, "cgroup.procs", "0");
}

/* The list may be longer than any buffer. */
static void kill_listed(int dir, const char *file)
{
    int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
    char buffer[1024];
    ssize_t n;
    long pid = 0;
    if (fd < 0)
        return;
    while ((n = read(fd, buffer, sizeof buffer)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (buffer[i] >= '0' && buffer[i] <= '9') {
                pid = pid * 10 + (buffer[i] - '0');
            } else if (pid > 0) {
                kill((pid_t)pid, SIGKILL);
                pid = 0;
            }
        }
    }
    close(fd);
}

/* Waits a little until file holds what; rewrites request each time, since v1 may thaw half-frozen
 * groups. */
static void freeze_until(int dir, const char *file, const char *request, const char *state_file,
                         const char *what)
{
    char text[128];
    for (int i = 0; i < 20; i++) {
        put(dir, file, request);
        if (get(dir, state_file, text, sizeof text) && strstr(text, what) != NULL)
            return;
        poll(NULL, 0, 1);
    }
}

static bool kill_cgroup2(const struct tree *t)
{
    char text[256];
    if (!put(t->cgroup, "cgroup.kill", "1")) { /* Linux before 5.14 */
        freeze_until(t->cgroup, "cgroup.freeze", "1", "cgroup.events", "frozen 1");
        kill_listed(t->cgroup, "cgroup.procs");
        put(t->cgroup, "cgroup.freeze", "0");
    }
    return !get(t->cgroup, "cgroup.events", text, sizeof text) ||
           strstr(text, "populated 0") != NULL;
}

static bool kill_freezer(const struct tree *t)
{
    char text[16];
    get(t->cgroup, "cgroup.procs", text, sizeof text);
    if (text[0] == '\0')
        return true;
    freeze_until(t->cgroup, "freezer.state", "FROZEN", "freezer.state", "FROZEN");
    kill_listed(t->cgroup, "cgroup.procs");
    put(t->cgroup, "freezer.state", "THAWED");
    return false;
}

/* Kills pid once its children are known, then them. A parent goes first: what it makes meanwhile
 * becomes our child and is met in the next round. */
static void kill_below(pid_t pid, int depth)
{
    char path[64], list[4096];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
    if (!get(AT_FDCWD, path, list, sizeof list))
        list[0] = '\0';
    if (depth > 0)
        kill(pid, SIGKILL);
    /* A longer list is met again in the next round, too; its last number may be cut: left out. */
    char *cut = strlen(list) == sizeof list - 1 ? strrchr(list, ' ') : NULL;
    if (cut != NULL)
        *cut = '\0';
    for (char *p = list, *next; *p != '\0'; p = next) {
        long child = strtol(p, &next, 10);
        if (next == p)
            break;
        if (depth < 16)
            kill_below((pid_t)child, depth + 1);
        else
            kill((pid_t)child, SIGKILL);
    }
}

static bool has_children(void)
{
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

bool tree_kill_cgroup(const struct tree *t)
{
    if (t->kind == SHIM_TREE_CGROUP2)
        return kill_cgroup2(t);
    return t->kind != SHIM_TREE_FREEZER || kill_freezer(t);
}

bool tree_kill(struct tree *t)
{
    bool empty = tree_kill_cgroup(t);
    kill_below(getpid(), 0);
    return empty && !has_children();
}

/* Without opendir, which would bring the allocator into every shim. */
static void remove_visits(int dir)
{
    struct entry {
        uint64_t ino, off;
        uint16_t len;
        uint8_t type;
        char name[];
    };
    _Alignas(struct entry) char buffer[4096];
    long n;
    while ((n = syscall(SYS_getdents64, dir, buffer, sizeof buffer)) > 0)
        for (long at = 0; at < n;) {
            const struct entry *e = (const void *)(buffer + at);
            if (strncmp(e->name, TREE_VISIT, strlen(TREE_VISIT)) == 0)
                unlinkat(dir, e->name, AT_REMOVEDIR);
            at += e->len;
        }
}

void tree_remove(const char *cgroup)
{
    if (rmdir(cgroup) == 0 || (errno != EBUSY && errno != ENOTEMPTY))
        return;
    int dir = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return;
    remove_visits(dir);
    close(dir);
    rmdir(cgroup);
}
