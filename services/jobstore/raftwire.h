/* Raft's messages as they go between servers: one encoder, one decoder, both pure. What the decoder
 * lets through is well formed and bounded; whether it makes sense raft's core decides. */
#ifndef JOBSTORE_RAFTWIRE_H
#define JOBSTORE_RAFTWIRE_H

#include "base/arena.h"
#include "raft.pb-c.h"
#include "raft/raft.h"

#define RAFTWIRE_MOST_MESSAGES 4096u /* in one batch */
#define RAFTWIRE_MOST_ENTRIES  65536u

/* A copy of m in a; cannot fail. */
Pb__RaftMessage *raftwire_encode(struct arena *a, const struct raft_message *m);
/* What m takes when packed, about. */
size_t raftwire_size(const struct raft_message *m);
/* The messages of a batch; they live in a and point into batch. ERR_INVALID: *why says what is
 * wrong with them. */
enum err raftwire_decode(struct arena *a, const Pb__RaftMessages *batch, struct raft_message **out,
                         size_t *count, struct reason *why);

#endif
