#include "schedworker/history.h"
#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "wire/wire.h"
#include <stdlib.h>
#include <string.h>

#define MOST_NAME 256

/* A record of the nodes as it came. */
struct change {
    struct link link;
    uint64_t number;
    size_t len;
    uint8_t data[]; /* a packed Pb__Object */
};

enum part { VIEW, EVAL, PLAN, OTHERS, PARTS };

struct made {
    struct link link;
    uint64_t number;
    uint64_t seen; /* the last change before it */
    uint64_t seed, fleet_index;
    struct sched_options options; /* without what they point to */
    uint8_t eval_id[ID_SIZE];
    size_t bytes;
    size_t held_count;
    uint64_t *held; /* numbers of the plans that were held */
    size_t lens[PARTS];
    uint8_t *data; /* the packed parts, one behind the other */
};

struct history {
    size_t most_plans, most_bytes;
    struct map *base;    /* key -> struct change: the records before the first of changes */
    struct link changes; /* oldest first */
    struct link plans;   /* oldest first */
    size_t plan_count, bytes;
    uint64_t last_change, last_plan;
    uint64_t *active; /* plans that are held, oldest first */
    size_t active_count, active_room;
};

struct history *history_new(size_t most_plans, size_t most_bytes)
{
    struct history *h = xcalloc(1, sizeof *h);
    h->most_plans = most_plans;
    h->most_bytes = most_bytes;
    h->base = map_new();
    list_init(&h->changes);
    list_init(&h->plans);
    return h;
}

static void free_made(struct history *h, struct made *m)
{
    list_remove(&m->link);
    h->bytes -= m->bytes;
    h->plan_count--;
    free(m->held);
    free(m->data);
    free(m);
}

void history_reset(struct history *h)
{
    struct made *m;
    struct change *c;
    const void *key;
    void *value;
    list_each(&h->plans, struct made, link, m) free_made(h, m);
    list_each(&h->changes, struct change, link, c)
    {
        list_remove(&c->link);
        free(c);
    }
    for (size_t i = 0; map_next(h->base, &i, &key, NULL, &value);)
        free(value);
    map_free(h->base);
    h->base = map_new();
    h->bytes = 0;
}

void history_free(struct history *h)
{
    if (h == NULL)
        return;
    history_reset(h);
    map_free(h->base);
    free(h->active);
    free(h);
}

/* ---- the view of the nodes */

static const ProtobufCBinaryData *id_of(const Pb__Object *o)
{
    static const ProtobufCBinaryData none;
    if (o->deleted != NULL)
        return &o->deleted->id;
    return o->value_case == PB__OBJECT__VALUE_NODE         ? &o->node->id
           : o->value_case == PB__OBJECT__VALUE_NODE_USAGE ? &o->node_usage->node_id
                                                           : &none;
}

static const char *name_of(const Pb__Object *o)
{
    const char *name = o->deleted != NULL                             ? o->deleted->name
                       : o->value_case == PB__OBJECT__VALUE_NODE_POOL ? o->node_pool->name
                                                                      : NULL;
    return name != NULL ? name : "";
}

/* The table, then the id or the name. */
static size_t key_of(const Pb__Object *o, uint8_t key[1 + MOST_NAME])
{
    const ProtobufCBinaryData *id = id_of(o);
    const char *name = name_of(o);
    size_t len = id->len == ID_SIZE ? ID_SIZE : strlen(name);
    key[0] = (uint8_t)(o->deleted != NULL && !o->has_table ? o->deleted->table : o->table);
    if (len > MOST_NAME)
        len = MOST_NAME; /* jobstore takes no longer one */
    memcpy(key + 1, id->len == ID_SIZE ? (const void *)id->data : name, len);
    return 1 + len;
}

/* Takes c: it becomes the record that is known before all others. */
static void settle(struct history *h, struct change *c, const Pb__Object *o)
{
    uint8_t key[1 + MOST_NAME];
    size_t len = key_of(o, key);
    free(map_remove(h->base, key, len));
    if (o->deleted != NULL)
        free(c);
    else
        map_put(h->base, key, len, c);
}

static struct change *change_new(struct history *h, const Pb__Object *o)
{
    size_t len = protobuf_c_message_get_packed_size(&o->base);
    struct change *c = xcalloc(1, sizeof *c + len);
    c->number = ++h->last_change;
    c->len = len;
    protobuf_c_message_pack(&o->base, c->data);
    return c;
}

static size_t bytes_of_change(const struct change *c)
{
    return sizeof *c + c->len;
}

