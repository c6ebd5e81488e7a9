/* Hash map from a byte string to a pointer. Keys are copied. The hash is keyed per process against
 * crafted keys, so the order of iteration is arbitrary: never let it show in state, plans or
 * output. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map;

struct map *map_new(void);
void map_free(struct map *m); /* the values are the caller's */
size_t map_count(const struct map *m);
void *map_get(const struct map *m, const void *key, size_t key_len); /* NULL: not there */
void *map_put(struct map *m, const void *key, size_t key_len,
              void *value); /* value is not NULL; returns the old one */
void *map_remove(struct map *m, const void *key, size_t key_len); /* returns the value or NULL */
void map_clear(struct map *m);

static inline void *map_get_id(const struct map *m, const uint8_t id[16])
{
    return map_get(m, id, 16);
}

/* Walk: size_t i = 0; while (map_next(m, &i, &key, &len, &value)). Nothing may be added meanwhile;
 * the current entry may be removed. key and len may be NULL. */
bool map_next(const struct map *m, size_t *i, const void **key, size_t *key_len, void **value);

uint64_t hash_bytes(const void *data, size_t len,
                    uint64_t seed); /* fixed function: the same on every machine */

#endif
