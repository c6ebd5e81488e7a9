#include "dockmounts.h"
#include "nodeagent/volumes.h"
#include <string.h>

static enum err no_node_paths(const char *key, const char *source, struct reason *why)
{
    return reason_set(
        why, ERR_INVALID,
        "config key \"%s\": \"%.100s\": a directory of the node must be one of its "
        "host volumes (volume, volume_mount), or the agent's setting docker_volumes on",
        key, source);
}

static bool is_below(const char *path)
{
    for (const char *p = path; *p != '\0'; p += strcspn(p, "/"), p += *p == '/')
        if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == '\0'))
            return false;
    return true;
}

/* As the engine is to know it: what is relative is of the task's directory, and own remembers it.
 */
static enum err find_source(const struct driver_ask *ask, const char *key, const char *source,
                            json_t *own, const char **out, struct reason *why)
{
    if (source[0] != '/' && is_below(source)) {
        while (strncmp(source, "./", 2) == 0)
            source += 2;
        if (*source != '\0' && strcmp(source, ".") != 0)
            json_array_append_new(own, json_string(source));
        *out = arena_printf(ask->arena, "%s/%s", ask->task_dir, source);
        return OK;
    }
    if (!ask->host->docker.volumes)
        return no_node_paths(key, source, why);
    *out = source[0] == '/' ? source : arena_printf(ask->arena, "%s/%s", ask->task_dir, source);
    return OK;
}

/* ---- binds: "SOURCE:PLACE:OPTIONS" */

static void bind(const struct driver_ask *ask, json_t *binds, const char *source, const char *place,
                 const char *options)
{
    json_array_append_new(binds, json_string(arena_printf(ask->arena, "%s:%s%s%s", source, place,
                                                          *options == '\0' ? "" : ":", options)));
}

static enum err bind_volume(const struct driver_ask *ask, json_t *binds, json_t *own,
                            const char *text, bool by_driver, struct reason *why)
{
    char *source = arena_strdup(ask->arena, text), *place = strchr(source, ':'), *options = NULL;
    const char *path = source;
    if (place != NULL)
        *place++ = '\0';
    if (place == NULL || place[0] != '/' || source[0] == '\0')
        return reason_set(why, ERR_INVALID,
                          "config key \"volumes\": \"%.100s\" is not SOURCE:/PLACE or "
                          "SOURCE:/PLACE:ro",
                          text);
    options = strchr(place, ':');
    if (options != NULL)
        *options++ = '\0';
    enum err e = by_driver ? OK : find_source(ask, "volumes", source, own, &path, why);
    if (e == OK)
        bind(ask, binds, path, place, options == NULL ? "" : options);
    return e;
}

static enum err put_volumes(const struct driver_ask *ask, json_t *host, json_t *binds, json_t *own,
                            struct reason *why)
{
    const char *driver = NULL;
    char **texts;
    size_t count;
    enum err e = config_list(ask, "volumes", &texts, &count, why);
    if (e == OK)
        e = config_text(ask, "volume_driver", &driver, why);
    if (e == OK && driver != NULL && *driver == '\0')
        driver = NULL;
    if (e == OK && driver != NULL && !ask->host->docker.volumes)
        return reason_set(
            why, ERR_INVALID,
            "config key \"volume_driver\": the agent's setting docker_volumes is off");
    if (e == OK && driver != NULL)
        json_object_set_new(host, "VolumeDriver", json_string(driver));
    for (size_t i = 0; e == OK && i < count; i++)
        e = bind_volume(ask, binds, own, texts[i], driver != NULL, why);
    return e;
}

static enum err put_host_volumes(const struct driver_ask *ask, json_t *binds, struct reason *why)
{
    enum err e = OK;
    for (size_t i = 0; e == OK && i < ask->task->n_volume_mounts; i++) {
        const Pb__VolumeMount *m = ask->task->volume_mounts[i];
        struct volume_place v;
        e = volumes_find(ask->node, ask->group, m, &v, why);
        if (e == OK)
            bind(ask, binds, v.path, m->destination == NULL ? "" : m->destination,
                 v.writable ? "" : "ro");
    }
    return e;
}

/* ---- blocks mount { type target source readonly ..._options }, and the list mounts of the same */

static enum err wrong_mount(const char *what, struct reason *why)
{
    return reason_set(why, ERR_INVALID, "config key \"mount\": %s", what);
}

