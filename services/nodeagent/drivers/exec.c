/* exec: the command in namespaces of its own, with a root made of read-only directories of the node
 * (setting `chroot`) and the task's own, as user nobody unless the job says otherwise, within the
 * memory and processor time it asked for. Of an agent that is not root: in a user namespace, as the
 * agent's user, and within the limits that its cgroups can keep (docs/rootless.md).
 * Config: command, args, cpu_hard_limit, pids_limit, io_weight, ulimit. */
#include "driver.h"
#include "resources.h"
#include "nodeagent/devices.h"
#include "nodeagent/volumes.h"
#include <string.h>
#include <unistd.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define DEFAULT_PIDS_LIMIT 4096

static const char *const keys[] = {"command",    "args",      "cpu_hard_limit",
                                   "pids_limit", "io_weight", "pid_mode",
                                   "ipc_mode",   "ulimit",    NULL};

static enum err fingerprint(const struct driver_host *h, struct reason *why)
{
    if (h->root && h->no_cgroups != NULL)
        return reason_set(why, ERR_UNAVAILABLE, "%s", h->no_cgroups);
    if (h->no_namespaces != NULL)
        return reason_set(why, ERR_UNAVAILABLE, "%s", h->no_namespaces);
    return OK;
}

/* ---- the root */

static enum err add_mount(const struct driver_ask *ask, struct driver_plan *out, const char *source,
                          const char *place, bool writable, struct reason *why)
{
    if (out->mount_count == SHIM_MAX_MOUNTS)
        return reason_set(why, ERR_INVALID, "chroot and volumes are more than %d directories",
                          SHIM_MAX_MOUNTS);
    out->mounts[out->mount_count++] = (struct spec_mount){
        arena_strdup(ask->arena, source), arena_strdup(ask->arena, place), writable, false};
    return OK;
}

static enum err add_chroot(const struct driver_ask *ask, struct driver_plan *out,
                           struct reason *why)
{
    char *rest = arena_strdup(ask->arena, ask->host->chroot), *one;
    enum err e = OK;
    while (e == OK && (one = strsep(&rest, ",")) != NULL) {
        one += strspn(one, " ");
        if (*one == '\0')
            continue;
        char *place = strchr(one, ':');
        if (place != NULL)
            *place++ = '\0';
        else
            place = one;
        if (one[0] != '/' || place[0] != '/' || place[1] == '\0' || strstr(place, "..") != NULL)
            return reason_set(why, ERR_INVALID,
                              "setting chroot: \"%s\" is not an absolute path or SOURCE:PATH", one);
        e = add_mount(ask, out, one, place, false, why);
    }
    return e;
}

struct device_adder {
    const struct driver_ask *ask;
    struct driver_plan *out;
    struct reason *why;
    enum err e;
};

static void add_device(void *self, const char *path)
{
    struct device_adder *d = self;
    struct stat st;
    if (d->e != OK)
        return;
    bool sound = strncmp(path, "/dev/", 5) == 0 && strstr(path, "..") == NULL;
    if (!sound || stat(path, &st) != 0 || !(S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))) {
        d->e = reason_set(d->why, ERR_UNAVAILABLE, "the path \"%.100s\" of a device is none", path);
        return;
    }
    d->e = add_mount(d->ask, d->out, path, path, true, d->why);
    if (d->e == OK)
        d->out->mounts[d->out->mount_count - 1].device = true;
}

/* The device files of what the task was given. */
static enum err add_devices(const struct driver_ask *ask, struct driver_plan *out,
                            struct reason *why)
{
    struct device_adder d = {ask, out, why, OK};
    for (size_t i = 0; ask->alloc != NULL && i < ask->alloc->n_grants; i++) {
        const Pb__TaskGrant *g = ask->alloc->grants[i];
        for (size_t k = 0; strcmp(g->task, ask->task->name) == 0 && k < g->n_devices; k++)
            devices_each_path(ask->arena, ask->node, g->devices[k], &d, add_device);
    }
    return d.e;
}

/* Over all that is there already. */
static enum err add_volumes(const struct driver_ask *ask, struct driver_plan *out,
                            struct reason *why)
{
    enum err e = OK;
    for (size_t i = 0; e == OK && i < ask->task->n_volume_mounts; i++) {
        const Pb__VolumeMount *m = ask->task->volume_mounts[i];
        struct volume_place v;
        const char *place = m->destination == NULL ? "" : m->destination;
        e = volumes_find(ask->node, ask->group, m, &v, why);
        if (e == OK && access(v.path, F_OK) != 0)
            e = reason_errno(why, ERR_NOT_FOUND, "volume %s: %s", m->volume, v.path);
        if (e == OK && place[strspn(place, "/")] == '\0')
            e = reason_set(why, ERR_INVALID, "volume_mount: destination \"%s\" is no place", place);
        if (e == OK)
            e = add_mount(ask, out, v.path, place, v.writable, why);
    }
    return e;
}

