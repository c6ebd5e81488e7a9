/* Nodes, and what is used of each. */
#include "state/internal.h"
#include <string.h>

Pb__Node *state_node(struct view *v, struct arena *a, const uint8_t *id)
{
    return (Pb__Node *)record_message(v, a, T_NODES, id_bytes(id), &pb__node__descriptor);
}

/* ---- usage */

static struct usage_edit *usage_edit_add(struct view *v, const uint8_t *id, Pb__NodeUsage *u)
{
    struct usage_edit *e = arena_alloc(v->arena, sizeof *e);
    e->usage = u;
    e->ports_room = u->n_ports;
    map_put(v->usages, id, ID_SIZE, e);
    *v->usage_last = e;
    v->usage_last = &e->next;
    return e;
}

static struct usage_edit *usage_edit(struct view *v, const uint8_t *id)
{
    struct usage_edit *e = map_get_id(v->usages, id);
    if (e != NULL)
        return e;
    Pb__NodeUsage *u = (Pb__NodeUsage *)record_message(v, v->arena, T_NODE_USAGE, id_bytes(id),
                                                       &pb__node_usage__descriptor);
    return u == NULL ? NULL : usage_edit_add(v, id, u);
}

Pb__NodeUsage *state_node_usage(struct view *v, struct arena *a, const uint8_t *id)
{
    if (v->in_command) {
        struct usage_edit *e = usage_edit(v, id);
        return e == NULL ? NULL : e->usage;
    }
    return (Pb__NodeUsage *)record_message(v, a, T_NODE_USAGE, id_bytes(id),
                                           &pb__node_usage__descriptor);
}

