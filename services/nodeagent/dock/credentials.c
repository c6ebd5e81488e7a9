#include "credentials.h"
#include "base/clock.h"
#include "base/strbuf.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_MOST 65536 /* bytes; tokens of clouds have some thousand */
#define ANSWER_MS   30000
#define NOT_FOUND   "credentials not found"

json_t *credentials_read(const char *text, const char *registry)
{
    json_t *said = json_loads(text, 0, NULL);
    const char *name = json_string_value(json_object_get(said, "Username"));
    const char *secret = json_string_value(json_object_get(said, "Secret"));
    json_t *found = NULL;
    if (name != NULL && secret != NULL && strcmp(name, "<token>") == 0)
        found = json_pack("{ss,ss}", "identitytoken", secret, "serveraddress", registry);
    else if (name != NULL && secret != NULL)
        found = json_pack("{ss,ss,ss}", "username", name, "password", secret, "serveraddress",
                          registry);
    json_decref(said);
    return found;
}

static enum err start(const char *program, int input, int output, pid_t *pid, struct reason *why)
{
    char get[] = "get";
    char *const argv[] = {(char *)(uintptr_t)program, get, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP); /* all of it can be killed */
    posix_spawnattr_setpgroup(&attributes, 0);
    int error = posix_spawnp(pid, program, &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    errno = error;
    return error == 0 ? OK : reason_errno(why, ERR_UNAVAILABLE, "start %s", program);
}

static enum err read_answer(int fd, struct strbuf *out, struct reason *why)
{
    char part[4096];
    int64_t until = (int64_t)clock_monotonic_ms() + ANSWER_MS;
    for (;;) {
        int64_t left = until - (int64_t)clock_monotonic_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (left <= 0 || poll(&p, 1, (int)left) == 0)
            return reason_set(why, ERR_UNAVAILABLE, "no answer within %d s", ANSWER_MS / 1000);
        ssize_t n = read(fd, part, sizeof part);
        if (n == 0)
            return OK;
        if (n < 0 && errno != EINTR)
            return reason_errno(why, ERR_UNAVAILABLE, "read its answer");
        if (n > 0 && out->len + (size_t)n > ANSWER_MOST)
            return reason_set(why, ERR_UNAVAILABLE, "its answer is too long");
        if (n > 0)
            strbuf_add(out, part, (size_t)n);
        explicit_bzero(part, sizeof part);
    }
}

/* What a program says that failed has no secret in it. */
static enum err judge(int status, const struct strbuf *said, const char *registry, json_t **out,
                      struct reason *why)
{
    const char *text = strbuf_text(said);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        *out = credentials_read(text, registry);
        return *out != NULL ? OK : reason_set(why, ERR_UNAVAILABLE, "no credentials are said");
    }
    if (WIFEXITED(status) && strncmp(text, NOT_FOUND, strlen(NOT_FOUND)) == 0)
        return OK;
    return reason_set(why, ERR_UNAVAILABLE, "it failed: %.*s",
                      (int)(strcspn(text, "\n") < 200 ? strcspn(text, "\n") : 200), text);
}

static enum err converse(const char *program, int input, const char *registry, json_t **out,
                         struct reason *why)
{
    struct strbuf said = STRBUF_INIT;
    int ends[2], status = 0;
    pid_t pid;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return reason_errno(why, ERR_IO, "make a pipe");
    enum err e = start(program, input, ends[1], &pid, why);
    close(ends[1]);
    if (e == OK) {
        e = read_answer(ends[0], &said, why);
        if (e != OK)
            kill(-pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        if (e == OK)
            e = judge(status, &said, registry, out, why);
    }
    close(ends[0]);
    if (said.len > 0)
        explicit_bzero(said.data, said.len);
    strbuf_free(&said);
    return e;
}

enum err credentials_ask(const char *name, const char *registry, json_t **out, struct reason *why)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    char program[128];
    *out = NULL;
    size_t len = strlen(name);
    if (len == 0 || len > 100 || strspn(name, letters) != len)
        return reason_set(why, ERR_INVALID, "credential helper \"%.100s\" is no name", name);
    snprintf(program, sizeof program, "docker-credential-%s", name);
    int input = memfd_create("registry", MFD_CLOEXEC);
    len = strlen(registry);
    enum err e = OK;
    if (input < 0 || write(input, registry, len) != (ssize_t)len || lseek(input, 0, SEEK_SET) != 0)
        e = reason_errno(why, ERR_IO, "hand over");
    else
        e = converse(program, input, registry, out, why);
    if (input >= 0)
        close(input);
    return e == OK ? OK : reason_add(why, e, "%s", program);
}
