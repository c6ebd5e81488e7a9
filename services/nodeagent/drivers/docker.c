/* docker: a container of an engine that speaks Docker's API (docker, podman), by its socket
 * (setting docker_socket). taskdock stands for it below taskshim (dock/taskdock.c).
 * Config: image, load, force_pull, entrypoint, command, args, work_dir, hostname, network_mode,
 * ports, volumes, labels, extra_hosts, dns_servers, dns_search_domains, dns_options, cap_add,
 * cap_drop, readonly_rootfs, init, tty, shm_size, pids_limit, cpu_hard_limit, memory_hard_limit. */
#include "base/id.h"
#include "driver.h"
#include "nodeagent/dock/engine.h"
#include "nodeagent/network.h"
#include "nodeagent/volumes.h"
#include "resources.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB (1ll << 20)

static const char *const keys[] = {"args",
                                   "cap_add",
                                   "cap_drop",
                                   "command",
                                   "cpu_hard_limit",
                                   "dns_options",
                                   "dns_search_domains",
                                   "dns_servers",
                                   "entrypoint",
                                   "extra_hosts",
                                   "force_pull",
                                   "hostname",
                                   "image",
                                   "init",
                                   "labels",
                                   "load",
                                   "memory_hard_limit",
                                   "network_mode",
                                   "pids_limit",
                                   "ports",
                                   "readonly_rootfs",
                                   "shm_size",
                                   "tty",
                                   "volumes",
                                   "work_dir",
                                   NULL};

static enum err check_parts(const struct driver_host *h, struct reason *why)
{
    if (h->docker_socket == NULL)
        return reason_set(why, ERR_NOT_FOUND,
                          "no engine's socket was found (setting docker_socket)");
    if (h->dock == NULL || access(h->dock, X_OK) != 0)
        return reason_set(why, ERR_NOT_FOUND, "the program taskdock is not there");
    return OK;
}

static enum err fingerprint(const struct driver_host *h, struct reason *why)
{
    char version[64];
    enum err e = check_parts(h, why);
    return e == OK ? engine_version(h->docker_socket, version, sizeof version, why) : e;
}

/* ---- one key after the other: each puts what it finds into out */

static enum err put_text(const struct driver_ask *ask, const char *key, json_t *out,
                         const char *name, struct reason *why)
{
    const char *text = NULL;
    enum err e = config_text(ask, key, &text, why);
    if (e == OK && text != NULL)
        json_object_set_new(out, name, json_string(text));
    return e;
}

static enum err put_bool(const struct driver_ask *ask, const char *key, json_t *out,
                         const char *name, struct reason *why)
{
    bool on = false;
    enum err e = config_bool(ask, key, &on, why);
    if (e == OK && on)
        json_object_set_new(out, name, json_true());
    return e;
}

static enum err put_list(const struct driver_ask *ask, const char *key, json_t *out,
                         const char *name, struct reason *why)
{
    char **texts;
    size_t count;
    enum err e = config_list(ask, key, &texts, &count, why);
    if (e != OK || count == 0)
        return e;
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(texts[i]));
    json_object_set_new(out, name, list);
    return OK;
}

/* A command without a list of arguments is one word, as Nomad has it. */
static enum err put_command(const struct driver_ask *ask, json_t *out, struct reason *why)
{
    const char *command = NULL;
    char **args;
    size_t count;
    enum err e = config_text(ask, "command", &command, why);
    if (e == OK)
        e = config_list(ask, "args", &args, &count, why);
    if (e != OK || (command == NULL && count == 0))
        return e;
    json_t *words = json_array();
    if (command != NULL)
        json_array_append_new(words, json_string(command));
    for (size_t i = 0; i < count; i++)
        json_array_append_new(words, json_string(args[i]));
    json_object_set_new(out, "Cmd", words);
    return OK;
}

