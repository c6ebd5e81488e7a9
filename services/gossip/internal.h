/* What the files of the core share: swim.c (life and packets), members.c (who is known, and which
 * rumour beats which), rumours.c (what is still to be told). */
#ifndef GOSSIP_INTERNAL_H
#define GOSSIP_INTERNAL_H

#include "base/arena.h"
#include "base/id.h"
#include "base/map.h"
#include "base/prng.h"
#include "swim.h"
#include "wire/wire.h"

#define ACCUSERS      3u /* besides the first: with so many a suspicion lasts shortest */
#define HELPERS       3u
#define NEWS_TARGETS  3u
#define MAX_HEALTH    8u
#define RUMOUR_BUDGET 8000u /* bytes of rumours in one packet */
#define MAX_EFFECTS   16384u

struct member {
    struct arena *arena; /* of pb */
    Pb__Member *pb;
    uint64_t since_ms;               /* since its status is what it is */
    uint64_t deadline_ms;            /* SUSPECT: becomes FAILED */
    uint64_t begun_ms;               /* of the suspicion */
    uint64_t accusers[ACCUSERS + 1]; /* hashes of names */
    uint32_t accuser_count;
    uint64_t told_ms; /* of a conflict about its name */
    uint64_t ring;    /* its place: a hash of its name */
    bool accused_by_us;
    /* what is still to be told of it */
    uint32_t tellings; /* left */
    size_t packed;     /* bytes of the rumour */
};

/* A ping that another asked for: the answer goes back to it. */
struct relayed {
    uint64_t sequence, asked_sequence;
    uint64_t deadline_ms;         /* NACK, if it was asked for */
    char text[SWIM_MAX_TEXT + 1]; /* the asker's address */
};
#define MAX_RELAYED 64u

struct swim {
    struct swim_options options;
    struct prng prng;
    struct member *self;
    struct member *all[SWIM_MAX_MEMBERS]; /* sorted by name; self among them */
    size_t count;
    uint64_t index, sequence, now_ms;
    bool leaving;

    /* the probe under way */
    struct member *target;                          /* NULL: none */
    uint64_t probe_sequence, helpers_ms, period_ms; /* period_ms: its end */
    bool helped;
    uint32_t nacks_due;
    struct member *order[SWIM_MAX_MEMBERS]; /* shuffled; from next on */
    size_t order_count, next;
    bool ring_turn;
    uint32_t health;

    uint64_t news_ms, sync_ms, reconnect_ms, reap_ms;
    struct relayed relayed[MAX_RELAYED];
    size_t relayed_next;
    uint64_t joins[MAX_RELAYED]; /* sequences of questions for all */
    size_t joins_next;

    struct arena *out; /* of effects */
    struct swim_effect *effects;
    size_t effect_count, effect_room;
    struct arena *
        *graves; /* of members replaced or forgotten; their texts live as long as effects */
    size_t grave_count, grave_room;
    struct arena *view_arena;
    Pb__Members view;
};

static inline bool is_up(const struct member *m)
{
    return m->pb->status == PB__MEMBER__STATUS__ALIVE ||
           m->pb->status == PB__MEMBER__STATUS__SUSPECT;
}

/* ---- members.c */
struct member *member_find(const struct swim *s, const char *name); /* NULL: not known */
bool member_is_sound(const Pb__Member *m, struct reason *why);
/* A rumour or a line of a full exchange: takes what is news, contradicts what is false of us. */
void member_hear(struct swim *s, const Pb__Member *news, const char *by);
void member_set_status(struct swim *s, struct member *m, Pb__Member__Status status,
                       uint64_t incarnation);
void member_suspect(struct swim *s, struct member *m, uint64_t incarnation, const char *by);
void member_contradict(struct swim *s, uint64_t incarnation);
struct member *member_add(struct swim *s, const Pb__Member *pb);
void member_replace(struct swim *s, struct member *m, const Pb__Member *pb);
void member_forget(struct swim *s, struct member *m);
uint64_t members_suspicion_ms(const struct swim *s, uint32_t accusers);
size_t members_up(const struct swim *s);

/* ---- rumours.c */
void rumour_begin(struct swim *s, struct member *m);
/* Puts what fits into p, what was told least first; `first`, if not NULL, before all. */
void rumours_put(struct swim *s, Pb__GossipPacket *p, struct member *first);
void rumours_put_all(struct swim *s, Pb__GossipPacket *p);
bool rumours_left(const struct swim *s);

/* ---- swim.c */
struct swim_effect *effect_add(struct swim *s, enum swim_effect_kind kind);

#endif