/* What no kept plan is older than goes into the base. */
static void settle_old(struct history *h)
{
    struct made *oldest = list_first(&h->plans, struct made, link);
    struct change *c;
    struct arena *a = arena_new(WIRE_MAX_UNPACKED);
    while ((c = list_first(&h->changes, struct change, link)) != NULL &&
           (oldest == NULL || c->number <= oldest->seen)) {
        Pb__Object *o = WIRE_UNPACK(a, Pb__Object, pb__object, c->data, c->len);
        list_remove(&c->link);
        h->bytes -= bytes_of_change(c);
        must(o != NULL);
        settle(h, c, o);
        arena_reset(a);
    }
    arena_free(a);
}

static const struct made *made_of(const struct history *h, uint64_t number)
{
    struct made *m;
    list_each((struct link *)(uintptr_t)&h->plans, struct made, link, m)
    {
        if (m->number == number)
            return m;
    }
    return NULL;
}

static bool all_kept(const struct history *h, const uint64_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (made_of(h, numbers[i]) == NULL)
            return false;
    return true;
}

/* One that was made while a plan was held which is no longer kept. */
static struct made *find_lame(const struct history *h)
{
    struct made *m;
    list_each((struct link *)(uintptr_t)&h->plans, struct made, link, m)
    {
        if (!all_kept(h, m->held, m->held_count))
            return m;
    }
    return NULL;
}

static void drop_oldest(struct history *h)
{
    struct made *m = list_first(&h->plans, struct made, link);
    for (; m != NULL; m = find_lame(h))
        free_made(h, m);
}

static void keep_bounds(struct history *h)
{
    bool dropped = false;
    while (h->plan_count > 0 && (h->plan_count > h->most_plans || h->bytes > h->most_bytes)) {
        drop_oldest(h);
        dropped = true;
        if (h->bytes > h->most_bytes)
            settle_old(h);
    }
    if (dropped)
        settle_old(h);
}

void history_object(struct history *h, const Pb__Object *o)
{
    if (h->most_plans == 0)
        return;
    struct change *c = change_new(h, o);
    if (h->plan_count == 0) {
        settle(h, c, o);
        return;
    }
    list_push_back(&h->changes, &c->link);
    h->bytes += bytes_of_change(c);
    keep_bounds(h);
}

/* ---- plans */

static void hold(struct history *h, uint64_t number)
{
    if (h->active_count == h->active_room) {
        h->active_room = h->active_room * 2 + 16;
        h->active = xrealloc(h->active, h->active_room * sizeof *h->active);
    }
    h->active[h->active_count++] = number;
}

void history_release(struct history *h, uint64_t number)
{
    for (size_t i = 0; i < h->active_count; i++)
        if (h->active[i] == number) {
            memmove(h->active + i, h->active + i + 1,
                    (h->active_count - i - 1) * sizeof *h->active);
            h->active_count--;
            return;
        }
}

static void pack_parts(struct made *m, const ProtobufCMessage *const parts[PARTS])
{
    uint8_t *at = m->data;
    for (int i = 0; i < PARTS; i++)
        at += protobuf_c_message_pack(parts[i], at);
}

static void keep(struct history *h, const struct history_inputs *in, const Pb__Plan *plan,
                 uint64_t number)
{
    Pb__NodeAllocs others = PB__NODE_ALLOCS__INIT;
    others.n_allocs = in->options->other_count;
    others.allocs = (Pb__Alloc **)(uintptr_t)in->options->others;
    const ProtobufCMessage *const parts[PARTS] = {&in->view->base, &in->eval->base, &plan->base,
                                                  &others.base};
    size_t lens[PARTS], all = 0;
    for (int i = 0; i < PARTS; i++)
        all += lens[i] = protobuf_c_message_get_packed_size(parts[i]);
    if (all > h->most_bytes / 4 || !all_kept(h, h->active, h->active_count))
        return;
    struct made *m = xcalloc(1, sizeof *m);
    m->number = number;
    m->seen = h->last_change;
    m->seed = in->seed;
    m->fleet_index = in->fleet_index;
    m->options = *in->options;
    m->options.others = NULL;
    m->options.short_of_room = NULL;
    memcpy(m->eval_id, in->eval->id.data, ID_SIZE);
    memcpy(m->lens, lens, sizeof lens);
    m->data = xcalloc(1, all + 1);
    pack_parts(m, parts);
    m->held_count = h->active_count;
    m->held = xcalloc(h->active_count + 1, sizeof *m->held);
    if (h->active_count > 0)
        memcpy(m->held, h->active, h->active_count * sizeof *m->held);
    m->bytes = sizeof *m + all + m->held_count * sizeof *m->held;
    list_push_back(&h->plans, &m->link);
    h->plan_count++;
    h->bytes += m->bytes;
}

