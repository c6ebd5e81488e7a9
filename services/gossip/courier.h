/* Carries packets between gossip daemons: one client for each address, opened when first needed,
 * the one unused for longest closed when there are many. Packets that cannot go are dropped: the
 * core expects losses. Where somebody listens, and how its address is spoken to, is known here
 * only. */
#ifndef GOSSIP_COURIER_H
#define GOSSIP_COURIER_H

#include "net/net.h"
#include "gossip.pb-c.h"

struct courier;

struct courier_options {
    const char *listen; /* ours: others are spoken to in the same way, tcp or tls+tcp */
    void *self;
    void (*answered)(void *self, const Pb__GossipPacket *p); /* to a packet of ours */
};

struct courier *courier_open(struct loop *l, const struct courier_options *o);
void courier_close(struct courier *c);

/* address: "10.0.0.1:4648". */
void courier_send(struct courier *c, const char *address, const Pb__GossipPacket *p);
/* Whoever is there speaks: a connection that waits before it tries again need not wait. */
void courier_hurry(struct courier *c, const char *address);
/* Why nothing went to address lately; "" if it did, or nothing is known. */
const char *courier_reason(const struct courier *c, const char *address);
uint64_t courier_dropped(const struct courier *c);

#endif
