#include "supervisor.h"
#include "base/strbuf.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SAFE_FD 10 /* above the numbers that the shim's descriptors get */

struct supervisor {
    struct loop *loop;
    int fd;
    struct watch *watch;
    struct supervisor_handlers handlers;
};

/* A path of any length would not fit into a socket's address: it is named through its directory's
 * descriptor. */
static int open_dir(const char *dir, struct sockaddr_un *address)
{
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/sock", fd);
    return fd;
}

static int listen_in(const char *dir, struct reason *why)
{
    struct sockaddr_un address;
    int dir_fd = open_dir(dir, &address);
    int fd = dir_fd < 0 ? -1 : socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (dir_fd >= 0) {
        unlinkat(dir_fd, "sock", 0);
        unlinkat(dir_fd, "state", 0); /* of the run before */
    }
    if (fd >= 0 &&
        (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 8) != 0)) {
        close(fd);
        fd = -1;
    }
    if (fd < 0)
        reason_errno(why, ERR_IO, "listen in %s", dir);
    if (dir_fd >= 0)
        close(dir_fd);
    return fd;
}

static void add_string(struct strbuf *b, const char *s)
{
    strbuf_add(b, s, strlen(s) + 1);
}

int supervisor_spec_memory(const struct supervisor_spec *s, struct reason *why)
{
    struct strbuf b = STRBUF_INIT;
    struct shim_spec head = {
        .magic = SHIM_MAGIC,
        .version = SHIM_VERSION,
        .tree = (uint32_t)s->tree,
        .argc = (uint32_t)s->argc,
        .envc = (uint32_t)s->envc,
        .max_files = s->max_files,
        .max_file_bytes = s->max_file_bytes,
        .set_user = s->set_user,
        .uid = s->uid,
        .gid = s->gid,
        .isolate = s->isolate,
        .mount_count = (uint32_t)s->mount_count,
        .limits_v2 = s->limits_v2,
        .own_cores = s->own_cores,
        .relay = s->relay.kind,
        .relay_facility = s->relay.facility,
        .limits = s->limits,
    };
    must(s->mount_count <= SHIM_MAX_MOUNTS && s->ulimit_count <= SHIM_MAX_ULIMITS);
    for (size_t i = 0; i < s->ulimit_count; i++)
        head.ulimits[head.ulimit_count++] = s->ulimits[i];
    for (size_t i = 0; i < s->group_count && i < SHIM_MAX_GROUPS; i++)
        head.groups[head.group_count++] = s->groups[i];
    strbuf_add(&b, &head, sizeof head);
    const char *fields[] = {s->dir,          s->log_dir,      s->task,      s->cwd,   s->cgroup,
                            s->shims_cgroup, s->program,      s->cpus,      s->netns, s->hostname,
                            s->resolv_conf,  s->relay.socket, s->relay.head};
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        add_string(&b, fields[i] == NULL ? "" : fields[i]);
    for (size_t i = 0; i < SHIM_CONTROLLERS; i++)
        add_string(&b, s->controllers[i] == NULL ? "" : s->controllers[i]);
    for (size_t i = 0; i < s->mount_count; i++) {
        add_string(&b, s->mounts[i].source);
        add_string(&b, s->mounts[i].place);
        add_string(&b, s->mounts[i].device ? "d" : s->mounts[i].writable ? "w" : "r");
    }
    for (size_t i = 0; i < s->argc; i++)
        add_string(&b, s->argv[i]);
    for (size_t i = 0; i < s->envc; i++)
        add_string(&b, s->envp[i]);
    int fd = -1;
    if (b.len > SHIM_MAX_SPEC) {
        reason_set(why, ERR_INVALID, "arguments and environment take %zu bytes; at most %u", b.len,
                   SHIM_MAX_SPEC);
    } else {
        ((struct shim_spec *)(void *)b.data)->size = (uint32_t)b.len;
        fd = memfd_create("taskshim", MFD_CLOEXEC);
        if (fd < 0 || write(fd, b.data, b.len) != (ssize_t)b.len) {
            reason_errno(why, ERR_IO, "hand over to taskshim");
            if (fd >= 0)
                close(fd);
            fd = -1;
        }
    }
    strbuf_free(&b);
    return fd;
}

/* Copies of fds that lie above where the shim's descriptors are put. */
static bool move_up(const int *fds, size_t count, int *out)
{
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        out[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, SAFE_FD);
        good = good && out[i] >= 0;
    }
    return good;
}

enum err supervisor_run(const char *shim, char *const argv[], const int *fds, size_t count,
                        struct reason *why)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char *const envp[] = {NULL};
    sigset_t none;
    pid_t pid;
    int moved[SHIM_FD_AGENT - SHIM_FD_SPEC + 1];
    must(count <= COUNT_OF(moved));
    int error = move_up(fds, count, moved) ? 0 : errno;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    for (int fd = 0; fd < 3; fd++)
        posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
    for (size_t i = 0; i < count; i++)
        posix_spawn_file_actions_adddup2(&actions, moved[i], SHIM_FD_SPEC + (int)i);
    if (error == 0)
        error = posix_spawn(&pid, shim, &actions, &attributes, argv, envp);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    for (size_t i = 0; i < count; i++)
        if (moved[i] >= 0)
            close(moved[i]);
    if (error == 0)
        return OK;
    return reason_set(why, ERR_UNAVAILABLE, "cannot start %s: %s", shim, strerror(error));
}

