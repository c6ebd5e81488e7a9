#include "internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_PROBE_MS 400u
#define DEFAULT_REAP_MS  (24 * 3600 * 1000ull)
#define OUT_BYTES        (256u << 20)
#define SYNC_PERIODS     25u /* with a member that lives: what rumours missed */
#define HEAL_PERIODS     5u  /* with one that failed: it may be back, or the network may */
#define REAP_PERIODS     25u

/* ---- effects */

struct swim_effect *effect_add(struct swim *s, enum swim_effect_kind kind)
{
    must(s->effect_count < MAX_EFFECTS); /* the owner clears them after each event */
    if (s->effect_count == s->effect_room) {
        s->effect_room = s->effect_room == 0 ? 16 : 2 * s->effect_room;
        s->effects = xrealloc(s->effects, s->effect_room * sizeof(s->effects[0]));
    }
    struct swim_effect *e = &s->effects[s->effect_count++];
    *e = (struct swim_effect){.kind = kind};
    return e;
}

const struct swim_effect *swim_effects(const struct swim *s, size_t *count)
{
    *count = s->effect_count;
    return s->effects;
}

void swim_clear(struct swim *s)
{
    while (s->grave_count > 0)
        arena_free(s->graves[--s->grave_count]);
    s->effect_count = 0;
    arena_reset(s->out);
}

static Pb__GossipPacket *packet_to(struct swim *s, const char *address, Pb__GossipPacket__Kind kind,
                                   uint64_t sequence)
{
    Pb__GossipPacket *p = arena_alloc(s->out, sizeof *p);
    struct swim_effect *e = effect_add(s, SWIM_SEND);
    pb__gossip_packet__init(p);
    p->has_version = p->has_kind = p->has_sequence = p->has_from_id = 1;
    p->version = SWIM_VERSION;
    p->kind = kind;
    p->sequence = sequence;
    p->from = arena_strdup(s->out, s->self->pb->name);
    p->from_id = wire_id(s->out, s->self->pb->id.data);
    p->from_address = arena_strdup(s->out, s->self->pb->gossip_address);
    e->address = arena_strdup(s->out, address);
    e->packet = p;
    return p;
}

/* Whoever is not alive in our eyes is told so: it alone can contradict (Lifeguard's buddy). */
static void tell(struct swim *s, const struct member *m, Pb__GossipPacket__Kind kind,
                 uint64_t sequence)
{
    Pb__GossipPacket *p = packet_to(s, m->pb->gossip_address, kind, sequence);
    p->target = arena_strdup(s->out, m->pb->name);
    rumours_put(s, p, m->pb->status == PB__MEMBER__STATUS__ALIVE ? NULL : (struct member *)m);
}

/* ---- choosing */

/* Up to n members for which fit is true, each as likely as another. */
static size_t choose(struct swim *s, size_t n, bool (*fit)(const struct member *m),
                     const struct member *but, struct member **out)
{
    size_t chosen = 0, seen = 0;
    for (size_t i = 0; i < s->count; i++) {
        struct member *m = s->all[i];
        if (m == s->self || m == but || !fit(m))
            continue;
        seen++;
        if (chosen < n)
            out[chosen++] = m;
        else {
            size_t at = prng_below(&s->prng, seen);
            if (at < n)
                out[at] = m;
        }
    }
    return chosen;
}

static bool is_failed(const struct member *m)
{
    return m->pb->status == PB__MEMBER__STATUS__FAILED;
}

static void shuffle(struct swim *s)
{
    s->order_count = s->next = 0;
    for (size_t i = 0; i < s->count; i++) {
        size_t at = prng_below(&s->prng, s->order_count + 1);
        s->order[s->order_count++] = s->order[at];
        s->order[at] = s->all[i];
    }
}

static struct member *next_in_turn(struct swim *s)
{
    for (int round = 0; round < 2; round++) {
        while (s->next < s->order_count) {
            struct member *m = s->order[s->next++];
            if (m != s->self && is_up(m))
                return m;
        }
        shuffle(s);
    }
    return NULL;
}

static bool ring_before(const struct member *a, const struct member *b)
{
    return a->ring != b->ring ? a->ring < b->ring : strcmp(a->pb->name, b->pb->name) < 0;
}

/* The next that is up behind us on the ring of names. */
static struct member *ring_follower(const struct swim *s)
{
    struct member *first = NULL, *follower = NULL;
    for (size_t i = 0; i < s->count; i++) {
        struct member *m = s->all[i];
        if (m == s->self || !is_up(m))
            continue;
        if (first == NULL || ring_before(m, first))
            first = m;
        if (ring_before(s->self, m) && (follower == NULL || ring_before(m, follower)))
            follower = m;
    }
    return follower != NULL ? follower : first;
}

