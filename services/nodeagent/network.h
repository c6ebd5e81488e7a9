/* What a group asks of its network, as far as it is known without doing anything. Pure. */
#ifndef NODEAGENT_NETWORK_H
#define NODEAGENT_NETWORK_H

#include "base/strbuf.h"
#include "nodeagent.pb-c.h"
#include "netns/netplace.h"
#include <stdbool.h>

enum network_kind { NETWORK_HOST, NETWORK_NONE, NETWORK_BRIDGE, NETWORK_CNI, NETWORK_UNKNOWN };

/* The group's network; NULL: it has none and uses the node's. */
const Pb__Network *network_of(const Pb__TaskGroup *group);
enum network_kind network_kind_of(const Pb__Network *n);
const char *network_cni_name(const Pb__Network *n); /* of one of kind NETWORK_CNI */

/* For tasknet: ids, ports, and the address if it has one. The ports are of malloc. */
struct netplace network_place(const Pb__Alloc *alloc, uint32_t address);

/* The text of a resolv.conf: what the job names of servers, searches and options, and else what is
 * in the host's. */
void network_resolv(struct strbuf *out, const Pb__Dns *dns, const char *host);
/* Whether the host asks only its own resolver of systemd, which a network of its own cannot
 * reach. */
bool network_resolv_is_stub(const char *host);

#endif
