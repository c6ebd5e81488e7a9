#include "room.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROOM_NAMESPACES (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC)

struct failure {
    int error;
    char what[200];
};

/* ---- whose the room is */

static bool put(const char *file, const char *text)
{
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool whole = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return whole;
}

/* Who is not root may make a room only where it is: within a user namespace, in which there is
 * nobody but itself. NULL, or what could not be done. */
static const char *own_users(void)
{
    char users[64], groups[64];
    if (geteuid() == 0)
        return NULL;
    snprintf(users, sizeof users, "%u %u 1", geteuid(), geteuid());
    snprintf(groups, sizeof groups, "%u %u 1", getegid(), getegid());
    if (unshare(CLONE_NEWUSER) != 0)
        return "make a user namespace";
    return put("/proc/self/setgroups", "deny") && put("/proc/self/uid_map", users) &&
                   put("/proc/self/gid_map", groups)
               ? NULL
               : "write down who is in the user namespace";
}

/* ---- the root: relative paths below the new root, which is the working directory */

/* As who has that root finds it: a link that a task has left in a directory of its own leads to
 * nothing of the host's. */
static int open_in_root(const char *path, int flags)
{
    const struct open_how how = {.flags = (unsigned)(flags | O_PATH | O_CLOEXEC),
                                 .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    for (int i = 0;; i++) {
        int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
        /* EAGAIN: something was renamed meanwhile and the kernel could not be sure; ask again. */
        if (fd >= 0 || errno != EAGAIN || i == 16)
            return fd;
    }
}

/* The directory that the place lies in, and in *name what it is called there; makes what leads to
 * it. path: changed. */
static int open_above(char *path, const char **name)
{
    int dir = open_in_root(".", O_DIRECTORY);
    *name = path;
    for (char *p = path; dir >= 0 && (p = strchr(p, '/')) != NULL; *p++ = '/') {
        *p = '\0';
        int below = open_in_root(path, O_DIRECTORY);
        if (below < 0 && errno == ENOENT && mkdirat(dir, *name, 0755) == 0)
            below = open_in_root(path, O_DIRECTORY);
        int saved = errno;
        close(dir);
        errno = saved;
        dir = below;
        *name = p + 1;
    }
    return dir;
}

static bool copy_place(const char *place, char *path, size_t room)
{
    size_t len = strlen(place);
    while (len > 0 && place[len - 1] == '/')
        len--;
    if (len > 0 && len < room) {
        memcpy(path, place, len);
        path[len] = '\0';
        return true;
    }
    errno = len == 0 ? EINVAL : ENAMETOOLONG;
    return false;
}

/* A directory, or a file to mount a file on; makes it, and what leads there. -1: errno says why. */
static int make_place(const char *place, bool directory)
{
    char path[512];
    const char *name;
    int dir = copy_place(place, path, sizeof path) ? open_above(path, &name) : -1;
    if (dir < 0)
        return -1;
    int made = directory ? mkdirat(dir, name, 0755)
                         : openat(dir, name, O_CREAT | O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0644);
    int saved = errno;
    if (!directory && made >= 0)
        close(made);
    close(dir);
    errno = saved;
    return made >= 0 || (directory && errno == EEXIST) ? open_in_root(path, 0) : -1;
}

static bool make_link(const char *place, const char *target)
{
    char path[512];
    const char *name;
    int dir = copy_place(place, path, sizeof path) ? open_above(path, &name) : -1;
    if (dir < 0)
        return false;
    unlinkat(dir, name, 0);
    bool made = symlinkat(target, dir, name) == 0;
    int saved = errno;
    close(dir);
    errno = saved;
    return made;
}

/* Linux before 5.12. What is mounted below the source does not show: it could not be made read-only
 * in one step. */
static bool bind_old(const struct spec_mount *m)
{
    unsigned long flags =
        (m->device ? MS_NOEXEC : MS_NODEV) | (m->writable ? MS_NOSUID : MS_RDONLY);
    return mount(m->source, m->place, NULL, MS_BIND, NULL) == 0 &&
           mount(NULL, m->place, NULL, MS_REMOUNT | MS_BIND | flags, NULL) == 0;
}

static bool bind_tree(const struct spec_mount *m, int place)
{
    struct mount_attr attr = {
        .attr_set = (m->device ? MOUNT_ATTR_NOEXEC : MOUNT_ATTR_NODEV) |
                    (m->writable ? MOUNT_ATTR_NOSUID : MOUNT_ATTR_RDONLY),
        .propagation = MS_PRIVATE,
    };
    int tree =
        (int)syscall(SYS_open_tree, AT_FDCWD, m->source,
                     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW);
    if (tree < 0)
        return errno == ENOSYS && bind_old(m);
    bool made = false;
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) == 0)
        made = syscall(SYS_move_mount, tree, "", place, "",
                       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0;
    else if (errno == ENOSYS)
        made = bind_old(m);
    int saved = errno;
    close(tree);
    errno = saved;
    return made;
}

