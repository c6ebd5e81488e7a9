/* The way to the other servers of the region: whom raft ids belong to, one queue and one connection
 * to each for raft's messages, and the door for theirs. Raft repeats itself, so what does not fit
 * into a queue is dropped.
 *
 * One batch is out to each at a time; what comes meanwhile gathers for the next: messages stay in
 * order, and a slow server gets fewer, larger batches. */
#ifndef JOBSTORE_TRANSPORT_H
#define JOBSTORE_TRANSPORT_H

#include "net/net.h"
#include "raft.pb-c.h"
#include "raft/raft.h"

struct transport;

struct transport_options {
    const char *listen;
    const char *address; /* where others reach us */
    uint64_t raft_id;    /* ours */
    void *self;
    /* NULL: none yet. */
    const uint8_t *(*cluster_id)(void *self);
    /* Messages of this cluster came and we belong to none: false, and why, if we will not. */
    bool (*join)(void *self, const uint8_t cluster_id[16], struct reason *why);
    void (*message)(void *self, const struct raft_message *m); /* lives until it returns */
    /* They own req, as in net.h. */
    void (*snapshot)(void *self, struct request *req);
    void (*who)(void *self, struct request *req);
    void (*form)(void *self, struct request *req);
};

enum err transport_open(struct transport **out, struct loop *l, const struct transport_options *o,
                        struct reason *why);
void transport_close(struct transport *p);

/* Where raft_id is. A newer word replaces an older; our own is ignored. */
void transport_learn(struct transport *p, uint64_t raft_id, const char *address);
void transport_forget(struct transport *p, uint64_t raft_id);
/* NULL: not known. Our own too. */
const char *transport_address(const struct transport *p, uint64_t raft_id);

/* Copies m. Dropped if the receiver is unknown, out of reach, or its queue is full. */
void transport_send(struct transport *p, const struct raft_message *m);
struct transport_counts {
    uint64_t sent, dropped, batches, received, refused;
};
void transport_counts(const struct transport *p, struct transport_counts *out);

#endif
