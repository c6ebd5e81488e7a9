#include "child.h"
#include "confine.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

_Noreturn void child_fails(int report, const char *what)
{
    struct child_error e = {.error = errno};
    snprintf(e.what, sizeof e.what, "%s", what);
    if (write(report, &e, sizeof e) < 0)
        _exit(126);
    _exit(127);
}

void child_begin(void)
{
    /* An agent started in the background of a shell ignores INT, and exec would hand that on. */
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    setsid();
    int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (score >= 0 && write(score, "0", 1) < 0)
        errno = 0; /* not ours to lower; the task lives with it */
    if (score >= 0)
        close(score);
}

void child_become_user(const struct shim_spec *h, int report)
{
    gid_t groups[SHIM_MAX_GROUPS];
    if (!h->set_user)
        return;
    for (uint32_t i = 0; i < h->group_count; i++)
        groups[i] = h->groups[i];
    if (setgroups(h->group_count, groups) != 0 || setgid(h->gid) != 0 || setuid(h->uid) != 0)
        child_fails(report, "set user");
}

static _Noreturn void search(const struct spec_view *v, char **argv, char **envp, int report)
{
    static const char usual[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    char path[4096];
    const char *dirs = usual;
    for (char **e = envp; *e != NULL; e++)
        if (strncmp(*e, "PATH=", 5) == 0)
            dirs = *e + 5;
    if (v->head->isolate) {
        snprintf(path, sizeof path, "/local/%s", v->program);
        execve(path, argv, envp);
    }
    errno = ENOENT;
    while (*dirs != '\0' && (errno == ENOENT || errno == ENOTDIR || errno == EACCES)) {
        size_t len = strcspn(dirs, ":");
        snprintf(path, sizeof path, "%.*s/%s", (int)len, dirs, v->program);
        dirs += len;
        dirs += *dirs == ':';
        execve(path, argv, envp);
    }
    if (errno != ENOENT)
        child_fails(report, "exec");
    child_fails(report, v->head->isolate ? "find the command in the task's root"
                                         : "find the command along the task's PATH");
}

_Noreturn void child_exec(const struct spec_view *v, char **vectors, int report)
{
    sigset_t none;
    char **envp = vectors + v->head->argc + 1;
    sigemptyset(&none);
    if (chdir(v->cwd) != 0)
        child_fails(report, "enter the task's directory");
    umask(022);
    /* Descriptors that an agent's libraries forgot to close on exec are no business of the task. */
    syscall(SYS_close_range, 3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (v->head->isolate && !confine_self())
        child_fails(report, "confine the task");
    if (strchr(v->program, '/') == NULL)
        search(v, vectors, envp, report);
    execve(v->program, vectors, envp);
    child_fails(report, "exec");
}

/* The name before it may hold blanks and brackets. */
uint64_t child_start_time(pid_t pid)
{
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    char *p = strrchr(text, ')');
    for (int field = 2; p != NULL && field < 22; field++)
        p = strchr(p + 1, ' ');
    return p == NULL ? 0 : strtoull(p + 1, NULL, 10);
}

void child_leave_agents_cgroup(const char *shims_cgroup)
{
    if (shims_cgroup[0] == '\0')
        return;
    int dir = open(shims_cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = dir < 0 ? -1 : openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "0", 1) < 0)
        errno = 0; /* best effort */
    if (fd >= 0)
        close(fd);
    if (dir >= 0)
        close(dir);
}