static enum err put_labels(const struct driver_ask *ask, json_t *out, struct reason *why)
{
    char **names, **values, id[ID_TEXT_SIZE];
    json_t *labels = json_object();
    json_object_set_new(out, "Labels", labels);
    enum err e = config_pairs(ask, "labels", &names, &values, why);
    for (size_t i = 0; e == OK && names[i] != NULL; i++)
        json_object_set_new(labels, names[i], json_string(values[i]));
    id_format(ask->alloc->id.data, id);
    json_object_set_new(labels, "org.norn.alloc", json_string(id));
    json_object_set_new(labels, "org.norn.task", json_string(ask->task->name));
    return e;
}

/* ---- ports */

static const Pb__Port *find_port(const Pb__Alloc *alloc, const char *label)
{
    for (size_t i = 0; i < alloc->n_ports; i++)
        if (alloc->ports[i]->label != NULL && strcmp(alloc->ports[i]->label, label) == 0)
            return alloc->ports[i];
    return NULL;
}

static void bind_port(json_t *exposed, json_t *bindings, const Pb__Port *p, const char *protocol)
{
    char inside[32], outside[16];
    snprintf(inside, sizeof inside, "%u/%s", p->to > 0 ? (unsigned)p->to : p->value, protocol);
    snprintf(outside, sizeof outside, "%u", p->value);
    json_object_set_new(exposed, inside, json_object());
    json_object_set_new(bindings, inside, json_pack("[{ss}]", "HostPort", outside));
}

static enum err put_ports(const struct driver_ask *ask, json_t *out, json_t *host,
                          struct reason *why)
{
    char **labels;
    size_t count;
    enum err e = config_list(ask, "ports", &labels, &count, why);
    if (e != OK || count == 0)
        return e;
    json_t *exposed = json_object(), *bindings = json_object();
    json_object_set_new(out, "ExposedPorts", exposed);
    json_object_set_new(host, "PortBindings", bindings);
    for (size_t i = 0; i < count; i++) {
        const Pb__Port *p = find_port(ask->alloc, labels[i]);
        if (p == NULL)
            return reason_set(why, ERR_INVALID,
                              "config key \"ports\": the group's network has no port \"%.100s\"",
                              labels[i]);
        bind_port(exposed, bindings, p, "tcp");
        bind_port(exposed, bindings, p, "udp");
    }
    return OK;
}

/* ---- directories */

static void bind(const struct driver_ask *ask, json_t *binds, const char *source, const char *place,
                 bool writable)
{
    json_array_append_new(binds, json_string(arena_printf(ask->arena, "%s:%s%s", source, place,
                                                          writable ? "" : ":ro")));
}

/* "SOURCE:PLACE", "SOURCE:PLACE:ro": of the task's own directory only; what is the node's, the node
 * gives by host volumes. */
static enum err bind_volume(const struct driver_ask *ask, json_t *binds, const char *text,
                            struct reason *why)
{
    char *source = arena_strdup(ask->arena, text), *place = strchr(source, ':');
    if (place != NULL)
        *place++ = '\0';
    if (place == NULL || place[0] != '/' || source[0] == '\0' || strstr(source, "..") != NULL)
        return reason_set(why, ERR_INVALID,
                          "config key \"volumes\": \"%.100s\" is not SOURCE:/PLACE or "
                          "SOURCE:/PLACE:ro",
                          text);
    if (source[0] == '/')
        return reason_set(
            why, ERR_INVALID,
            "config key \"volumes\": \"%.100s\": a directory of the node must be one of "
            "its host volumes (volume, volume_mount)",
            text);
    json_array_append_new(
        binds, json_string(arena_printf(ask->arena, "%s/%s:%s", ask->task_dir, source, place)));
    return OK;
}

static enum err put_binds(const struct driver_ask *ask, json_t *host, struct reason *why)
{
    char **texts;
    size_t count;
    json_t *binds = json_array();
    json_object_set_new(host, "Binds", binds);
    bind(ask, binds, ask->alloc_dir, "/alloc", true);
    bind(ask, binds, arena_printf(ask->arena, "%s/local", ask->task_dir), "/local", true);
    bind(ask, binds, arena_printf(ask->arena, "%s/secrets", ask->task_dir), "/secrets", true);
    enum err e = config_list(ask, "volumes", &texts, &count, why);
    for (size_t i = 0; e == OK && i < count; i++)
        e = bind_volume(ask, binds, texts[i], why);
    for (size_t i = 0; e == OK && i < ask->task->n_volume_mounts; i++) {
        const Pb__VolumeMount *m = ask->task->volume_mounts[i];
        struct volume_place v;
        e = volumes_find(ask->node, ask->group, m, &v, why);
        if (e == OK)
            bind(ask, binds, v.path, m->destination == NULL ? "" : m->destination, v.writable);
    }
    return e;
}

