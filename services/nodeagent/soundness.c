#include "soundness.h"
#include "base/log.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_S   60
#define KEPT      2
#define TIME_SIZE 32

struct verdict {
    enum err result;
    struct reason why;
};

static _Noreturn void child(enum err (*look)(void *owner, struct reason *why), void *owner, int out)
{
    static const int deadly[] = {SIGALRM, SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
    struct verdict v = {OK, {""}};
    sigset_t none;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    for (size_t i = 0; i < COUNT_OF(deadly); i++)
        signal(deadly[i], SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    alarm(LIMIT_S);
    v.result = look(owner, &v.why);
    _exit(write(out, &v, sizeof v) == (ssize_t)sizeof v ? 0 : 1);
}

/* What kills by chance says nothing about the state. */
static bool died_of_it(int status)
{
    return WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGTERM;
}

static enum err judge(pid_t pid, int from, struct reason *why)
{
    struct verdict v;
    int status;
    ssize_t n = read(from, &v, sizeof v);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return reason_errno(why, ERR_IO, "wait for the reading of the local state");
    if (n == (ssize_t)sizeof v)
        return v.result == OK ? OK : reason_set(why, v.result, "%s", v.why.text);
    if (died_of_it(status))
        return reason_set(why, ERR_CORRUPT, "reading it ends in signal %d (%s)", WTERMSIG(status),
                          strsignal(WTERMSIG(status)));
    return reason_set(why, ERR_IO, "the reading of the local state was interrupted");
}

enum err soundness_try(enum err (*look)(void *owner, struct reason *why), void *owner,
                       struct reason *why)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return reason_errno(why, ERR_IO, "make a pipe");
    pid_t pid = fork();
    if (pid == 0)
        child(look, owner, ends[1]);
    int error = errno;
    close(ends[1]);
    errno = error;
    enum err e = pid < 0 ? reason_errno(why, ERR_IO, "fork") : judge(pid, ends[0], why);
    close(ends[0]);
    return e;
}

/* ---- what is put aside */

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void remove_dir(const char *path)
{
    const struct dirent *entry;
    DIR *d = opendir(path);
    while (d != NULL && (entry = readdir(d)) != NULL)
        unlinkat(dirfd(d), entry->d_name, 0);
    if (d != NULL)
        closedir(d);
    rmdir(path);
}

/* Names end in the time, so that the oldest come first. */
static void drop_old(const char *parent, const char *prefix)
{
    char *names[64], path[4096];
    size_t count = 0;
    const struct dirent *entry;
    DIR *d = opendir(parent);
    while (d != NULL && count < COUNT_OF(names) && (entry = readdir(d)) != NULL)
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
            names[count++] = xstrdup(entry->d_name);
    if (d != NULL)
        closedir(d);
    qsort((void *)names, count, sizeof *names, compare);
    for (size_t i = 0; i < count; i++) {
        if (i + KEPT < count && snprintf(path, sizeof path, "%s/%s", parent, names[i]) > 0)
            remove_dir(path);
        free(names[i]);
    }
}

enum err soundness_set_aside(const char *path, const struct reason *because, struct reason *why)
{
    char aside[4096], prefix[4096], when[TIME_SIZE];
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(when, sizeof when, "%Y%m%dT%H%M%S", &tm);
    snprintf(aside, sizeof aside, "%s.corrupt-%s.%03ld", path, when, now.tv_nsec / 1000000);
    if (rename(path, aside) != 0)
        return reason_errno(why, ERR_IO, "rename %s to %s", path, aside);
    log_error("local_state_corrupt", "path=%s aside=%s reason=%s", log_quote(path),
              log_quote(aside), log_quote(because->text));
    char *slash = strrchr(aside, '/');
    snprintf(prefix, sizeof prefix, "%s.corrupt-", strrchr(path, '/') + 1);
    *slash = '\0';
    drop_old(aside, prefix);
    return OK;
}
