/* Where a connection to a port of an allocation goes. Only what is the allocation's is reached: its
 * labels, the numbers behind them, and in a network of its own every port. Pure. */
#ifndef NODEAGENT_FORWARD_TARGET_H
#define NODEAGENT_FORWARD_TARGET_H

#include "base/err.h"
#include "types.pb-c.h"

struct forward_target {
    const char *addresses[2]; /* to be tried one after the other; NULL: none */
    char port[12];
};

/* network: the allocation's own; NULL: it uses the node's, whose address is given. wanted: a label
 * or a number. out borrows from all of them. */
enum err forward_target_find(const Pb__Alloc *alloc, const Pb__NetworkStatus *network,
                             const char *node_address, const char *wanted,
                             struct forward_target *out, struct reason *why);

#endif