/* ---- limits */

static enum err put_limits(const struct driver_ask *ask, json_t *host, struct reason *why)
{
    struct shim_limits l = {0};
    int64_t hard_mb = 0, shm = 0;
    enum err e = resources_read(ask, 0, &l, why);
    if (e == OK)
        e = config_number(ask, "memory_hard_limit", &hard_mb, why);
    if (e == OK)
        e = config_number(ask, "shm_size", &shm, why);
    if (e != OK)
        return e;
    int64_t memory = (int64_t)l.memory_bytes, reserved = (int64_t)l.memory_reserved_bytes;
    if (hard_mb > 0 && hard_mb * MIB < memory)
        return reason_set(why, ERR_INVALID,
                          "config key \"memory_hard_limit\" must not be below the task's memory");
    if (hard_mb > 0) {
        reserved = memory;
        memory = hard_mb * MIB;
    }
    const struct {
        const char *name;
        int64_t value;
    } limits[] = {{"Memory", memory},
                  {"MemoryReservation", reserved},
                  {"MemorySwap", memory}, /* none: as with exec */
                  {"CpuShares", l.cpu_shares},
                  {"CpuQuota", l.cpu_quota_us},
                  {"CpuPeriod", l.cpu_quota_us > 0 ? SHIM_CPU_PERIOD_US : 0},
                  {"PidsLimit", l.pids},
                  {"ShmSize", shm}};
    for (size_t i = 0; i < COUNT_OF(limits); i++)
        if (limits[i].value > 0)
            json_object_set_new(host, limits[i].name, json_integer(limits[i].value));
    return OK;
}

static enum err put_host(const struct driver_ask *ask, json_t *out, json_t *host,
                         struct reason *why)
{
    static const struct {
        const char *key, *name;
    } lists[] = {
        {"extra_hosts", "ExtraHosts"}, {"dns_servers", "Dns"}, {"dns_search_domains", "DnsSearch"},
        {"dns_options", "DnsOptions"}, {"cap_add", "CapAdd"},  {"cap_drop", "CapDrop"}};
    enum err e = OK;
    for (size_t i = 0; e == OK && i < COUNT_OF(lists); i++)
        e = put_list(ask, lists[i].key, host, lists[i].name, why);
    if (e == OK)
        e = put_text(ask, "network_mode", host, "NetworkMode", why);
    if (e == OK)
        e = put_bool(ask, "readonly_rootfs", host, "ReadonlyRootfs", why);
    if (e == OK)
        e = put_bool(ask, "init", host, "Init", why);
    if (e == OK)
        e = put_ports(ask, out, host, why);
    if (e == OK)
        e = put_binds(ask, host, why);
    return e == OK ? put_limits(ask, host, why) : e;
}

/* ---- the image */

static bool is_reference(const char *image)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@";
    return image[0] != '\0' && image[0] != '/' && strlen(image) < 256 &&
           strspn(image, letters) == strlen(image) && strstr(image, "..") == NULL;
}

static enum err put_image(const struct driver_ask *ask, json_t *spec, json_t *out,
                          struct reason *why)
{
    const char *image = NULL, *load = NULL;
    bool pull = false;
    enum err e = config_text(ask, "image", &image, why);
    if (e == OK)
        e = config_text(ask, "load", &load, why);
    if (e == OK)
        e = config_bool(ask, "force_pull", &pull, why);
    if (e != OK)
        return e;
    if (image == NULL || !is_reference(image))
        return reason_set(why, ERR_INVALID,
                          image == NULL ? "config key \"image\" is missing"
                                        : "config key \"image\": \"%.100s\" is no name of an "
                                          "image",
                          image);
    if (load != NULL && (load[0] == '/' || strstr(load, "..") != NULL))
        return reason_set(why, ERR_INVALID,
                          "config key \"load\": must be a file of the task's directory local");
    json_object_set_new(out, "Image", json_string(image));
    if (load != NULL)
        json_object_set_new(
            spec, "load",
            json_string(arena_printf(ask->arena, "%s/local/%s", ask->task_dir, load)));
    json_object_set_new(spec, "pull", pull ? json_true() : json_false());
    return OK;
}

