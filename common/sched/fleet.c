#include "sched/fleet.h"
#include "sched/fit.h"
#include "sched/model.h"
#include "sched/rows.h"
#include "sched/stock.h"
#include "base/err.h"
#include "base/strbuf.h"
#include <stdlib.h>
#include <string.h>

/* ---- texts and kinds */

const char *texts_get(const struct texts *t, const char *key)
{
    const char *s = t->data, *end = s + t->size;
    while (s < end) {
        const char *value = s + strlen(s) + 1;
        if (strcmp(s, key) == 0)
            return value;
        s = value + strlen(value) + 1;
    }
    return NULL;
}

static void add_text(struct strbuf *b, const char *prefix, const char *key, const char *value)
{
    strbuf_puts(b, prefix);
    strbuf_puts(b, key);
    strbuf_add(b, "", 1);
    strbuf_puts(b, value != NULL ? value : "");
    strbuf_add(b, "", 1);
}

static void add_pairs(struct strbuf *b, const char *prefix, Pb__KeyValue *const *pairs, size_t n,
                      bool unique)
{
    for (size_t i = 0; i < n; i++)
        if (pairs[i]->key != NULL && (strncmp(pairs[i]->key, "unique.", 7) == 0) == unique)
            add_text(b, prefix, pairs[i]->key, pairs[i]->value);
}

static void add_models(struct strbuf *b, const Pb__Node *node)
{
    struct strbuf one = STRBUF_INIT;
    for (size_t i = 0; i < node->n_devices; i++) {
        model_encode(&one, node->devices[i]);
        add_text(b, "", MODEL_KEY, strbuf_text(&one));
    }
    strbuf_free(&one);
}

/* Keys that begin with "!" cannot be written in a job's target by accident: they are ours. */
static void kind_texts(struct strbuf *b, const Pb__Node *node)
{
    add_text(b, "", "!computed", node->computed_class);
    add_text(b, "", "node.datacenter", node->datacenter);
    add_text(b, "", "node.class", node->node_class);
    add_text(b, "", "node.pool", pool_or_default(node->node_pool));
    for (size_t i = 0; i < node->n_drivers; i++) {
        const Pb__DriverInfo *d = node->drivers[i];
        if (d->name != NULL)
            add_text(b, "!driver.", d->name,
                     !d->detected  ? "missing"
                     : !d->healthy ? "unhealthy"
                                   : "healthy");
    }
    for (size_t i = 0; i < node->n_networks; i++) {
        add_text(b, "!mode.", node->networks[i]->mode == NULL ? "host" : node->networks[i]->mode,
                 "");
        for (size_t k = 0; k < node->networks[i]->n_addresses; k++)
            if (node->networks[i]->addresses[k]->alias != NULL)
                add_text(b, "!network.", node->networks[i]->addresses[k]->alias, "");
    }
    for (size_t i = 0; i < node->n_host_volumes; i++)
        if (node->host_volumes[i]->name != NULL)
            add_text(b, "!volume.", node->host_volumes[i]->name,
                     node->host_volumes[i]->read_only ? "ro" : "rw");
    add_models(b, node);
    add_pairs(b, "attr.", node->attributes, node->n_attributes, false);
    add_pairs(b, "meta.", node->meta, node->n_meta, false);
}

static void unique_texts(struct strbuf *b, const Pb__Node *node)
{
    char id[ID_TEXT_SIZE];
    id_format(node->id.data, id);
    add_text(b, "", "node.unique.id", id);
    add_text(b, "", "node.unique.name", node->name);
    add_pairs(b, "attr.", node->attributes, node->n_attributes, true);
    add_pairs(b, "meta.", node->meta, node->n_meta, true);
}

static struct texts texts_take(struct strbuf *b)
{
    struct texts t = {.data = xmalloc(b->len), .size = b->len};
    memcpy(t.data, b->data, b->len);
    return t;
}

static uint32_t new_kind(struct fleet *f)
{
    for (uint32_t i = 0; i < f->kind_count; i++)
        if (f->kinds[i].nodes == 0)
            return i;
    if (f->kind_count == f->kind_room) {
        f->kind_room = f->kind_room * 2 + 8;
        f->kinds = xrealloc(f->kinds, f->kind_room * sizeof(*f->kinds));
    }
    return f->kind_count++;
}