/* ---- probing */

static void probe_begin(struct swim *s)
{
    uint64_t period = (uint64_t)s->options.probe_ms * (s->health + 1);
    s->period_ms = s->now_ms + period;
    s->helpers_ms = s->now_ms + period / 2;
    s->helped = false;
    s->nacks_due = 0;
    s->ring_turn = !s->ring_turn;
    s->target = s->leaving ? NULL : s->ring_turn ? ring_follower(s) : next_in_turn(s);
    if (s->target == NULL)
        return;
    s->probe_sequence = ++s->sequence;
    tell(s, s->target, PB__GOSSIP_PACKET__KIND__PING, s->probe_sequence);
}

static void probe_through_others(struct swim *s)
{
    struct member *helpers[HELPERS];
    s->helped = true;
    if (s->target == NULL)
        return;
    s->nacks_due = (uint32_t)choose(s, HELPERS, is_up, s->target, helpers);
    for (size_t i = 0; i < s->nacks_due; i++) {
        Pb__GossipPacket *p = packet_to(s, helpers[i]->pb->gossip_address,
                                        PB__GOSSIP_PACKET__KIND__PROBE, s->probe_sequence);
        p->target = arena_strdup(s->out, s->target->pb->name);
        p->target_address = arena_strdup(s->out, s->target->pb->gossip_address);
        rumours_put(s, p, NULL);
    }
    tell(s, s->target, PB__GOSSIP_PACKET__KIND__PING, s->probe_sequence);
}

/* Lifeguard, III.A: helpers that say "nor could I" speak for us; silence of all speaks against. */
static void probe_end(struct swim *s)
{
    struct member *m = s->target;
    s->target = NULL;
    if (m == NULL || !is_up(m))
        return;
    s->health += s->helped && s->nacks_due > 0 ? s->nacks_due : 1;
    if (s->health > MAX_HEALTH)
        s->health = MAX_HEALTH;
    member_suspect(s, m, m->pb->incarnation, s->self->pb->name);
}

static void on_ack(struct swim *s, uint64_t sequence)
{
    if (s->target != NULL && sequence == s->probe_sequence) {
        s->target = NULL;
        if (s->health > 0)
            s->health--;
        return;
    }
    for (size_t i = 0; i < MAX_RELAYED; i++)
        if (s->relayed[i].deadline_ms != 0 && s->relayed[i].sequence == sequence) {
            packet_to(s, s->relayed[i].text, PB__GOSSIP_PACKET__KIND__ACK,
                      s->relayed[i].asked_sequence);
            s->relayed[i].deadline_ms = 0;
        }
}

static void on_probe(struct swim *s, const Pb__GossipPacket *p)
{
    struct relayed *r = &s->relayed[s->relayed_next++ % MAX_RELAYED];
    if (p->target == NULL || p->target_address == NULL || p->target_address[0] == '\0')
        return;
    r->sequence = ++s->sequence;
    r->asked_sequence = p->sequence;
    r->deadline_ms = s->now_ms + s->options.probe_ms / 3 + 1;
    snprintf(r->text, sizeof r->text, "%s", p->from_address);
    Pb__GossipPacket *ping =
        packet_to(s, p->target_address, PB__GOSSIP_PACKET__KIND__PING, r->sequence);
    ping->target = arena_strdup(s->out, p->target);
    rumours_put(s, ping, NULL);
}

static void relayed_expire(struct swim *s)
{
    for (size_t i = 0; i < MAX_RELAYED; i++)
        if (s->relayed[i].deadline_ms != 0 && s->relayed[i].deadline_ms <= s->now_ms) {
            packet_to(s, s->relayed[i].text, PB__GOSSIP_PACKET__KIND__NACK,
                      s->relayed[i].asked_sequence);
            s->relayed[i].deadline_ms = 0;
        }
}

/* ---- time */

static void suspects_expire(struct swim *s)
{
    for (size_t i = 0; i < s->count; i++) {
        struct member *m = s->all[i];
        if (m->pb->status == PB__MEMBER__STATUS__SUSPECT && m->deadline_ms <= s->now_ms)
            member_set_status(s, m, PB__MEMBER__STATUS__FAILED, m->pb->incarnation);
    }
}

