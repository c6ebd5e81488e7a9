/* Who has been heard from, and who has been silent too long. A fold over the nodes of the changes
 * feed, fed with the nodes seen by the gateway; knows neither sockets nor clocks.
 *
 * A node that is ready has a timer: its time to live, which grows with the fleet so that the
 * servers get no more than max_per_second heartbeats, and a grace. When it runs out the node is
 * proposed as down; when a node that is not ready is heard, as ready. A proposal is believed only
 * when the feed shows it, and comes again if it does not. */
#ifndef CONTROLLER_HEARTBEAT_H
#define CONTROLLER_HEARTBEAT_H

#include "base/arena.h"
#include "command.pb-c.h"
#include "types.pb-c.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heartbeat;

struct heartbeat_settings {
    uint64_t min_ttl_ms;
    uint64_t grace_ms;
    uint64_t
        max_per_second; /* heartbeats of the whole fleet; 0: no bound, the ttl is the least one */
    uint64_t settle_ms; /* a proposal without effect comes again after this */
};

struct heartbeat *heartbeat_new(const struct heartbeat_settings *s);
void heartbeat_free(struct heartbeat *h);

/* ---- the feed. A node seen for the first time, or turned ready, has its full time from now. */
void heartbeat_put_node(struct heartbeat *h, const Pb__Node *node, uint64_t now_ms);
void heartbeat_drop_node(struct heartbeat *h, const uint8_t id[16]);
/* Around a full listing: what is not put between the two is gone. Nothing is proposed meanwhile. */
void heartbeat_reload_begin(struct heartbeat *h);
void heartbeat_reload_end(struct heartbeat *h);

/* Everybody has the full time again: nobody can be blamed for what we could not hear. */
void heartbeat_forgive(struct heartbeat *h, uint64_t now_ms);

/* ---- false: not known (yet) */
bool heartbeat_seen(struct heartbeat *h, const uint8_t id[16], uint64_t now_ms);
uint64_t heartbeat_ttl_ms(const struct heartbeat *h);

/* ---- time */
void heartbeat_tick(struct heartbeat *h, uint64_t now_ms);
uint64_t heartbeat_next_due_ms(const struct heartbeat *h); /* UINT64_MAX: none */
/* Up to max changes of status to propose, in a; NULL: none. */
Pb__NodeStatusUpdates *heartbeat_take_updates(struct heartbeat *h, struct arena *a, size_t max,
                                              uint64_t now_ms);

struct heartbeat_stats {
    size_t nodes, ready, missed; /* missed: silent too long since the start */
};
void heartbeat_stats(const struct heartbeat *h, struct heartbeat_stats *out);
void heartbeat_check(const struct heartbeat *h);

#endif