static bool bind_at_place(const struct spec_mount *m, bool directory)
{
    int place = make_place(m->place, directory);
    if (place < 0)
        return false;
    bool made = bind_tree(m, place);
    int saved = errno;
    close(place);
    errno = saved;
    return made;
}

/* A link of the host (/bin to usr/bin) becomes one here. What the host lacks is left out, unless
 * the task is to write there. */
static bool bring_in(const struct spec_mount *m)
{
    struct stat st;
    char target[512];
    if (lstat(m->source, &st) != 0)
        return errno == ENOENT && !m->writable;
    if (!S_ISLNK(st.st_mode))
        return bind_at_place(m, S_ISDIR(st.st_mode));
    errno = ELOOP;
    ssize_t n = m->writable ? -1 : readlink(m->source, target, sizeof target - 1);
    if (n < 0)
        return false;
    target[n] = '\0';
    return make_link(m->place, target);
}

static bool make_devices(void)
{
    static const char *const devices[] = {"null", "zero", "full", "random", "urandom", "tty"};
    static const char *const links[][2] = {
        {"/proc/self/fd", "dev/fd"},       {"/proc/self/fd/0", "dev/stdin"},
        {"/proc/self/fd/1", "dev/stdout"}, {"/proc/self/fd/2", "dev/stderr"},
        {"pts/ptmx", "dev/ptmx"},
    };
    if (mkdir("dev", 0755) != 0 ||
        mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=64k") != 0)
        return false;
    for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++) {
        char source[32], place[32];
        snprintf(source, sizeof source, "/dev/%s", devices[i]);
        snprintf(place, sizeof place, "dev/%s", devices[i]);
        int made = make_place(place, false);
        if (made < 0 || close(made) != 0 || mount(source, place, NULL, MS_BIND, NULL) != 0)
            return false;
    }
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
        if (symlink(links[i][0], links[i][1]) != 0)
            return false;
    return mkdir("dev/shm", 0755) == 0 && mkdir("dev/pts", 0755) == 0 &&
           mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                 "mode=1777,size=64m") == 0 &&
           mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
                 "newinstance,ptmxmode=0666,mode=0620") == 0;
}

/* A task that runs as root could turn the host's knobs by their files' modes alone. */
static bool guard_proc(void)
{
    static const char *const files[] = {"proc/sys", "proc/sysrq-trigger", "proc/irq", "proc/bus",
                                        "proc/fs"};
    static const char *const secrets[] = {"proc/kcore", "proc/keys", "proc/timer_list"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (access(files[i], F_OK) != 0)
            continue;
        if (mount(files[i], files[i], NULL, MS_BIND, NULL) != 0 ||
            mount(NULL, files[i], NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) != 0)
            return false;
    }
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
        if (access(secrets[i], F_OK) == 0 &&
            mount("dev/null", secrets[i], NULL, MS_BIND, NULL) != 0)
            return false;
    return true;
}

/* A sysfs of one's own shows a network of one's own: who has none gets the node's. */
static bool make_sys(unsigned long flags)
{
    const struct spec_mount nodes = {.source = "/sys", .place = "sys"};
    return mount("sysfs", "sys", "sysfs", flags | MS_RDONLY, NULL) == 0 ||
           (errno == EPERM && bind_at_place(&nodes, true));
}

static bool make_system(bool as_root)
{
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    return mkdir("proc", 0755) == 0 && mkdir("sys", 0755) == 0 &&
           mount("proc", "proc", "proc", flags, NULL) == 0 && make_sys(flags) && make_devices() &&
           (!as_root || guard_proc());
}

/* pivot_root refuses on a machine that runs from its initial ramdisk. */
static bool become_root(void)
{
    if (syscall(SYS_pivot_root, ".", ".") == 0)
        return umount2(".", MNT_DETACH) == 0 && chdir("/") == 0;
    return errno == EINVAL && mount(".", "/", NULL, MS_MOVE, NULL) == 0 && chroot(".") == 0 &&
           chdir("/") == 0;
}

static bool fails(struct failure *f, const char *what, const char *of)
{
    f->error = errno;
    snprintf(f->what, sizeof f->what, "%s%s%s", what, *of == '\0' ? "" : " ", of);
    return false;
}

static bool begin_root(const char *on, struct failure *f)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return fails(f, "make mounts private", "");
    if (mount("tmpfs", on, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m") != 0 ||
        chdir(on) != 0)
        return fails(f, "mount the task's root", "");
    return true;
}

/* Once there is a /dev for them. */
static bool bring_in_devices(const struct spec_view *v, struct failure *f)
{
    const char *at = v->mounts;
    for (uint32_t i = 0; i < v->head->mount_count; i++) {
        struct spec_mount m = spec_next_mount(v, &at);
        if (m.device && !bring_in(&m))
            return fails(f, "give the device", m.source);
    }
    return true;
}

