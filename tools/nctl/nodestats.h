/* What a node and its allocations use now, for `nctl node status`. */
#ifndef NCTL_NODESTATS_H
#define NCTL_NODESTATS_H

#include "client.h"

/* stats: the answer of /v1/client/stats, or not an object: then nothing is printed. */
void print_utilization(struct client *c, const json_t *node, const json_t *allocs,
                       const json_t *stats);
void print_host_stats(const json_t *stats, bool colors); /* -stats: by core and disk */

#endif
