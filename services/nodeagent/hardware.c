#include "hardware.h"
#include <dirent.h>
#include <linux/landlock.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Calls visit for each name of a directory, in the order of digits and letters. */
static void each_name(struct arena *a, const struct fingerprint_options *o, Pb__Node *node,
                      const char *path,
                      void (*visit)(struct arena *a, const struct fingerprint_options *o,
                                    Pb__Node *node, const char *name))
{
    char full[4096];
    struct dirent **names;
    snprintf(full, sizeof full, "%s%s", o->root, path);
    int count = scandir(full, &names, NULL, versionsort);
    if (count < 0)
        return;
    for (int i = 0; i < count; i++) {
        if (names[i]->d_name[0] != '.')
            visit(a, o, node, names[i]->d_name);
        free(names[i]);
    }
    free(names);
}

static const char *known(const Pb__Node *node, const char *key)
{
    for (size_t i = 0; i < node->n_attributes; i++)
        if (strcmp(node->attributes[i]->key, key) == 0)
            return node->attributes[i]->value;
    return NULL;
}

/* ---- NUMA */

static void add_numa_node(struct arena *a, const struct fingerprint_options *o, Pb__Node *node,
                          const char *name)
{
    char path[300], cores[256], *end;
    if (strncmp(name, "node", 4) != 0)
        return;
    unsigned long number = strtoul(name + 4, &end, 10);
    snprintf(path, sizeof path, "/sys/devices/system/node/%.200s/cpulist", name);
    if (end == name + 4 || *end != '\0' || !fingerprint_line(o, path, cores, sizeof cores))
        return;
    const char *before = known(node, "numa.node.count");
    unsigned long count = before != NULL ? strtoul(before, NULL, 10) : 0;
    fingerprint_set(a, node, "numa.node.count", arena_printf(a, "%lu", count + 1));
    fingerprint_set(a, node, arena_printf(a, "numa.node%lu.cores", number), cores);
}

/* ---- network hardware: those of bridges and of tasks come and go, and have no device behind them
 */

static void add_interface(struct arena *a, const struct fingerprint_options *o, Pb__Node *node,
                          const char *name)
{
    char path[4400], line[64];
    snprintf(path, sizeof path, "%s/sys/class/net/%.200s/device", o->root, name);
    if (access(path, F_OK) != 0)
        return;
    const char *before = known(node, "network.interfaces");
    fingerprint_set(a, node, "network.interfaces",
                    before == NULL ? name : arena_printf(a, "%s,%s", before, name));
    snprintf(path, sizeof path, "/sys/class/net/%.200s/speed", name);
    long speed = fingerprint_line(o, path, line, sizeof line) ? strtol(line, NULL, 10) : 0;
    if (speed > 0)
        fingerprint_set(a, node, arena_printf(a, "network.%s.speed", name),
                        arena_printf(a, "%ld", speed));
}

/* ---- the kernel */

/* Of version 2 alone when its tree is the root of all; a hybrid's controllers are of version 1. */
static void set_cgroups(struct arena *a, const struct fingerprint_options *o, Pb__Node *node)
{
    char path[4096];
    struct mntent *m;
    const char *first = NULL, *second = NULL;
    snprintf(path, sizeof path, "%s/proc/self/mounts", o->root);
    FILE *f = setmntent(path, "re");
    while (f != NULL && (m = getmntent(f)) != NULL)
        if (first == NULL && strcmp(m->mnt_type, "cgroup") == 0)
            first = arena_strdup(a, m->mnt_dir);
        else if (second == NULL && strcmp(m->mnt_type, "cgroup2") == 0)
            second = arena_strdup(a, m->mnt_dir);
    if (f != NULL)
        endmntent(f);
    if (first == NULL && second == NULL)
        return;
    fingerprint_set(a, node, "os.cgroups.version", first != NULL ? "1" : "2");
    fingerprint_set(a, node, "unique.cgroup.mountpoint", first != NULL ? first : second);
}

static void set_landlock(struct arena *a, Pb__Node *node)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi > 0)
        fingerprint_set(a, node, "kernel.landlock", arena_printf(a, "v%ld", abi));
}

void hardware_describe(struct arena *a, const struct fingerprint_options *o, Pb__Node *node)
{
    each_name(a, o, node, "/sys/devices/system/node", add_numa_node);
    each_name(a, o, node, "/sys/class/net", add_interface);
    set_cgroups(a, o, node);
    set_landlock(a, node);
}