/* ---- the plan */

static enum err make_spec(const struct driver_ask *ask, json_t *spec, struct reason *why)
{
    json_t *out = json_object(), *host = json_object();
    json_object_set_new(spec, "create", out);
    json_object_set_new(out, "HostConfig", host);
    if (ask->task->user != NULL && ask->task->user[0] != '\0')
        json_object_set_new(out, "User", json_string(ask->task->user));
    enum err e = put_image(ask, spec, out, why);
    if (e == OK)
        e = put_list(ask, "entrypoint", out, "Entrypoint", why);
    if (e == OK)
        e = put_command(ask, out, why);
    if (e == OK)
        e = put_text(ask, "work_dir", out, "WorkingDir", why);
    if (e == OK)
        e = put_text(ask, "hostname", out, "Hostname", why);
    if (e == OK)
        e = put_bool(ask, "tty", out, "Tty", why);
    if (e == OK)
        e = put_labels(ask, out, why);
    return e == OK ? put_host(ask, out, host, why) : e;
}

/* Names are for all of the engine, so the allocation's id makes it one. */
static char *container_name(const struct driver_ask *ask)
{
    char id[ID_TEXT_SIZE];
    char *task = arena_strdup(ask->arena, ask->task->name);
    for (char *p = task; *p != '\0'; p++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-", *p) == NULL)
            *p = '_';
    id_format(ask->alloc->id.data, id);
    return arena_printf(ask->arena, "%.64s-%s", task, id);
}

static enum err plan(const struct driver_ask *ask, struct driver_plan *out, struct reason *why)
{
    enum err e = check_parts(ask->host, why); /* whether the engine answers, taskdock finds out */
    if (e != OK)
        return e;
    if (ask->group != NULL && network_kind_of(network_of(ask->group)) != NETWORK_HOST)
        return reason_set(
            why, ERR_INVALID,
            "driver docker does not join the group's own network: leave the group's in "
            "mode host and set network_mode and ports of the task");
    json_t *spec = json_object();
    e = make_spec(ask, spec, why);
    char *text = e == OK ? json_dumps(spec, JSON_COMPACT) : NULL;
    json_decref(spec);
    if (e != OK)
        return e;
    out->program = ask->host->dock;
    out->argc = 5;
    out->argv = arena_array(ask->arena, char *, out->argc);
    out->argv[0] = arena_strdup(ask->arena, "taskdock");
    out->argv[1] = arena_strdup(ask->arena, "run");
    out->argv[2] = arena_strdup(ask->arena, ask->host->docker_socket);
    out->argv[3] = container_name(ask);
    out->argv[4] = arena_strdup(ask->arena, text);
    free(text);
    return OK;
}

static void exec(const struct driver_ask *ask, bool tty, char *const *command, size_t count,
                 struct driver_plan *out)
{
    out->program = ask->host->dock;
    out->argc = 5 + count;
    out->argv = arena_array(ask->arena, char *, out->argc);
    out->argv[0] = arena_strdup(ask->arena, "taskdock");
    out->argv[1] = arena_strdup(ask->arena, "exec");
    out->argv[2] = arena_strdup(ask->arena, ask->host->docker_socket);
    out->argv[3] = container_name(ask);
    out->argv[4] = arena_strdup(ask->arena, tty ? "tty" : "pipes");
    for (size_t i = 0; i < count; i++)
        out->argv[5 + i] = command[i];
}

extern const struct driver driver_docker;
const struct driver driver_docker = {.name = "docker",
                                     .keys = keys,
                                     .container = true,
                                     .fingerprint = fingerprint,
                                     .plan = plan,
                                     .exec = exec};
