#include "internal.h"
#include <stdlib.h>
#include <string.h>

/* How often each member repeats a rumour: SWIM's lambda log n. Generous, since a lost contradiction
 * costs a life; a rumour is some 60 to 250 bytes. */
static uint32_t tellings(const struct swim *s)
{
    uint32_t log2 = 1;
    while (((size_t)1 << log2) < s->count + 1)
        log2++;
    return 4 * log2;
}

static Pb__Rumour *rumour_of(struct arena *a, const struct member *m, bool whole, uint64_t now_ms)
{
    Pb__Rumour *r = arena_alloc(a, sizeof *r);
    pb__rumour__init(r);
    r->member = arena_alloc(a, sizeof *r->member);
    if (whole || m->pb->status == PB__MEMBER__STATUS__ALIVE)
        *r->member = *m->pb;
    else {
        pb__member__init(r->member);
        r->member->name = m->pb->name;
        r->member->has_id = 1;
        r->member->id = m->pb->id;
        r->member->has_status = r->member->has_incarnation = 1;
        r->member->status = m->pb->status;
        r->member->incarnation = m->pb->incarnation;
    }
    r->member->has_age_ms = 1;
    r->member->age_ms = now_ms - m->since_ms;
    return r;
}

static Pb__Rumour *with_accuser(struct swim *s, const struct member *m, bool whole)
{
    Pb__Rumour *r = rumour_of(s->out, m, whole, s->now_ms);
    if (m->pb->status == PB__MEMBER__STATUS__SUSPECT && m->accused_by_us)
        r->by = arena_strdup(s->out, s->self->pb->name);
    return r;
}

void rumour_begin(struct swim *s, struct member *m)
{
    m->tellings = tellings(s);
    Pb__Rumour *r = rumour_of(s->out, m, false, s->now_ms);
    m->packed = pb__rumour__get_packed_size(r) + SWIM_MAX_TEXT / 2;
}

bool rumours_left(const struct swim *s)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->all[i]->tellings > 0)
            return true;
    return false;
}

static int fresher(const void *a, const void *b)
{
    const struct member *x = *(struct member *const *)a, *y = *(struct member *const *)b;
    if (x->tellings != y->tellings)
        return x->tellings > y->tellings ? -1 : 1;
    return strcmp(x->pb->name, y->pb->name);
}

void rumours_put(struct swim *s, Pb__GossipPacket *p, struct member *first)
{
    struct member *due[SWIM_MAX_MEMBERS];
    size_t n = 0, used = 0;
    for (size_t i = 0; i < s->count; i++)
        if (s->all[i]->tellings > 0 && s->all[i] != first)
            due[n++] = s->all[i];
    qsort(due, n, sizeof(due[0]), fresher);
    p->rumours = arena_array(s->out, Pb__Rumour *, n + 1);
    if (first != NULL)
        p->rumours[p->n_rumours++] = with_accuser(s, first, false);
    for (size_t i = 0; i < n && used + due[i]->packed <= RUMOUR_BUDGET; i++) {
        used += due[i]->packed;
        due[i]->tellings--;
        p->rumours[p->n_rumours++] = with_accuser(s, due[i], false);
    }
}

void rumours_put_all(struct swim *s, Pb__GossipPacket *p)
{
    p->rumours = arena_array(s->out, Pb__Rumour *, s->count);
    for (size_t i = 0; i < s->count; i++)
        p->rumours[p->n_rumours++] = with_accuser(s, s->all[i], true);
}
