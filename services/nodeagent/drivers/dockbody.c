#include "dockbody.h"
#include "base/id.h"
#include "dockmounts.h"
#include "nodeagent/cores.h"
#include "nodeagent/network.h"
#include "resources.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1ll << 20)

struct names {
    const char *key, *name; /* of the config, and of the engine */
};

/* ---- one key after the other: each puts what it finds into out */

static enum err put_texts(const struct driver_ask *ask, const struct names *list, size_t count,
                          json_t *out, struct reason *why)
{
    enum err e = OK;
    for (size_t i = 0; e == OK && i < count; i++) {
        const char *text = NULL;
        e = config_text(ask, list[i].key, &text, why);
        if (e == OK && text != NULL && *text != '\0')
            json_object_set_new(out, list[i].name, json_string(text));
    }
    return e;
}

static enum err put_bools(const struct driver_ask *ask, const struct names *list, size_t count,
                          json_t *out, struct reason *why)
{
    enum err e = OK;
    for (size_t i = 0; e == OK && i < count; i++) {
        bool on = false;
        e = config_bool(ask, list[i].key, &on, why);
        if (e == OK && on)
            json_object_set_new(out, list[i].name, json_true());
    }
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

static enum err put_lists(const struct driver_ask *ask, const struct names *list, size_t count,
                          json_t *out, struct reason *why)
{
    enum err e = OK;
    for (size_t i = 0; e == OK && i < count; i++)
        e = put_list(ask, list[i].key, out, list[i].name, why);
    return e;
}

static enum err put_objects(const struct driver_ask *ask, const struct names *list, size_t count,
                            json_t *out, struct reason *why)
{
    enum err e = OK;
    for (size_t i = 0; e == OK && i < count; i++) {
        json_t *pairs = NULL;
        e = config_object(ask, list[i].key, &pairs, why);
        if (pairs != NULL)
            json_object_set_new(out, list[i].name, pairs);
    }
    return e;
}

/* ---- what runs */

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
    char id[ID_TEXT_SIZE];
    json_t *labels = NULL;
    enum err e = config_object(ask, "labels", &labels, why);
    if (labels == NULL)
        labels = json_object();
    json_object_set_new(out, "Labels", labels);
    id_format(ask->alloc->id.data, id);
    json_object_set_new(labels, "org.norn.alloc", json_string(id));
    json_object_set_new(labels, "org.norn.task", json_string(ask->task->name));
    return e;
}

static enum err put_healthcheck(const struct driver_ask *ask, json_t *out, struct reason *why)
{
    static const char *const keys[] = {"disable", NULL};
    struct driver_ask *block;
    bool off = false;
    enum err e = config_block(ask, "healthchecks", keys, &block, why);
    if (e == OK && block != NULL)
        e = config_bool(block, "disable", &off, why);
    if (e == OK && off)
        json_object_set_new(out, "Healthcheck", json_pack("{s[s]}", "Test", "NONE"));
    return e;
}

/* The engine's own copy of the output is not needed, and nobody would ever shorten it. */
static enum err put_logging(const struct driver_ask *ask, json_t *host, struct reason *why)
{
    static const char *const keys[] = {"config", "driver", "type", NULL};
    struct driver_ask *block;
    const char *type = NULL;
    json_t *config = NULL;
    enum err e = config_block(ask, "logging", keys, &block, why);
    if (e == OK && block != NULL)
        e = config_text(block, "driver", &type, why);
    if (e == OK && block != NULL)
        e = config_text(block, "type", &type, why);
    if (e == OK && block != NULL)
        e = config_object(block, "config", &config, why);
    if (e == OK)
        json_object_set_new(
            host, "LogConfig",
            json_pack("{ss,so*}", "Type", type == NULL ? "none" : type, "Config", config));
    return e;
}

/* ---- the network */

static const Pb__Port *find_port(const Pb__Alloc *alloc, const char *label)
{
    for (size_t i = 0; i < alloc->n_ports; i++)
        if (alloc->ports[i]->label != NULL && strcmp(alloc->ports[i]->label, label) == 0)
            return alloc->ports[i];
    return NULL;
}

