#include "sched/stock.h"
#include "base/err.h"
#include "wire/grant.h"
#include <stdlib.h>
#include <string.h>

uint32_t stock_core(const struct stock *s, uint32_t core)
{
    uint32_t low = 0, high = s->core_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (s->cores[middle] < core)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->core_count && s->cores[low] == core ? low : PIECE_NONE;
}

uint32_t stock_instance(const struct stock *s, const char *name)
{
    for (uint32_t i = 0; i < s->instance_count; i++)
        if (strcmp(s->instances[i].name, name) == 0)
            return i;
    return PIECE_NONE;
}

/* ---- what is taken */

static void take_core(void *self, uint32_t core)
{
    struct taken_pieces *t = self;
    if (t->core_count == t->core_room) {
        t->core_room = t->core_room * 2 + 4;
        t->cores = xrealloc(t->cores, t->core_room * sizeof(*t->cores));
    }
    t->cores[t->core_count++] = core;
}

static void take_name(void *self, const char *name)
{
    struct taken_pieces *t = self;
    if (t->name_count == t->name_room) {
        t->name_room = t->name_room * 2 + 4;
        t->names = xrealloc(t->names, t->name_room * sizeof(*t->names));
    }
    t->names[t->name_count++] = xstrdup(name);
}

static void give_back_core(struct taken_pieces *t, uint32_t core)
{
    for (uint32_t i = 0; i < t->core_count; i++)
        if (t->cores[i] == core) {
            t->cores[i] = t->cores[--t->core_count];
            return;
        }
    must(!"a held core is there until its hold is released");
}

static void give_back_name(struct taken_pieces *t, const char *name)
{
    for (uint32_t i = 0; i < t->name_count; i++)
        if (strcmp(t->names[i], name) == 0) {
            free(t->names[i]);
            t->names[i] = t->names[--t->name_count];
            return;
        }
    must(!"a held instance is there until its hold is released");
}

static void clear_taken(struct taken_pieces *t)
{
    for (uint32_t i = 0; i < t->name_count; i++)
        free(t->names[i]);
    t->core_count = t->name_count = 0;
}

static void mark_taken(struct stock *s, const struct taken_pieces *t)
{
    for (uint32_t i = 0; i < t->core_count; i++) {
        uint32_t at = stock_core(s, t->cores[i]);
        if (at != PIECE_NONE)
            s->core_free[at] = false;
    }
    for (uint32_t i = 0; i < t->name_count; i++) {
        uint32_t at = stock_instance(s, t->names[i]);
        if (at != PIECE_NONE)
            s->instance_free[at] = false;
    }
}

static void recount(struct stock *s)
{
    for (uint32_t i = 0; i < s->core_count; i++)
        s->core_free[i] = true;
    for (uint32_t i = 0; i < s->instance_count; i++)
        s->instance_free[i] = s->instances[i].healthy;
    mark_taken(s, &s->used);
    mark_taken(s, &s->held);
    s->free_cores = 0;
    for (uint32_t i = 0; i < s->core_count; i++)
        s->free_cores += s->core_free[i];
}

/* ---- what there is */

static struct stock *made(struct stock **s)
{
    if (*s == NULL)
        *s = xcalloc(1, sizeof(**s));
    return *s;
}

static void clear_node(struct stock *s)
{
    for (uint32_t i = 0; i < s->instance_count; i++)
        free(s->instances[i].name);
    free(s->instances);
    free(s->instance_free);
    free(s->cores);
    free(s->core_free);
    s->instances = NULL;
    s->instance_free = s->core_free = NULL;
    s->cores = NULL;
    s->instance_count = s->core_count = s->free_cores = s->core_mhz = 0;
}

static void add_instance(struct stock *s, const char *name, uint32_t model, bool healthy)
{
    struct instance *i = &s->instances[s->instance_count++];
    *i = (struct instance){.name = xstrdup(name), .model = model, .healthy = healthy};
    i->id = strrchr(i->name, '/') + 1;
}

static void room_for(struct stock *s, uint32_t cores, uint32_t instances)
{
    s->cores = xmalloc((cores + 1) * sizeof(*s->cores));
    s->core_free = xcalloc(cores + 1, sizeof(*s->core_free));
    s->instances = xmalloc((instances + 1) * sizeof(*s->instances));
    s->instance_free = xcalloc(instances + 1, sizeof(*s->instance_free));
}

static void list_instances(struct stock *s, const Pb__Node *node)
{
    char name[DEVICE_NAME_SIZE];
    for (size_t i = 0; i < node->n_devices; i++) {
        const Pb__NodeDevice *d = node->devices[i];
        for (size_t k = 0; k < d->n_instances; k++) {
            device_name(name, d->vendor, d->type, d->name, d->instances[k]->id);
            add_instance(s, name, (uint32_t)i, d->instances[k]->healthy);
        }
    }
}

