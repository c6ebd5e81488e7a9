/* Binary heap, intrusive: each item knows its place, so that it can be removed or moved in O(log
 * n). */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>

struct heap_item {
    size_t slot; /* 1-based; 0: not in a heap */
};

struct heap {
    struct heap_item **items;
    size_t count, room;
    bool (*before)(const struct heap_item *a,
                   const struct heap_item *b); /* strict order, total: no ties */
};

void heap_init(struct heap *h, bool (*before)(const struct heap_item *, const struct heap_item *));
void heap_fini(struct heap *h);
void heap_push(struct heap *h, struct heap_item *item);
struct heap_item *heap_top(const struct heap *h); /* NULL when empty */
struct heap_item *heap_pop(struct heap *h);
void heap_remove(struct heap *h, struct heap_item *item); /* harmless when not in a heap */
void heap_update(struct heap *h, struct heap_item *item); /* its order has changed */
void heap_check(const struct heap *h);

#endif
