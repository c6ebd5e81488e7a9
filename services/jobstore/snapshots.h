/* States between servers: to those that are behind, in pieces, one at a time to each; and from the
 * leader, into a file that is checked as a whole before it is installed. What was cut short begins
 * again. Neither side holds more of it in memory than one piece. */
#ifndef JOBSTORE_SNAPSHOTS_H
#define JOBSTORE_SNAPSHOTS_H

#include "replica.h"
#include "transport.h"

struct snapshots;

void snapshots_open(struct snapshots **out, struct loop *l, struct replica *r, struct transport *t);
void snapshots_close(struct snapshots *s);
/* Begins to send the state to peer, unless that is under way. */
void snapshots_offer(struct snapshots *s, uint64_t peer);
/* A piece from the leader. Takes req. */
void snapshots_take(struct snapshots *s, struct request *req);

struct snapshots_counts {
    uint64_t sent, received, refused, bytes_sent;
};
void snapshots_counts(const struct snapshots *s, struct snapshots_counts *out);

#endif