static void spread(struct swim *s)
{
    struct member *targets[NEWS_TARGETS];
    s->news_ms = s->now_ms + s->options.probe_ms / 2;
    if (rumours_left(s)) {
        size_t n = choose(s, NEWS_TARGETS, is_up, NULL, targets);
        for (size_t i = 0; i < n; i++)
            tell(s, targets[i], PB__GOSSIP_PACKET__KIND__NEWS, 0);
    }
    for (size_t i = 0; i < s->count; i++)
        if (s->all[i]->accused_by_us && s->all[i]->pb->status == PB__MEMBER__STATUS__SUSPECT)
            tell(s, s->all[i], PB__GOSSIP_PACKET__KIND__NEWS, 0);
}

static void sync_with(struct swim *s, const char *address, uint64_t sequence)
{
    rumours_put_all(s, packet_to(s, address, PB__GOSSIP_PACKET__KIND__SYNC, sequence));
}

static uint64_t jittered(struct swim *s, uint32_t periods)
{
    uint64_t ms = (uint64_t)periods * s->options.probe_ms;
    return s->now_ms + ms / 2 + prng_below(&s->prng, ms + 1);
}

static void exchange(struct swim *s)
{
    struct member *other = NULL;
    if (s->sync_ms <= s->now_ms) {
        s->sync_ms = jittered(s, SYNC_PERIODS);
        if (!s->leaving && choose(s, 1, is_up, NULL, &other) == 1)
            sync_with(s, other->pb->gossip_address, ++s->sequence);
    }
    if (s->reconnect_ms <= s->now_ms) {
        s->reconnect_ms = jittered(s, HEAL_PERIODS);
        if (!s->leaving && choose(s, 1, is_failed, NULL, &other) == 1)
            sync_with(s, other->pb->gossip_address, ++s->sequence);
    }
}

static void reap(struct swim *s)
{
    s->reap_ms = jittered(s, REAP_PERIODS);
    for (size_t i = s->count; i-- > 0;) {
        struct member *m = s->all[i];
        if (m != s->self && !is_up(m) && m->since_ms + s->options.reap_ms <= s->now_ms)
            member_forget(s, m);
    }
}

/* We stood still, so others' silence proves nothing: whoever is suspected gets the time back, and
 * the probe under way starts anew. */
static void forgive(struct swim *s, uint64_t late_ms)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->all[i]->pb->status == PB__MEMBER__STATUS__SUSPECT) {
            s->all[i]->deadline_ms += late_ms;
            s->all[i]->begun_ms += late_ms;
        }
    s->target = NULL;
    s->period_ms = s->now_ms;
}

uint64_t swim_next_ms(const struct swim *s)
{
    uint64_t due[] = {s->helped ? s->period_ms : s->helpers_ms, s->news_ms, s->sync_ms,
                      s->reconnect_ms, s->reap_ms};
    uint64_t next = s->period_ms;
    for (size_t i = 0; i < COUNT_OF(due); i++)
        if (due[i] < next)
            next = due[i];
    for (size_t i = 0; i < s->count; i++)
        if (s->all[i]->pb->status == PB__MEMBER__STATUS__SUSPECT && s->all[i]->deadline_ms < next)
            next = s->all[i]->deadline_ms;
    for (size_t i = 0; i < MAX_RELAYED; i++)
        if (s->relayed[i].deadline_ms != 0 && s->relayed[i].deadline_ms < next)
            next = s->relayed[i].deadline_ms;
    return next;
}

void swim_tick(struct swim *s, uint64_t now_ms)
{
    uint64_t due = swim_next_ms(s);
    s->now_ms = now_ms;
    if (now_ms > due + s->options.probe_ms / 2)
        forgive(s, now_ms - due);
    relayed_expire(s);
    suspects_expire(s);
    if (s->period_ms <= now_ms) {
        probe_end(s);
        probe_begin(s);
    } else if (!s->helped && s->helpers_ms <= now_ms)
        probe_through_others(s);
    if (s->news_ms <= now_ms)
        spread(s);
    exchange(s);
    if (s->reap_ms <= now_ms)
        reap(s);
}

/* ---- packets */

