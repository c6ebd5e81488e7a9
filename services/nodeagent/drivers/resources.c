#include "resources.h"
#include "wire/grant.h"

#define MIB (1ull << 20)

static enum err in_range(const char *key, int64_t value, int64_t least, int64_t most,
                         struct reason *why)
{
    if (value >= least && value <= most)
        return OK;
    return reason_set(why, ERR_INVALID, "config key \"%s\" must be %lld to %lld", key,
                      (long long)least, (long long)most);
}

/* MHz: what it asked for, or what its cores are. */
static uint32_t cpu_of(const struct driver_ask *ask)
{
    const Pb__Resources *r = ask->task->resources;
    const Pb__Node *n = ask->node;
    if (r->cores == 0 || n->total == NULL || n->cores == 0)
        return r->cpu;
    return (uint32_t)((uint64_t)n->total->cpu * r->cores / n->cores);
}

static uint32_t quota_us(const struct driver_ask *ask)
{
    const Pb__Node *n = ask->node;
    uint64_t total = n->total == NULL || n->total->cpu == 0 ? 1 : n->total->cpu;
    uint64_t quota =
        (uint64_t)cpu_of(ask) * (n->cores == 0 ? 1 : n->cores) * SHIM_CPU_PERIOD_US / total;
    return quota < 1000 ? 1000 : (uint32_t)quota; /* the kernel takes no less */
}

enum err resources_read(const struct driver_ask *ask, int64_t pids, struct shim_limits *l,
                        struct reason *why)
{
    const Pb__Resources *r = ask->task->resources;
    int64_t weight = 0, least = pids > 0 ? 1 : 0;
    bool hard = false;
    enum err e = config_number(ask, "pids_limit", &pids, why);
    if (e == OK)
        e = config_number(ask, "io_weight", &weight, why);
    if (e == OK)
        e = config_bool(ask, "cpu_hard_limit", &hard, why);
    if (e == OK)
        e = in_range("pids_limit", pids, least, 4 << 20, why);
    if (e == OK)
        e = in_range("io_weight", weight, 0, 10000, why);
    l->pids = (uint32_t)pids;
    l->io_weight = (uint32_t)weight;
    if (e != OK || r == NULL)
        return e;
    l->cpu_shares = cpu_of(ask);
    if (hard)
        l->cpu_quota_us = quota_us(ask);
    l->memory_bytes = r->memory_mb * MIB;
    const Pb__Alloc *alloc = ask->alloc;
    uint32_t most =
        alloc != NULL ? grants_memory_max_mb(alloc->grants, alloc->n_grants, ask->task->name) : 0;
    if (most > r->memory_mb) {
        l->memory_reserved_bytes = l->memory_bytes;
        l->memory_bytes = most * MIB;
    }
    return OK;
}