/* to: the port in the container; 0: as the port has it, or the same number. */
static enum err bind_port(const struct driver_ask *ask, const char *key, const char *label,
                          unsigned to, json_t *bindings, struct reason *why)
{
    static const char *const protocols[] = {"tcp", "udp"};
    char inside[32], outside[16];
    const Pb__Port *p = find_port(ask->alloc, label);
    if (p == NULL)
        return reason_set(why, ERR_INVALID,
                          "config key \"%s\": the group's network has no port \"%.100s\"", key,
                          label);
    if (to == 0)
        to = p->to > 0 ? (unsigned)p->to : p->value;
    snprintf(outside, sizeof outside, "%u", p->value);
    for (size_t i = 0; i < COUNT_OF(protocols); i++) {
        snprintf(inside, sizeof inside, "%u/%s", to, protocols[i]);
        json_object_set_new(bindings, inside, json_pack("[{ss}]", "HostPort", outside));
    }
    return OK;
}

/* What there was before "ports": labels with the ports in the container. */
static enum err bind_port_map(const struct driver_ask *ask, json_t *bindings, struct reason *why)
{
    char **labels, **values, *end;
    enum err e = config_pairs(ask, "port_map", &labels, &values, why);
    for (size_t i = 0; e == OK && labels[i] != NULL; i++) {
        unsigned long to = strtoul(values[i], &end, 10);
        if (*end != '\0' || to == 0 || to > UINT16_MAX)
            return reason_set(why, ERR_INVALID,
                              "config key \"port_map\": %.60s = \"%.60s\" is no port", labels[i],
                              values[i]);
        e = bind_port(ask, "port_map", labels[i], (unsigned)to, bindings, why);
    }
    return e;
}

/* joined: the group's network has its ports already. */
static enum err put_ports(const struct driver_ask *ask, bool joined, json_t *out, json_t *host,
                          struct reason *why)
{
    char **labels;
    size_t count;
    const char *inside;
    json_t *exposed = json_object(), *bindings = json_object(), *binding;
    enum err e = config_list(ask, "ports", &labels, &count, why);
    for (size_t i = 0; e == OK && i < count; i++)
        e = bind_port(ask, "ports", labels[i], 0, bindings, why);
    if (e == OK)
        e = bind_port_map(ask, bindings, why);
    json_object_foreach(bindings, inside, binding)
    {
        json_object_set_new(exposed, inside, json_object());
    }
    if (e == OK && json_object_size(bindings) > 0 && !joined) {
        json_object_set(out, "ExposedPorts", exposed);
        json_object_set(host, "PortBindings", bindings);
    }
    json_decref(exposed);
    json_decref(bindings);
    return e;
}

/* Of the engine's network that it is in. */
static enum err put_endpoint(const struct driver_ask *ask, const char *mode, json_t *out,
                             struct reason *why)
{
    static const struct names addresses[] = {{"ipv4_address", "IPv4Address"},
                                             {"ipv6_address", "IPv6Address"}};
    static const struct names hardware = {"mac_address", "MacAddress"};
    json_t *endpoint = json_object(), *ipam = json_object();
    enum err e = put_list(ask, "network_aliases", endpoint, "Aliases", why);
    if (e == OK)
        e = put_texts(ask, addresses, COUNT_OF(addresses), ipam, why);
    if (e == OK)
        e = put_texts(ask, &hardware, 1, endpoint, why); /* podman looks for it here */
    if (json_object_size(ipam) > 0)
        json_object_set(endpoint, "IPAMConfig", ipam);
    if (e == OK && json_object_size(endpoint) > 0)
        json_object_set_new(
            out, "NetworkingConfig",
            json_pack("{s{sO}}", "EndpointsConfig", mode == NULL ? "bridge" : mode, endpoint));
    json_decref(ipam);
    json_decref(endpoint);
    return e;
}

/* What an engine refuses beside the network of another. */
static enum err check_joined(const struct driver_ask *ask, struct reason *why)
{
    static const char *const keys[] = {"dns_options", "dns_search_domains", "dns_servers",
                                       "extra_hosts", "ipv4_address",       "ipv6_address",
                                       "mac_address", "network_aliases",    "network_mode"};
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (json_object_get(ask->config, keys[i]) != NULL)
            return reason_set(why, ERR_INVALID,
                              "config key \"%s\": the task is in its group's network, which knows "
                              "of that by itself (network { mode, dns, hostname })",
                              keys[i]);
    return OK;
}

