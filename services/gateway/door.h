/* The door of this server for other hosts: one address for everything. It answers what agents ask
 * (agents.h) and what other gateways and schedworkers ask (gateway.proto, from 20), and relays
 * requests for the other daemons of this server, without looking into them.
 *
 * Long polls and short requests go over connections of their own, so none waits behind another, and
 * each kind is bounded: beyond it BUSY. What a request has left of its budget is passed on. When a
 * caller's connection ends its requests are given up; evalbroker, which takes back the evaluations
 * of a worker that is gone, has a connection of its own per caller. */
#ifndef GATEWAY_DOOR_H
#define GATEWAY_DOOR_H

#include "base/err.h"
#include "loop/loop.h"
#include "net/net.h"

struct door_relay;

#define DOOR_SERVICES (PB__SERVICE__NAME__GOSSIP + 1)

struct door_options {
    const char *addresses[DOOR_SERVICES]; /* of the daemons, by service; NULL or "": not here */
    uint32_t max_polls, max_short;        /* relayed at once */
};

enum err door_open(struct door_relay **out, struct loop *l, const struct door_options *o,
                   struct reason *why);
void door_close(struct door_relay *d); /* after the server is closed */

/* For struct server_options; self is the door_relay. */
void door_relay(struct door_relay *d, struct request *req);
void door_peer_gone(struct door_relay *d, uint32_t peer);

struct door_stats {
    uint64_t relayed, busy;        /* since the start */
    size_t polls, shorts, callers; /* now */
};
void door_stats(const struct door_relay *d, struct door_stats *out);

#endif
