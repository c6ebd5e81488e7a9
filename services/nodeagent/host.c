#include "host.h"
#include "fingerprint.h"
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Another process tries it, since one cannot leave a namespace again. NULL: it works. */
static char *why_no_namespaces(struct arena *a, const char *shim)
{
    char *argv[] = {arena_strdup(a, shim), (char[]){"--can-isolate"}, NULL};
    posix_spawn_file_actions_t actions;
    char said[200];
    int ends[2], status = 0;
    pid_t pid;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return arena_strdup(a, strerror(errno));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    int error = posix_spawn(&pid, shim, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    ssize_t n = error == 0 ? read(ends[0], said, sizeof said - 1) : 0;
    close(ends[0]);
    if (error != 0)
        return arena_printf(a, "taskshim does not start: %s", strerror(error));
    if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return NULL;
    said[n < 0 ? 0 : n] = '\0';
    return arena_strdup(a, n > 0 ? said : "taskshim could not try namespaces");
}

/* The limits that no controller of cgroups keeps a task to. */
static char *unenforced(struct arena *a, const struct cgroups *c)
{
    static const char *const names[] = {
        [SHIM_MEMORY] = "memory", [SHIM_CPU] = "cpu", [SHIM_PIDS] = "pids", [SHIM_IO] = "io"};
    char *list = NULL;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (c->limits[i][0] == '\0')
            list =
                list == NULL ? arena_strdup(a, names[i]) : arena_printf(a, "%s,%s", list, names[i]);
    return list;
}

void host_look(struct arena *a, const struct cgroups *c, const char *shim, const char *chroot,
               struct driver_host *out)
{
    *out = (struct driver_host){.root = geteuid() == 0, .shim = shim, .chroot = chroot};
    if (c->limits[SHIM_MEMORY][0] == '\0')
        out->no_cgroups = "there is no cgroup controller for memory that we may use";
    out->no_namespaces = why_no_namespaces(a, shim);
    out->unenforced = unenforced(a, c);
}

static Pb__KeyValue *pair(struct arena *a, const char *key, const char *value)
{
    Pb__KeyValue *kv = arena_alloc(a, sizeof *kv);
    pb__key_value__init(kv);
    kv->key = arena_strdup(a, key);
    kv->value = arena_strdup(a, value);
    return kv;
}

void host_tell_driver(struct arena *a, const char *name, const char *reason, Pb__Node *node,
                      Pb__DriverInfo *info)
{
    const char *good = arena_printf(a, "driver.%s", name);
    const char *bad = arena_printf(a, "driver.%s.unhealthy", name);
    const char *value = reason == NULL ? "1" : reason;
    fingerprint_unset(node, reason == NULL ? bad : good);
    fingerprint_unset(node, arena_printf(a, "driver.%s.version", name));
    fingerprint_set(a, node, reason == NULL ? good : bad, value);
    info->has_detected = info->has_healthy = info->detected = true;
    info->healthy = reason == NULL;
    info->health_description = arena_strdup(a, reason == NULL ? "Healthy" : reason);
    info->attributes = arena_array(a, Pb__KeyValue *, 1);
    info->n_attributes = 1;
    info->attributes[0] = reason == NULL ? pair(a, good, "true") : pair(a, bad, value);
}

static void describe(struct arena *a, const struct driver *d, const struct driver_host *h,
                     Pb__Node *node, Pb__DriverInfo *info)
{
    struct reason why = {""};
    bool healthy = d->fingerprint == NULL || d->fingerprint(h, &why) == OK;
    info->name = arena_strdup(a, d->name);
    host_tell_driver(a, d->name, healthy ? NULL : why.text, node, info);
    if (d->own_root && healthy && !h->root) {
        fingerprint_set(a, node, arena_printf(a, "driver.%s.rootless", d->name), "1");
        if (h->unenforced != NULL)
            fingerprint_set(a, node, arena_printf(a, "driver.%s.unenforced", d->name),
                            h->unenforced);
    }
}

void host_describe(struct arena *a, const struct driver_host *h, Pb__Node *node, int64_t now_ns)
{
    size_t count = 0;
    while (driver_at(count) != NULL)
        count++;
    node->drivers = arena_array(a, Pb__DriverInfo *, count);
    for (size_t i = 0; i < count; i++) {
        Pb__DriverInfo *info = arena_alloc(a, sizeof *info);
        pb__driver_info__init(info);
        info->has_update_time = true;
        info->update_time = now_ns;
        describe(a, driver_at(i), h, node, info);
        node->drivers[node->n_drivers++] = info;
    }
}