/* Where the host's name leads to: a link of it was brought in as a link. */
static bool bring_in_resolv_conf(const struct spec_view *v)
{
    char place[4096]; /* PATH_MAX; limits.h is ours here */
    if (v->resolv_conf[0] == '\0')
        return true;
    if (realpath("/etc/resolv.conf", place) == NULL)
        snprintf(place, sizeof place, "/etc/resolv.conf");
    return bring_in(&(struct spec_mount){.source = v->resolv_conf, .place = place + 1});
}

static bool make_root(const struct spec_view *v, struct failure *f)
{
    const char *at = v->mounts;
    umask(022);
    if (!begin_root(v->dir, f))
        return false;
    for (uint32_t i = 0; i < v->head->mount_count; i++) {
        struct spec_mount m = spec_next_mount(v, &at);
        if (!m.device && !bring_in(&m))
            return fails(f, "mount", m.source);
    }
    if (!bring_in_resolv_conf(v))
        return fails(f, "mount", v->resolv_conf);
    if (!make_system(!v->head->set_user || v->head->uid == 0))
        return fails(f, "mount /proc, /sys and /dev", "");
    if (!bring_in_devices(v, f))
        return false;
    if (!become_root())
        return fails(f, "take the task's root", "");
    if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) != 0)
        return fails(f, "make the task's root read-only", "");
    return true;
}

/* ---- the init */

/* Children of a process that ignores SIGCHLD are reaped by the kernel. */
static _Noreturn void be_init(const struct spec_view *v, int report)
{
    struct failure f = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "taskinit");
    signal(SIGCHLD, SIG_IGN);
    if (!make_root(v, &f)) {
        if (f.error == 0)
            f.error = EIO;
    }
    if (write(report, &f, sizeof f) != (ssize_t)sizeof f || f.error != 0)
        _exit(1);
    syscall(SYS_close_range, 0, ~0U, 0);
    for (;;)
        pause();
}

static pid_t clone_into(unsigned long long flags, int *fd)
{
    struct clone_args args = {
        .flags = flags | CLONE_PIDFD,
        .pidfd = (uintptr_t)fd,
        .exit_signal = SIGCHLD,
    };
    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

const char *room_open(struct room *r, const struct spec_view *v)
{
    static struct failure f;
    int report[2];
    const char *failed = own_users();
    if (failed != NULL)
        return failed;
    if (pipe2(report, O_CLOEXEC) != 0)
        return "make pipes";
    pid_t pid = clone_into(ROOM_NAMESPACES, &r->init_fd);
    if (pid == 0)
        be_init(v, report[1]);
    int saved = errno;
    close(report[1]);
    if (pid < 0) {
        close(report[0]);
        errno = saved;
        return "make namespaces";
    }
    ssize_t n = read(report[0], &f, sizeof f);
    close(report[0]);
    if (n == (ssize_t)sizeof f && f.error == 0) {
        r->init = pid;
        return NULL;
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(r->init_fd);
    if (n != (ssize_t)sizeof f)
        f = (struct failure){EIO, "prepare the task's root"};
    errno = f.error;
    return f.what;
}

pid_t room_fork(const struct room *r, struct tree *t)
{
    /* Only where our children are born changes, and back again for those to come. */
    int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    if (own < 0 || setns(r->init_fd, CLONE_NEWPID) != 0) {
        int saved = errno;
        if (own >= 0)
            close(own);
        errno = saved;
        return -1;
    }
    pid_t pid = tree_fork(t);
    int saved = errno;
    if (pid != 0) {
        setns(own, CLONE_NEWPID);
        errno = saved;
    }
    close(own);
    return pid;
}

bool room_enter(const struct room *r)
{
    return setns(r->init_fd, CLONE_NEWNS | CLONE_NEWIPC) == 0;
}

/* The number of what is missing. /proc is refused where parts of it are hidden, as in many
 * containers. */
static int probe_mounts(bool as_root)
{
    struct failure f;
    if (!begin_root("/tmp", &f))
        return 1;
    if (as_root)
        return 0;
    return mkdir("proc", 0755) == 0 && mount("proc", "proc", "proc", 0, NULL) == 0 ? 0 : 2;
}

const char *room_probe(void)
{
    static const char *const missing[] = {NULL, "the kernel lets us mount nothing",
                                          "the kernel lets us mount no /proc"};
    int status = 0;
    bool as_root = geteuid() == 0;
    if (own_users() != NULL)
        return "the agent does not run as root, and the kernel gives it no user namespace";
    if (unshare(ROOM_NAMESPACES) != 0)
        return "the kernel gives no mount, pid and ipc namespaces";
    pid_t pid = fork(); /* the first of the pid namespace, whose /proc it is */
    if (pid == 0)
        _exit(probe_mounts(as_root));
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) > 2)
        return "a namespace lets nobody in";
    return missing[WEXITSTATUS(status)];
}