void stock_set_node(struct stock **stock, const Pb__Node *node)
{
    if (*stock == NULL && node->n_reservable_cores == 0 && node->n_devices == 0)
        return;
    struct stock *s = made(stock);
    clear_node(s);
    uint32_t instances = 0, cores = (uint32_t)node->n_reservable_cores;
    for (size_t i = 0; i < node->n_devices; i++)
        instances += (uint32_t)node->devices[i]->n_instances;
    room_for(s, cores, instances);
    for (uint32_t i = 0; i < cores; i++)
        s->cores[i] = node->reservable_cores[i];
    s->core_count = cores;
    list_instances(s, node);
    uint32_t all_cores = node->cores > 0 ? node->cores : cores;
    s->core_mhz = node->total != NULL && all_cores > 0 ? node->total->cpu / all_cores : 0;
    recount(s);
}

void stock_set_usage(struct stock **stock, const Pb__NodeUsage *usage)
{
    bool none = usage->n_cores == 0 && usage->n_devices == 0;
    if (none && (*stock == NULL || (*stock)->used.core_count + (*stock)->used.name_count == 0))
        return; /* as most records are */
    struct stock *s = made(stock);
    clear_taken(&s->used);
    for (size_t i = 0; i < usage->n_cores; i++)
        take_core(&s->used, usage->cores[i]);
    for (size_t i = 0; i < usage->n_devices; i++)
        take_name(&s->used, usage->devices[i]);
    recount(s);
}

void stock_forget(struct stock *s)
{
    if (s == NULL)
        return;
    clear_node(s);
    clear_taken(&s->used);
}

void stock_hold(struct stock **stock, uint32_t core, const char *name)
{
    struct stock *s = made(stock);
    if (name != NULL)
        take_name(&s->held, name);
    else
        take_core(&s->held, core);
    recount(s);
}

void stock_release(struct stock *s, uint32_t core, const char *name)
{
    if (name != NULL)
        give_back_name(&s->held, name);
    else
        give_back_core(&s->held, core);
    recount(s);
}

struct stock *stock_like(const struct stock *s)
{
    if (s == NULL)
        return NULL;
    struct stock *n = xcalloc(1, sizeof(*n));
    n->core_mhz = s->core_mhz;
    room_for(n, s->core_count, s->instance_count);
    for (uint32_t i = 0; i < s->core_count; i++)
        n->cores[i] = s->cores[i];
    n->core_count = s->core_count;
    for (uint32_t i = 0; i < s->instance_count; i++)
        add_instance(n, s->instances[i].name, s->instances[i].model, s->instances[i].healthy);
    recount(n);
    return n;
}

static void copy_taken(struct taken_pieces *to, const struct taken_pieces *from)
{
    for (uint32_t i = 0; i < from->core_count; i++)
        take_core(to, from->cores[i]);
    for (uint32_t i = 0; i < from->name_count; i++)
        take_name(to, from->names[i]);
}

struct stock *stock_copy(const struct stock *s)
{
    struct stock *n = stock_like(s);
    if (n == NULL)
        return NULL;
    copy_taken(&n->used, &s->used);
    copy_taken(&n->held, &s->held);
    recount(n);
    return n;
}

void stock_free(struct stock *s)
{
    if (s == NULL)
        return;
    clear_node(s);
    clear_taken(&s->used);
    clear_taken(&s->held);
    free(s->used.cores);
    free(s->used.names);
    free(s->held.cores);
    free(s->held.names);
    free(s);
}

/* ---- does it fit? */

struct fitting {
    const struct stock *stock;
    struct taken_pieces seen;
    bool displaces;
    enum fit fit;
};

static bool core_stands_in(const struct taken_pieces *t, uint32_t core)
{
    for (uint32_t i = 0; i < t->core_count; i++)
        if (t->cores[i] == core)
            return true;
    return false;
}

static bool name_stands_in(const struct taken_pieces *t, const char *name)
{
    for (uint32_t i = 0; i < t->name_count; i++)
        if (strcmp(t->names[i], name) == 0)
            return true;
    return false;
}

static void fit_core(void *self, uint32_t core)
{
    struct fitting *f = self;
    uint32_t at = f->stock != NULL ? stock_core(f->stock, core) : PIECE_NONE;
    bool free =
        at != PIECE_NONE &&
        (f->stock->core_free[at] || (f->displaces && !core_stands_in(&f->stock->held, core))) &&
        !core_stands_in(&f->seen, core);
    take_core(&f->seen, core);
    if (!free)
        f->fit = FIT_CORES;
}

static void fit_name_once(void *self, const char *name)
{
    struct fitting *f = self;
    uint32_t at = f->stock != NULL ? stock_instance(f->stock, name) : PIECE_NONE;
    bool free = at != PIECE_NONE &&
                (f->stock->instance_free[at] || (f->displaces && f->stock->instances[at].healthy &&
                                                 !name_stands_in(&f->stock->held, name))) &&
                !name_stands_in(&f->seen, name);
    take_name(&f->seen, name);
    if (!free)
        f->fit = FIT_DEVICES;
}

enum fit stock_fits(const struct stock *s, Pb__TaskGrant *const *grants, size_t count,
                    bool displaces)
{
    struct fitting f = {.stock = s, .displaces = displaces, .fit = FIT};
    grants_each(grants, count, &(struct grant_visitor){&f, fit_core, fit_name_once});
    clear_taken(&f.seen);
    free(f.seen.cores);
    free(f.seen.names);
    return f.fit;
}