static enum err bind_options(const struct driver_ask *b, json_t *mount, struct reason *why)
{
    static const char *const keys[] = {"propagation", NULL};
    const char *propagation = NULL;
    struct driver_ask *options;
    enum err e = config_block(b, "bind_options", keys, &options, why);
    if (e == OK && options != NULL)
        e = config_text(options, "propagation", &propagation, why);
    if (e == OK && propagation != NULL)
        json_object_set_new(mount, "BindOptions", json_pack("{ss}", "Propagation", propagation));
    return e;
}

static enum err tmpfs_options(const struct driver_ask *b, json_t *mount, struct reason *why)
{
    static const char *const keys[] = {"mode", "size", NULL};
    int64_t size = 0, mode = 0;
    struct driver_ask *options;
    enum err e = config_block(b, "tmpfs_options", keys, &options, why);
    if (e != OK || options == NULL)
        return e;
    json_t *out = json_object();
    json_object_set_new(mount, "TmpfsOptions", out);
    e = config_number(options, "size", &size, why);
    if (e == OK)
        e = config_number(options, "mode", &mode, why);
    if (size > 0)
        json_object_set_new(out, "SizeBytes", json_integer(size));
    if (mode > 0)
        json_object_set_new(out, "Mode", json_integer(mode));
    return e;
}

/* A volume's driver may lead anywhere on the node. */
static enum err volume_driver(const struct driver_ask *ask, const struct driver_ask *options,
                              json_t *out, struct reason *why)
{
    static const char *const keys[] = {"name", "options", NULL};
    const char *name = NULL;
    json_t *pairs = NULL;
    struct driver_ask *driver;
    enum err e = config_block(options, "driver_config", keys, &driver, why);
    if (e != OK || driver == NULL)
        return e;
    if (!ask->host->docker.volumes)
        return wrong_mount("driver_config: the agent's setting docker_volumes is off", why);
    e = config_text(driver, "name", &name, why);
    if (e == OK)
        e = config_object(driver, "options", &pairs, why);
    if (e == OK)
        json_object_set_new(
            out, "DriverConfig",
            json_pack("{ss,so*}", "Name", name == NULL ? "" : name, "Options", pairs));
    return e;
}

static enum err volume_options(const struct driver_ask *ask, const struct driver_ask *b,
                               json_t *mount, struct reason *why)
{
    static const char *const keys[] = {"driver_config", "labels", "no_copy", NULL};
    bool no_copy = false;
    json_t *labels = NULL;
    struct driver_ask *options;
    enum err e = config_block(b, "volume_options", keys, &options, why);
    if (e != OK || options == NULL)
        return e;
    json_t *out = json_object();
    json_object_set_new(mount, "VolumeOptions", out);
    e = config_bool(options, "no_copy", &no_copy, why);
    if (e == OK)
        e = config_object(options, "labels", &labels, why);
    json_object_set_new(out, "NoCopy", json_boolean(no_copy));
    if (labels != NULL)
        json_object_set_new(out, "Labels", labels);
    return e == OK ? volume_driver(ask, options, out, why) : e;
}

static enum err mount_source(const struct driver_ask *ask, const struct driver_ask *b,
                             json_t *mount, json_t *own, bool is_bind, struct reason *why)
{
    const char *source = NULL;
    enum err e = config_text(b, "source", &source, why);
    if (e == OK && is_bind && (source == NULL || *source == '\0'))
        return wrong_mount("source is missing", why);
    if (e == OK && is_bind)
        e = find_source(ask, "mount", source, own, &source, why);
    if (e == OK && source != NULL)
        json_object_set_new(mount, "Source", json_string(source));
    return e;
}

