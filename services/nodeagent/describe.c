#include "describe.h"
#include "base/strbuf.h"
#include "cores.h"
#include "devices.h"
#include "devicewatch.h"
#include "dockwatch.h"
#include "fingerprint.h"
#include "host.h"
#include "volumes.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_RESERVED_PORTS 1024
#define MAX_META           256

static Pb__KeyValue **split_meta(struct arena *a, const char *text, size_t *count,
                                 struct reason *why)
{
    Pb__KeyValue **list = arena_array(a, Pb__KeyValue *, MAX_META);
    char *rest = arena_strdup(a, text), *one;
    *count = 0;
    while ((one = strsep(&rest, ",")) != NULL) {
        char *value = strchr(one, '=');
        one += strspn(one, " ");
        if (*one == '\0')
            continue;
        if (value == NULL || value == one || *count == MAX_META) {
            reason_set(why, ERR_INVALID, "meta: \"%s\" is not KEY=VALUE, or there are too many",
                       one);
            return NULL;
        }
        *value++ = '\0';
        size_t i = *count;
        while (i > 0 && strcmp(list[i - 1]->key, one) > 0) {
            list[i] = list[i - 1];
            i--;
        }
        list[i] = arena_alloc(a, sizeof *list[i]);
        pb__key_value__init(list[i]);
        list[i]->key = one;
        list[i]->value = value;
        (*count)++;
    }
    return list;
}

/* "80" or "8000-8010". */
static bool read_range(char *text, unsigned long *low, unsigned long *high)
{
    char *rest = text;
    *low = *high = strtoul(text, &rest, 10);
    if (rest != text && *rest == '-') {
        text = rest + 1;
        *high = strtoul(text, &rest, 10);
    }
    return rest != text && *rest == '\0' && *low > 0 && *high >= *low && *high <= 65535;
}

/* "22,80,8000-8010" */
static enum err split_ports(struct arena *a, const char *text, Pb__Node *node, struct reason *why)
{
    char *rest = arena_strdup(a, text), *one;
    node->reserved_ports = arena_array(a, uint32_t, MAX_RESERVED_PORTS);
    while ((one = strsep(&rest, ", ")) != NULL) {
        unsigned long low, high;
        if (*one == '\0')
            continue;
        if (!read_range(one, &low, &high) ||
            node->n_reserved_ports + (high - low) >= MAX_RESERVED_PORTS)
            return reason_set(why, ERR_INVALID,
                              "reserved_ports: \"%s\" is no port or range, or there are too many",
                              one);
        for (; low <= high; low++)
            node->reserved_ports[node->n_reserved_ports++] = (uint32_t)low;
    }
    return OK;
}

static Pb__Amount *amount(struct arena *a, uint64_t cpu, uint64_t memory_mb, uint64_t disk_mb)
{
    Pb__Amount *m = arena_alloc(a, sizeof *m);
    pb__amount__init(m);
    m->has_cpu = m->has_memory_mb = m->has_disk_mb = true;
    m->cpu = (uint32_t)cpu;
    m->memory_mb = (uint32_t)memory_mb;
    m->disk_mb = (uint32_t)disk_mb;
    return m;
}

/* Where cores cannot be kept to, none is listed. */
static enum err describe_cores(struct nodeagent *na, struct reason *why)
{
    char online[4096];
    struct core_set reserved;
    if (!core_set_parse(&reserved, na->reserved_cores))
        online[0] = '\0'; /* to be refused below, cgroups or not */
    else if (!cgroups_cores(&na->cgroups, online, sizeof online))
        return OK;
    return cores_describe(na->arena, online, na->reserved_cores, na->node, why);
}

static enum err read_device_file(struct nodeagent *na, struct reason *why)
{
    if (na->device_file[0] == '\0')
        return OK;
    FILE *f = fopen(na->device_file, "re");
    if (f == NULL)
        return reason_errno(why, ERR_INVALID, "device_file %s", na->device_file);
    struct strbuf text = STRBUF_INIT;
    char part[4096];
    for (size_t n; text.len <= DEVICES_TEXT_MOST && (n = fread(part, 1, sizeof part, f)) > 0;)
        strbuf_add(&text, part, n);
    fclose(f);
    enum err e = devices_add(na->arena, strbuf_text(&text), text.len, na->node, why);
    strbuf_free(&text);
    return e == OK ? OK : reason_add(why, e, "device_file %s", na->device_file);
}

