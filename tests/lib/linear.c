#include "linear.h"
#include "base/err.h"
#include "base/map.h"
#include <stdlib.h>
#include <string.h>

struct state {
    int64_t value;
    bool stopped;
};

/* A beginning or an end in the list of events, in the order of time. */
struct event {
    struct event *prev, *next;
    struct event *end; /* of a beginning: its end; NULL: none came */
    uint64_t at;
    size_t op;
    bool is_begin;
};

struct move {
    struct event *begin;
    struct state before;
};

/* What has been tried: which operations are ordered, and the state they led to. */
struct configuration {
    struct state state;
    uint64_t ordered[LINEAR_MOST / 64];
};

struct search {
    const struct linear_op *ops;
    struct event head, *events;
    struct move *moves;
    size_t move_count;
    struct configuration now;
    struct map *tried;
    size_t answered, open; /* with an end; of them those not yet ordered */
    size_t deepest;
};

static bool step(const struct linear_op *op, struct state *s)
{
    switch (op->kind) {
    case LINEAR_WRITE:
        *s = (struct state){op->value, false};
        return true;
    case LINEAR_STOP:
        s->stopped = s->value != LINEAR_ABSENT;
        return true;
    case LINEAR_READ:
        return op->value == s->value && op->stopped == s->stopped;
    }
    return false;
}

/* What ends and begins at the same time may have been in either order: the beginning comes first,
 * so that both are tried. */
static int by_time(const void *a, const void *b)
{
    const struct event *x = a, *y = b;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return (int)y->is_begin - (int)x->is_begin;
}

static void link_events(struct search *s, size_t count)
{
    struct event *last = &s->head;
    for (size_t i = 0; i < count; i++) {
        s->events[i].prev = last;
        last->next = &s->events[i];
        last = last->next;
    }
    last->next = NULL;
    for (struct event *b = s->head.next; b != NULL; b = b->next)
        for (struct event *e = b->next; b->is_begin && b->end == NULL && e != NULL; e = e->next)
            if (!e->is_begin && e->op == b->op)
                b->end = e;
}

static void make_events(struct search *s, size_t n)
{
    size_t count = 0;
    s->events = xcalloc(2 * n + 1, sizeof(*s->events));
    for (size_t i = 0; i < n; i++) {
        bool unanswered = s->ops[i].end == LINEAR_UNKNOWN;
        if (unanswered && s->ops[i].kind == LINEAR_READ)
            continue; /* it tells nothing */
        s->events[count++] = (struct event){.at = s->ops[i].begin, .op = i, .is_begin = true};
        if (!unanswered)
            s->events[count++] = (struct event){.at = s->ops[i].end, .op = i};
        s->answered += !unanswered;
    }
    s->open = s->answered;
    qsort(s->events, count, sizeof(*s->events), by_time);
    link_events(s, count);
}

static void cut(struct event *e)
{
    e->prev->next = e->next;
    if (e->next != NULL)
        e->next->prev = e->prev;
}

static void put_back(struct event *e)
{
    e->prev->next = e;
    if (e->next != NULL)
        e->next->prev = e;
}

static void mark(struct search *s, size_t op, bool on)
{
    if (on)
        s->now.ordered[op / 64] |= (uint64_t)1 << (op % 64);
    else
        s->now.ordered[op / 64] &= ~((uint64_t)1 << (op % 64));
}

/* False: it was tried before. */
static bool is_new(struct search *s)
{
    if (map_get(s->tried, &s->now, sizeof(s->now)) != NULL)
        return false;
    struct configuration *copy = xcalloc(1, sizeof(*copy));
    memcpy(copy, &s->now, sizeof(*copy));
    map_put(s->tried, copy, sizeof(*copy), copy);
    return true;
}

/* The operation comes next in the order. False: it cannot, or that leads where we have been. */
static bool take(struct search *s, struct event *begin)
{
    struct state before = s->now.state;
    struct state after = before;
    if (!step(&s->ops[begin->op], &after))
        return false;
    s->now.state.value = after.value;
    s->now.state.stopped = after.stopped;
    mark(s, begin->op, true);
    if (!is_new(s)) {
        mark(s, begin->op, false);
        s->now.state.value = before.value;
        s->now.state.stopped = before.stopped;
        return false;
    }
    s->moves[s->move_count++] = (struct move){begin, before};
    cut(begin);
    if (begin->end != NULL) {
        cut(begin->end);
        s->open--;
    }
    if (s->answered - s->open > s->deepest)
        s->deepest = s->answered - s->open;
    return true;
}

/* The event behind the one taken last, which is back in the list. */
static struct event *take_back(struct search *s)
{
    struct move m = s->moves[--s->move_count];
    if (m.begin->end != NULL) {
        put_back(m.begin->end);
        s->open++;
    }
    put_back(m.begin);
    mark(s, m.begin->op, false);
    s->now.state.value = m.before.value;
    s->now.state.stopped = m.before.stopped;
    return m.begin->next;
}

static bool search(struct search *s)
{
    struct event *at = s->head.next;
    while (s->open > 0) {
        must(at != NULL); /* an end of an open operation is still before us */
        if (!at->is_begin) {
            if (s->move_count == 0)
                return false;
            at = take_back(s); /* it ended before this could be in order: something else first */
        } else if (take(s, at)) {
            at = s->head.next;
        } else {
            at = at->next;
        }
    }
    return true;
}

bool linear_check(const struct linear_op *ops, size_t n, size_t *deepest)
{
    struct search *s = xcalloc(1, sizeof(*s));
    must(n <= LINEAR_MOST);
    s->ops = ops;
    s->now.state.value = LINEAR_ABSENT;
    s->tried = map_new();
    s->moves = xcalloc(n + 1, sizeof(*s->moves));
    make_events(s, n);
    bool found = search(s);
    if (deepest != NULL)
        *deepest = s->deepest;
    size_t i = 0;
    void *one;
    while (map_next(s->tried, &i, NULL, NULL, &one))
        free(one);
    map_free(s->tried);
    free(s->moves);
    free(s->events);
    free(s);
    return found;
}
