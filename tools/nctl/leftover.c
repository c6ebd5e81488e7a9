#include "leftover.h"
#include "base/clock.h"
#include "nodeagent/shim/shim.h"
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAX_SHIMS = 1024, GRACE_MS = 3000 };

/* nftw has no argument for its callback, so what the walk finds is here; one walk at a time. */
static struct {
    int fds[MAX_SHIMS];
    int count;
} found;

/* The path may be longer than an address holds: it goes through the directory's descriptor. */
static int shim_connect(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char dir[4200];
    const char *slash = strrchr(path, '/');
    if (slash == NULL || (size_t)(slash - path) >= sizeof dir)
        return -1;
    snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
    int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    snprintf(addr.sun_path, sizeof addr.sun_path, "/proc/self/fd/%d/%s", dir_fd, slash + 1);
    if (dir_fd < 0 || fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0) {
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    if (dir_fd >= 0)
        close(dir_fd);
    return fd;
}

static int on_file(const char *path, const struct stat *st, int type, struct FTW *where)
{
    if (!S_ISSOCK(st->st_mode) || strcmp(path + where->base, "sock") != 0 ||
        found.count == MAX_SHIMS)
        return 0;
    int fd = shim_connect(path);
    if (fd >= 0)
        found.fds[found.count++] = fd;
    return 0;
}

static int shims_find(const char *dir)
{
    found.count = 0;
    nftw(dir, on_file, 32, FTW_PHYS);
    return found.count;
}

static void say(int fd, enum shim_kind kind, uint32_t timeout_ms)
{
    struct shim_message m = {.magic = SHIM_MAGIC, .version = SHIM_VERSION, .kind = (uint16_t)kind};
    m.signal = SIGTERM;
    m.timeout_ms = timeout_ms;
    if (send(fd, &m, sizeof m, MSG_NOSIGNAL) < 0)
        shutdown(fd, SHUT_RDWR);
}

/* Until the shim says that its task has ended, or is gone itself. */
static void await_end(int fd, uint64_t deadline_ms)
{
    for (;;) {
        struct shim_message m = {0};
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t now = clock_monotonic_ms();
        if (now >= deadline_ms || poll(&p, 1, (int)(deadline_ms - now)) <= 0)
            return;
        if (recv(fd, &m, sizeof m, 0) <= 0)
            return;
        if (m.kind == SHIM_EXITED || m.kind == SHIM_START_FAILED)
            say(fd, SHIM_ACK, 0);
    }
}

int leftover_stop_tasks(const char *dir, uint32_t timeout_ms)
{
    int count = shims_find(dir);
    uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms + GRACE_MS;
    for (int i = 0; i < count; i++)
        say(found.fds[i], SHIM_KILL, timeout_ms);
    for (int i = 0; i < count; i++) {
        await_end(found.fds[i], deadline_ms);
        close(found.fds[i]);
    }
    return count;
}

int leftover_count_tasks(const char *dir)
{
    int count = shims_find(dir);
    for (int i = 0; i < count; i++)
        close(found.fds[i]);
    return count;
}

static int on_remove(const char *path, const struct stat *st, int type, struct FTW *where)
{
    remove(path);
    return 0;
}

void leftover_remove(const char *dir)
{
    nftw(dir, on_remove, 32, FTW_PHYS | FTW_DEPTH);
}
