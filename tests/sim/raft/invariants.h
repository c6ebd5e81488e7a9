/* What must hold after every step [3.6.3, figure 3.2], and what clients were promised. */
#ifndef SIM_RAFT_INVARIANTS_H
#define SIM_RAFT_INVARIANTS_H

#include "world.h"

/* Keeps the first failure. */
void fail(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* After a step of n: election safety, leader completeness, commits are safe, raft_check. */
void invariants_step(struct world *w, struct node *n);
/* Log matching: an index and a term name one entry and one predecessor, everywhere. */
void invariants_written(struct world *w, const struct node *n, const struct raft_ready *ready);
/* State machine safety. */
void invariants_applied(struct world *w, const struct node *n, const struct raft_entry *e);
/* At the end: all members have all that was acknowledged. */
void invariants_end(struct world *w);
struct committed *world_committed(struct world *w, uint64_t index);

#endif
