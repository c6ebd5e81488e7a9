#include "fingerprint.h"
#include "diskquota.h"
#include "hardware.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <mntent.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#define MAX_ATTRIBUTES 512
#define MAX_ADDRESSES  16

static Pb__KeyValue *pair(struct arena *a, const char *key, const char *value)
{
    Pb__KeyValue *kv = arena_alloc(a, sizeof *kv);
    pb__key_value__init(kv);
    kv->key = arena_strdup(a, key);
    kv->value = arena_strdup(a, value);
    return kv;
}

void fingerprint_set(struct arena *a, Pb__Node *node, const char *key, const char *value)
{
    if (node->attributes == NULL)
        node->attributes = arena_array(a, Pb__KeyValue *, MAX_ATTRIBUTES);
    size_t i = 0;
    while (i < node->n_attributes && strcmp(node->attributes[i]->key, key) < 0)
        i++;
    if (i < node->n_attributes && strcmp(node->attributes[i]->key, key) == 0) {
        node->attributes[i] = pair(a, key, value);
        return;
    }
    if (node->n_attributes == MAX_ATTRIBUTES)
        return;
    memmove(node->attributes + i + 1, node->attributes + i,
            (node->n_attributes - i) * sizeof *node->attributes);
    node->attributes[i] = pair(a, key, value);
    node->n_attributes++;
}

void fingerprint_unset(Pb__Node *node, const char *key)
{
    size_t i = 0;
    while (i < node->n_attributes && strcmp(node->attributes[i]->key, key) != 0)
        i++;
    if (i == node->n_attributes)
        return;
    node->n_attributes--;
    memmove(node->attributes + i, node->attributes + i + 1,
            (node->n_attributes - i) * sizeof *node->attributes);
}

static void set_number(struct arena *a, Pb__Node *node, const char *key, uint64_t number)
{
    fingerprint_set(a, node, key, arena_printf(a, "%llu", (unsigned long long)number));
}

static FILE *open_text(const struct fingerprint_options *o, const char *path)
{
    char full[4096];
    snprintf(full, sizeof full, "%s%s", o->root, path);
    return fopen(full, "re");
}

bool fingerprint_line(const struct fingerprint_options *o, const char *path, char *out, int room)
{
    FILE *f = open_text(o, path);
    if (f == NULL)
        return false;
    bool got = fgets(out, room, f) != NULL;
    fclose(f);
    out[got ? strcspn(out, "\n") : 0] = '\0';
    return got;
}

/* ---- cpu */

struct cpu {
    unsigned cores, mhz;
    char model[128];
};

static void read_cpuinfo(const struct fingerprint_options *o, struct cpu *cpu)
{
    FILE *f = open_text(o, "/proc/cpuinfo");
    char line[512], key[64];
    if (f == NULL)
        return;
    while (fgets(line, sizeof line, f) != NULL) {
        const char *value = strchr(line, ':');
        if (value == NULL || sscanf(line, "%63[^\t:]", key) != 1)
            continue;
        value += strspn(value, ": ");
        if (strcmp(key, "processor") == 0)
            cpu->cores++;
        else if (strcmp(key, "model name") == 0)
            snprintf(cpu->model, sizeof cpu->model, "%.*s", (int)strcspn(value, "\n"), value);
        else if (strcmp(key, "cpu MHz") == 0 && (unsigned)strtod(value, NULL) > cpu->mhz)
            cpu->mhz = (unsigned)strtod(value, NULL);
    }
    fclose(f);
}

