/* The best of many items, kept while their keys change one by one: a tournament tree, O(log n) a
 * change. For the files of this library. */
#ifndef SCHED_WINNER_H
#define SCHED_WINNER_H

#include "base/arena.h"
#include <stdint.h>

#define KEY_NONE (-1e9) /* below every key that may win */

/* An item is a number; keys and ties are the owner's arrays, by item. The higher key wins, then the
 * lower tie; ties NULL: the lower item. */
struct winner {
    const double *keys;
    const uint32_t *ties;
    uint32_t count;
    uint32_t *tree; /* tree[1] is the best; leaf i is tree[count + i] */
};

/* items NULL: 0 to count - 1. count is at least 1. */
void winner_init(struct winner *w, struct arena *a, const uint32_t *items, uint32_t count,
                 const double *keys, const uint32_t *ties);
/* The key, or the tie, of the item at this leaf has changed. */
void winner_update(const struct winner *w, uint32_t leaf);
static inline uint32_t winner_best(const struct winner *w)
{
    return w->tree[1];
}
/* Calls visit for each item with this key, none of which is above it. */
void winner_each(const struct winner *w, double key, void *self,
                 void (*visit)(void *self, uint32_t item));

#endif
