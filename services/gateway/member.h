/* Where a server of the pool is reached: what it tells others, or its address with its port. */
#ifndef GATEWAY_MEMBER_H
#define GATEWAY_MEMBER_H

#include "gossip.pb-c.h"

#define MEMBER_RPC_PORT    4647u
#define MEMBER_GOSSIP_PORT 4648u

struct place {
    char host[130];
    unsigned port;
};

/* m NULL: this host, with the port of the default settings. */
struct place member_rpc(const Pb__Member *m);
struct place member_gossip(const Pb__Member *m);
/* The member that is this server; NULL if it is not among them. */
const Pb__Member *members_self(const Pb__Members *m);

#endif
