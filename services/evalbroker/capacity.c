#include "capacity.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/list.h"
#include "base/map.h"
#include <stdlib.h>
#include <string.h>

struct node_class {
    struct link link; /* in capacity.classes, the most recently freed first */
    char *name;
    uint64_t freed_index;
    size_t refs; /* nodes and findings */
};

struct node {
    struct node_class *class; /* NULL: only its usage is known yet */
    bool ready;
    uint32_t epoch;
    uint64_t usage_index, freed_index;
    int64_t cpu, memory_mb, disk_mb; /* free */
    size_t port_count;
    uint32_t *ports; /* in use, sorted */
};

struct capacity {
    struct map *nodes;
    struct map *by_name;
    struct link classes;
    uint64_t last_freed;
    uint32_t epoch;
};

struct finding {
    struct node_class *class;
    bool eligible;
};

struct findings {
    size_t count;
    struct finding of[]; /* sorted by class */
};

struct capacity *capacity_new(void)
{
    struct capacity *c = xcalloc(1, sizeof(*c));
    c->nodes = map_new();
    c->by_name = map_new();
    list_init(&c->classes);
    return c;
}

static struct node_class *class_get(struct capacity *c, const char *name)
{
    name = name != NULL ? name : "";
    struct node_class *k = map_get(c->by_name, name, strlen(name));
    if (k == NULL) {
        k = xcalloc(1, sizeof(*k));
        k->name = xstrdup(name);
        map_put(c->by_name, name, strlen(name), k);
        list_push_back(&c->classes, &k->link);
    }
    k->refs++;
    return k;
}

static void class_release(struct capacity *c, struct node_class *k)
{
    if (k == NULL || --k->refs > 0)
        return;
    list_remove(&k->link);
    map_remove(c->by_name, k->name, strlen(k->name));
    free(k->name);
    free(k);
}

static void node_free(struct capacity *c, struct node *n)
{
    class_release(c, n->class);
    free(n->ports);
    free(n);
}

void capacity_free(struct capacity *c)
{
    if (c == NULL)
        return;
    void *node;
    for (size_t i = 0; map_next(c->nodes, &i, NULL, NULL, &node);)
        node_free(c, node);
    must(map_count(c->by_name) == 0);
    map_free(c->nodes);
    map_free(c->by_name);
    free(c);
}

static struct node *node_get(struct capacity *c, const uint8_t id[16])
{
    struct node *n = map_get_id(c->nodes, id);
    if (n == NULL) {
        n = xcalloc(1, sizeof(*n));
        map_put(c->nodes, id, 16, n);
    }
    n->epoch = c->epoch;
    return n;
}

static void node_freed(struct capacity *c, struct node *n, uint64_t index)
{
    if (n->class == NULL || !n->ready || index <= n->class->freed_index)
        return;
    n->class->freed_index = index;
    /* Indexes come in order, but for those of a listing: look for the place from the front. */
    list_remove(&n->class->link);
    struct link *at = c->classes.next;
    while (at != &c->classes && container_of(at, struct node_class, link)->freed_index > index)
        at = at->next;
    list_insert_before(at, &n->class->link);
    if (index > c->last_freed)
        c->last_freed = index;
}

static bool node_is_ready(const Pb__Node *node)
{
    return node->status == PB__NODE__STATUS__READY &&
           node->eligibility != PB__NODE__ELIGIBILITY__INELIGIBLE && !node->drain;
}

void capacity_put_node(struct capacity *c, const Pb__Node *node)
{
    if (!node->has_id)
        return;
    struct node *n = node_get(c, node->id.data);
    struct node_class *class = class_get(c, node->computed_class);
    bool ready = node_is_ready(node), better = ready && (!n->ready || n->class != class);
    class_release(c, n->class);
    n->class = class;
    n->ready = ready;
    if (better)
        node_freed(c, n, node->modify_index > n->usage_index ? node->modify_index : n->usage_index);
}

void capacity_drop_node(struct capacity *c, const uint8_t id[16])
{
    struct node *n = map_remove(c->nodes, id, 16);
    if (n != NULL)
        node_free(c, n);
}

static bool ports_freed(const struct node *n, const Pb__NodeUsage *u)
{
    size_t k = 0;
    for (size_t i = 0; i < n->port_count; i++) {
        while (k < u->n_ports && u->ports[k] < n->ports[i])
            k++;
        if (k == u->n_ports || u->ports[k] != n->ports[i])
            return true;
    }
    return false;
}