/* One that is not there now is no volume of this node, and the node says so. */
static enum err describe_volumes(struct nodeagent *na, struct reason *why)
{
    Pb__Node *node = na->node;
    size_t kept = 0;
    enum err e = volumes_parse(na->arena, na->host_volumes, node, why);
    for (size_t i = 0; e == OK && i < node->n_host_volumes; i++) {
        Pb__HostVolume *v = node->host_volumes[i];
        if (access(v->path, F_OK) == 0) {
            node->host_volumes[kept++] = v;
            continue;
        }
        const char *key = arena_printf(na->arena, "volume.%s.unhealthy", v->name);
        const char *text = arena_printf(na->arena, "%s: %s", v->path, strerror(errno));
        fingerprint_set(na->arena, node, key, text);
        log_warn("host_volume_missing", "volume=%s reason=%s", v->name, log_quote(text));
    }
    node->n_host_volumes = e == OK ? kept : 0;
    return e;
}

/* Names that jobs choose by, as they would be misread there. */
enum err describe_check_names(const struct nodeagent *na, struct reason *why)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    size_t len = strlen(na->node_pool);
    if (strpbrk(na->datacenter, "*?") != NULL)
        return reason_set(
            why, ERR_INVALID,
            "datacenter \"%s\": in a job * and ? stand for other letters, so a node's "
            "must be without them",
            na->datacenter);
    if (len == 0 || len > 128 || strspn(na->node_pool, letters) != len)
        return reason_set(why, ERR_INVALID,
                          "node_pool \"%.150s\": must be 1 to 128 letters, digits, - and _",
                          na->node_pool);
    if (strcmp(na->node_pool, "all") == 0)
        return reason_set(why, ERR_INVALID,
                          "node_pool \"all\" stands for every node: name another, or \"default\"");
    return OK;
}

enum err describe_node(struct nodeagent *na, struct reason *why)
{
    struct arena *a = na->arena;
    char host[256] = "localhost";
    Pb__Node *node = na->node;
    const struct fingerprint_options o = {
        .root = "",
        .data_dir = na->data_dir,
        .interface = na->network_interface,
        .cpu_mhz = (uint32_t)na->cpu_mhz,
        .memory_mb = (uint32_t)na->memory_mb,
        .disk_mb = (uint32_t)na->disk_mb,
    };
    gethostname(host, sizeof host - 1);
    node->name = arena_strdup(a, na->name[0] != '\0' ? na->name : host);
    node->datacenter = arena_strdup(a, na->datacenter);
    node->node_pool = arena_strdup(a, na->node_pool);
    node->node_class = arena_strdup(a, na->node_class);
    node->http_addr = arena_strdup(a, na->http_addr);
    node->version = arena_strdup(a, NORN_VERSION);
    node->has_status = true;
    node->status = PB__NODE__STATUS__READY;
    fingerprint_machine(a, &o, node);
    host_look(a, &na->cgroups, na->taskshim, na->chroot, &na->host);
    dockwatch_prepare(na);
    host_describe(a, &na->host, node, loop_wall_ns(na->loop));
    fingerprint_set(a, node, "norn.version", NORN_VERSION);
    /* Job files ask for it; what they mean is what Nomad 1.1 could do. */
    fingerprint_set(a, node, "nomad.version", "1.1.0");
    node->reserved = amount(a, na->reserved_cpu, na->reserved_memory_mb, na->reserved_disk_mb);
    enum err e = describe_cores(na, why);
    if (e == OK)
        e = read_device_file(na, why);
    if (e == OK)
        e = describe_volumes(na, why);
    if (e != OK)
        return e;
    devicewatch_begin(na);
    node->meta = split_meta(a, na->meta, &node->n_meta, why);
    if (node->meta == NULL)
        return ERR_INVALID;
    return split_ports(a, na->reserved_ports, node, why);
}