static enum err make_root(const struct driver_ask *ask, struct driver_plan *out, struct reason *why)
{
    static const char *const own[] = {"local", "secrets", "tmp"};
    out->mounts = arena_array(ask->arena, struct spec_mount, SHIM_MAX_MOUNTS);
    enum err e = add_chroot(ask, out, why);
    if (e == OK)
        e = add_mount(ask, out, ask->alloc_dir, "/alloc", true, why);
    for (size_t i = 0; e == OK && i < COUNT_OF(own); i++)
        e = add_mount(ask, out, arena_printf(ask->arena, "%s/%s", ask->task_dir, own[i]), own[i],
                      true, why);
    if (e == OK)
        e = add_volumes(ask, out, why);
    return e == OK ? add_devices(ask, out, why) : e;
}

/* ---- ulimits */

static const struct {
    const char *name;
    uint32_t resource;
} ulimits[] = {
    {"as", RLIMIT_AS},           {"core", RLIMIT_CORE},     {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},       {"fsize", RLIMIT_FSIZE},   {"locks", RLIMIT_LOCKS},
    {"memlock", RLIMIT_MEMLOCK}, {"nofile", RLIMIT_NOFILE}, {"nproc", RLIMIT_NPROC},
    {"rss", RLIMIT_RSS},         {"stack", RLIMIT_STACK},
};

static bool read_ulimit_value(const char **text, uint64_t *out)
{
    if (strncmp(*text, "-1", 2) == 0) {
        *out = RLIM_INFINITY;
        *text += 2;
        return true;
    }
    uint64_t value = 0;
    const char *p = *text;
    for (; *p >= '0' && *p <= '9' && p - *text < 18; p++)
        value = value * 10 + (uint64_t)(*p - '0');
    bool any = p != *text;
    *text = p;
    *out = value;
    return any;
}

/* "1024" or "1024:4096"; -1 is no limit. */
static enum err read_ulimit(const char *name, const char *text, struct shim_ulimit *out,
                            struct reason *why)
{
    const char *p = text;
    size_t i = 0;
    while (i < COUNT_OF(ulimits) && strcmp(ulimits[i].name, name) != 0)
        i++;
    if (i == COUNT_OF(ulimits))
        return reason_set(why, ERR_INVALID, "config key \"ulimit\": \"%.60s\" is not a limit",
                          name);
    out->resource = ulimits[i].resource;
    bool fine = read_ulimit_value(&p, &out->soft);
    out->hard = out->soft;
    if (fine && *p == ':') {
        p++;
        fine = read_ulimit_value(&p, &out->hard);
    }
    if (!fine || *p != '\0' || out->soft > out->hard)
        return reason_set(why, ERR_INVALID,
                          "config key \"ulimit\": %s = \"%.60s\" is not SOFT or SOFT:HARD", name,
                          text);
    return OK;
}

static enum err read_ulimits(const struct driver_ask *ask, struct driver_plan *out,
                             struct reason *why)
{
    char **names, **values;
    enum err e = config_pairs(ask, "ulimit", &names, &values, why);
    for (size_t i = 0; e == OK && names[i] != NULL; i++) {
        if (out->ulimit_count == SHIM_MAX_ULIMITS)
            return reason_set(why, ERR_INVALID, "config key \"ulimit\" names too many limits");
        e = read_ulimit(names[i], values[i], &out->ulimits[out->ulimit_count++], why);
    }
    return e;
}

/* ---- the plan */

static enum err must_be_private(const struct driver_ask *ask, const char *key, struct reason *why)
{
    const char *mode = "private";
    enum err e = config_text(ask, key, &mode, why);
    if (e == OK && strcmp(mode, "private") != 0)
        e = reason_set(why, ERR_INVALID, "config key \"%s\" must be \"private\"", key);
    return e;
}

static enum err read_command(const struct driver_ask *ask, struct driver_plan *out,
                             struct reason *why)
{
    const char *command = NULL;
    char **args;
    size_t count;
    enum err e = config_text(ask, "command", &command, why);
    if (e == OK)
        e = config_list(ask, "args", &args, &count, why);
    if (e != OK)
        return e;
    if (command == NULL || *command == '\0')
        return reason_set(why, ERR_INVALID, "config key \"command\" is missing");
    out->program = command;
    out->argv = arena_array(ask->arena, char *, count + 2);
    out->argv[0] = arena_strdup(ask->arena, command);
    for (size_t i = 0; i < count; i++)
        out->argv[i + 1] = args[i];
    out->argc = count + 1;
    return OK;
}

static enum err plan(const struct driver_ask *ask, struct driver_plan *out, struct reason *why)
{
    enum err e = fingerprint(ask->host, why);
    if (e == OK)
        e = read_command(ask, out, why);
    if (e == OK)
        e = must_be_private(ask, "pid_mode", why);
    if (e == OK)
        e = must_be_private(ask, "ipc_mode", why);
    if (e == OK)
        e = resources_read(ask, DEFAULT_PIDS_LIMIT, &out->limits, why);
    if (e == OK)
        e = read_ulimits(ask, out, why);
    return e == OK ? make_root(ask, out, why) : e;
}

extern const struct driver driver_exec;
const struct driver driver_exec = {
    .name = "exec",
    .keys = keys,
    .own_root = true,
    .default_user = "nobody",
    .fingerprint = fingerprint,
    .plan = plan,
};
