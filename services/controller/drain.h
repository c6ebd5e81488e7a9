/* Which nodes are being drained, and what a drain may go on with: pure.
 *
 * A round looks once at all draining nodes: it is given their allocations, then the jobs that these
 * are of, and says which allocations move now and which nodes are done. Of a service's group no
 * more move at once than migrate.max_parallel allows: its allocations that are healthy and stay are
 * never fewer than count less max_parallel. Healthy is what its deployment has found to be so, and
 * where none has, what has been running for min_healthy_time. Batch jobs may end by themselves
 * until the deadline; system jobs go last, or not at all where the drain ignores them. Behind the
 * deadline all goes at once.
 *
 * A round keeps nothing: the marks are in the allocations, so that any controller goes on. */
#ifndef CONTROLLER_DRAIN_H
#define CONTROLLER_DRAIN_H

#include "base/arena.h"
#include "command.pb-c.h"
#include "jobstore.pb-c.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct drain;

struct drain *drain_new(void);
void drain_free(struct drain *d);

/* ---- the feed. True: something is to be done now. */
bool drain_put_node(struct drain *d, const Pb__Node *node);
void drain_drop_node(struct drain *d, const uint8_t id[16]);
void drain_reset(struct drain *d);
size_t drain_count(const struct drain *d); /* nodes being drained */

/* ---- a round. Lives in a. At most so many nodes are looked at; the others come in a later round,
 * when some of these are done. */
#define DRAIN_NODES_AT_ONCE 256

struct drain_round;
struct drain_round *drain_round_new(const struct drain *d, struct arena *a, int64_t now_ns);
/* The id of the node whose allocations are wanted next; NULL: of all they are known. */
const uint8_t *drain_round_next_node(struct drain_round *r);
void drain_round_alloc(struct drain_round *r, const Pb__Alloc *alloc);
/* The job that is wanted next; NULL: all are known. */
const Pb__JobKey *drain_round_next_job(struct drain_round *r);
void drain_round_job(struct drain_round *r, const Pb__JobView *view);
/* When all were given. NULL: nothing is to be done. Lives in the round's arena. */
Pb__DrainStep *drain_round_finish(struct drain_round *r);

#endif
