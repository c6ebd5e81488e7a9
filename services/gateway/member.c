#include "member.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* told: "10.0.0.1:4647", with how to speak before it or not; NULL or empty: not told. */
static struct place place_of(const char *told, const char *address, unsigned port)
{
    struct place p = {.port = port};
    const char *scheme = told != NULL ? strstr(told, "://") : NULL;
    const char *host = scheme != NULL ? scheme + 3 : told;
    const char *colon = host != NULL ? strrchr(host, ':') : NULL;
    if (colon != NULL) {
        snprintf(p.host, sizeof p.host, "%.*s", (int)(colon - host), host);
        p.port = (unsigned)strtoul(colon + 1, NULL, 10);
    } else {
        snprintf(p.host, sizeof p.host, "%s", address != NULL ? address : "127.0.0.1");
    }
    return p;
}

struct place member_rpc(const Pb__Member *m)
{
    if (m == NULL)
        return place_of(NULL, NULL, MEMBER_RPC_PORT);
    return place_of(m->rpc_address, m->address, m->rpc_port != 0 ? m->rpc_port : MEMBER_RPC_PORT);
}

struct place member_gossip(const Pb__Member *m)
{
    if (m == NULL)
        return place_of(NULL, NULL, MEMBER_GOSSIP_PORT);
    return place_of(m->gossip_address, m->address,
                    m->gossip_port != 0 ? m->gossip_port : MEMBER_GOSSIP_PORT);
}

const Pb__Member *members_self(const Pb__Members *m)
{
    for (size_t i = 0; m != NULL && m->self != NULL && i < m->n_members; i++)
        if (m->members[i]->name != NULL && strcmp(m->members[i]->name, m->self) == 0)
            return m->members[i];
    return NULL;
}
