/* The members of the pool, as this server knows them. Knows names, addresses and states; does not
 * know time or sockets.
 *
 * A pool of one: the server itself. Members that are learnt from others, suspicion and rumours
 * (SWIM) belong here and come with servers that can be several. */
#ifndef GOSSIP_SWIM_H
#define GOSSIP_SWIM_H

#include "gossip.pb-c.h"

struct swim;

/* self is copied; its status becomes ALIVE. */
struct swim *swim_new(const Pb__Member *self);
void swim_free(struct swim *s);

/* All members, sorted by name, for reading until the next call that changes s. */
const Pb__Members *swim_members(const struct swim *s);

/* This server leaves on purpose: its own status becomes LEFT. */
void swim_leave(struct swim *s);

#endif
