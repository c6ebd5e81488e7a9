/* The other daemons of this server, as far as people ask about them: members from gossip, the state
 * of the log from jobstore, numbers from everyone. */
#ifndef GATEWAY_PEERS_H
#define GATEWAY_PEERS_H

#include "bus.pb-c.h"
#include "gateway.h"
#include "gossip.pb-c.h"

struct peers;

enum err peers_open(struct gateway *g, struct reason *why);
void peers_close(struct peers *p);
struct client *peers_gossip(const struct peers *p); /* NULL: not configured */

struct client *peers_evalbroker(const struct peers *p);

/* done is called once, with NULL for what could not be had within a second. */
typedef void peers_members_fn(void *owner, const Pb__Members *members);
void peers_members(struct gateway *g, peers_members_fn *done, void *owner);
typedef void peers_status_fn(void *owner, const Pb__JobstoreStatus *status);
void peers_status(struct gateway *g, peers_status_fn *done, void *owner);

/* The metrics of all others. one is called for each that answers, end once behind them. */
void peers_metrics(struct gateway *g, void (*one)(void *owner, const Pb__Metrics *m),
                   void (*end)(void *owner), void *owner);

#endif
