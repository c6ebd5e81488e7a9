#include "limits.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool put_text(int dir, const char *file, const char *text)
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

static bool put_number(int dir, const char *file, uint64_t number)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    return put_text(dir, file, text);
}

/* Another agent of this machine may remove the directory above as it ends, or make it, at any
 * moment until ours is in it. */
static int open_group(const char *path)
{
    char above[512];
    const char *slash = strrchr(path, '/');
    snprintf(above, sizeof above, "%.*s", slash == NULL ? 0 : (int)(slash - path), path);
    for (int i = 0; i < 16 && mkdir(path, 0755) != 0 && errno == ENOENT; i++)
        if (mkdir(above, 0755) != 0 && errno != EEXIST)
            return -1;
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Swap is counted in, so that a limit is one; a kernel without swap accounting has no such file. */
static bool limit_memory(const struct limits *l, const struct shim_limits *want)
{
    int dir = l->dirs[SHIM_MEMORY];
    if (dir < 0 || want->memory_bytes == 0)
        return true;
    if (!put_number(dir, l->two ? "memory.max" : "memory.limit_in_bytes", want->memory_bytes))
        return false;
    if (l->two)
        put_text(dir, "memory.swap.max", "0");
    else
        put_number(dir, "memory.memsw.limit_in_bytes", want->memory_bytes);
    if (want->memory_reserved_bytes != 0)
        put_number(dir, l->two ? "memory.low" : "memory.soft_limit_in_bytes",
                   want->memory_reserved_bytes);
    return true;
}

/* v1's shares 2 to 262144 are spread over cgroup2's weights 1 to 10000, as systemd and runc do. */
static uint64_t weight_of_shares(uint64_t shares)
{
    return 1 + (shares - 2) * 9999 / 262142;
}

static bool limit_cpu(const struct limits *l, const struct shim_limits *want)
{
    int dir = l->dirs[SHIM_CPU];
    char text[64];
    if (dir < 0)
        return true;
    uint64_t shares = want->cpu_shares > 262144 ? 262144 : want->cpu_shares;
    if (shares >= 2 && l->two)
        put_number(dir, "cpu.weight", weight_of_shares(shares));
    else if (shares >= 2)
        put_number(dir, "cpu.shares", shares);
    if (want->cpu_quota_us == 0)
        return true;
    if (l->two) {
        snprintf(text, sizeof text, "%u %u", want->cpu_quota_us, SHIM_CPU_PERIOD_US);
        return put_text(dir, "cpu.max", text);
    }
    return put_number(dir, "cpu.cfs_period_us", SHIM_CPU_PERIOD_US) &&
           put_number(dir, "cpu.cfs_quota_us", want->cpu_quota_us);
}

static void weigh_io(const struct limits *l, const struct shim_limits *want)
{
    int dir = l->dirs[SHIM_IO];
    if (dir < 0 || want->io_weight == 0)
        return;
    if (l->two) {
        put_number(dir, "io.weight", want->io_weight);
        return;
    }
    uint64_t old = want->io_weight / 10; /* 10 to 1000 */
    if (!put_number(dir, "blkio.bfq.weight", old < 1 ? 1 : old))
        put_number(dir, "blkio.weight", old < 10 ? 10 : old);
}

/* v1: a new cpuset has neither cores nor memory nodes, and takes no process before it has. */
static bool take_memory_nodes(int dir)
{
    char nodes[256];
    int fd = openat(dir, "../cpuset.mems", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, nodes, sizeof nodes - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return false;
    nodes[n] = '\0';
    return put_text(dir, "cpuset.mems", nodes);
}

static bool keep_to_cores(struct limits *l, const struct spec_view *v)
{
    const char *path = v->controllers[SHIM_CPUSET];
    if (path[0] == '\0' || v->cpus[0] == '\0')
        return !l->own_cores;
    if (!l->own_cores && !l->two)
        return (l->dirs[SHIM_CPUSET] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0;
    if ((l->dirs[SHIM_CPUSET] = open_group(path)) < 0)
        return false;
    return (l->two || take_memory_nodes(l->dirs[SHIM_CPUSET])) &&
           put_text(l->dirs[SHIM_CPUSET], "cpuset.cpus", v->cpus);
}

const char *limits_init(struct limits *l, const struct spec_view *v)
{
    const struct shim_limits *want = &v->head->limits;
    l->two = v->head->limits_v2;
    l->own_cores = v->head->own_cores != 0;
    for (int i = 0; i < SHIM_CONTROLLERS; i++)
        l->dirs[i] = -1;
    for (int i = 0; i < SHIM_CONTROLLERS; i++)
        if (i != SHIM_CPUSET && v->controllers[i][0] != '\0' &&
            (l->dirs[i] = open_group(v->controllers[i])) < 0)
            return "make cgroup";
    if (!limit_memory(l, want))
        return "limit memory";
    if (!limit_cpu(l, want))
        return "limit cpu";
    if (l->dirs[SHIM_PIDS] >= 0 && want->pids != 0 &&
        !put_number(l->dirs[SHIM_PIDS], "pids.max", want->pids))
        return "limit processes";
    weigh_io(l, want);
    if (!keep_to_cores(l, v) && l->own_cores)
        return "keep to its own cores";
    return NULL;
}

void limits_find(struct limits *l, const struct spec_view *v)
{
    l->two = v->head->limits_v2;
    l->own_cores = v->head->own_cores != 0;
    for (int i = 0; i < SHIM_CONTROLLERS; i++)
        l->dirs[i] = v->controllers[i][0] == '\0'
                         ? -1
                         : open(v->controllers[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

bool limits_enter(const struct limits *l)
{
    for (int i = 0; i < SHIM_CONTROLLERS; i++)
        if (l->dirs[i] >= 0 && !put_text(l->dirs[i], "cgroup.procs", "0") &&
            (i != SHIM_CPUSET || l->own_cores))
            return false;
    return true;
}

uint32_t limits_oom_kills(const struct limits *l)
{
    char text[512];
    if (l->dirs[SHIM_MEMORY] < 0)
        return 0;
    int fd = openat(l->dirs[SHIM_MEMORY], l->two ? "memory.events" : "memory.oom_control",
                    O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    const char *line = strstr(text, "oom_kill ");
    return line == NULL ? 0 : (uint32_t)strtoul(line + strlen("oom_kill "), NULL, 10);
}

void limits_fini(struct limits *l, char paths[SHIM_CONTROLLERS][512])
{
    for (int i = 0; i < SHIM_CONTROLLERS; i++) {
        if (l->dirs[i] < 0)
            continue;
        close(l->dirs[i]);
        l->dirs[i] = -1;
        if (i != SHIM_CPUSET || l->own_cores || l->two)
            rmdir(paths[i]);
    }
}