uint64_t history_made(struct history *h, const struct history_inputs *in, const Pb__Plan *plan)
{
    if (h->most_plans == 0)
        return 0;
    uint64_t number = ++h->last_plan;
    keep(h, in, plan, number);
    hold(h, number);
    keep_bounds(h);
    return number;
}

/* ---- again */

static const uint8_t *part_of(const struct made *m, enum part part)
{
    const uint8_t *at = m->data;
    for (int i = 0; i < (int)part; i++)
        at += m->lens[i];
    return at;
}

static void apply_change(struct fleet *f, struct arena *a, const struct change *c)
{
    Pb__Object *o = WIRE_UNPACK(a, Pb__Object, pb__object, c->data, c->len);
    must(o != NULL);
    fleet_set_object(f, o);
    arena_reset(a);
}

static void hold_again(struct history *h, struct fleet *f, struct arena *a, const struct made *m)
{
    for (size_t i = 0; i < m->held_count; i++) {
        const struct made *other = made_of(h, m->held[i]);
        must(other != NULL);
        Pb__Plan *plan =
            WIRE_UNPACK(a, Pb__Plan, pb__plan, part_of(other, PLAN), other->lens[PLAN]);
        must(plan != NULL);
        fleet_hold(f, plan);
        arena_reset(a);
    }
}

static struct fleet *build_fleet(struct history *h, const struct made *m)
{
    struct fleet *f = fleet_new();
    struct arena *a = arena_new(WIRE_MAX_UNPACKED);
    const void *key;
    void *value;
    struct change *c;
    for (size_t i = 0; map_next(h->base, &i, &key, NULL, &value);)
        apply_change(f, a, value);
    list_each(&h->changes, struct change, link, c)
    {
        if (c->number <= m->seen)
            apply_change(f, a, c);
    }
    fleet_set_index(f, m->fleet_index);
    hold_again(h, f, a, m);
    arena_free(a);
    return f;
}

static const struct made *last_made(const struct history *h, const uint8_t *eval_id,
                                    unsigned *count)
{
    struct made *m, *found = NULL;
    *count = 0;
    list_each((struct link *)(uintptr_t)&h->plans, struct made, link, m)
    {
        if (!id_equal(m->eval_id, eval_id))
            continue;
        found = m;
        ++*count;
    }
    return found;
}

bool history_find(struct history *h, struct arena *a, const uint8_t eval_id[ID_SIZE],
                  struct history_plan *out)
{
    const struct made *m = last_made(h, eval_id, &out->count);
    if (m == NULL)
        return false;
    Pb__NodeAllocs *others =
        WIRE_UNPACK(a, Pb__NodeAllocs, pb__node_allocs, part_of(m, OTHERS), m->lens[OTHERS]);
    out->plan = WIRE_UNPACK(a, Pb__Plan, pb__plan, part_of(m, PLAN), m->lens[PLAN]);
    out->inputs = (struct history_inputs){
        .view = WIRE_UNPACK(a, Pb__JobView, pb__job_view, part_of(m, VIEW), m->lens[VIEW]),
        .eval = WIRE_UNPACK(a, Pb__Eval, pb__eval, part_of(m, EVAL), m->lens[EVAL]),
        .seed = m->seed,
        .fleet_index = m->fleet_index,
        .options = &out->options,
    };
    must(others != NULL && out->plan != NULL && out->inputs.view != NULL &&
         out->inputs.eval != NULL);
    out->options = m->options;
    out->options.others = others->allocs;
    out->options.other_count = others->n_allocs;
    out->number = out->count;
    out->fleet = build_fleet(h, m);
    return true;
}

size_t history_count(const struct history *h)
{
    return h->plan_count;
}

size_t history_bytes(const struct history *h)
{
    return h->bytes;
}

void history_check(const struct history *h)
{
    struct link *plans = (struct link *)(uintptr_t)&h->plans;
    struct link *changes = (struct link *)(uintptr_t)&h->changes;
    size_t bytes = 0, count = 0;
    struct change *c;
    struct made *m;
    list_each(changes, struct change, link, c) bytes += bytes_of_change(c);
    list_each(plans, struct made, link, m)
    {
        bytes += m->bytes;
        count++;
        for (size_t i = 0; i < m->held_count; i++)
            must(made_of(h, m->held[i]) != NULL);
    }
    must(bytes == h->bytes && count == h->plan_count && count <= h->most_plans);
    must(h->bytes <= h->most_bytes || h->plan_count == 0);
    must(h->plan_count > 0 || list_empty(changes));
}
