#include "nodestats.h"
#include "show.h"
#include <stdlib.h>
#include <string.h>

static double real_at(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* Adds what the allocation's tasks use; what cannot be asked counts as nothing. */
static void add_usage(struct client *c, const char *alloc_id, double *mhz, double *bytes)
{
    struct answer a;
    char *path = path_of("/v1/client/allocation/", alloc_id, "/stats");
    if (client_get(c, &a, path, NULL)) {
        const json_t *usage = value_at(a.json, "ResourceUsage");
        *mhz += real_at(value_at(usage, "CpuStats"), "TotalTicks");
        *bytes += real_at(value_at(usage, "MemoryStats"), "RSS");
    }
    answer_free(&a);
    free(path);
}

void print_utilization(struct client *c, const json_t *node, const json_t *allocs,
                       const json_t *stats)
{
    const json_t *all = value_at(node, "NodeResources"), *memory = value_at(stats, "Memory");
    const json_t *disk = value_at(stats, "AllocDirStats");
    double mhz = 0, bytes = 0, cpu = real_at(value_at(all, "Cpu"), "CpuShares");
    struct table t;
    size_t i;
    json_t *alloc;
    if (!json_is_object(stats))
        return;
    json_array_foreach((json_t *)(uintptr_t)allocs, i,
                       alloc) if (strcmp(text_at(alloc, "ClientStatus"), "running") == 0)
        add_usage(c, text_at(alloc, "ID"), &mhz, &bytes);
    print_section(stdout, client_colors(c), "Allocation Resource Utilization");
    table_init(&t, "CPU|Memory", client_colors(c));
    TABLE_ROW(&t, show("%.0f/%.0f MHz", mhz, cpu),
              show("%s/%s", show_bytes(bytes),
                   show_bytes(real_at(value_at(all, "Memory"), "MemoryMB") * 1048576)));
    table_print(&t, stdout);
    table_free(&t);
    print_section(stdout, client_colors(c), "Host Resource Utilization");
    table_init(&t, "CPU|Memory|Disk", client_colors(c));
    TABLE_ROW(
        &t, show("%.0f/%.0f MHz", real_at(stats, "CPUTicksConsumed"), cpu),
        show("%s/%s", show_bytes(real_at(memory, "Used")), show_bytes(real_at(memory, "Total"))),
        show("%s/%s", show_bytes(real_at(disk, "Used")), show_bytes(real_at(disk, "Size"))));
    table_print(&t, stdout);
    table_free(&t);
}

static void print_cpus(const json_t *cpus, bool colors)
{
    size_t i;
    json_t *cpu;
    print_section(stdout, colors, "CPU Stats");
    json_array_foreach((json_t *)(uintptr_t)cpus, i, cpu)
    {
        struct table t;
        pairs_init(&t, colors);
        pairs_add(&t, "CPU", "%s", text_at(cpu, "CPU"));
        pairs_add(&t, "User", "%.2f%%", real_at(cpu, "User"));
        pairs_add(&t, "System", "%.2f%%", real_at(cpu, "System"));
        pairs_add(&t, "Idle", "%.2f%%", real_at(cpu, "Idle"));
        if (i > 0)
            printf("\n");
        table_print(&t, stdout);
        table_free(&t);
    }
}

static void print_disks(const json_t *disks, bool colors)
{
    size_t i;
    json_t *disk;
    print_section(stdout, colors, "Disk Stats");
    json_array_foreach((json_t *)(uintptr_t)disks, i, disk)
    {
        struct table t;
        pairs_init(&t, colors);
        pairs_add(&t, "Device", "%s", text_at(disk, "Device"));
        pairs_add(&t, "MountPoint", "%s", text_at(disk, "Mountpoint"));
        pairs_add(&t, "Size", "%s", show_bytes(real_at(disk, "Size")));
        pairs_add(&t, "Used", "%s", show_bytes(real_at(disk, "Used")));
        pairs_add(&t, "Available", "%s", show_bytes(real_at(disk, "Available")));
        pairs_add(&t, "Used Percent", "%.2f%%", real_at(disk, "UsedPercent"));
        pairs_add(&t, "Inodes Percent", "%.2f%%", real_at(disk, "InodesUsedPercent"));
        if (i > 0)
            printf("\n");
        table_print(&t, stdout);
        table_free(&t);
    }
}

void print_host_stats(const json_t *stats, bool colors)
{
    static const char *const parts[] = {"Total", "Available", "Used", "Free"};
    struct table t;
    if (!json_is_object(stats))
        return;
    print_cpus(value_at(stats, "CPU"), colors);
    print_section(stdout, colors, "Memory Stats");
    pairs_init(&t, colors);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        pairs_add(&t, parts[i], "%s", show_bytes(real_at(value_at(stats, "Memory"), parts[i])));
    table_print(&t, stdout);
    table_free(&t);
    print_disks(value_at(stats, "DiskStats"), colors);
}
