/* What of a node is given to tasks piece by piece: cores and devices, and how much of it is. */
#ifndef NCTL_NODEPIECES_H
#define NCTL_NODEPIECES_H

#include <jansson.h>
#include <stdbool.h>

/* A section of `nctl node status`; nothing where the node has no devices and no core is given. */
void print_pieces(const json_t *node, const json_t *allocs, bool colors);

#endif
