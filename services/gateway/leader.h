/* Who leads this region, and requests to the daemons beside the leader.
 *
 * The jobstore of our own server tells who leads, gossip where that one's door is. A request goes
 * to our own daemons when they are the leader's, else through its door; when another leads, or
 * nobody, it is sent again under the same id until its budget is spent, so it is executed once
 * however often it is sent. */
#ifndef GATEWAY_LEADER_H
#define GATEWAY_LEADER_H

#include "base/err.h"
#include "loop/loop.h"
#include "net/net.h"
#include "roster.h"
#include <stdbool.h>
#include <stdint.h>

struct leader;
struct leader_call;

#define LEADER_SERVICES (PB__SERVICE__NAME__GOSSIP + 1)

struct leader_options {
    struct client *own[LEADER_SERVICES]; /* of our own server, by service; borrowed. JOBSTORE must
                                            be there */
    const char *jobstore_poll;           /* where STATUS may wait */
    struct roster *roster;               /* borrowed */
    void *self;
    void (*changed)(void *self); /* who leads, or where; may be NULL */
};

enum err leader_open(struct leader **out, struct loop *l, const struct leader_options *o,
                     struct reason *why);
void leader_close(struct leader *s); /* cancels its calls */

/* As client_call, to the daemon `service` beside the leader. o->retry: the request may be sent
 * again after it has left us; without it only a refusal (NOT_LEADER) leads to another try. */
struct leader_call *leader_call(struct leader *s, Pb__Service__Name service,
                                const struct call_options *o);
void leader_call_cancel(struct leader_call *c); /* NULL is fine */

void leader_roster_changed(struct leader *s); /* addresses may have changed */

bool leader_is_known(const struct leader *s);
bool leader_is_here(const struct leader *s);
uint64_t leader_term(const struct leader *s);
const Pb__Member *leader_member(const struct leader *s); /* NULL: not known, or not where */
bool leader_door(const struct leader *s, char out[256]); /* of another server that leads */
uint64_t leader_raft_id(const struct leader *s);         /* 0: not known */
/* Since our jobstore heard of the leader: how old what it says may be. 0 beside the leader. */
uint64_t leader_last_contact_ms(const struct leader *s);

#endif
