#include "sched/credit.h"

void credits_init(struct credits *c, struct arena *a, size_t most)
{
    *c = (struct credits){.list = arena_array(a, struct credit, most + 1)};
}

static struct credit *credit_for(struct credits *c, uint32_t slot, const struct rank *r,
                                 uint32_t candidate)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->list[i].slot == slot)
            return &c->list[i];
    c->list[c->count] =
        (struct credit){slot, r->cpu[candidate], r->memory[candidate], r->disk[candidate],
                        r->given != NULL ? r->given[candidate] : NULL};
    return &c->list[c->count++];
}

static bool has_port(const Pb__Alloc *alloc, uint32_t port)
{
    for (size_t i = 0; i < alloc->n_ports; i++)
        if (alloc->ports[i]->value == port)
            return true;
    return false;
}

static bool statics_free_without(const struct planner *p, const struct rank *r, uint32_t i,
                                 const Pb__Alloc *old)
{
    for (size_t k = 0; k < r->ask->fixed_count; k++) {
        uint32_t port = r->ask->fixed[k]->value;
        for (const struct taken_port *t = r->taken[i]; t != NULL; t = t->next)
            if (t->port == port)
                return false;
        if (!fleet_port_is_free(p->fleet, r->slots[i], port) && !has_port(old, port))
            return false;
    }
    return !r->ask->conflicting;
}

/* Gives the new one its cores and devices, with what the old one gives back. False: too few. */
static bool pieces_after_stop(const struct planner *p, const struct rank *r, struct credit *c,
                              const Pb__Alloc *old)
{
    struct given *back = arena_array(p->arena, struct given, 1);
    *back = (struct given){c->given, old->grants, old->n_grants, true};
    struct given *n = pieces_give(r->ask->pieces, p->arena, p->fleet, c->slot, back);
    if (n != NULL)
        c->given = n;
    return n != NULL;
}

bool credits_take(struct credits *credits, const struct planner *p, const struct rank *r,
                  const Pb__Alloc *old)
{
    uint32_t i = rank_find(r, p->fleet, old->node_id.data);
    if (i == UINT32_MAX || !statics_free_without(p, r, i, old))
        return false;
    static const Pb__Amount nothing = PB__AMOUNT__INIT;
    const Pb__Amount *was = old->resources != NULL ? old->resources : &nothing,
                     *ask = r->ask->amount;
    struct credit *c = credit_for(credits, r->slots[i], r, i);
    int64_t cpu = c->cpu + was->cpu, memory = c->memory + was->memory_mb,
            disk = c->disk + was->disk_mb;
    if (cpu < (int64_t)ask->cpu || memory < (int64_t)ask->memory_mb || disk < (int64_t)ask->disk_mb)
        return false;
    if (r->ask->pieces != NULL && !pieces_after_stop(p, r, c, old))
        return false;
    c->cpu = cpu - ask->cpu - (r->cores_cpu != NULL ? r->cores_cpu[i] : 0);
    c->memory = memory - ask->memory_mb;
    c->disk = disk - ask->disk_mb;
    return true;
}