void capacity_put_usage(struct capacity *c, const Pb__NodeUsage *u)
{
    if (!u->has_node_id)
        return;
    static const Pb__Amount none = PB__AMOUNT__INIT;
    const Pb__Amount *total = u->capacity != NULL ? u->capacity : &none,
                     *used = u->used != NULL ? u->used : &none;
    struct node *n = node_get(c, u->node_id.data);
    int64_t cpu = (int64_t)total->cpu - used->cpu,
            memory_mb = (int64_t)total->memory_mb - used->memory_mb,
            disk_mb = (int64_t)total->disk_mb - used->disk_mb;
    /* What was taken and given back between two looks leaves the sums as they were. */
    bool between = u->freed_index > n->freed_index && !MUTANT("freed-between-looks");
    bool freed = between || cpu > n->cpu || memory_mb > n->memory_mb || disk_mb > n->disk_mb ||
                 ports_freed(n, u);
    n->cpu = cpu;
    n->memory_mb = memory_mb;
    n->disk_mb = disk_mb;
    if (n->port_count != u->n_ports)
        n->ports = u->n_ports == 0 ? (free(n->ports), NULL)
                                   : xrealloc(n->ports, u->n_ports * sizeof(*n->ports));
    if (u->n_ports > 0)
        memcpy(n->ports, u->ports, u->n_ports * sizeof(*n->ports));
    n->port_count = u->n_ports;
    n->usage_index = u->modify_index;
    n->freed_index = u->freed_index;
    if (freed)
        node_freed(c, n, u->modify_index);
}

void capacity_reload_begin(struct capacity *c)
{
    c->epoch++;
}

void capacity_reload_end(struct capacity *c)
{
    const void *key;
    size_t len;
    void *value;
    for (size_t i = 0; map_next(c->nodes, &i, &key, &len, &value);) {
        struct node *n = value;
        if (n->epoch == c->epoch)
            continue;
        map_remove(c->nodes, key, len);
        node_free(c, n);
    }
}

static int by_class(const void *a, const void *b)
{
    const struct finding *x = a, *y = b;
    return (x->class > y->class) - (x->class < y->class);
}

struct findings *findings_new(struct capacity *c, Pb__ClassEligible *const *classes, size_t count)
{
    struct findings *f = xcalloc(1, sizeof(*f) + count * sizeof(f->of[0]));
    for (size_t i = 0; i < count; i++)
        f->of[f->count++] =
            (struct finding){class_get(c, classes[i]->class_), classes[i]->eligible};
    qsort(f->of, f->count, sizeof(f->of[0]), by_class);
    return f;
}

void findings_free(struct capacity *c, struct findings *f)
{
    if (f == NULL)
        return;
    for (size_t i = 0; i < f->count; i++)
        class_release(c, f->of[i].class);
    free(f);
}

static bool may_fit(const struct findings *f, const struct node_class *class)
{
    if (f == NULL)
        return true;
    struct finding key = {.class = (struct node_class *)(uintptr_t) class};
    const struct finding *found = bsearch(&key, f->of, f->count, sizeof(f->of[0]), by_class);
    return found == NULL || found->eligible;
}

uint64_t capacity_freed_after(const struct capacity *c, const struct findings *f, bool escaped,
                              uint64_t since)
{
    for (const struct link *l = c->classes.next; l != &c->classes; l = l->next) {
        const struct node_class *class = container_of(l, struct node_class, link);
        if (class->freed_index <= since)
            return 0;
        if (escaped || may_fit(f, class))
            return class->freed_index;
    }
    return 0;
}

uint64_t capacity_last_freed(const struct capacity *c)
{
    return c->last_freed;
}

void capacity_check(const struct capacity *c)
{
    uint64_t before = UINT64_MAX;
    size_t classes = 0;
    for (const struct link *l = c->classes.next; l != &c->classes; l = l->next, classes++) {
        const struct node_class *class = container_of(l, struct node_class, link);
        must(class->freed_index <= before);
        must(class->freed_index <= c->last_freed);
        must(class->refs > 0);
        before = class->freed_index;
    }
    must(classes == map_count(c->by_name));
}
