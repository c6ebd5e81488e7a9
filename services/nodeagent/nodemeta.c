#include "nodemeta.h"
#include "base/arena.h"
#include <stdlib.h>
#include <string.h>

#define MAX_PAIRS 1024
#define ARENA_CAP (8u << 20)

struct pairs {
    Pb__KeyValue *list[MAX_PAIRS]; /* sorted by key */
    size_t count;
};

struct nodemeta {
    struct nodemeta_options options;
    Pb__KeyValue **fixed; /* the settings' */
    size_t fixed_count;
    struct arena *arena; /* of the two below */
    struct pairs dynamic, all;
};

/* Where key stands, or would. */
static size_t place_of(const struct pairs *p, const char *key, bool *found)
{
    size_t i = 0;
    while (i < p->count && strcmp(p->list[i]->key, key) < 0)
        i++;
    *found = i < p->count && strcmp(p->list[i]->key, key) == 0;
    return i;
}

static void put(struct pairs *p, Pb__KeyValue *pair)
{
    bool found;
    size_t i = place_of(p, pair->key, &found);
    if (!found) {
        memmove(&p->list[i + 1], &p->list[i], (p->count - i) * sizeof *p->list);
        p->count++;
    }
    p->list[i] = pair;
}

static void take(struct pairs *p, const char *key)
{
    bool found;
    size_t i = place_of(p, key, &found);
    if (!found)
        return;
    p->count--;
    memmove(&p->list[i], &p->list[i + 1], (p->count - i) * sizeof *p->list);
}

static Pb__KeyValue *pair_in(struct arena *a, const char *key, const char *value)
{
    Pb__KeyValue *pair = arena_alloc(a, sizeof *pair);
    pb__key_value__init(pair);
    pair->key = arena_strdup(a, key);
    pair->value = value == NULL ? NULL : arena_strdup(a, value);
    return pair;
}

static void show(struct nodemeta *m)
{
    m->options.node->meta = m->all.list;
    m->options.node->n_meta = m->all.count;
}

static void combine(struct nodemeta *m)
{
    m->all.count = 0;
    for (size_t i = 0; i < m->fixed_count; i++)
        put(&m->all, m->fixed[i]);
    for (size_t i = 0; i < m->dynamic.count; i++) {
        if (m->dynamic.list[i]->value == NULL)
            take(&m->all, m->dynamic.list[i]->key);
        else
            put(&m->all, m->dynamic.list[i]);
    }
    show(m);
}

/* Takes over the pairs of another arena, and lets the old ones go. */
static void replace(struct nodemeta *m, Pb__KeyValue *const *pairs, size_t count)
{
    struct arena *a = arena_new(ARENA_CAP);
    struct pairs dynamic = {.count = 0};
    for (size_t i = 0; i < count; i++)
        put(&dynamic, pair_in(a, pairs[i]->key, pairs[i]->value));
    arena_free(m->arena);
    m->arena = a;
    m->dynamic = dynamic;
    combine(m);
}

struct nodemeta *nodemeta_new(const struct nodemeta_options *o)
{
    struct nodemeta *m = xcalloc(1, sizeof *m);
    struct arena *a = arena_new(ARENA_CAP);
    const Pb__LocalNode *saved = local_node(o->local, a);
    m->options = *o;
    m->fixed = o->node->meta;
    m->fixed_count = o->node->n_meta;
    replace(m, saved == NULL ? NULL : saved->meta,
            saved == NULL || saved->n_meta > MAX_PAIRS / 2 ? 0 : saved->n_meta);
    arena_free(a);
    return m;
}

void nodemeta_free(struct nodemeta *m)
{
    if (m == NULL)
        return;
    m->options.node->n_meta = 0;
    arena_free(m->arena);
    free(m);
}

static enum err check(const char *key, struct reason *why)
{
    if (key == NULL || key[0] == '\0' || strlen(key) > 256 || strpbrk(key, " \t\n${}") != NULL)
        return reason_set(why, ERR_INVALID,
                          "metadata key \"%.80s\": must be 1 to 256 letters without spaces, $ and "
                          "braces",
                          key == NULL ? "" : key);
    return OK;
}

static enum err save(struct nodemeta *m, struct arena *a, struct pairs *p, struct reason *why)
{
    Pb__LocalNode *saved = local_node(m->options.local, a);
    must(saved != NULL); /* the agent's identity is written first of all */
    saved->meta = p->list;
    saved->n_meta = p->count;
    return local_put_node(m->options.local, saved, why);
}

enum err nodemeta_set(struct nodemeta *m, Pb__KeyValue *const *pairs, size_t count,
                      struct reason *why)
{
    struct arena *a = arena_new(ARENA_CAP);
    struct pairs next = m->dynamic;
    enum err e = OK;
    for (size_t i = 0; e == OK && i < count; i++) {
        e = check(pairs[i]->key, why);
        if (e == OK && next.count + m->fixed_count >= MAX_PAIRS / 2)
            e = reason_set(why, ERR_INVALID, "a node has at most %d metadata keys", MAX_PAIRS / 2);
        if (e == OK)
            put(&next, pairs[i]);
    }
    if (e == OK)
        e = save(m, a, &next, why);
    if (e == OK) {
        replace(m, next.list, next.count);
        m->options.changed(m->options.owner);
    }
    arena_free(a);
    return e;
}

static json_t *json_of(Pb__KeyValue *const *pairs, size_t count)
{
    json_t *object = json_object();
    for (size_t i = 0; i < count; i++)
        json_object_set_new(object, pairs[i]->key,
                            pairs[i]->value == NULL ? json_null() : json_string(pairs[i]->value));
    return object;
}

json_t *nodemeta_json(const struct nodemeta *m)
{
    return json_pack("{so,so,so}", "Dynamic", json_of(m->dynamic.list, m->dynamic.count), "Meta",
                     json_of(m->all.list, m->all.count), "Static",
                     json_of(m->fixed, m->fixed_count));
}
