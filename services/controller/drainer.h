/* The shell around drain: while nodes are being drained it looks at them in rounds, asks jobstore
 * for what a round needs, one question at a time, and proposes what the round finds. */
#ifndef CONTROLLER_DRAINER_H
#define CONTROLLER_DRAINER_H

#include "loop/loop.h"
#include "net/net.h"
#include "types.pb-c.h"

struct drainer;

struct drainer *drainer_new(struct loop *l, struct client *jobstore); /* both borrowed */
void drainer_free(struct drainer *d); /* NULL is accepted; what it asked is given up */

/* ---- the feed */
void drainer_reset(struct drainer *d);
void drainer_put_node(struct drainer *d, const Pb__Node *node);
void drainer_drop_node(struct drainer *d, const uint8_t id[16]);
/* The nodes are all known: begin, if there is something to do. */
void drainer_synced(struct drainer *d);

size_t drainer_count(const struct drainer *d); /* nodes being drained */

#endif