static enum err put_mount(const struct driver_ask *ask, const struct driver_ask *b, json_t *list,
                          json_t *own, struct reason *why)
{
    const char *type = "volume", *target = NULL;
    bool readonly = false;
    json_t *mount = json_object();
    json_array_append_new(list, mount);
    enum err e = config_text(b, "type", &type, why);
    if (e == OK)
        e = config_text(b, "target", &target, why);
    if (e == OK)
        e = config_bool(b, "readonly", &readonly, why);
    if (e != OK)
        return e;
    const bool is_bind = strcmp(type, "bind") == 0, is_tmpfs = strcmp(type, "tmpfs") == 0;
    if (target == NULL || target[0] != '/')
        return wrong_mount("target must be an absolute path in the container", why);
    if (!is_bind && !is_tmpfs && strcmp(type, "volume") != 0)
        return wrong_mount("type must be bind, tmpfs or volume", why);
    json_object_set_new(mount, "Type", json_string(type));
    json_object_set_new(mount, "Target", json_string(target));
    json_object_set_new(mount, "ReadOnly", json_boolean(readonly));
    if (is_tmpfs)
        return tmpfs_options(b, mount, why);
    e = mount_source(ask, b, mount, own, is_bind, why);
    if (e != OK)
        return e;
    return is_bind ? bind_options(b, mount, why) : volume_options(ask, b, mount, why);
}

static enum err put_mounts(const struct driver_ask *ask, json_t *host, json_t *own,
                           struct reason *why)
{
    static const char *const names[] = {"mount", "mounts"};
    static const char *const keys[] = {"bind_options",  "readonly", "source",         "target",
                                       "tmpfs_options", "type",     "volume_options", NULL};
    json_t *list = json_array();
    enum err e = OK;
    for (size_t k = 0; e == OK && k < COUNT_OF(names); k++) {
        struct driver_ask *blocks;
        size_t count;
        e = config_blocks(ask, names[k], keys, &blocks, &count, why);
        for (size_t i = 0; e == OK && i < count; i++)
            e = put_mount(ask, &blocks[i], list, own, why);
    }
    json_object_set_new(host, "Mounts", list);
    return e;
}

/* ---- devices [{ host_path container_path cgroup_permissions }] */

static enum err put_device(const struct driver_ask *b, json_t *list, struct reason *why)
{
    const char *there = NULL, *here = NULL, *may = "rwm";
    enum err e = config_text(b, "host_path", &there, why);
    if (e == OK)
        e = config_text(b, "container_path", &here, why);
    if (e == OK)
        e = config_text(b, "cgroup_permissions", &may, why);
    if (e != OK)
        return e;
    if (there == NULL || there[0] != '/')
        return reason_set(why, ERR_INVALID,
                          "config key \"devices\": host_path must be an absolute path");
    if (strspn(may, "rwm") != strlen(may))
        return reason_set(why, ERR_INVALID,
                          "config key \"devices\": cgroup_permissions \"%.20s\" must be of r, w, m",
                          may);
    json_array_append_new(list, json_pack("{ss,ss,ss}", "PathOnHost", there, "PathInContainer",
                                          here == NULL || *here == '\0' ? there : here,
                                          "CgroupPermissions", *may == '\0' ? "rwm" : may));
    return OK;
}

static enum err put_devices(const struct driver_ask *ask, json_t *host, struct reason *why)
{
    static const char *const keys[] = {"cgroup_permissions", "container_path", "host_path", NULL};
    struct driver_ask *blocks;
    size_t count;
    enum err e = config_blocks(ask, "devices", keys, &blocks, &count, why);
    if (e != OK || count == 0)
        return e;
    if (!ask->host->docker.devices)
        return reason_set(why, ERR_INVALID,
                          "config key \"devices\": the agent's setting docker_devices is off");
    json_t *list = json_array();
    json_object_set_new(host, "Devices", list);
    for (size_t i = 0; e == OK && i < count; i++)
        e = put_device(&blocks[i], list, why);
    return e;
}

enum err dockmounts_put(const struct driver_ask *ask, json_t *host, json_t *own, struct reason *why)
{
    json_t *binds = json_array();
    json_object_set_new(host, "Binds", binds);
    bind(ask, binds, ask->alloc_dir, "/alloc", "");
    bind(ask, binds, arena_printf(ask->arena, "%s/local", ask->task_dir), "/local", "");
    bind(ask, binds, arena_printf(ask->arena, "%s/secrets", ask->task_dir), "/secrets", "");
    if (ask->resolv_conf != NULL)
        bind(ask, binds, ask->resolv_conf, "/etc/resolv.conf", "");
    enum err e = put_volumes(ask, host, binds, own, why);
    if (e == OK)
        e = put_host_volumes(ask, binds, why);
    if (e == OK)
        e = put_mounts(ask, host, own, why);
    return e == OK ? put_devices(ask, host, why) : e;
}
