/* How a first cluster comes about. Pure. N servers (bootstrap_expect) that see one another promise,
 * each on its disk and only once, to belong to one set of exactly N; only when all have is it
 * formed, so two sets that share a server cannot both be. Who asks is the lowest raft id of the
 * set. A server that sees another cluster never forms one: it waits to be added. */
#ifndef JOBSTORE_BOOTSTRAP_H
#define JOBSTORE_BOOTSTRAP_H

#include "base/err.h"
#include "raft/raft.h"
#include <stdbool.h>

#define BOOTSTRAP_MOST 16u /* servers of a first cluster */

/* A server as it says of itself. */
struct candidate {
    uint64_t raft_id;
    const uint8_t *server_id;  /* 16 bytes */
    const uint8_t *cluster_id; /* NULL: belongs to none */
    const char *name;
    uint32_t expect;
    bool non_voting;
};

enum bootstrap_step {
    BOOTSTRAP_WAIT, /* for others, or for the one who asks */
    BOOTSTRAP_JOIN, /* there is a cluster: wait to be added */
    BOOTSTRAP_ASK,  /* ask the set for its promise */
    BOOTSTRAP_STOP, /* something is wrong that a person must mend: *why */
};

struct bootstrap_set {
    const struct candidate *servers[BOOTSTRAP_MOST]; /* by ascending raft_id */
    size_t count;
    uint8_t cluster_id[16];
};

/* all: every server seen, ourselves at all[0]. *set is filled for ASK. *why tells what is waited
 * for, too. */
enum bootstrap_step bootstrap_decide(const struct candidate *all, size_t count,
                                     struct bootstrap_set *set, struct reason *why);
/* The id of the cluster of these servers, sorted by raft_id. */
void bootstrap_cluster_id(const struct candidate *const *servers, size_t count, uint8_t out[16]);

#endif