static enum err put_network(const struct driver_ask *ask, json_t *spec, json_t *out, json_t *host,
                            struct reason *why)
{
    static const struct names lists[] = {{"extra_hosts", "ExtraHosts"},
                                         {"dns_servers", "Dns"},
                                         {"dns_search_domains", "DnsSearch"},
                                         {"dns_options", "DnsOptions"}};
    static const struct names texts[] = {{"hostname", "Hostname"}, {"mac_address", "MacAddress"}};
    const char *mode = NULL;
    bool joined = ask->netns != NULL;
    enum err e = joined ? check_joined(ask, why) : OK;
    if (e == OK)
        e = config_text(ask, "network_mode", &mode, why);
    if (e == OK)
        e = put_texts(ask, texts, COUNT_OF(texts), out, why);
    if (e == OK)
        e = put_ports(ask, joined, out, host, why);
    if (e == OK)
        e = put_lists(ask, lists, COUNT_OF(lists), host, why);
    if (e == OK)
        e = put_endpoint(ask, mode, out, why);
    if (mode != NULL)
        json_object_set_new(host, "NetworkMode", json_string(mode));
    if (joined)
        json_object_set_new(spec, "netns", json_string(ask->netns));
    if (joined && ask->hostname != NULL && json_object_get(out, "Hostname") == NULL)
        json_object_set_new(out, "Hostname", json_string(ask->hostname));
    return e;
}

/* ---- what it may do */

/* "CAP_NET_RAW" is "net_raw". */
static const char *short_cap(const struct driver_ask *ask, const char *name)
{
    char *text = arena_strdup(ask->arena, strncasecmp(name, "CAP_", 4) == 0 ? name + 4 : name);
    for (char *p = text; *p != '\0'; p++)
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p - 'A' + 'a' : *p);
    return text;
}

static bool may_add(const struct driver_ask *ask, const char *cap)
{
    const char *allowed = ask->host->docker.caps == NULL ? "" : ask->host->docker.caps;
    char *rest = arena_strdup(ask->arena, allowed), *one;
    while ((one = strsep(&rest, ", ")) != NULL) {
        const char *name = short_cap(ask, one);
        if (*name != '\0' && (strcmp(name, "all") == 0 || strcmp(name, cap) == 0))
            return true;
    }
    return false;
}

/* What engines give a container that asks for nothing goes where the agent's setting has it not. */
static void drop_caps(const struct driver_ask *ask, json_t *host)
{
    static const char *const given[] = {
        "audit_write", "chown",  "dac_override",     "fowner",  "fsetid", "kill",    "mknod",
        "net_raw",     "setgid", "net_bind_service", "setfcap", "setuid", "setpcap", "sys_chroot"};
    json_t *dropped = json_object_get(host, "CapDrop");
    if (dropped == NULL)
        json_object_set_new(host, "CapDrop", dropped = json_array());
    for (size_t i = 0; i < COUNT_OF(given); i++)
        if (!may_add(ask, given[i]))
            json_array_append_new(dropped, json_string(given[i]));
}

static enum err put_caps(const struct driver_ask *ask, json_t *host, struct reason *why)
{
    char **caps;
    size_t count;
    enum err e = config_list(ask, "cap_add", &caps, &count, why);
    for (size_t i = 0; e == OK && i < count; i++)
        if (!may_add(ask, short_cap(ask, caps[i])))
            return reason_set(why, ERR_INVALID,
                              "config key \"cap_add\": \"%.60s\" is not among the agent's setting "
                              "docker_allow_caps",
                              caps[i]);
    if (e == OK)
        e = put_list(ask, "cap_add", host, "CapAdd", why);
    if (e == OK)
        e = put_list(ask, "cap_drop", host, "CapDrop", why);
    if (e == OK)
        drop_caps(ask, host);
    return e;
}

static enum err put_privileged(const struct driver_ask *ask, json_t *host, struct reason *why)
{
    bool on = false;
    enum err e = config_bool(ask, "privileged", &on, why);
    if (e != OK || !on)
        return e;
    if (!ask->host->docker.privileged)
        return reason_set(
            why, ERR_INVALID,
            "config key \"privileged\": the agent's setting docker_allow_privileged is off");
    json_object_set_new(host, "Privileged", json_true());
    return OK;
}

/* To be in a namespace of the node, or of another container, is as much as to be privileged. */
static enum err put_modes(const struct driver_ask *ask, json_t *host, struct reason *why)
{
    static const struct names modes[] = {
        {"ipc_mode", "IpcMode"}, {"pid_mode", "PidMode"}, {"uts_mode", "UTSMode"}};
    static const char *const own[] = {"none", "private", "shareable"};
    enum err e = put_texts(ask, modes, COUNT_OF(modes), host, why);
    for (size_t i = 0; e == OK && i < COUNT_OF(modes); i++) {
        const char *mode = json_string_value(json_object_get(host, modes[i].name));
        bool shared = mode != NULL;
        for (size_t k = 0; shared && k < COUNT_OF(own); k++)
            shared = strcmp(mode, own[k]) != 0;
        if (shared && !ask->host->docker.privileged)
            return reason_set(why, ERR_INVALID,
                              "config key \"%s\": \"%.60s\": the agent's setting "
                              "docker_allow_privileged is off",
                              modes[i].key, mode);
    }
    return e;
}