static bool is_sound(const Pb__GossipPacket *p, struct reason *why)
{
    if (p->version != SWIM_VERSION) {
        reason_set(why, ERR_INVALID,
                   "a packet of version %u where %u is spoken: servers of one pool should run "
                   "versions of Norn that are near each other",
                   p->version, SWIM_VERSION);
        return false;
    }
    Pb__Member sender = PB__MEMBER__INIT;
    sender.name = p->from;
    sender.address = p->from_address;
    sender.gossip_address = p->target_address;
    sender.region = p->target;
    sender.has_id = p->has_from_id;
    sender.status = PB__MEMBER__STATUS__ALIVE;
    if (p->from_address == NULL || p->from_address[0] == '\0' || p->n_rumours > SWIM_MAX_MEMBERS) {
        reason_set(why, ERR_INVALID, "a packet without an address, or with too many rumours");
        return false;
    }
    if (!member_is_sound(&sender, why))
        return false;
    for (size_t i = 0; i < p->n_rumours; i++) {
        const Pb__Rumour *r = p->rumours[i];
        if (r->member == NULL || (r->by != NULL && strlen(r->by) > SWIM_MAX_TEXT)) {
            reason_set(why, ERR_INVALID, "a rumour about nobody, or by a name too long");
            return false;
        }
        if (!member_is_sound(r->member, why))
            return false;
    }
    return true;
}

/* Whoever speaks lives, whatever is said of it: our own patience with it begins anew, until it
 * hears the rumour and contradicts. */
static void hear_speaker(struct swim *s, struct member *m, const Pb__GossipPacket *p)
{
    if (m == NULL || m->pb->status != PB__MEMBER__STATUS__SUSPECT ||
        !id_equal(m->pb->id.data, p->from_id.data))
        return;
    m->begun_ms = s->now_ms;
    m->deadline_ms = s->now_ms + members_suspicion_ms(s, m->accuser_count);
}

static void on_ping(struct swim *s, const struct member *sender, const Pb__GossipPacket *p)
{
    if (p->target == NULL || strcmp(p->target, s->self->pb->name) != 0)
        return; /* this address was another's before */
    Pb__GossipPacket *ack =
        packet_to(s, p->from_address, PB__GOSSIP_PACKET__KIND__ACK, p->sequence);
    bool doubted = sender != NULL && sender->pb->status != PB__MEMBER__STATUS__ALIVE;
    rumours_put(s, ack, doubted ? (struct member *)(uintptr_t)sender : NULL);
}

static void on_sync_reply(struct swim *s, uint64_t sequence)
{
    for (size_t i = 0; i < MAX_RELAYED; i++)
        if (s->joins[i] != 0 && s->joins[i] == sequence) {
            s->joins[i] = 0;
            effect_add(s, SWIM_JOINED)->sequence = sequence;
        }
}

static void act_on(struct swim *s, const struct member *sender, const Pb__GossipPacket *p)
{
    switch (p->kind) {
    case PB__GOSSIP_PACKET__KIND__PING:
        on_ping(s, sender, p);
        break;
    case PB__GOSSIP_PACKET__KIND__ACK:
        on_ack(s, p->sequence);
        break;
    case PB__GOSSIP_PACKET__KIND__NACK:
        if (s->target != NULL && p->sequence == s->probe_sequence && s->nacks_due > 0)
            s->nacks_due--;
        break;
    case PB__GOSSIP_PACKET__KIND__PROBE:
        on_probe(s, p);
        break;
    case PB__GOSSIP_PACKET__KIND__SYNC:
        rumours_put_all(
            s, packet_to(s, p->from_address, PB__GOSSIP_PACKET__KIND__SYNC_REPLY, p->sequence));
        break;
    case PB__GOSSIP_PACKET__KIND__SYNC_REPLY:
        on_sync_reply(s, p->sequence);
        break;
    default: /* NEWS, and kinds that come later: the rumours are all we take */
        break;
    }
}

bool swim_packet(struct swim *s, const Pb__GossipPacket *p, uint64_t now_ms, struct reason *why)
{
    if (!is_sound(p, why))
        return false;
    if (now_ms > s->now_ms)
        s->now_ms = now_ms;
    hear_speaker(s, member_find(s, p->from), p);
    for (size_t i = 0; i < p->n_rumours; i++)
        member_hear(s, p->rumours[i]->member, p->rumours[i]->by);
    act_on(s, member_find(s, p->from), p);
    return true;
}

/* ---- what people ask for */

uint64_t swim_join(struct swim *s, const char *address, uint64_t now_ms)
{
    s->now_ms = now_ms;
    uint64_t sequence = ++s->sequence;
    s->joins[s->joins_next++ % MAX_RELAYED] = sequence;
    sync_with(s, address, sequence);
    return sequence;
}

