/* Blocked evaluations and the capacity that they wait for. One look at a shape answers for all that
 * wait there, so that fifty thousand of them cost no more than one when something is freed that
 * fits none. */
#include "base/err.h"
#include "base/fault.h"
#include "base/strbuf.h"
#include "items.h"
#include <stdlib.h>
#include <string.h>

static bool saw_less(const struct heap_item *x, const struct heap_item *y)
{
    const struct item *a = container_of(x, const struct item, order);
    const struct item *b = container_of(y, const struct item, order);
    if (a->snapshot_index != b->snapshot_index)
        return a->snapshot_index < b->snapshot_index;
    return memcmp(a->id, b->id, ID_SIZE) < 0;
}

/* Plans list their classes in one order, so equal findings are equal bytes; were they not, there
 * would be two shapes for one. */
static void shape_key(struct strbuf *key, const Pb__Eval *e)
{
    strbuf_putc(key, e->escaped_class ? 'e' : 'c');
    for (size_t i = 0; i < e->n_classes; i++) {
        const Pb__ClassEligible *c = e->classes[i];
        strbuf_puts(key, c->class_ != NULL ? c->class_ : "");
        strbuf_putc(key, '\0');
        strbuf_putc(key, c->eligible ? 'y' : 'n');
    }
}

struct shape *shape_get(struct broker *b, const Pb__Eval *e)
{
    if (e->status != PB__EVAL__STATUS__BLOCKED)
        return NULL;
    struct strbuf key = STRBUF_INIT;
    shape_key(&key, e);
    struct shape *s = map_get(b->shapes, key.data, key.len);
    if (s == NULL) {
        s = xcalloc(1, sizeof(*s) + key.len);
        s->key_len = key.len;
        memcpy(s->key, key.data, key.len);
        s->escaped = e->escaped_class;
        s->findings = e->n_classes > 0 ? findings_new(b->capacity, e->classes, e->n_classes) : NULL;
        heap_init(&s->waiting, saw_less);
        map_put(b->shapes, s->key, s->key_len, s);
    }
    strbuf_free(&key);
    s->refs++;
    return s;
}

void shape_release(struct broker *b, struct shape *s)
{
    if (s == NULL || --s->refs > 0)
        return;
    map_remove(b->shapes, s->key, s->key_len);
    findings_free(b->capacity, s->findings);
    heap_fini(&s->waiting);
    free(s);
}

uint64_t item_await_capacity(struct broker *b, struct item *it)
{
    struct shape *s = it->shape;
    uint64_t freed = 0;
    if (!b->reloading)
        freed = capacity_freed_after(b->capacity, s->findings, s->escaped, it->snapshot_index);
    if (freed == 0 && it->order.slot == 0)
        heap_push(&s->waiting, &it->order);
    return freed;
}

static void wake_shape(struct broker *b, struct shape *s)
{
    uint64_t freed = capacity_freed_after(b->capacity, s->findings, s->escaped, 0);
    struct heap_item *top;
    while ((top = heap_top(&s->waiting)) != NULL) {
        struct item *it = container_of(top, struct item, order);
        if (it->snapshot_index >= freed)
            return;
        heap_pop(&s->waiting);
        job_advance(b, it->job); /* which looks at it again, now or when the slot is free */
    }
}

void broker_wake_blocked(struct broker *b)
{
    uint64_t freed = capacity_last_freed(b->capacity);
    if (MUTANT("blocked-never-woken"))
        return;
    if (b->reloading || freed == b->capacity_seen)
        return;
    b->capacity_seen = freed;
    void *shape;
    for (size_t i = 0; map_next(b->shapes, &i, NULL, NULL, &shape);)
        wake_shape(b, shape);
}
