/* Memory that ends together: one arena per request, evaluation or tick. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

struct arena;

/* cap bounds what the arena may hold in all; beyond it arena_try_alloc gives NULL and arena_alloc
 * aborts. */
struct arena *arena_new(size_t cap);
void arena_free(struct arena *a);
/* Forgets all, keeps one block for the next use. */
void arena_reset(struct arena *a);

void *arena_try_alloc(struct arena *a,
                      size_t size); /* aligned to 16; not cleared; NULL when the cap is reached */
void *arena_alloc(struct arena *a, size_t size); /* cleared; never NULL */
void *arena_copy(struct arena *a, const void *data, size_t size);
char *arena_strdup(struct arena *a, const char *s);
char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
size_t arena_used(const struct arena *a);

/* arena_array(a, struct node, n): n cleared ones */
#define arena_array(a, type, n) ((type *)arena_alloc((a), sizeof(type) * (size_t)(n)))

#endif
