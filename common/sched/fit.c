#include "sched/fit.h"
#include "wire/grant.h"
#include <string.h>

uint32_t alloc_priority(const Pb__Alloc *alloc)
{
    return alloc->priority > 0 ? alloc->priority : DEFAULT_PRIORITY;
}

const char *fit_name(enum fit f)
{
    switch (f) {
    case FIT:
        return "fits";
    case FIT_CPU:
        return "cpu";
    case FIT_MEMORY:
        return "memory";
    case FIT_DISK:
        return "disk";
    case FIT_PORT:
        return "network: port collision";
    case FIT_CORES:
        return "cores";
    case FIT_DEVICES:
        return "devices";
    }
    return "unknown";
}

static bool port_is_used(const Pb__NodeUsage *u, uint32_t port)
{
    size_t low = 0, high = u->n_ports;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (u->ports[middle] == port)
            return true;
        if (u->ports[middle] < port)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* In 64 bits, since a sum of two wishes may be larger than 32. */
static bool exceeds(uint32_t used, uint32_t ask, uint32_t capacity)
{
    return (uint64_t)used + ask > capacity;
}

enum fit usage_fits(const Pb__NodeUsage *u, const Pb__Amount *ask, Pb__Port *const *ports,
                    size_t port_count)
{
    static const Pb__Amount nothing = PB__AMOUNT__INIT;
    const Pb__Amount *capacity = u->capacity != NULL ? u->capacity : &nothing;
    const Pb__Amount *used = u->used != NULL ? u->used : &nothing;

    if (ask == NULL)
        ask = &nothing;
    /* What is not asked for fits even where a shrunken node is over its capacity already. */
    if (ask->cpu > 0 && exceeds(used->cpu, ask->cpu, capacity->cpu))
        return FIT_CPU;
    if (ask->memory_mb > 0 && exceeds(used->memory_mb, ask->memory_mb, capacity->memory_mb))
        return FIT_MEMORY;
    if (ask->disk_mb > 0 && exceeds(used->disk_mb, ask->disk_mb, capacity->disk_mb))
        return FIT_DISK;
    for (size_t i = 0; i < port_count; i++) {
        if (port_is_used(u, ports[i]->value))
            return FIT_PORT;
        for (size_t k = 0; k < i; k++)
            if (ports[k]->value == ports[i]->value)
                return FIT_PORT;
    }
    return FIT;
}

/* ---- cores and devices */

struct checking {
    const Pb__NodeUsage *usage;
    const Pb__Node *node;
    Pb__TaskGrant *const *grants;
    size_t count;
    enum fit fit;
};

struct counting {
    uint32_t core;
    const char *device;
    size_t times;
};

static void count_core(void *self, uint32_t core)
{
    struct counting *c = self;
    c->times += c->device == NULL && core == c->core;
}

static void count_device(void *self, const char *name)
{
    struct counting *c = self;
    c->times += c->device != NULL && strcmp(name, c->device) == 0;
}

/* How often the grants give what c names. */
static size_t times_given(const struct checking *k, struct counting c)
{
    grants_each(k->grants, k->count, &(struct grant_visitor){&c, count_core, count_device});
    return c.times;
}

static bool in_list(const uint32_t *list, size_t n, uint32_t value)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == value)
            return true;
    return false;
}

static void check_core(void *self, uint32_t core)
{
    struct checking *k = self;
    bool there = in_list(k->node->reservable_cores, k->node->n_reservable_cores, core);
    if (!there || in_list(k->usage->cores, k->usage->n_cores, core) ||
        times_given(k, (struct counting){.core = core}) > 1)
        k->fit = FIT_CORES;
}

static bool has_device(const Pb__Node *node, const char *name)
{
    char own[DEVICE_NAME_SIZE];
    for (size_t i = 0; i < node->n_devices; i++) {
        const Pb__NodeDevice *d = node->devices[i];
        for (size_t n = 0; n < d->n_instances; n++) {
            device_name(own, d->vendor, d->type, d->name, d->instances[n]->id);
            if (strcmp(own, name) == 0)
                return true;
        }
    }
    return false;
}

static void check_device(void *self, const char *name)
{
    struct checking *k = self;
    bool used = false;
    for (size_t i = 0; i < k->usage->n_devices; i++)
        used = used || strcmp(k->usage->devices[i], name) == 0;
    if (used || !has_device(k->node, name) || times_given(k, (struct counting){.device = name}) > 1)
        k->fit = FIT_DEVICES;
}

enum fit grants_fit(const Pb__NodeUsage *u, const Pb__Node *node, Pb__TaskGrant *const *grants,
                    size_t count)
{
    struct checking k = {.usage = u, .node = node, .grants = grants, .count = count, .fit = FIT};
    grants_each(grants, count, &(struct grant_visitor){&k, check_core, check_device});
    return k.fit;
}
