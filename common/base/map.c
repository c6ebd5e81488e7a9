#include "base/map.h"
#include "base/err.h"
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Open addressing with linear probing; a removal moves later entries of the run back, so there are
 * no tombstones. */
struct entry {
    void *value; /* NULL: free */
    uint32_t hash;
    uint32_t key_len;
    union {
        unsigned char in[16]; /* most keys are ids */
        unsigned char *out;
    } key;
};

struct map {
    struct entry *entries;
    size_t count, room; /* room is a power of two or 0 */
    uint64_t seed;
};

static inline uint64_t mix(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 p = (unsigned __int128)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static inline uint64_t load64(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

uint64_t hash_bytes(const void *data, size_t len, uint64_t seed)
{
    static const uint64_t k0 = 0x9e3779b97f4a7c15u, k1 = 0xd6e8feb86659fd93u;
    const unsigned char *p = data;
    uint64_t h = seed ^ mix(len + k0, k1);
    for (; len >= 8; p += 8, len -= 8)
        h = mix(h ^ load64(p), k0 ^ h);
    if (len > 0) {
        unsigned char tail[8] = {0};
        memcpy(tail, p, len);
        h = mix(h ^ load64(tail), k1 ^ h);
    }
    return mix(h ^ k1, h + k0);
}

struct map *map_new(void)
{
    struct map *m = xcalloc(1, sizeof(*m));
    if (getrandom(&m->seed, sizeof(m->seed), GRND_NONBLOCK) != (ssize_t)sizeof(m->seed))
        m->seed = (uintptr_t)m;
    return m;
}

static const unsigned char *entry_key(const struct entry *e)
{
    return e->key_len <= sizeof(e->key.in) ? e->key.in : e->key.out;
}

static void entry_free_key(struct entry *e)
{
    if (e->key_len > sizeof(e->key.in))
        free(e->key.out);
}

void map_clear(struct map *m)
{
    for (size_t i = 0; i < m->room; i++)
        if (m->entries[i].value != NULL)
            entry_free_key(&m->entries[i]);
    free(m->entries);
    m->entries = NULL;
    m->count = m->room = 0;
}

void map_free(struct map *m)
{
    if (m == NULL)
        return;
    map_clear(m);
    free(m);
}

size_t map_count(const struct map *m)
{
    return m->count;
}

static uint32_t hash_of(const struct map *m, const void *key, size_t len)
{
    return (uint32_t)hash_bytes(key, len, m->seed);
}

/* The key's entry, or the free one where it would go. Needs room. */
static struct entry *find(const struct map *m, const void *key, size_t len, uint32_t hash)
{
    for (size_t i = hash & (m->room - 1);; i = (i + 1) & (m->room - 1)) {
        struct entry *e = &m->entries[i];
        if (e->value == NULL ||
            (e->hash == hash && e->key_len == len && memcmp(entry_key(e), key, len) == 0))
            return e;
    }
}

static void grow(struct map *m)
{
    struct map bigger = {.room = m->room > 0 ? m->room * 2 : 8};
    bigger.entries = xcalloc(bigger.room, sizeof(struct entry));
    for (size_t i = 0; i < m->room; i++) {
        const struct entry *e = &m->entries[i];
        if (e->value != NULL)
            *find(&bigger, entry_key(e), e->key_len, e->hash) = *e;
    }
    free(m->entries);
    m->entries = bigger.entries;
    m->room = bigger.room;
}

void *map_get(const struct map *m, const void *key, size_t key_len)
{
    return m->room > 0 ? find(m, key, key_len, hash_of(m, key, key_len))->value : NULL;
}

void *map_put(struct map *m, const void *key, size_t key_len, void *value)
{
    must(value != NULL && key_len <= UINT32_MAX);
    if (m->count * 4 >= m->room * 3)
        grow(m);
    uint32_t hash = hash_of(m, key, key_len);
    struct entry *e = find(m, key, key_len, hash);
    void *old = e->value;
    e->value = value;
    if (old != NULL)
        return old;
    e->hash = hash;
    e->key_len = (uint32_t)key_len;
    if (key_len > sizeof(e->key.in))
        e->key.out = xmalloc(key_len);
    memcpy(key_len > sizeof(e->key.in) ? e->key.out : e->key.in, key, key_len);
    m->count++;
    return NULL;
}

void *map_remove(struct map *m, const void *key, size_t key_len)
{
    if (m->room == 0)
        return NULL;
    struct entry *e = find(m, key, key_len, hash_of(m, key, key_len));
    void *value = e->value;
    if (value == NULL)
        return NULL;
    entry_free_key(e);
    e->value = NULL;
    m->count--;
    size_t mask = m->room - 1, hole = (size_t)(e - m->entries);
    for (size_t i = (hole + 1) & mask; m->entries[i].value != NULL; i = (i + 1) & mask) {
        size_t home = m->entries[i].hash & mask;
        if (((i - home) & mask) >=
            ((i - hole) & mask)) { /* the hole lies between its home and it */
            m->entries[hole] = m->entries[i];
            m->entries[i].value = NULL;
            hole = i;
        }
    }
    return value;
}

/* A removal moves entries back, over slots behind the removed one. So walk downwards, from a free
 * slot around to it: what moves was seen before. *i holds that slot + 1 in its upper half and the
 * steps taken in its lower half. */
bool map_next(const struct map *m, size_t *i, const void **key, size_t *key_len, void **value)
{
    if (*i == 0 && m->room > 0) {
        size_t free_slot = 0;
        while (m->entries[free_slot].value != NULL)
            free_slot++;
        *i = (free_slot + 1) << 32;
    }
    size_t start = (*i >> 32) - 1;
    while ((*i & UINT32_MAX) + 1 < m->room) {
        ++*i;
        const struct entry *e = &m->entries[(start - (*i & UINT32_MAX)) & (m->room - 1)];
        if (e->value == NULL)
            continue;
        if (key != NULL)
            *key = entry_key(e);
        if (key_len != NULL)
            *key_len = e->key_len;
        *value = e->value;
        return true;
    }
    return false;
}
