#include "sched/fit.h"

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
