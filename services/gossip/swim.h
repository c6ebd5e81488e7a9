/* The members of the pool, by rumour: SWIM (Das, Gupta and Motivala, 2002) with suspicion, indirect
 * probes and rumours that travel with every packet; Lifeguard's refinements for slow members
 * (Dadgar, Phillips and Currey, 2018); and a full exchange now and then, which also heals
 * partitions. A pure core: time is an argument, chance comes from a seed, packets go out as
 * effects. Knows no sockets and no log.
 *
 * With every period P (options.probe_ms) a member probes one other: in turn the next of a shuffled
 * list, and the one that follows it on the ring of names, so that each is probed at least once in
 * 2 P whatever chance says. No answer within P, not through others either: it is suspected. What is
 * suspected and does not contradict within 6 to 7 P (fewer with more accusers; more in pools beyond
 * 50) has failed. */
#ifndef GOSSIP_SWIM_H
#define GOSSIP_SWIM_H

#include "base/err.h"
#include "gossip.pb-c.h"
#include <stdbool.h>
#include <stdint.h>

#define SWIM_VERSION     1u
#define SWIM_MAX_MEMBERS 1024u
#define SWIM_MAX_TEXT    255u /* bytes of any text of a member */
#define SWIM_MAX_PACKET  (1u << 20)

struct swim;

struct swim_options {
    uint32_t probe_ms; /* 0: 400 */
    uint64_t reap_ms;  /* failed and left members are forgotten after this; 0: 24 h */
    uint64_t seed;
};

/* self is copied, with a name, an id and a gossip_address; it becomes ALIVE. */
struct swim *swim_new(const Pb__Member *self, const struct swim_options *o, uint64_t now_ms);
void swim_free(struct swim *s);

/* ---- events */

/* To be called when swim_next_ms says so, or earlier. */
void swim_tick(struct swim *s, uint64_t now_ms);
uint64_t swim_next_ms(const struct swim *s);

/* False: refused, for the reason in *why; counted by the caller. What it holds is copied. */
bool swim_packet(struct swim *s, const Pb__GossipPacket *p, uint64_t now_ms, struct reason *why);
/* Asks whoever is at address for all it knows. The number that JOINED repeats once it answers. */
uint64_t swim_join(struct swim *s, const char *address, uint64_t now_ms);
/* What this server says of itself has changed: its addresses, its raft id. */
void swim_update(struct swim *s, const Pb__Member *self, uint64_t now_ms);
/* This server leaves on purpose and says so. swim_has_left: the others have been told. */
void swim_leave(struct swim *s, uint64_t now_ms);
bool swim_has_left(const struct swim *s);
/* The member called name becomes LEFT everywhere, unless it lives and contradicts. */
enum err swim_force_leave(struct swim *s, const char *name, uint64_t now_ms, struct reason *why);

/* ---- effects, in order, until swim_clear */

enum swim_effect_kind {
    SWIM_SEND,     /* packet to address */
    SWIM_STATUS,   /* member's status is another than before (was NONE: it is new) */
    SWIM_ACCUSED,  /* a rumour about this server was contradicted */
    SWIM_CONFLICT, /* a second server, at address, has the name of member */
    SWIM_JOINED,   /* the question with this sequence was answered */
    SWIM_FULL,     /* member could not be taken: there are SWIM_MAX_MEMBERS */
};
struct swim_effect {
    enum swim_effect_kind kind;
    const char *address;
    const Pb__GossipPacket *packet;
    const Pb__Member *member;
    Pb__Member__Status was;
    uint64_t sequence;
};
const struct swim_effect *swim_effects(const struct swim *s, size_t *count);
void swim_clear(struct swim *s);

/* ---- answers */

/* All members, sorted by name, for reading until the next call that changes s. */
const Pb__Members *swim_members(struct swim *s);
uint64_t swim_index(const struct swim *s);  /* grows with every change of the members */
uint32_t swim_health(const struct swim *s); /* 0: well; up to 8: this server itself is slow */

/* Aborts if an invariant is broken. */
void swim_check(const struct swim *s);

#endif
