#include "internal.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MEMBER_BYTES  (1u << 16)
#define SHORTEST      6u /* suspicion, in periods, with all accusers */
#define LONGEST       7u /* with one */
#define SMALL_POOL    50.0
#define TELL_AGAIN_MS 60000u

/* ---- what may come in */

static bool text_is_sound(const char *text)
{
    size_t n = text == NULL ? 0 : strnlen(text, SWIM_MAX_TEXT + 1);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < 0x20 || (unsigned char)text[i] == 0x7f)
            return false;
    return n <= SWIM_MAX_TEXT;
}

bool member_is_sound(const Pb__Member *m, struct reason *why)
{
    const char *const texts[] = {m->name,        m->region,       m->datacenter,
                                 m->address,     m->version,      m->raft_address,
                                 m->rpc_address, m->http_address, m->gossip_address};
    if (m->name == NULL || m->name[0] == '\0') {
        reason_set(why, ERR_INVALID, "a member without a name");
        return false;
    }
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (!text_is_sound(texts[i])) {
            reason_set(why, ERR_INVALID, "a member's text of more than %u bytes or unprintable",
                       SWIM_MAX_TEXT);
            return false;
        }
    if (m->status < PB__MEMBER__STATUS__ALIVE || m->status > PB__MEMBER__STATUS__FAILED ||
        !m->has_id || m->incarnation > UINT64_MAX / 2) {
        reason_set(why, ERR_INVALID, "a member without id or status");
        return false;
    }
    return true;
}

/* ---- the table */

