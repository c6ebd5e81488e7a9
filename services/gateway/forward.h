/* Requests of HTTP clients that another gateway is to answer: one of another region (?region=), or
 * one whose agents we do not have. They go through its door, and their answers come back piece by
 * piece as the client reads them. */
#ifndef GATEWAY_FORWARD_H
#define GATEWAY_FORWARD_H

#include "base/err.h"
#include "http.h"
#include "loop/loop.h"
#include "roster.h"

struct forward;

struct forward *forward_new(struct loop *l, struct roster *roster);
void forward_free(struct forward *f); /* before HTTP is closed; the clients are not answered */

/* Takes x. wait_ms: how long the client lets it wait for a change, 0: not at all. Without a server
 * of that region, or within reach: "No path to region". */
void forward_to_region(struct forward *f, struct exchange *x, const char *region, uint64_t wait_ms);
/* Sends x on to the gateway of our region to which the agent of the node is connected. decided is
 * called once, now or later: x has been taken, or none of those that answer has the agent and x is
 * the caller's again. */
typedef void forward_decided_fn(void *owner, bool taken);
void forward_to_node(struct forward *f, struct exchange *x, const uint8_t node_id[16],
                     forward_decided_fn *decided, void *owner);

#endif