static uint32_t find_kind(struct fleet *f, struct strbuf *b)
{
    uintptr_t known = (uintptr_t)map_get(f->kind_by_text, b->data, b->len);
    if (known != 0)
        return (uint32_t)known - 1;
    uint32_t i = new_kind(f);
    struct kind *k = &f->kinds[i];
    *k = (struct kind){.texts = texts_take(b)};
    k->computed_class = texts_get(&k->texts, "!computed");
    k->datacenter = texts_get(&k->texts, "node.datacenter");
    k->node_class = texts_get(&k->texts, "node.class");
    k->pool = texts_get(&k->texts, "node.pool");
    k->models = models_new(&k->texts, &k->model_count);
    map_put(f->kind_by_text, k->texts.data, k->texts.size, (void *)(uintptr_t)(i + 1));
    return i;
}

static void leave_kind(struct fleet *f, uint32_t slot)
{
    uint32_t i = f->kind_of[slot];
    if (i == SLOT_NONE)
        return;
    f->kind_of[slot] = SLOT_NONE;
    struct kind *k = &f->kinds[i];
    if (--k->nodes > 0)
        return;
    map_remove(f->kind_by_text, k->texts.data, k->texts.size);
    free(k->texts.data);
    models_free(k->models, k->model_count);
    k->texts = (struct texts){NULL, 0};
    k->models = NULL;
    k->model_count = 0;
}

/* ---- rows */

struct fleet *fleet_new(void)
{
    struct fleet *f = xcalloc(1, sizeof(*f));
    f->kind_by_text = map_new();
    list_init(&f->holds);
    return f;
}

void fleet_free(struct fleet *f)
{
    if (f == NULL)
        return;
    fleet_drop_holds(f);
    for (uint32_t i = 0; i < f->count; i++) {
        leave_kind(f, i);
        free(f->unique[i].data);
        free(f->ports[i].ports);
        free(f->held_ports[i].ports);
        stock_free(f->stock[i]);
    }
    void *arrays[] = {f->ids,    f->by_id, f->kind_of,    f->flags,       f->unique,    f->cpu,
                      f->memory, f->disk,  f->free_cpu,   f->free_memory, f->free_disk, f->used,
                      f->held,   f->ports, f->held_ports, f->kinds,       f->stock};
    for (size_t i = 0; i < COUNT_OF(arrays); i++)
        free(arrays[i]);
    fleet_drop_pools(f);
    map_free(f->kind_by_text);
    free(f);
}

static void make_room(struct fleet *f)
{
    if (f->count < f->room)
        return;
    uint32_t room = f->room = f->room * 2 + 16;
#define GROW(field) f->field = xrealloc(f->field, room * sizeof(*f->field))
    GROW(ids);
    GROW(by_id);
    GROW(kind_of);
    GROW(flags);
    GROW(unique);
    GROW(cpu);
    GROW(memory);
    GROW(disk);
    GROW(free_cpu);
    GROW(free_memory);
    GROW(free_disk);
    GROW(used);
    GROW(held);
    GROW(ports);
    GROW(held_ports);
    GROW(stock);
#undef GROW
}

