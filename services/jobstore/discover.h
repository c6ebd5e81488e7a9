/* Which other servers of the region there are: by gossip and by the setting `peers`; each is asked
 * who it is. What it learns goes to the transport; a server that belongs to no cluster forms the
 * first one from it, or waits. */
#ifndef JOBSTORE_DISCOVER_H
#define JOBSTORE_DISCOVER_H

#include "replica.h"
#include "transport.h"

struct discover;

#define DISCOVER_MOST 64u /* servers that are remembered */

struct discover_options {
    const char *gossip;  /* "": none */
    const char *peers;   /* "name=address,address": always asked */
    const char *address; /* ours */
    const char *name;
    uint64_t expect; /* bootstrap_expect */
    bool non_voting;
    struct replica *replica;
    struct transport *transport;
    void *self;
    /* Our identity is somebody else's, too: one of the two must stop. younger: of the two processes
     * we began later. */
    void (*impostor)(void *self, bool younger, const char *why);
};

/* A server that answered, or that gossip told of. */
struct seen {
    const char *address; /* of its listen_raft */
    const char *name;    /* "": not known */
    const char *rpc_address;
    const Pb__RaftWho *who; /* its last answer; NULL: none yet */
    uint64_t alive_ms;      /* when it last answered, or was alive by gossip; 0: never */
    bool by_gossip, gossip_alive;
};

void discover_open(struct discover **out, struct loop *l, const struct discover_options *o);
void discover_close(struct discover *d);

/* Walk: NULL begins; the answer is borrowed until the loop goes on. d NULL: nobody is seen. */
const struct seen *discover_next(struct discover *d, const struct seen *after);
/* By raft id; NULL: not seen. */
const struct seen *discover_find(struct discover *d, uint64_t raft_id);
/* What others hear of us. */
void discover_who(struct discover *d, Pb__RaftWho *out);
void discover_form(struct discover *d, struct request *req);

#endif
