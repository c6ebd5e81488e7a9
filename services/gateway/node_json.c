#include "node_json.h"
#include "pieces_json.h"
#include "wire/json.h"
#include <stdio.h>
#include <string.h>

static int cpu_of(const Pb__Amount *a)
{
    return a == NULL ? 0 : (int)a->cpu;
}

static int memory_of(const Pb__Amount *a)
{
    return a == NULL ? 0 : (int)a->memory_mb;
}

static int disk_of(const Pb__Amount *a)
{
    return a == NULL ? 0 : (int)a->disk_mb;
}

/* One entry per address, as the older form has it. */
static json_t *networks_json(const Pb__Node *n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n->n_networks; i++) {
        const Pb__NodeNetwork *network = n->networks[i];
        for (size_t k = 0; k < network->n_addresses; k++) {
            const Pb__NodeAddress *a = network->addresses[k];
            bool is_v6 = a->family != NULL && strcmp(a->family, "ipv6") == 0;
            const char *ip = a->address == NULL ? "" : a->address;
            json_t *cidr = json_sprintf("%s/%d", ip, is_v6 ? 128 : 32);
            json_array_append_new(
                list, json_pack("{so,sn,so,sn,so,si,so,sn}", "CIDR", cidr ? cidr : json_text(""),
                                "DNS", "Device", json_text(network->device), "DynamicPorts", "IP",
                                json_text(ip), "MBits", (int)network->speed, "Mode",
                                json_text(network->mode == NULL ? "host" : network->mode),
                                "ReservedPorts"));
        }
    }
    if (json_array_size(list) > 0)
        return list;
    json_decref(list);
    return json_null();
}

static json_t *node_networks_json(const Pb__Node *n)
{
    if (n->n_networks == 0)
        return json_null();
    json_t *list = json_array();
    for (size_t i = 0; i < n->n_networks; i++) {
        const Pb__NodeNetwork *network = n->networks[i];
        json_t *addresses = json_array();
        for (size_t k = 0; k < network->n_addresses; k++) {
            const Pb__NodeAddress *a = network->addresses[k];
            json_array_append_new(
                addresses, json_pack("{so,so,so,so,ss}", "Address", json_text(a->address), "Alias",
                                     json_text(a->alias == NULL ? "default" : a->alias), "Family",
                                     json_text(a->family), "Gateway", json_text(a->gateway),
                                     "ReservedPorts", ""));
        }
        json_array_append_new(list,
                              json_pack("{so,so,so,so,si}", "Addresses", addresses, "Device",
                                        json_text(network->device), "MacAddress",
                                        json_text(network->mac_address), "Mode",
                                        json_text(network->mode == NULL ? "host" : network->mode),
                                        "Speed", (int)network->speed));
    }
    return list;
}

static json_t *node_resources_json(const Pb__Node *n)
{
    return json_pack("{s{si,so,si},so,s{si},s{si},so,so}", "Cpu", "CpuShares", cpu_of(n->total),
                     "ReservableCpuCores", node_cores_json(n), "TotalCpuCores", (int)n->cores,
                     "Devices", node_devices_json(n), "Disk", "DiskMB", disk_of(n->total), "Memory",
                     "MemoryMB", memory_of(n->total), "Networks", networks_json(n), "NodeNetworks",
                     node_networks_json(n));
}

static json_t *reserved_resources_json(const Pb__Node *n)
{
    struct strbuf ports = STRBUF_INIT;
    for (size_t i = 0; i < n->n_reserved_ports; i++)
        strbuf_printf(&ports, "%s%u", i == 0 ? "" : ",", n->reserved_ports[i]);
    json_t *tree = json_pack(
        "{s{si,so},s{si},s{si},s{ss}}", "Cpu", "CpuShares", cpu_of(n->reserved), "ReservedCpuCores",
        node_reserved_cores_json(n), "Disk", "DiskMB", disk_of(n->reserved), "Memory", "MemoryMB",
        memory_of(n->reserved), "Networks", "ReservedHostPorts", strbuf_text(&ports));
    strbuf_free(&ports);
    return tree;
}

static json_t *flat_json(const Pb__Amount *a, json_t *networks)
{
    return json_pack("{si,si,sn,si,si,si,si,so}", "CPU", cpu_of(a), "Cores", 0, "Devices", "DiskMB",
                     disk_of(a), "IOPS", 0, "MemoryMB", memory_of(a), "MemoryMaxMB", 0, "Networks",
                     networks);
}

json_t *node_full_json(const Pb__Node *n)
{
    json_t *tree = wire_to_json(&n->base);
    if (n->drain_strategy != NULL && n->drain_strategy->force_deadline == 0)
        json_put(json_object_get(tree, "DrainStrategy"), "ForceDeadline",
                 json_text("0001-01-01T00:00:00Z"));
    json_put(tree, "NodeResources", node_resources_json(n));
    json_put(tree, "ReservedResources", reserved_resources_json(n));
    json_put(tree, "Resources", flat_json(n->total, networks_json(n)));
    json_put(tree, "Reserved", flat_json(n->reserved, json_null()));
    return tree;
}

/* The host of "host:port". */
static json_t *address_json(const Pb__Node *n)
{
    char host[256];
    for (size_t i = 0; i < n->n_attributes; i++)
        if (strcmp(n->attributes[i]->key, "unique.network.ip-address") == 0)
            return json_text(n->attributes[i]->value);
    snprintf(host, sizeof(host), "%s", n->http_addr == NULL ? "" : n->http_addr);
    char *colon = strrchr(host, ':');
    if (colon != NULL)
        *colon = '\0';
    return json_text(host);
}

json_t *node_stub_json(const Pb__Node *n, bool with_resources)
{
    static const char *const kept[] = {"CreateIndex", "Datacenter",       "Drain",
                                       "Drivers",     "HostVolumes",      "ID",
                                       "LastDrain",   "ModifyIndex",      "Name",
                                       "NodeClass",   "NodePool",         "SchedulingEligibility",
                                       "Status",      "StatusDescription"};
    json_t *full = wire_to_json(&n->base), *stub = json_object();
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        json_object_set(stub, kept[i], json_object_get(full, kept[i]));
    json_decref(full);
    json_put(stub, "Address", address_json(n));
    json_put(stub, "Version", json_text(n->version));
    if (with_resources) {
        json_put(stub, "NodeResources", node_resources_json(n));
        json_put(stub, "ReservedResources", reserved_resources_json(n));
    }
    return stub;
}
