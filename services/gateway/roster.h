/* The servers that gossip knows, asked for again and again: this region's and the others'. */
#ifndef GATEWAY_ROSTER_H
#define GATEWAY_ROSTER_H

#include "base/err.h"
#include "gossip.pb-c.h"
#include "loop/loop.h"
#include "net/net.h"
#include <stdbool.h>
#include <stdint.h>

struct roster;

struct roster_options {
    struct client *gossip;  /* borrowed; NULL: nobody is known */
    const char *region;     /* ours */
    const char *self_name;  /* "NAME.REGION": ours, as far as gossip tells no other */
    const char *peers;      /* "NAME.REGION=door address", comma separated: known without gossip */
    const char *listen_rpc; /* our door: others' addresses have its scheme. "": we have none */
    void *self;
    void (*changed)(void *self); /* the members, or something about one; may be NULL */
};

enum err roster_open(struct roster **out, struct loop *l, const struct roster_options *o,
                     struct reason *why);
void roster_close(struct roster *r);
void roster_hurry(struct roster *r); /* asks soon, not when its turn comes */

const char *roster_region(const struct roster *r); /* ours */
/* Never NULL; what is in it lives until the next turn of the loop. */
const Pb__Members *roster_members(const struct roster *r);
bool roster_is_self(const struct roster *r, const Pb__Member *m);
/* Whether m is alive, and in region. */
bool roster_is_up(const Pb__Member *m, const char *region);
const Pb__Member *roster_by_raft_id(const struct roster *r, uint64_t raft_id); /* of our region */
const Pb__Member *roster_by_name(const struct roster *r, const char *name);    /* of our region */
/* "tcp://10.0.0.1:4647": m's door. False: it tells none. */
bool roster_door(const struct roster *r, const Pb__Member *m, char out[256]);
bool roster_own_door(const struct roster *r, char out[256]); /* as others are told it */
/* The doors of the live servers of our region, ours among them: what agents are to know. */
size_t roster_doors(const struct roster *r, struct arena *a, char ***out);

#endif