static enum err put_cgroupns(const struct driver_ask *ask, json_t *host, struct reason *why)
{
    const char *mode = NULL;
    enum err e = config_text(ask, "cgroupns", &mode, why);
    if (e != OK || mode == NULL || *mode == '\0')
        return e;
    if (strcmp(mode, "host") != 0 && strcmp(mode, "private") != 0)
        return reason_set(why, ERR_INVALID,
                          "config key \"cgroupns\" must be \"host\" or \"private\"");
    json_object_set_new(host, "CgroupnsMode", json_string(mode));
    return OK;
}

/* "SOFT:HARD", or one for both; -1: no limit. */
static bool read_ulimit(const char *text, json_int_t *soft, json_int_t *hard)
{
    char *end;
    *soft = *hard = strtoll(text, &end, 10);
    if (end != text && *end == ':') {
        text = end + 1;
        *hard = strtoll(text, &end, 10);
    }
    return end != text && *end == '\0';
}

static enum err put_ulimits(const struct driver_ask *ask, json_t *host, struct reason *why)
{
    char **names, **values;
    enum err e = config_pairs(ask, "ulimit", &names, &values, why);
    if (e != OK || names[0] == NULL)
        return e;
    json_t *list = json_array();
    json_object_set_new(host, "Ulimits", list);
    for (size_t i = 0; names[i] != NULL; i++) {
        json_int_t soft, hard;
        if (!read_ulimit(values[i], &soft, &hard))
            return reason_set(why, ERR_INVALID,
                              "config key \"ulimit\": %.60s = \"%.60s\" is not SOFT:HARD or one "
                              "number",
                              names[i], values[i]);
        json_array_append_new(
            list, json_pack("{ss,sI,sI}", "Name", names[i], "Soft", soft, "Hard", hard));
    }
    return OK;
}

static enum err put_rights(const struct driver_ask *ask, json_t *host, struct reason *why)
{
    static const struct names texts[] = {{"runtime", "Runtime"}, {"userns_mode", "UsernsMode"}};
    static const struct names lists[] = {{"group_add", "GroupAdd"},
                                         {"security_opt", "SecurityOpt"}};
    static const struct names objects[] = {{"storage_opt", "StorageOpt"}, {"sysctl", "Sysctls"}};
    static const struct names bools[] = {{"init", "Init"}, {"readonly_rootfs", "ReadonlyRootfs"}};
    enum err e = put_texts(ask, texts, COUNT_OF(texts), host, why);
    if (e == OK)
        e = put_modes(ask, host, why);
    if (e == OK)
        e = put_cgroupns(ask, host, why);
    if (e == OK)
        e = put_caps(ask, host, why);
    if (e == OK)
        e = put_lists(ask, lists, COUNT_OF(lists), host, why);
    if (e == OK)
        e = put_objects(ask, objects, COUNT_OF(objects), host, why);
    if (e == OK)
        e = put_bools(ask, bools, COUNT_OF(bools), host, why);
    if (e == OK)
        e = put_privileged(ask, host, why);
    return e == OK ? put_ulimits(ask, host, why) : e;
}

/* ---- limits */

static enum err read_numbers(const struct driver_ask *ask, int64_t *hard_mb, int64_t *shm,
                             int64_t *oom_score, int64_t *period_us, struct reason *why)
{
    enum err e = config_number(ask, "memory_hard_limit", hard_mb, why);
    if (e == OK)
        e = config_number(ask, "shm_size", shm, why);
    if (e == OK)
        e = config_number(ask, "oom_score_adj", oom_score, why);
    if (e == OK && (*oom_score < 0 || *oom_score > 1000))
        return reason_set(why, ERR_INVALID, "config key \"oom_score_adj\" must be 0 to 1000");
    if (e == OK)
        e = config_number(ask, "cpu_cfs_period", period_us, why);
    if (e == OK && (*period_us < 1000 || *period_us > 1000000))
        return reason_set(why, ERR_INVALID,
                          "config key \"cpu_cfs_period\" must be 1000 to 1000000 microseconds");
    return e;
}

