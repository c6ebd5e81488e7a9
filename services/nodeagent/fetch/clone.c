#include "base/base64.h"
#include "fetch.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* git asks nobody anything, and runs nothing that the repository names. */
static void set_environment(const struct source *s)
{
    char ssh[4200];
    setenv("GIT_TERMINAL_PROMPT", "0", 1);
    setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
    setenv("GIT_CONFIG_GLOBAL", "/dev/null", 1);
    snprintf(ssh, sizeof ssh, "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new%s%s",
             s->ssh_key == NULL ? "" : " -i ", s->ssh_key == NULL ? "" : ".norn-sshkey");
    setenv("GIT_SSH_COMMAND", ssh, 1);
}

static void become_git(const char *const argv[], int errors)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int null = open("/dev/null", O_RDWR);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(errors, STDERR_FILENO);
    execvp("git", (char *const *)(uintptr_t)argv);
    dprintf(STDERR_FILENO, "git: %s", strerror(errno));
    _exit(127);
}

/* The last line of what it says is the reason. */
static enum err run(const char *const argv[], struct reason *why)
{
    int ends[2], status = 0;
    char said[2048];
    size_t len = 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return reason_errno(why, ERR_IO, "pipe");
    pid_t pid = fork();
    if (pid == 0)
        become_git(argv, ends[1]);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return reason_errno(why, ERR_UNAVAILABLE, "fork");
    }
    for (ssize_t n; (n = read(ends[0], said + len, sizeof said - 1 - len)) > 0;) {
        len += (size_t)n;
        if (len > sizeof said / 2) { /* keep the end */
            memmove(said, said + len / 2, len - len / 2);
            len -= len / 2;
        }
    }
    close(ends[0]);
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return OK;
    while (len > 0 && said[len - 1] == '\n')
        len--;
    said[len] = '\0';
    char *line = strrchr(said, '\n');
    return reason_set(why, ERR_UNAVAILABLE, "git: %.400s", line == NULL ? said : line + 1);
}

/* The key comes as base64 of its file, as job files of Nomad have it; it may have lines. */
static enum err write_key(const struct source *s, struct reason *why)
{
    size_t len = 0, n, bad;
    char *text = xstrdup(s->ssh_key);
    for (const char *at = s->ssh_key; *at != '\0'; at++)
        if (!isspace((unsigned char)*at))
            text[len++] = *at;
    uint8_t *key = xmalloc(len + 1);
    enum err e = OK;
    int fd = -1;
    if (!base64_decode(key, &n, text, len, BASE64, &bad))
        e = reason_set(why, ERR_INVALID, "the ssh key is not base64, at byte %zu", bad);
    else if ((fd = open(".norn-sshkey", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) < 0 ||
             write(fd, key, n) != (ssize_t)n)
        e = reason_errno(why, ERR_IO, "write the ssh key");
    if (fd >= 0)
        close(fd);
    free(key);
    free(text);
    return e;
}

enum err clone_repository(const struct source *s, bool own, struct reason *why)
{
    char depth[32];
    const char *const init[] = {"git", "init", "-q", ".", NULL};
    const char *const fetch[] = {
        "git",
        "-c",
        "protocol.ext.allow=never",
        "-c",
        own ? "protocol.file.allow=user" : "protocol.file.allow=never",
        "fetch",
        "-q",
        s->depth > 0 ? depth : "--no-tags",
        "--",
        s->url,
        s->ref == NULL ? "HEAD" : s->ref,
        NULL,
    };
    const char *const checkout[] = {
        "git", "-c", "core.hooksPath=/dev/null", "checkout", "-q", "FETCH_HEAD", NULL};
    snprintf(depth, sizeof depth, "--depth=%u", s->depth);
    set_environment(s);
    enum err e = s->ssh_key == NULL ? OK : write_key(s, why);
    if (e == OK)
        e = run(init, why);
    if (e == OK)
        e = run(fetch, why);
    if (e == OK)
        e = run(checkout, why);
    if (s->ssh_key != NULL)
        unlink(".norn-sshkey");
    return e;
}
