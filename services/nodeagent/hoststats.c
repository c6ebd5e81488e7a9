#include "hoststats.h"
#include <ctype.h>
#include <mntent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define MAX_DISKS 64

static FILE *open_proc(const char *root, const char *name)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/proc/%s", root, name);
    return fopen(path, "re");
}

/* "cpu3 user nice system idle iowait irq softirq steal": one line a core, after one of all. */
static void read_cpus(struct host_look *out, const char *root)
{
    FILE *f = open_proc(root, "stat");
    char line[512];
    while (f != NULL && out->cpu_count < HOST_MAX_CPUS && fgets(line, sizeof line, f) != NULL) {
        uint64_t v[8] = {0};
        char *at = strchr(line, ' ');
        if (strncmp(line, "cpu", 3) != 0 || !isdigit((unsigned char)line[3]) || at == NULL)
            continue;
        struct host_cpu *c = &out->cpus[out->cpu_count++];
        *c = (struct host_cpu){0};
        for (size_t i = 0; i < 8; i++) {
            v[i] = strtoull(at, &at, 10);
            c->total += v[i];
        }
        c->user = v[0] + v[1];
        c->system = v[2];
        c->idle = v[3] + v[4];
    }
    if (f != NULL)
        fclose(f);
}

static void read_memory(struct host_look *out, const char *root)
{
    const struct {
        const char *name;
        uint64_t *bytes;
    } parts[] = {{"MemTotal:", &out->memory_total},
                 {"MemAvailable:", &out->memory_available},
                 {"MemFree:", &out->memory_free}};
    FILE *f = open_proc(root, "meminfo");
    char line[256];
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
            if (strncmp(line, parts[i].name, strlen(parts[i].name)) == 0)
                *parts[i].bytes = strtoull(line + strlen(parts[i].name), NULL, 10) * 1024;
    if (f != NULL)
        fclose(f);
}

void host_look_at(struct host_look *out, const char *root, int64_t now_ns)
{
    char line[64];
    *out = (struct host_look){.time_ns = now_ns};
    read_cpus(out, root);
    read_memory(out, root);
    FILE *f = open_proc(root, "uptime");
    if (f != NULL && fgets(line, sizeof line, f) != NULL)
        out->uptime_s = strtod(line, NULL);
    if (f != NULL)
        fclose(f);
}

static double percent(uint64_t before, uint64_t after, uint64_t of)
{
    return of == 0 || after < before ? 0 : 100.0 * (double)(after - before) / (double)of;
}

/* *busy: of one core, 0 to 1. */
static json_t *cpu_json(size_t number, const struct host_cpu *a, const struct host_cpu *b,
                        double *busy)
{
    char name[32];
    uint64_t all = b->total > a->total ? b->total - a->total : 0;
    double idle = percent(a->idle, b->idle, all);
    snprintf(name, sizeof name, "cpu%zu", number);
    *busy = all == 0 ? 0 : 1 - idle / 100;
    return json_pack("{ss,sf,sf,sf,sf}", "CPU", name, "Idle", idle, "System",
                     percent(a->system, b->system, all), "Total", 100 * *busy, "User",
                     percent(a->user, b->user, all));
}

/* NULL: it cannot be looked at. */
static json_t *disk_json(const char *path, const char *device, const char *shown_path)
{
    struct statvfs v;
    if (statvfs(path, &v) != 0 || v.f_blocks == 0)
        return NULL;
    uint64_t size = (uint64_t)v.f_blocks * v.f_frsize;
    uint64_t available = (uint64_t)v.f_bavail * v.f_frsize;
    uint64_t used = size - (uint64_t)v.f_bfree * v.f_frsize;
    double inodes =
        v.f_files == 0 ? 0 : 100.0 * (double)(v.f_files - v.f_ffree) / (double)v.f_files;
    double used_percent =
        used + available == 0 ? 0 : 100.0 * (double)used / (double)(used + available);
    return json_pack("{sI,ss,sf,ss,sI,sI,sf}", "Available", (json_int_t)available, "Device", device,
                     "InodesUsedPercent", inodes, "Mountpoint", shown_path, "Size",
                     (json_int_t)size, "Used", (json_int_t)used, "UsedPercent", used_percent);
}

static bool is_listed(const json_t *disks, const char *device)
{
    size_t i;
    json_t *d;
    json_array_foreach((json_t *)(uintptr_t)disks, i,
                       d) if (strcmp(json_string_value(json_object_get(d, "Device")), device) ==
                              0) return true;
    return false;
}

/* File systems of real disks, each device once. */
static json_t *disks_json(void)
{
    json_t *disks = json_array();
    FILE *f = setmntent("/proc/self/mounts", "re");
    struct mntent m;
    char room[4096];
    while (f != NULL && json_array_size(disks) < MAX_DISKS &&
           getmntent_r(f, &m, room, sizeof room) != NULL) {
        if (strncmp(m.mnt_fsname, "/dev/", 5) != 0 || is_listed(disks, m.mnt_fsname))
            continue;
        json_t *d = disk_json(m.mnt_dir, m.mnt_fsname, m.mnt_dir);
        if (d != NULL)
            json_array_append_new(disks, d);
    }
    if (f != NULL)
        endmntent(f);
    return disks;
}

json_t *host_stats_json(const struct host_look *first, const struct host_look *second,
                        const char *data_dir, double mhz)
{
    json_t *cpus = json_array();
    double busy_cores = 0, busy;
    for (size_t i = 0; i < second->cpu_count && i < first->cpu_count; i++) {
        json_array_append_new(cpus, cpu_json(i, &first->cpus[i], &second->cpus[i], &busy));
        busy_cores += busy;
    }
    json_t *data = disk_json(data_dir, "", "");
    json_t *memory =
        json_pack("{sI,sI,sI,sI}", "Available", (json_int_t)second->memory_available, "Free",
                  (json_int_t)second->memory_free, "Total", (json_int_t)second->memory_total,
                  "Used", (json_int_t)(second->memory_total - second->memory_available));
    return json_pack("{so,so,sf,sn,so,so,sI,sI}", "AllocDirStats",
                     data != NULL ? data : json_null(), "CPU", cpus, "CPUTicksConsumed",
                     busy_cores * mhz, "DeviceStats", "DiskStats", disks_json(), "Memory", memory,
                     "Timestamp", (json_int_t)second->time_ns, "Uptime",
                     (json_int_t)second->uptime_s);
}
