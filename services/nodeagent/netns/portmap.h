/* What nft is told: one table for each bridge, with one map from (protocol, port of the node) to
 * (address, port inside) that three chains use, so a port is one element and no rule. Texts only:
 * nft.h runs them.
 *
 * Both the node's own addresses and 127.0.0.1 lead to the allocation, from outside, from the node,
 * and from allocations, the one itself included. */
#ifndef NODEAGENT_NETNS_PORTMAP_H
#define NODEAGENT_NETNS_PORTMAP_H

#include "base/strbuf.h"
#include "netplace.h"
#include "subnet.h"

struct portmap {
    const char *bridge; /* an interface's name that portmap_name_is_usable */
    struct subnet subnet;
};

/* It becomes part of commands. */
bool portmap_name_is_usable(const char *bridge);
/* Makes the table where it is not, and its rules anew; elements stay. Safe to repeat. */
void portmap_add_table(struct strbuf *out, const struct portmap *m);
void portmap_add_ports(struct strbuf *out, const struct portmap *m, const struct netplace *p);
void portmap_clear_ports(struct strbuf *out, const struct portmap *m); /* of all */
/* Fails if it is not there, so each is to be run by itself. protocol: "tcp" or "udp". */
void portmap_delete_port(struct strbuf *out, const struct portmap *m, const char *protocol,
                         uint16_t port);

#endif
