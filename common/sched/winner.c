#include "sched/winner.h"

static inline uint32_t better(const struct winner *w, uint32_t x, uint32_t y)
{
    if (w->keys[x] != w->keys[y])
        return w->keys[x] > w->keys[y] ? x : y;
    if (w->ties != NULL)
        return w->ties[x] <= w->ties[y] ? x : y;
    return x < y ? x : y;
}

void winner_init(struct winner *w, struct arena *a, const uint32_t *items, uint32_t count,
                 const double *keys, const uint32_t *ties)
{
    *w = (struct winner){.keys = keys, .ties = ties, .count = count};
    w->tree = arena_array(a, uint32_t, 2 * (size_t)count);
    for (uint32_t i = 0; i < count; i++)
        w->tree[count + i] = items != NULL ? items[i] : i;
    for (uint32_t i = count - 1; i > 0; i--)
        w->tree[i] = better(w, w->tree[2 * i], w->tree[2 * i + 1]);
}

void winner_update(const struct winner *w, uint32_t leaf)
{
    uint32_t item = w->tree[w->count + leaf];
    for (uint32_t i = (w->count + leaf) / 2; i > 0; i /= 2) {
        uint32_t best = better(w, w->tree[2 * i], w->tree[2 * i + 1]);
        if (best == w->tree[i] && best != item)
            return; /* another won here, and wins still */
        w->tree[i] = best;
    }
}

static void visit_below(const struct winner *w, uint32_t i, double key, void *self,
                        void (*visit)(void *self, uint32_t item))
{
    for (; w->keys[w->tree[i]] == key; i = 2 * i + 1) {
        if (i >= w->count) {
            visit(self, w->tree[i]);
            return;
        }
        visit_below(w, 2 * i, key, self, visit);
    }
}

void winner_each(const struct winner *w, double key, void *self,
                 void (*visit)(void *self, uint32_t item))
{
    visit_below(w, 1, key, self, visit);
}
