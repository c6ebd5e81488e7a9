#include "sched/whatif.h"
#include "base/strbuf.h"
#include "sched/model.h"
#include "sched/rows.h"
#include "sched/stock.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *copy_of(const void *data, size_t size)
{
    void *copy = xmalloc(size + 1);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

static struct port_set copy_ports(const struct port_set *s)
{
    return (struct port_set){copy_of(s->ports, s->count * sizeof(*s->ports)), s->count, s->count};
}

static void copy_kinds(struct fleet *to, const struct fleet *f)
{
    to->kinds = copy_of(f->kinds, f->kind_count * sizeof(*f->kinds));
    to->kind_count = to->kind_room = f->kind_count;
    for (uint32_t i = 0; i < f->kind_count; i++) {
        struct kind *k = &to->kinds[i];
        if (k->nodes == 0)
            continue;
        k->texts.data = copy_of(k->texts.data, k->texts.size);
        k->computed_class = texts_get(&k->texts, "!computed");
        k->datacenter = texts_get(&k->texts, "node.datacenter");
        k->node_class = texts_get(&k->texts, "node.class");
        k->pool = texts_get(&k->texts, "node.pool");
        k->models = models_new(&k->texts, &k->model_count);
        map_put(to->kind_by_text, k->texts.data, k->texts.size, (void *)(uintptr_t)(i + 1));
    }
}

/* What plans on their way hold stays counted in the rows; the holds themselves stay f's. */
static struct fleet *copy_fleet(const struct fleet *f)
{
    struct fleet *to = fleet_new();
    struct map *kinds = to->kind_by_text;
    *to = *f;
    to->kind_by_text = kinds;
    list_init(&to->holds);
    to->room = f->count;
    copy_kinds(to, f);
    fleet_copy_pools(to, f);
#define COPY(field) to->field = copy_of(f->field, f->count * sizeof(*f->field))
    COPY(ids);
    COPY(by_id);
    COPY(kind_of);
    COPY(flags);
    COPY(unique);
    COPY(cpu);
    COPY(memory);
    COPY(disk);
    COPY(free_cpu);
    COPY(free_memory);
    COPY(free_disk);
    COPY(used);
    COPY(held);
    COPY(ports);
    COPY(held_ports);
    COPY(stock);
#undef COPY
    for (uint32_t i = 0; i < f->count; i++) {
        to->unique[i].data = copy_of(f->unique[i].data, f->unique[i].size);
        to->ports[i] = copy_ports(&f->ports[i]);
        to->held_ports[i] = copy_ports(&f->held_ports[i]);
        to->stock[i] = stock_copy(f->stock[i]);
    }
    return to;
}

/* Its name is the other's with a number behind it, its id follows from the other's. */
static struct texts unique_like(const struct texts *t, const uint8_t *id, uint32_t number)
{
    struct strbuf b = STRBUF_INIT;
    char text[ID_TEXT_SIZE];
    id_format(id, text);
    for (const char *s = t->data; s < t->data + t->size;) {
        const char *value = s + strlen(s) + 1;
        bool is_id = strcmp(s, "node.unique.id") == 0;
        strbuf_add(&b, s, strlen(s) + 1);
        strbuf_puts(&b, is_id ? text : value);
        if (strcmp(s, "node.unique.name") == 0)
            strbuf_printf(&b, "+%u", number);
        strbuf_add(&b, "", 1);
        s = value + strlen(value) + 1;
    }
    struct texts out = {.data = copy_of(b.data, b.len), .size = b.len};
    strbuf_free(&b);
    return out;
}

static void add_like(struct fleet *f, uint32_t like, uint32_t number)
{
    struct id id = id_derive(f->ids[like].bytes, 0, number);
    uint32_t slot = fleet_add_empty(f, id.bytes, like);
    f->unique[slot] = unique_like(&f->unique[like], id.bytes, number);
}

static enum err change_one(struct fleet *f, const Pb__WhatIf *c, uint32_t *added,
                           struct reason *why)
{
    char id[ID_TEXT_SIZE] = "";
    if (c->node_id.len == ID_SIZE)
        id_format(c->node_id.data, id);
    uint32_t slot = c->node_id.len == ID_SIZE ? fleet_slot(f, c->node_id.data) : SLOT_NONE;
    if (slot == SLOT_NONE || (f->flags[slot] & ROW_KNOWN) == 0)
        return reason_set(why, ERR_NOT_FOUND, "what-if: no node has the id \"%s\"", id);
    if (c->remove) {
        fleet_remove_node(f, c->node_id.data);
        return OK;
    }
    if (c->add == 0 || c->add > WHATIF_MOST_NODES || *added + c->add > WHATIF_MOST_NODES)
        return reason_set(why, ERR_INVALID, "what-if: from 1 to %d nodes may be added in all",
                          WHATIF_MOST_NODES);
    for (uint32_t i = 0; i < c->add; i++)
        add_like(f, slot, ++*added);
    return OK;
}

enum err whatif_fleet(struct fleet **out, const struct fleet *f, Pb__WhatIf *const *changes,
                      size_t count, struct reason *why)
{
    struct fleet *copy = copy_fleet(f);
    uint32_t added = 0;
    for (size_t i = 0; i < count; i++) {
        enum err e = change_one(copy, changes[i], &added, why);
        if (e != OK) {
            fleet_free(copy);
            return e;
        }
    }
    *out = copy;
    return OK;
}