/* Where the id stands in by_id, or would. */
static uint32_t find_place(const struct fleet *f, const uint8_t *id)
{
    uint32_t low = 0, high = f->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (memcmp(f->ids[f->by_id[middle]].bytes, id, ID_SIZE) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t fleet_slot(const struct fleet *f, const uint8_t id[ID_SIZE])
{
    uint32_t place = find_place(f, id);
    if (place < f->count && id_equal(f->ids[f->by_id[place]].bytes, id))
        return f->by_id[place];
    return SLOT_NONE;
}

static uint32_t slot_for(struct fleet *f, const uint8_t *id)
{
    uint32_t place = find_place(f, id);
    if (place < f->count && id_equal(f->ids[f->by_id[place]].bytes, id))
        return f->by_id[place];
    make_room(f);
    uint32_t slot = f->count;
    memmove(&f->by_id[place + 1], &f->by_id[place], (f->count - place) * sizeof(*f->by_id));
    f->by_id[place] = slot;
    f->count++;
    memcpy(f->ids[slot].bytes, id, ID_SIZE);
    f->kind_of[slot] = SLOT_NONE;
    f->flags[slot] = 0;
    f->unique[slot] = (struct texts){NULL, 0};
    f->cpu[slot] = f->memory[slot] = f->disk[slot] = 0;
    f->free_cpu[slot] = f->free_memory[slot] = f->free_disk[slot] = 0;
    f->used[slot] = f->held[slot] = (struct used){0, 0, 0};
    f->ports[slot] = f->held_ports[slot] = (struct port_set){NULL, 0, 0};
    f->stock[slot] = NULL;
    return slot;
}

static int32_t clamp(int64_t n)
{
    return n > INT32_MAX ? INT32_MAX : n < INT32_MIN ? INT32_MIN : (int32_t)n;
}

void fleet_count_free(struct fleet *f, uint32_t slot)
{
    const struct used *u = &f->used[slot], *h = &f->held[slot];
    f->free_cpu[slot] = clamp(f->cpu[slot] - u->cpu - h->cpu);
    f->free_memory[slot] = clamp(f->memory[slot] - u->memory - h->memory);
    f->free_disk[slot] = clamp(f->disk[slot] - u->disk - h->disk);
}

void fleet_reset(struct fleet *f)
{
    f->index = 0;
    f->known = 0;
    fleet_drop_pools(f);
    for (uint32_t i = 0; i < f->count; i++) {
        leave_kind(f, i);
        f->flags[i] = 0;
        f->cpu[i] = f->memory[i] = f->disk[i] = 0;
        f->used[i] = (struct used){0, 0, 0};
        f->ports[i].count = 0;
        stock_forget(f->stock[i]);
        fleet_count_free(f, i);
    }
}

static uint32_t less(uint32_t total, uint32_t reserved)
{
    return total > reserved ? total - reserved : 0;
}

static void set_capacity(struct fleet *f, uint32_t slot, uint32_t cpu, uint32_t memory,
                         uint32_t disk)
{
    f->cpu[slot] = clamp(cpu);
    f->memory[slot] = clamp(memory);
    f->disk[slot] = clamp(disk);
}

static uint8_t node_flags(const Pb__Node *node)
{
    uint8_t flags = ROW_KNOWN;
    if (node->status == PB__NODE__STATUS__READY)
        flags |= ROW_READY;
    if (node->status == PB__NODE__STATUS__DOWN)
        flags |= ROW_DOWN;
    if (node->eligibility != PB__NODE__ELIGIBILITY__INELIGIBLE && !node->drain)
        flags |= ROW_ELIGIBLE;
    return flags;
}

void fleet_set_node(struct fleet *f, const Pb__Node *node)
{
    uint32_t slot = slot_for(f, node->id.data);
    struct strbuf b = STRBUF_INIT;
    kind_texts(&b, node);
    uint32_t kind = find_kind(f, &b);
    f->kinds[kind].nodes++; /* before the old one is left: it may be the same */
    leave_kind(f, slot);
    f->kind_of[slot] = kind;
    strbuf_clear(&b);
    unique_texts(&b, node);
    free(f->unique[slot].data);
    f->unique[slot] = texts_take(&b);
    strbuf_free(&b);
    stock_set_node(&f->stock[slot], node);

    f->known += (f->flags[slot] & ROW_KNOWN) == 0;
    f->flags[slot] = (uint8_t)(node_flags(node) | (f->flags[slot] & ROW_USAGE));
    if ((f->flags[slot] & ROW_USAGE) == 0 && node->total != NULL) {
        static const Pb__Amount nothing = PB__AMOUNT__INIT;
        const Pb__Amount *t = node->total, *r = node->reserved != NULL ? node->reserved : &nothing;
        set_capacity(f, slot, less(t->cpu, r->cpu), less(t->memory_mb, r->memory_mb),
                     less(t->disk_mb, r->disk_mb));
    }
    fleet_count_free(f, slot);
}

void fleet_set_usage(struct fleet *f, const Pb__NodeUsage *usage)
{
    uint32_t slot = slot_for(f, usage->node_id.data);
    f->flags[slot] |= ROW_USAGE;
    const Pb__Amount *c = usage->capacity, *u = usage->used;
    set_capacity(f, slot, c != NULL ? c->cpu : 0, c != NULL ? c->memory_mb : 0,
                 c != NULL ? c->disk_mb : 0);
    f->used[slot] =
        u != NULL ? (struct used){u->cpu, u->memory_mb, u->disk_mb} : (struct used){0, 0, 0};
    struct port_set *s = &f->ports[slot];
    s->count = 0;
    port_set_room(s, (uint32_t)usage->n_ports);
    for (size_t i = 0; i < usage->n_ports; i++)
        if (usage->ports[i] <= UINT16_MAX)
            s->ports[s->count++] = (uint16_t)usage->ports[i];
    stock_set_usage(&f->stock[slot], usage);
    fleet_count_free(f, slot);
}

uint32_t fleet_add_empty(struct fleet *f, const uint8_t id[ID_SIZE], uint32_t like)
{
    uint32_t slot = slot_for(f, id), kind = f->kind_of[like];
    f->kinds[kind].nodes++;
    f->kind_of[slot] = kind;
    f->flags[slot] = f->flags[like];
    f->known++;
    f->cpu[slot] = f->cpu[like];
    f->memory[slot] = f->memory[like];
    f->disk[slot] = f->disk[like];
    f->stock[slot] = stock_like(f->stock[like]);
    fleet_count_free(f, slot);
    return slot;
}

void fleet_remove_node(struct fleet *f, const uint8_t id[ID_SIZE])
{
    uint32_t slot = fleet_slot(f, id);
    if (slot == SLOT_NONE)
        return;
    f->known -= (f->flags[slot] & ROW_KNOWN) != 0;
    f->flags[slot] = 0;
    leave_kind(f, slot);
    set_capacity(f, slot, 0, 0, 0);
    f->used[slot] = (struct used){0, 0, 0};
    f->ports[slot].count = 0;
    stock_forget(f->stock[slot]);
    fleet_count_free(f, slot);
}

void fleet_set_object(struct fleet *f, const Pb__Object *o)
{
    if (o->deleted != NULL) {
        if (o->deleted->table == PB__TABLE__NAME__NODES && o->deleted->id.len == ID_SIZE)
            fleet_remove_node(f, o->deleted->id.data);
        else if (o->deleted->table == PB__TABLE__NAME__NODE_POOLS && o->deleted->name != NULL)
            fleet_remove_pool(f, o->deleted->name);
    } else if (o->value_case == PB__OBJECT__VALUE_NODE_POOL && o->node_pool->name != NULL) {
        fleet_set_pool(f, o->node_pool);
    } else if (o->value_case == PB__OBJECT__VALUE_NODE && o->node->id.len == ID_SIZE) {
        fleet_set_node(f, o->node);
    } else if (o->value_case == PB__OBJECT__VALUE_NODE_USAGE &&
               o->node_usage->node_id.len == ID_SIZE) {
        fleet_set_usage(f, o->node_usage);
    }
}

void fleet_set_index(struct fleet *f, uint64_t index)
{
    f->index = index;
}

uint64_t fleet_index(const struct fleet *f)
{
    return f->index;
}

size_t fleet_count(const struct fleet *f)
{
    return f->known;
}

bool fleet_node_is_down(const struct fleet *f, uint32_t slot)
{
    return (f->flags[slot] & ROW_DOWN) != 0;
}

bool fleet_node_is_ready(const struct fleet *f, uint32_t slot)
{
    return (f->flags[slot] & ROW_CANDIDATE) == ROW_CANDIDATE;
}

struct room fleet_room(const struct fleet *f, uint32_t slot)
{
    return (struct room){f->free_cpu[slot], f->free_memory[slot], f->free_disk[slot]};
}

const char *fleet_value(const struct fleet *f, uint32_t slot, const char *key)
{
    if (f->kind_of[slot] == SLOT_NONE)
        return NULL;
    const char *value = texts_get(&f->kinds[f->kind_of[slot]].texts, key);
    return value != NULL ? value : texts_get(&f->unique[slot], key);
}

void fleet_check(const struct fleet *f)
{
    uint32_t known = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        must(i == 0 ||
             memcmp(f->ids[f->by_id[i - 1]].bytes, f->ids[f->by_id[i]].bytes, ID_SIZE) < 0);
        must(((f->flags[i] & ROW_KNOWN) != 0) == (f->kind_of[i] != SLOT_NONE));
        known += (f->flags[i] & ROW_KNOWN) != 0;
        must(f->held[i].cpu >= 0 && f->held[i].memory >= 0 && f->held[i].disk >= 0);
        for (uint32_t k = 1; k < f->ports[i].count; k++)
            must(f->ports[i].ports[k - 1] < f->ports[i].ports[k]);
        must(!list_empty(&f->holds) || f->held_ports[i].count == 0);
    }
    must(known == f->known);
}
