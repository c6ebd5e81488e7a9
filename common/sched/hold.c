/* What plans on their way hold of nodes, and the ports of both. */
#include "base/err.h"
#include "sched/fit.h"
#include "sched/rows.h"
#include "sched/stock.h"
#include "wire/grant.h"
#include <stdlib.h>

struct hold {
    struct link link;
    uint32_t count, room, port_count, port_room;
    struct held_node {
        uint32_t slot, cpu, memory, disk, ports;
    } * nodes;
    uint16_t *ports; /* those of the first node, of the second ... */
    struct held_piece {
        uint32_t slot, core;
        char *name; /* of a device's instance; NULL: it is a core */
    } * pieces;
    uint32_t piece_count, piece_room;
};

/* ---- ports */

static uint32_t lower_bound(const struct port_set *s, uint32_t port)
{
    uint32_t low = 0, high = s->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (s->ports[middle] < port)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void port_set_room(struct port_set *s, uint32_t room)
{
    if (s->room >= room)
        return;
    s->room = room < 8 ? 8 : room;
    s->ports = xrealloc(s->ports, s->room * sizeof(*s->ports));
}

static void port_set_append(struct port_set *s, uint16_t port)
{
    if (s->count == s->room)
        port_set_room(s, s->room * 2 + 8);
    s->ports[s->count++] = port;
}

/* One of them, wherever it stands. */
static void port_set_take_out(struct port_set *s, uint16_t port)
{
    for (uint32_t i = s->count; i-- > 0;)
        if (s->ports[i] == port) {
            s->ports[i] = s->ports[--s->count];
            return;
        }
    must(!"a held port is there until its hold is released");
}

bool fleet_port_is_free(const struct fleet *f, uint32_t slot, uint32_t port)
{
    const struct port_set *s = &f->ports[slot];
    uint32_t i = lower_bound(s, port);
    if (i < s->count && s->ports[i] == port)
        return false;
    s = &f->held_ports[slot];
    for (i = 0; i < s->count; i++)
        if (s->ports[i] == port)
            return false;
    return true;
}

uint32_t fleet_dynamic_ports_used(const struct fleet *f, uint32_t slot)
{
    const struct port_set *s = &f->ports[slot];
    /* Held ones may be among the others already: then this counts too many, for a moment. */
    return lower_bound(s, DYNAMIC_PORT_MAX + 1) - lower_bound(s, DYNAMIC_PORT_MIN) +
           f->held_ports[slot].count;
}

enum fit fleet_grants_fit(const struct fleet *f, uint32_t slot, Pb__TaskGrant *const *grants,
                          size_t count, bool displaces)
{
    return stock_fits(f->stock[slot], grants, count, displaces);
}

/* ---- holds */

static void add_held(struct fleet *f, const struct held_node *n, int sign)
{
    struct used *h = &f->held[n->slot];
    h->cpu += sign * (int64_t)n->cpu;
    h->memory += sign * (int64_t)n->memory;
    h->disk += sign * (int64_t)n->disk;
    fleet_count_free(f, n->slot);
}

static void free_hold(struct hold *h)
{
    list_remove(&h->link);
    for (uint32_t i = 0; i < h->piece_count; i++)
        free(h->pieces[i].name);
    free(h->pieces);
    free(h->nodes);
    free(h->ports);
    free(h);
}

void fleet_drop_holds(struct fleet *f)
{
    struct hold *h;
    list_each(&f->holds, struct hold, link, h) free_hold(h);
}

struct hold *fleet_hold_new(struct fleet *f)
{
    struct hold *h = xcalloc(1, sizeof(*h));
    list_push_back(&f->holds, &h->link);
    return h;
}

static void hold_port(struct fleet *f, struct hold *h, uint32_t slot, uint16_t port)
{
    if (h->port_count == h->port_room) {
        h->port_room = h->port_room * 2 + 4;
        h->ports = xrealloc(h->ports, h->port_room * sizeof(*h->ports));
    }
    h->ports[h->port_count++] = port;
    port_set_append(&f->held_ports[slot], port);
}

struct holding {
    struct fleet *fleet;
    struct hold *hold;
    uint32_t slot;
};

static void hold_piece(struct holding *h, uint32_t core, const char *name)
{
    struct hold *to = h->hold;
    if (to->piece_count == to->piece_room) {
        to->piece_room = to->piece_room * 2 + 4;
        to->pieces = xrealloc(to->pieces, to->piece_room * sizeof(*to->pieces));
    }
    to->pieces[to->piece_count++] =
        (struct held_piece){h->slot, core, name != NULL ? xstrdup(name) : NULL};
    stock_hold(&h->fleet->stock[h->slot], core, name);
}

static void hold_core(void *self, uint32_t core)
{
    hold_piece(self, core, NULL);
}

static void hold_instance(void *self, const char *name)
{
    hold_piece(self, 0, name);
}

static uint32_t down_to_nothing(uint32_t n, uint32_t by)
{
    return n > by ? n - by : 0;
}

static void take_off(struct held_node *n, const Pb__Amount *amount)
{
    if (amount == NULL)
        return;
    n->cpu = down_to_nothing(n->cpu, amount->cpu);
    n->memory = down_to_nothing(n->memory, amount->memory_mb);
    n->disk = down_to_nothing(n->disk, amount->disk_mb);
}

void fleet_hold_add(struct fleet *f, struct hold *h, const Pb__Placement *p)
{
    uint32_t slot = p->node_id.len == ID_SIZE ? fleet_slot(f, p->node_id.data) : SLOT_NONE;
    if (slot == SLOT_NONE)
        return;
    if (h->count == h->room) {
        h->room = h->room * 2 + 1;
        h->nodes = xrealloc(h->nodes, h->room * sizeof(*h->nodes));
    }
    struct held_node *n = &h->nodes[h->count++];
    *n = (struct held_node){.slot = slot, .ports = (uint32_t)p->n_ports};
    if (p->resources != NULL) {
        n->cpu = p->resources->cpu;
        n->memory = p->resources->memory_mb;
        n->disk = p->resources->disk_mb;
    }
    /* What it displaces is still counted as used, until the records show that it is gone. */
    for (size_t i = 0; i < p->n_preempts; i++)
        take_off(n, p->preempts[i]->resources);
    for (size_t i = 0; i < p->n_ports; i++)
        hold_port(f, h, slot, (uint16_t)p->ports[i]->value);
    grants_each(p->grants, p->n_grants,
                &(struct grant_visitor){&(struct holding){f, h, slot}, hold_core, hold_instance});
    add_held(f, n, 1);
}

struct hold *fleet_hold(struct fleet *f, const Pb__Plan *plan)
{
    struct hold *h = fleet_hold_new(f);
    for (size_t i = 0; i < plan->n_placements; i++)
        fleet_hold_add(f, h, plan->placements[i]);
    return h;
}

void fleet_release(struct fleet *f, struct hold *h)
{
    if (h == NULL)
        return;
    const uint16_t *port = h->ports;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct held_node *n = &h->nodes[i];
        for (uint32_t k = 0; k < n->ports; k++)
            port_set_take_out(&f->held_ports[n->slot], *port++);
        add_held(f, n, -1);
    }
    for (uint32_t i = 0; i < h->piece_count; i++)
        stock_release(f->stock[h->pieces[i].slot], h->pieces[i].core, h->pieces[i].name);
    free_hold(h);
}
