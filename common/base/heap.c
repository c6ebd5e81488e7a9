#include "base/heap.h"
#include "base/err.h"
#include <stdlib.h>

void heap_init(struct heap *h, bool (*before)(const struct heap_item *, const struct heap_item *))
{
    *h = (struct heap){.before = before};
}

void heap_fini(struct heap *h)
{
    free(h->items);
    h->items = NULL;
    h->count = h->room = 0;
}

/* Slots count from 1; the item of slot s is at items[s - 1]. */
static struct heap_item *at(const struct heap *h, size_t slot)
{
    return h->items[slot - 1];
}

static void put(struct heap *h, size_t slot, struct heap_item *item)
{
    h->items[slot - 1] = item;
    item->slot = slot;
}

static void sift_up(struct heap *h, size_t slot, struct heap_item *item)
{
    for (; slot > 1 && h->before(item, at(h, slot / 2)); slot /= 2)
        put(h, slot, at(h, slot / 2));
    put(h, slot, item);
}

static void sift_down(struct heap *h, size_t slot, struct heap_item *item)
{
    for (size_t child; (child = slot * 2) <= h->count; slot = child) {
        if (child < h->count && h->before(at(h, child + 1), at(h, child)))
            child++;
        if (!h->before(at(h, child), item))
            break;
        put(h, slot, at(h, child));
    }
    put(h, slot, item);
}

void heap_push(struct heap *h, struct heap_item *item)
{
    must(item->slot == 0);
    if (h->count == h->room) {
        h->room = h->room > 0 ? h->room * 2 : 16;
        h->items = xrealloc(h->items, h->room * sizeof(*h->items));
    }
    h->count++;
    sift_up(h, h->count, item);
}

struct heap_item *heap_top(const struct heap *h)
{
    return h->count > 0 ? h->items[0] : NULL;
}

struct heap_item *heap_pop(struct heap *h)
{
    struct heap_item *top = heap_top(h);
    if (top != NULL)
        heap_remove(h, top);
    return top;
}

void heap_remove(struct heap *h, struct heap_item *item)
{
    size_t slot = item->slot;
    if (slot == 0)
        return;
    must(slot <= h->count && at(h, slot) == item);
    struct heap_item *last = at(h, h->count);
    h->count--;
    item->slot = 0;
    if (last == item)
        return;
    put(h, slot, last);
    heap_update(h, last);
}

void heap_update(struct heap *h, struct heap_item *item)
{
    size_t slot = item->slot;
    must(slot > 0);
    if (slot > 1 && h->before(item, at(h, slot / 2)))
        sift_up(h, slot, item);
    else
        sift_down(h, slot, item);
}

void heap_check(const struct heap *h)
{
    for (size_t slot = 1; slot <= h->count; slot++) {
        must(at(h, slot)->slot == slot);
        must(slot == 1 || !h->before(at(h, slot), at(h, slot / 2)));
    }
}