void swim_update(struct swim *s, const Pb__Member *self, uint64_t now_ms)
{
    Pb__Member next = *self;
    s->now_ms = now_ms;
    next.status = s->self->pb->status;
    next.incarnation = s->self->pb->incarnation + 1;
    member_replace(s, s->self, &next);
    rumour_begin(s, s->self);
}

void swim_leave(struct swim *s, uint64_t now_ms)
{
    s->now_ms = now_ms;
    s->leaving = true;
    s->target = NULL;
    member_set_status(s, s->self, PB__MEMBER__STATUS__LEFT, s->self->pb->incarnation);
    spread(s);
}

bool swim_has_left(const struct swim *s)
{
    return s->leaving && (s->self->tellings == 0 || members_up(s) == 0);
}

enum err swim_force_leave(struct swim *s, const char *name, uint64_t now_ms, struct reason *why)
{
    struct member *m = member_find(s, name);
    s->now_ms = now_ms;
    if (m == NULL)
        return reason_set(why, ERR_NOT_FOUND, "no member is called %s: see nctl server members",
                          name);
    if (m == s->self)
        return reason_set(why, ERR_INVALID, "%s is this server: stop it instead", name);
    if (m->pb->status != PB__MEMBER__STATUS__LEFT) {
        member_set_status(s, m, PB__MEMBER__STATUS__LEFT, m->pb->incarnation);
        spread(s);
    }
    return OK;
}

/* ---- life and answers */

struct swim *swim_new(const Pb__Member *self, const struct swim_options *o, uint64_t now_ms)
{
    struct swim *s = xcalloc(1, sizeof *s);
    Pb__Member first = *self;
    s->options = *o;
    if (s->options.probe_ms == 0)
        s->options.probe_ms = DEFAULT_PROBE_MS;
    if (s->options.reap_ms == 0)
        s->options.reap_ms = DEFAULT_REAP_MS;
    s->now_ms = s->period_ms = s->helpers_ms = s->news_ms = now_ms;
    prng_seed(&s->prng, o->seed);
    s->out = arena_new(OUT_BYTES);
    s->view_arena = arena_new(OUT_BYTES);
    s->sequence = prng_next(&s->prng) >> 2; /* an answer to one before a restart matches none */
    first.status = PB__MEMBER__STATUS__ALIVE;
    first.incarnation = 1;
    s->self = member_add(s, &first);
    rumour_begin(s, s->self);
    s->sync_ms = jittered(s, HEAL_PERIODS);
    s->reconnect_ms = jittered(s, HEAL_PERIODS);
    s->reap_ms = jittered(s, REAP_PERIODS);
    s->index = 1;
    return s;
}

void swim_free(struct swim *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->count; i++) {
        arena_free(s->all[i]->arena);
        free(s->all[i]);
    }
    swim_clear(s);
    free(s->graves);
    arena_free(s->out);
    arena_free(s->view_arena);
    free(s->effects);
    free(s);
}

const Pb__Members *swim_members(struct swim *s)
{
    arena_reset(s->view_arena);
    pb__members__init(&s->view);
    s->view.members = arena_array(s->view_arena, Pb__Member *, s->count);
    for (size_t i = 0; i < s->count; i++)
        s->view.members[s->view.n_members++] = s->all[i]->pb;
    s->view.self = s->self->pb->name;
    s->view.has_index = 1;
    s->view.index = s->index;
    return &s->view;
}

uint64_t swim_index(const struct swim *s)
{
    return s->index;
}

uint32_t swim_health(const struct swim *s)
{
    return s->health;
}

void swim_check(const struct swim *s)
{
    bool self = false, target = s->target == NULL;
    must(s->count <= SWIM_MAX_MEMBERS && s->health <= MAX_HEALTH && s->next <= s->order_count);
    for (size_t i = 0; i < s->count; i++) {
        const struct member *m = s->all[i];
        must(i == 0 || strcmp(s->all[i - 1]->pb->name, m->pb->name) < 0);
        must(m->pb->status != PB__MEMBER__STATUS__NONE && m->pb->gossip_address[0] != '\0');
        must((m->pb->status == PB__MEMBER__STATUS__SUSPECT) == (m->deadline_ms != 0));
        must(m->accuser_count <= COUNT_OF(m->accusers));
        self = self || m == s->self;
        target = target || m == s->target;
    }
    must(self && target);
    must(s->self->pb->status ==
         (s->leaving ? PB__MEMBER__STATUS__LEFT : PB__MEMBER__STATUS__ALIVE));
    for (size_t i = s->next; i < s->order_count; i++)
        must(member_find(s, s->order[i]->pb->name) == s->order[i]);
}