/* The slot of the first port not below p. */
static size_t port_slot(const Pb__NodeUsage *u, uint32_t p)
{
    size_t low = 0, high = u->n_ports;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (u->ports[middle] < p)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void port_add(struct view *v, struct usage_edit *e, uint32_t p)
{
    Pb__NodeUsage *u = e->usage;
    size_t slot = port_slot(u, p);
    if (u->n_ports == e->ports_room) {
        e->ports_room = e->ports_room * 2 + 8;
        uint32_t *ports = arena_alloc(v->arena, e->ports_room * sizeof *ports);
        if (u->n_ports > 0)
            memcpy(ports, u->ports, u->n_ports * sizeof *ports);
        u->ports = ports;
    }
    memmove(u->ports + slot + 1, u->ports + slot, (u->n_ports - slot) * sizeof *u->ports);
    u->ports[slot] = p;
    u->n_ports++;
}

static void port_remove(struct usage_edit *e, uint32_t p)
{
    Pb__NodeUsage *u = e->usage;
    size_t slot = port_slot(u, p);
    if (slot == u->n_ports || u->ports[slot] != p)
        return;
    u->n_ports--;
    memmove(u->ports + slot, u->ports + slot + 1, (u->n_ports - slot) * sizeof *u->ports);
}

static void amount_set(Pb__Amount *a, uint32_t cpu, uint32_t memory_mb, uint32_t disk_mb)
{
    a->has_cpu = a->has_memory_mb = a->has_disk_mb = true;
    a->cpu = cpu;
    a->memory_mb = memory_mb;
    a->disk_mb = disk_mb;
}

static void usage_freed(struct view *v, struct usage_edit *e)
{
    e->changed = true;
    e->usage->has_freed_index = true;
    e->usage->freed_index = v->index;
}

void usage_add(struct view *v, const uint8_t *node_id, struct load l)
{
    struct usage_edit *e = usage_edit(v, node_id);
    if (e == NULL)
        return; /* the store failed: commit will say so */
    Pb__Amount *u = e->usage->used;
    e->changed = true;
    e->usage->has_allocs = true;
    e->usage->allocs++;
    if (l.amount != NULL)
        amount_set(u, u->cpu + l.amount->cpu, u->memory_mb + l.amount->memory_mb,
                   u->disk_mb + l.amount->disk_mb);
    for (size_t i = 0; i < l.port_count; i++)
        port_add(v, e, l.ports[i]->value);
    pieces_add(v, e->usage, &l);
}

void usage_remove(struct view *v, const uint8_t *node_id, struct load l)
{
    struct usage_edit *e = usage_edit(v, node_id);
    if (e == NULL)
        return;
    Pb__Amount *u = e->usage->used;
    must(e->usage->allocs > 0);
    usage_freed(v, e);
    e->usage->allocs--;
    if (l.amount != NULL)
        amount_set(u, u->cpu - l.amount->cpu, u->memory_mb - l.amount->memory_mb,
                   u->disk_mb - l.amount->disk_mb);
    for (size_t i = 0; i < l.port_count; i++)
        port_remove(e, l.ports[i]->value);
    pieces_remove(v, e->usage, &l);
}

void usage_edits_flush(struct view *v)
{
    for (struct usage_edit *e = v->usage_first; e != NULL; e = e->next) {
        if (!e->changed)
            continue;
        e->usage->has_modify_index = true;
        e->usage->modify_index = v->index;
        record_put(v, T_NODE_USAGE, id_bytes(e->usage->node_id.data), &e->usage->base);
    }
}

/* ---- nodes */

static uint32_t less(uint32_t a, uint32_t b)
{
    return a > b ? a - b : 0;
}

static bool same_amount(const Pb__Amount *a, uint32_t cpu, uint32_t memory_mb, uint32_t disk_mb)
{
    return a->cpu == cpu && a->memory_mb == memory_mb && a->disk_mb == disk_mb;
}

static bool same_ports(const Pb__Node *a, const Pb__Node *b)
{
    return a->n_reserved_ports == b->n_reserved_ports &&
           (a->n_reserved_ports == 0 || memcmp(a->reserved_ports, b->reserved_ports,
                                               a->n_reserved_ports * sizeof(uint32_t)) == 0);
}

static bool same_pieces(const Pb__Node *a, const Pb__Node *b)
{
    if (a->n_reservable_cores != b->n_reservable_cores || a->n_devices != b->n_devices)
        return false;
    for (size_t i = 0; i < a->n_reservable_cores; i++)
        if (a->reservable_cores[i] != b->reservable_cores[i])
            return false;
    for (size_t i = 0; i < a->n_devices; i++)
        if (!wire_equal(&a->devices[i]->base, &b->devices[i]->base))
            return false;
    return true;
}

static void ports_reserve(struct view *v, struct usage_edit *e, const Pb__Node *node)
{
    for (size_t i = 0; i < node->n_reserved_ports; i++)
        port_add(v, e, node->reserved_ports[i]);
}

/* Of a node that comes back after it was deleted: what still runs there uses it. */
static void usage_count_again(struct view *v, const Pb__Node *node)
{
    struct walk w;
    const uint8_t *id;
    walk_open(&w, v, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__NODE, NULL, NULL, node->id.data, NULL);
    while ((id = walk_next(&w)) != NULL) {
        Pb__Alloc *a = state_alloc(v, v->arena, id);
        if (a != NULL && alloc_uses_node(a))
            usage_add(v, node->id.data, alloc_load(a));
    }
    walk_close(&w);
}

/* What the node reserves now, and what its live allocations hold. */
static void ports_rebuild(struct view *v, struct usage_edit *e, const Pb__Node *node)
{
    struct walk w;
    const uint8_t *id;
    e->usage->n_ports = 0;
    ports_reserve(v, e, node);
    walk_open(&w, v, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__NODE, NULL, NULL, node->id.data, NULL);
    while ((id = walk_next(&w)) != NULL) {
        Pb__Alloc *a = state_alloc(v, v->arena, id);
        if (a == NULL || !alloc_uses_node(a))
            continue;
        for (size_t i = 0; i < a->n_ports; i++)
            port_add(v, e, a->ports[i]->value);
    }
    walk_close(&w);
    usage_freed(v, e);
}

static void usage_follow_node(struct view *v, const Pb__Node *old, const Pb__Node *node)
{
    static const Pb__Amount nothing = PB__AMOUNT__INIT;
    const Pb__Amount *total = node->total != NULL ? node->total : &nothing;
    const Pb__Amount *reserved = node->reserved != NULL ? node->reserved : &nothing;
    struct usage_edit *e = usage_edit(v, node->id.data);
    if (e == NULL) {
        Pb__NodeUsage *u = arena_alloc(v->arena, sizeof *u);
        pb__node_usage__init(u);
        u->has_node_id = true;
        u->node_id = node->id;
        u->capacity = arena_alloc(v->arena, sizeof *u->capacity);
        u->used = arena_alloc(v->arena, sizeof *u->used);
        pb__amount__init(u->capacity);
        pb__amount__init(u->used);
        e = usage_edit_add(v, node->id.data, u);
        e->changed = true;
    }
    uint32_t cpu = less(total->cpu, reserved->cpu);
    uint32_t memory_mb = less(total->memory_mb, reserved->memory_mb);
    uint32_t disk_mb = less(total->disk_mb, reserved->disk_mb);
    if (!same_amount(e->usage->capacity, cpu, memory_mb, disk_mb)) {
        amount_set(e->usage->capacity, cpu, memory_mb, disk_mb);
        usage_freed(v, e);
    }
    if (old == NULL) {
        ports_reserve(v, e, node);
        usage_count_again(v, node);
        usage_freed(v, e);
    } else if (!same_ports(old, node)) {
        ports_rebuild(v, e, node);
    }
    if (old != NULL && !same_pieces(old, node))
        usage_freed(v, e); /* there may be more of them, or one may be well again */
}

void state_put_node(struct view *v, Pb__Node *node)
{
    Pb__Node *old = state_node(v, v->arena, node->id.data);
    node->has_modify_index = true;
    node->modify_index = v->index;
    if (old == NULL) {
        node->has_create_index = true;
        node->create_index = v->index;
    }
    record_put(v, T_NODES, id_bytes(node->id.data), &node->base);
    usage_follow_node(v, old, node);
}

void state_delete_node(struct view *v, const uint8_t *id)
{
    struct usage_edit *e = map_get_id(v->usages, id);
    if (e != NULL) {
        e->changed = false; /* nothing is to be stored of it when the command ends */
        map_remove(v->usages, id, ID_SIZE);
    }
    record_del(v, T_NODE_USAGE, id_bytes(id));
    record_del(v, T_NODES, id_bytes(id));
}