static const char *arch_name(const char *machine)
{
    static const char *const names[][2] = {
        {"x86_64", "amd64"}, {"aarch64", "arm64"}, {"i686", "386"}, {"armv7l", "arm"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(machine, names[i][0]) == 0)
            return names[i][1];
    return machine;
}

static void set_cpu(struct arena *a, const struct fingerprint_options *o, Pb__Node *node)
{
    struct cpu cpu = {0};
    char line[64];
    read_cpuinfo(o, &cpu);
    if (cpu.cores == 0)
        cpu.cores = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    /* The most it can do, where the kernel tells; a guest's kernel mostly does not. */
    if (fingerprint_line(o, "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", line,
                         sizeof line))
        cpu.mhz = (unsigned)(strtoul(line, NULL, 10) / 1000);
    if (cpu.mhz == 0)
        cpu.mhz = 1000;
    unsigned total = o->cpu_mhz != 0 ? o->cpu_mhz : cpu.cores * cpu.mhz;
    set_number(a, node, "cpu.numcores", cpu.cores);
    set_number(a, node, "cpu.frequency", cpu.mhz);
    set_number(a, node, "cpu.totalcompute", total);
    if (cpu.model[0] != '\0')
        fingerprint_set(a, node, "cpu.modelname", cpu.model);
    node->has_cores = node->total->has_cpu = true;
    node->cores = cpu.cores;
    node->total->cpu = total;
}

/* ---- memory and storage */

static void set_memory(struct arena *a, const struct fingerprint_options *o, Pb__Node *node)
{
    FILE *f = open_text(o, "/proc/meminfo");
    char line[128];
    unsigned long kb = 0;
    while (f != NULL && fgets(line, sizeof line, f) != NULL && kb == 0)
        if (strncmp(line, "MemTotal:", 9) == 0)
            kb = strtoul(line + 9, NULL, 10);
    if (f != NULL)
        fclose(f);
    uint64_t bytes = o->memory_mb != 0 ? (uint64_t)o->memory_mb << 20 : (uint64_t)kb << 10;
    set_number(a, node, "memory.totalbytes", bytes);
    node->total->has_memory_mb = true;
    node->total->memory_mb = (uint32_t)(bytes >> 20);
}

/* The device behind a path: the mount with the same device number that comes last. */
static const char *volume_of(struct arena *a, const struct fingerprint_options *o, dev_t device)
{
    const char *volume = "";
    char path[4096];
    snprintf(path, sizeof path, "%s/proc/self/mounts", o->root);
    FILE *f = setmntent(path, "re");
    struct mntent *m;
    struct stat st;
    while (f != NULL && (m = getmntent(f)) != NULL)
        if (stat(m->mnt_dir, &st) == 0 && st.st_dev == device)
            volume = arena_strdup(a, m->mnt_fsname);
    if (f != NULL)
        endmntent(f);
    return volume;
}

static void set_storage(struct arena *a, const struct fingerprint_options *o, Pb__Node *node)
{
    struct statvfs vfs;
    struct stat st;
    uint64_t total = 0, unused = 0;
    if (statvfs(o->data_dir, &vfs) == 0) {
        total = (uint64_t)vfs.f_blocks * vfs.f_frsize;
        unused = (uint64_t)vfs.f_bavail * vfs.f_frsize;
    }
    if (stat(o->data_dir, &st) == 0)
        fingerprint_set(a, node, "unique.storage.volume", volume_of(a, o, st.st_dev));
    fingerprint_set(a, node, "unique.storage.quota",
                    diskquota_is_on(o->data_dir) ? "project" : "measured");
    set_number(a, node, "unique.storage.bytestotal", total);
    set_number(a, node, "unique.storage.bytesfree", unused);
    node->total->has_disk_mb = true;
    node->total->disk_mb = o->disk_mb != 0 ? o->disk_mb : (uint32_t)(unused >> 20);
}

/* ---- system */

static void set_os(struct arena *a, const struct fingerprint_options *o, Pb__Node *node)
{
    FILE *f = open_text(o, "/etc/os-release");
    char line[256], value[256];
    fingerprint_set(a, node, "os.name", "linux");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "ID=%255[^\n]", value) == 1 ||
            sscanf(line, "ID=\"%255[^\"\n]", value) == 1)
            fingerprint_set(a, node, "os.name", value[0] == '"' ? value + 1 : value);
        else if (sscanf(line, "VERSION_ID=\"%255[^\"\n]", value) == 1 ||
                 sscanf(line, "VERSION_ID=%255[^\"\n]", value) == 1)
            fingerprint_set(a, node, "os.version", value);
    }
    if (f != NULL)
        fclose(f);
    /* Debian's ID names the release only by its first number; the file has the rest. */
    if (fingerprint_line(o, "/etc/debian_version", value, sizeof value) && value[0] >= '0' &&
        value[0] <= '9')
        fingerprint_set(a, node, "os.version", value);
}

static void set_kernel(struct arena *a, Pb__Node *node)
{
    struct utsname u;
    if (uname(&u) != 0)
        return;
    fingerprint_set(a, node, "kernel.name", "linux");
    fingerprint_set(a, node, "kernel.version", u.release);
    fingerprint_set(a, node, "cpu.arch", arch_name(u.machine));
    fingerprint_set(a, node, "unique.hostname", u.nodename);
    fingerprint_set(
        a, node, "os.signals",
        "SIGABRT,SIGALRM,SIGBUS,SIGCHLD,SIGCONT,SIGFPE,SIGHUP,SIGILL,SIGINT,SIGIO,SIGIOT,"
        "SIGKILL,SIGPIPE,SIGPROF,SIGQUIT,SIGSEGV,SIGSTOP,SIGSYS,SIGTERM,SIGTRAP,SIGTSTP,"
        "SIGTTIN,SIGTTOU,SIGURG,SIGUSR1,SIGUSR2,SIGWINCH,SIGXCPU,SIGXFSZ");
}