static void on_readable(void *owner, int events)
{
    struct supervisor *s = owner;
    struct shim_message m;
    ssize_t n = recv(s->fd, &m, sizeof m, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n == (ssize_t)sizeof m && m.magic == SHIM_MAGIC) {
        m.text[sizeof m.text - 1] = '\0';
        s->handlers.on_state(s->handlers.owner, &m);
        return;
    }
    watch_close(s->watch);
    s->watch = NULL;
    s->handlers.on_lost(s->handlers.owner);
}

static struct supervisor *supervisor_new(struct loop *l, int fd,
                                         const struct supervisor_handlers *h)
{
    struct supervisor *s = xcalloc(1, sizeof *s);
    s->loop = l;
    s->fd = fd;
    s->handlers = *h;
    s->watch = watch_open(l, fd, WATCH_READ, on_readable, s);
    return s;
}

enum err supervisor_spawn(struct supervisor **out, struct loop *l,
                          const struct supervisor_spec *spec, const struct supervisor_handlers *h,
                          struct reason *why)
{
    int pair[2] = {-1, -1};
    enum err e = ERR_IO;
    int memory = supervisor_spec_memory(spec, why);
    int listener = memory < 0 ? -1 : listen_in(spec->dir, why);
    if (listener >= 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        reason_errno(why, ERR_IO, "make a socket pair");
    char *const argv[] = {(char[]){"taskshim"}, NULL};
    int fds[] = {memory, listener, pair[1]};
    if (pair[1] >= 0)
        e = supervisor_run(spec->shim, argv, fds, COUNT_OF(fds), why);
    for (size_t i = 0; i < COUNT_OF(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    if (e == OK)
        *out = supervisor_new(l, pair[0], h);
    else if (pair[0] >= 0)
        close(pair[0]);
    return e;
}

enum err supervisor_attach(struct supervisor **out, struct loop *l, const char *dir,
                           const struct supervisor_handlers *h, struct reason *why)
{
    struct sockaddr_un address;
    int dir_fd = open_dir(dir, &address);
    if (dir_fd < 0)
        return reason_errno(why, ERR_NOT_FOUND, "open %s", dir);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    int done = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&address, sizeof address);
    enum err e = done == 0 ? OK : reason_errno(why, ERR_NOT_FOUND, "connect to %s/sock", dir);
    close(dir_fd);
    if (e == OK)
        *out = supervisor_new(l, fd, h);
    else if (fd >= 0)
        close(fd);
    return e;
}

void supervisor_close(struct supervisor *s)
{
    if (s == NULL)
        return;
    if (s->watch != NULL)
        watch_close(s->watch);
    close(s->fd);
    free(s);
}

static void tell(struct supervisor *s, struct shim_message m)
{
    m.magic = SHIM_MAGIC;
    m.version = SHIM_VERSION;
    /* A shim that does not listen has died: on_lost tells. */
    if (send(s->fd, &m, sizeof m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        errno = 0;
}

void supervisor_signal(struct supervisor *s, int number)
{
    tell(s, (struct shim_message){.kind = SHIM_SIGNAL, .signal = number});
}

void supervisor_kill(struct supervisor *s, int number, int64_t timeout_ns)
{
    int64_t ms = timeout_ns / 1000000;
    tell(s, (struct shim_message){.kind = SHIM_KILL,
                                  .signal = number,
                                  .timeout_ms = ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms});
}

void supervisor_release(struct supervisor *s)
{
    if (s == NULL)
        return;
    tell(s, (struct shim_message){.kind = SHIM_ACK});
    supervisor_close(s);
}

bool supervisor_last_state(const char *dir, struct shim_message *out)
{
    int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = dir_fd < 0 ? -1 : openat(dir_fd, "state", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -1 : read(fd, out, sizeof *out);
    if (fd >= 0)
        close(fd);
    if (dir_fd >= 0)
        close(dir_fd);
    if (n != (ssize_t)sizeof *out || out->magic != SHIM_MAGIC)
        return false;
    out->text[sizeof out->text - 1] = '\0';
    return true;
}

bool supervisor_process_lives(const struct shim_message *m)
{
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", m->pid);
    FILE *f = m->pid <= 0 ? NULL : fopen(path, "re");
    size_t n = f == NULL ? 0 : fread(text, 1, sizeof text - 1, f);
    if (f != NULL)
        fclose(f);
    text[n] = '\0';
    const char *p = strrchr(text, ')');
    for (int field = 2; p != NULL && field < 22; field++)
        p = strchr(p + 1, ' ');
    return p != NULL && strtoull(p + 1, NULL, 10) == m->pid_start;
}