/* The place of name: of the first member whose name is not before it. */
static size_t place_of(const struct swim *s, const char *name)
{
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(s->all[middle]->pb->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct member *member_find(const struct swim *s, const char *name)
{
    size_t i = place_of(s, name);
    return i < s->count && strcmp(s->all[i]->pb->name, name) == 0 ? s->all[i] : NULL;
}

size_t members_up(const struct swim *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->count; i++)
        n += is_up(s->all[i]);
    return n;
}

/* Packets under way may hold the texts: they end with the effects. */
static void bury(struct swim *s, struct arena *a)
{
    if (a == NULL)
        return;
    if (s->grave_count == s->grave_room) {
        s->grave_room = s->grave_room == 0 ? 16 : 2 * s->grave_room;
        s->graves = xrealloc(s->graves, s->grave_room * sizeof(s->graves[0]));
    }
    s->graves[s->grave_count++] = a;
}

void member_forget(struct swim *s, struct member *m)
{
    size_t i = place_of(s, m->pb->name);
    must(m != s->self && s->all[i] == m);
    memmove(&s->all[i], &s->all[i + 1], (s->count - i - 1) * sizeof(s->all[0]));
    s->count--;
    if (s->target == m)
        s->target = NULL;
    s->order_count = s->next = 0; /* shuffled anew */
    s->index++;
    bury(s, m->arena);
    free(m);
}

/* Room for one more, if need be by forgetting whom we have missed for longest. */
static bool make_room(struct swim *s)
{
    struct member *oldest = NULL;
    if (s->count < SWIM_MAX_MEMBERS)
        return true;
    for (size_t i = 0; i < s->count; i++)
        if (!is_up(s->all[i]) && s->all[i] != s->self &&
            (oldest == NULL || s->all[i]->since_ms < oldest->since_ms))
            oldest = s->all[i];
    if (oldest != NULL)
        member_forget(s, oldest);
    return oldest != NULL;
}

/* The texts of a member anew, its status and incarnation as pb has them. */
void member_replace(struct swim *s, struct member *m, const Pb__Member *pb)
{
    struct arena *a = arena_new(MEMBER_BYTES);
    Pb__Member next = *pb;
    next.has_age_ms = 0;
    next.has_incarnation = next.has_status = 1;
    m->pb = (Pb__Member *)wire_clone(a, &next.base);
    bury(s, m->arena);
    m->arena = a;
    s->index++;
}

struct member *member_add(struct swim *s, const Pb__Member *pb)
{
    if (!make_room(s))
        return NULL;
    struct member *m = xcalloc(1, sizeof *m);
    size_t i = place_of(s, pb->name);
    member_replace(s, m, pb);
    m->ring = hash_bytes(pb->name, strlen(pb->name), 0);
    m->since_ms = s->now_ms;
    memmove(&s->all[i + 1], &s->all[i], (s->count - i) * sizeof(s->all[0]));
    s->all[i] = m;
    s->count++;
    /* Newcomers take a random place in what is left of the round (SWIM, 4.3). */
    if (s->order_count < SWIM_MAX_MEMBERS && s->order_count > 0) {
        size_t at = s->next + prng_below(&s->prng, s->order_count - s->next + 1);
        memmove(&s->order[at + 1], &s->order[at], (s->order_count - at) * sizeof(s->order[0]));
        s->order[at] = m;
        s->order_count++;
    }
    return m;
}

/* ---- status */

static void tell_status(struct swim *s, struct member *m, Pb__Member__Status was)
{
    struct swim_effect *e = effect_add(s, SWIM_STATUS);
    e->member = (const Pb__Member *)wire_clone(s->out, &m->pb->base);
    e->was = was;
}

void member_set_status(struct swim *s, struct member *m, Pb__Member__Status status,
                       uint64_t incarnation)
{
    Pb__Member__Status was = m->pb->status;
    m->pb->status = status;
    m->pb->incarnation = incarnation;
    m->pb->has_status = m->pb->has_incarnation = 1;
    m->accuser_count = 0;
    m->accused_by_us = false;
    m->deadline_ms = 0;
    rumour_begin(s, m);
    if (was == status)
        return;
    m->since_ms = s->now_ms;
    s->index++;
    tell_status(s, m, was);
}

/* Shrinks with every accuser (Lifeguard, III.B), grows with the logarithm of a large pool. */
uint64_t members_suspicion_ms(const struct swim *s, uint32_t accusers)
{
    double up = (double)members_up(s), scale = up <= SMALL_POOL ? 1 : log(up) / log(SMALL_POOL);
    double shortest = SHORTEST * scale * s->options.probe_ms;
    double longest = LONGEST * scale * s->options.probe_ms;
    double confirmed = accusers > 0 ? accusers - 1 : 0;
    double ms = longest - (longest - shortest) * log(confirmed + 1) / log(ACCUSERS + 1);
    return (uint64_t)(ms < shortest ? shortest : ms);
}

static void accuse(struct swim *s, struct member *m, const char *by)
{
    uint64_t hash = hash_bytes(by, strlen(by), 1);
    if (strcmp(by, s->self->pb->name) == 0)
        m->accused_by_us = true;
    for (uint32_t i = 0; i < m->accuser_count; i++)
        if (m->accusers[i] == hash)
            return;
    if (m->accuser_count >= COUNT_OF(m->accusers))
        return;
    m->accusers[m->accuser_count++] = hash;
    uint64_t deadline = m->begun_ms + members_suspicion_ms(s, m->accuser_count);
    if (deadline < m->deadline_ms)
        m->deadline_ms = deadline;
}

void member_suspect(struct swim *s, struct member *m, uint64_t incarnation, const char *by)
{
    if (m->pb->status != PB__MEMBER__STATUS__SUSPECT || incarnation > m->pb->incarnation) {
        member_set_status(s, m, PB__MEMBER__STATUS__SUSPECT, incarnation);
        m->begun_ms = s->now_ms;
        m->deadline_ms = s->now_ms + members_suspicion_ms(s, 1);
    }
    if (by != NULL && by[0] != '\0')
        accuse(s, m, by);
}

/* ---- hearing */

static const char *address_of(const Pb__Member *m)
{
    return m->gossip_address == NULL ? "" : m->gossip_address;
}

static bool same_server(const Pb__Member *a, const Pb__Member *b)
{
    return id_equal(a->id.data, b->id.data);
}

static void tell_conflict(struct swim *s, struct member *m, const Pb__Member *other)
{
    if (m->told_ms != 0 && s->now_ms < m->told_ms + TELL_AGAIN_MS)
        return;
    m->told_ms = s->now_ms == 0 ? 1 : s->now_ms;
    struct swim_effect *e = effect_add(s, SWIM_CONFLICT);
    e->member = (const Pb__Member *)wire_clone(s->out, &m->pb->base);
    e->address = arena_strdup(s->out, address_of(other));
}

void member_contradict(struct swim *s, uint64_t incarnation)
{
    s->self->pb->incarnation = incarnation + 1;
    rumour_begin(s, s->self);
    effect_add(s, SWIM_ACCUSED);
    if (s->health < MAX_HEALTH)
        s->health++; /* Lifeguard: whoever is suspected may well be slow */
}

/* What others say of us. What we were before a restart, at the same place, is answered by a higher
 * incarnation. */
static void hear_of_self(struct swim *s, const Pb__Member *m)
{
    const Pb__Member *self = s->self->pb;
    bool alive = m->status == PB__MEMBER__STATUS__ALIVE;
    if (alive && !same_server(m, self) && strcmp(address_of(m), address_of(self)) != 0) {
        tell_conflict(s, s->self, m);
        return;
    }
    if (m->incarnation < self->incarnation || s->leaving)
        return;
    if (m->status == self->status &&
        (same_server(m, self) ? m->incarnation == self->incarnation : false))
        return;
    member_contradict(s, m->incarnation);
}

static void hear_alive(struct swim *s, struct member *m, const Pb__Member *news)
{
    if (!same_server(m->pb, news) && is_up(m) && strcmp(address_of(m->pb), address_of(news)) != 0) {
        tell_conflict(s, m, news);
        return;
    }
    if (news->incarnation <= m->pb->incarnation || address_of(news)[0] == '\0')
        return;
    Pb__Member__Status was = m->pb->status;
    member_replace(s, m, news);
    m->pb->status = was;
    member_set_status(s, m, PB__MEMBER__STATUS__ALIVE, news->incarnation);
}

static void hear_of_unknown(struct swim *s, const Pb__Member *news)
{
    Pb__Member first = *news;
    uint64_t age = news->age_ms;
    bool up =
        news->status == PB__MEMBER__STATUS__ALIVE || news->status == PB__MEMBER__STATUS__SUSPECT;
    if (address_of(news)[0] == '\0' || (!up && age >= s->options.reap_ms))
        return; /* a rumour about one we have forgotten, or never met */
    first.status = PB__MEMBER__STATUS__NONE;
    struct member *m = member_add(s, &first);
    if (m == NULL) {
        effect_add(s, SWIM_FULL)->member = (const Pb__Member *)wire_clone(s->out, &news->base);
        return;
    }
    if (news->status == PB__MEMBER__STATUS__SUSPECT)
        member_suspect(s, m, news->incarnation, NULL);
    else
        member_set_status(s, m, news->status, news->incarnation);
    if (!up)
        m->since_ms = s->now_ms > age ? s->now_ms - age : 0;
}

/* At equal incarnation: alive < suspect < failed < left. */
void member_hear(struct swim *s, const Pb__Member *news, const char *by)
{
    struct member *m = member_find(s, news->name);
    if (m == NULL) {
        hear_of_unknown(s, news);
        return;
    }
    if (m == s->self) {
        hear_of_self(s, news);
        return;
    }
    const Pb__Member *old = m->pb;
    if (news->status == PB__MEMBER__STATUS__ALIVE) {
        hear_alive(s, m, news);
        return;
    }
    if (news->incarnation < old->incarnation || !same_server(old, news))
        return;
    bool newer = news->incarnation > old->incarnation;
    switch (news->status) {
    case PB__MEMBER__STATUS__SUSPECT:
        if (is_up(m) || newer)
            member_suspect(s, m, news->incarnation, by);
        break;
    case PB__MEMBER__STATUS__FAILED:
        if (is_up(m) || newer)
            member_set_status(s, m, PB__MEMBER__STATUS__FAILED, news->incarnation);
        break;
    default:
        if (old->status != PB__MEMBER__STATUS__LEFT || newer)
            member_set_status(s, m, PB__MEMBER__STATUS__LEFT, news->incarnation);
    }
}