static void put_cores(const struct driver_ask *ask, json_t *host)
{
    struct core_set own = {{0}};
    for (size_t i = 0; i < ask->alloc->n_grants; i++)
        if (strcmp(ask->alloc->grants[i]->task, ask->task->name) == 0)
            core_set_add_grants(&own, &ask->alloc->grants[i], 1);
    if (core_set_count(&own) > 0)
        json_object_set_new(host, "CpusetCpus", json_string(core_set_text(&own, ask->arena)));
}

static enum err put_limits(const struct driver_ask *ask, json_t *host, struct reason *why)
{
    struct shim_limits l = {0};
    int64_t hard_mb = 0, shm = 0, oom_score = 0, period_us = SHIM_CPU_PERIOD_US;
    enum err e = resources_read(ask, 0, &l, why);
    if (e == OK)
        e = read_numbers(ask, &hard_mb, &shm, &oom_score, &period_us, why);
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
    int64_t quota_us = (int64_t)l.cpu_quota_us * period_us / SHIM_CPU_PERIOD_US;
    const struct {
        const char *name;
        int64_t value;
    } limits[] = {{"Memory", memory},
                  {"MemoryReservation", reserved},
                  {"MemorySwap", memory}, /* none: as with exec */
                  {"CpuShares", l.cpu_shares},
                  {"CpuQuota", quota_us},
                  {"CpuPeriod", quota_us > 0 ? period_us : 0},
                  {"PidsLimit", l.pids},
                  {"OomScoreAdj", oom_score},
                  {"ShmSize", shm}};
    for (size_t i = 0; i < COUNT_OF(limits); i++)
        if (limits[i].value > 0)
            json_object_set_new(host, limits[i].name, json_integer(limits[i].value));
    put_cores(ask, host);
    return OK;
}

/* ---- keys of Nomad's driver that have no say here */

static enum err check_others(const struct driver_ask *ask, struct reason *why)
{
    const char *isolation = NULL;
    bool ipv6 = false;
    int64_t attempts = 0; /* a container of the same name always goes before (container.c) */
    enum err e = config_text(ask, "isolation", &isolation, why);
    if (e == OK && isolation != NULL && *isolation != '\0')
        return reason_set(why, ERR_INVALID,
                          "config key \"isolation\": containers of Windows have it, not those of "
                          "Linux");
    if (e == OK)
        e = config_bool(ask, "advertise_ipv6_address", &ipv6, why);
    if (e == OK && ipv6)
        return reason_set(why, ERR_INVALID,
                          "config key \"advertise_ipv6_address\": addresses of containers are not "
                          "registered; publish a port (ports)");
    return e == OK ? config_number(ask, "container_exists_attempts", &attempts, why) : e;
}

/* ---- all of it */

static enum err put_process(const struct driver_ask *ask, json_t *out, struct reason *why)
{
    static const struct names texts[] = {{"work_dir", "WorkingDir"}};
    static const struct names bools[] = {{"interactive", "OpenStdin"}, {"tty", "Tty"}};
    if (ask->task->user != NULL && ask->task->user[0] != '\0')
        json_object_set_new(out, "User", json_string(ask->task->user));
    enum err e = put_list(ask, "entrypoint", out, "Entrypoint", why);
    if (e == OK)
        e = put_command(ask, out, why);
    if (e == OK)
        e = put_texts(ask, texts, COUNT_OF(texts), out, why);
    if (e == OK)
        e = put_bools(ask, bools, COUNT_OF(bools), out, why);
    if (e == OK)
        e = put_labels(ask, out, why);
    return e == OK ? put_healthcheck(ask, out, why) : e;
}

enum err dockbody_put(const struct driver_ask *ask, json_t *spec, struct reason *why)
{
    json_t *out = json_object(), *host = json_object(), *own = json_array();
    json_object_set_new(spec, "create", out);
    json_object_set_new(out, "HostConfig", host);
    json_object_set_new(spec, "root", json_string(ask->task_dir));
    json_object_set_new(spec, "own", own);
    enum err e = check_others(ask, why);
    if (e == OK)
        e = put_process(ask, out, why);
    if (e == OK)
        e = put_network(ask, spec, out, host, why);
    if (e == OK)
        e = dockmounts_put(ask, host, own, why);
    if (e == OK)
        e = put_rights(ask, host, why);
    if (e == OK)
        e = put_limits(ask, host, why);
    return e == OK ? put_logging(ask, host, why) : e;
}
