#include "program.h"
#include "helper.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static enum err read_all(const char *program, int fd, int timeout_ms, size_t most,
                         struct strbuf *out, struct reason *why)
{
    int64_t end = now_ms() + timeout_ms;
    char part[4096];
    for (;;) {
        int64_t left = end - now_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (left <= 0 || poll(&p, 1, (int)left) == 0)
            return reason_set(why, ERR_TIMEOUT, "%s has not ended after %d ms", program,
                              timeout_ms);
        ssize_t n = read(fd, part, sizeof part);
        if (n == 0)
            return OK;
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return reason_errno(why, ERR_IO, "read what %s prints", program);
        if (n > 0)
            strbuf_add(out, part, (size_t)n);
        if (out->len > most)
            return reason_set(why, ERR_INVALID, "%s prints more than %zu bytes", program, most);
    }
}

enum err program_run(char *const argv[], int timeout_ms, size_t most, struct strbuf *out,
                     struct reason *why)
{
    int ends[2];
    pid_t pid;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return reason_errno(why, ERR_IO, "make a pipe");
    enum err e = helper_spawn(&pid, argv, -1, ends[1], why);
    close(ends[1]);
    if (e == OK) {
        e = read_all(argv[0], ends[0], timeout_ms, most, out, why);
        kill(-pid, SIGKILL);
        waitpid(pid, NULL, 0); /* where children are not waited for, only until it is dead */
    }
    close(ends[0]);
    return e;
}

enum err program_output(const char *program, int timeout_ms, size_t most, struct strbuf *out,
                        struct reason *why)
{
    char *argv[] = {(char *)(uintptr_t)program, NULL};
    return program_run(argv, timeout_ms, most, out, why);
}