/* ---- network */

/* The columns behind the device: destination, gateway, flags (1: up), in hex. */
static bool is_default_route(char *columns)
{
    char *rest = columns;
    unsigned long destination = strtoul(rest, &rest, 16);
    if (rest == columns) /* the heading */
        return false;
    strtoul(rest, &rest, 16);
    return destination == 0 && (strtoul(rest, &rest, 16) & 1);
}

static bool default_route(const struct fingerprint_options *o, char *out, size_t room)
{
    FILE *f = open_text(o, "/proc/net/route");
    char line[256], name[64];
    bool found = false;
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "%63s", name) == 1 && is_default_route(line + strlen(name))) {
            snprintf(out, room, "%s", name);
            found = true;
        }
    if (f != NULL)
        fclose(f);
    return found;
}

static bool address_text(const struct sockaddr *sa, char *out, socklen_t room)
{
    if (sa == NULL)
        return false;
    if (sa->sa_family == AF_INET)
        return inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, out,
                         room);
    if (sa->sa_family != AF_INET6)
        return false;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
    return !IN6_IS_ADDR_LINKLOCAL(v6) && inet_ntop(AF_INET6, v6, out, room);
}

static void add_address(struct arena *a, Pb__NodeNetwork *n, const char *family,
                        const char *address)
{
    Pb__NodeAddress *na = arena_alloc(a, sizeof *na);
    pb__node_address__init(na);
    na->family = arena_strdup(a, family);
    na->address = arena_strdup(a, address);
    na->alias = arena_strdup(a, "default");
    n->addresses[n->n_addresses++] = na;
}

/* IPv4 before IPv6. */
static void add_addresses(struct arena *a, Pb__NodeNetwork *n, const char *device)
{
    struct ifaddrs *all, *i;
    char text[INET6_ADDRSTRLEN];
    static const int families[] = {AF_INET, AF_INET6};
    if (getifaddrs(&all) != 0)
        return;
    for (int f = 0; f < 2; f++)
        for (i = all; i != NULL && n->n_addresses < MAX_ADDRESSES; i = i->ifa_next)
            if (strcmp(i->ifa_name, device) == 0 && i->ifa_addr != NULL &&
                i->ifa_addr->sa_family == families[f] &&
                address_text(i->ifa_addr, text, sizeof text))
                add_address(a, n, f == 0 ? "ipv4" : "ipv6", text);
    freeifaddrs(all);
}

static void set_network(struct arena *a, const struct fingerprint_options *o, Pb__Node *node)
{
    char device[64] = "lo", path[256], line[64];
    if (o->interface[0] != '\0')
        snprintf(device, sizeof device, "%s", o->interface);
    else
        default_route(o, device, sizeof device);
    Pb__NodeNetwork *n = arena_alloc(a, sizeof *n);
    pb__node_network__init(n);
    n->mode = arena_strdup(a, "host");
    n->device = arena_strdup(a, device);
    n->addresses = arena_array(a, Pb__NodeAddress *, MAX_ADDRESSES);
    snprintf(path, sizeof path, "/sys/class/net/%s/address", device);
    if (fingerprint_line(o, path, line, sizeof line) && strcmp(line, "00:00:00:00:00:00") != 0)
        n->mac_address = arena_strdup(a, line);
    snprintf(path, sizeof path, "/sys/class/net/%s/speed", device);
    long speed = fingerprint_line(o, path, line, sizeof line) ? strtol(line, NULL, 10) : 0;
    n->has_speed = true;
    n->speed = speed > 0 ? (uint32_t)speed : 1000; /* virtual devices tell none */
    add_addresses(a, n, device);
    node->networks = arena_array(a, Pb__NodeNetwork *, 1);
    node->networks[0] = n;
    node->n_networks = 1;
    fingerprint_set(a, node, "unique.network.ip-address", fingerprint_address(node));
}

const char *fingerprint_address(const Pb__Node *node)
{
    if (node->n_networks == 0 || node->networks[0]->n_addresses == 0)
        return "127.0.0.1";
    return node->networks[0]->addresses[0]->address;
}

void fingerprint_machine(struct arena *a, const struct fingerprint_options *o, Pb__Node *node)
{
    node->total = arena_alloc(a, sizeof *node->total);
    pb__amount__init(node->total);
    set_cpu(a, o, node);
    set_memory(a, o, node);
    set_storage(a, o, node);
    set_os(a, o, node);
    set_kernel(a, node);
    set_network(a, o, node);
    hardware_describe(a, o, node);
}
