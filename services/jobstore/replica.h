/* One replica of the cluster's state: raft's core, its log on the disk, the state, and what keeps
 * them together: the disk thread (all that is queued in one transaction, one sync), checkpoints,
 * compaction of the log, recovery.
 *
 * In the directory: raft/ (synced), state/ (not synced), checkpoint-INDEX (copies of the state,
 * synced). After the machine stopped without a clean end of ours, state/ cannot be trusted: it is
 * built again from the newest checkpoint and the log. */
#ifndef JOBSTORE_REPLICA_H
#define JOBSTORE_REPLICA_H

#include "command.pb-c.h"
#include "loop/loop.h"
#include "raft/raft.h"
#include "state/state.h"

struct replica;

struct replica_options {
    const char *dir;       /* exists, and is ours alone */
    uint64_t map_bytes;    /* of each environment */
    uint64_t log_bytes;    /* of log beyond which a checkpoint is made and the log cut */
    uint64_t disk_reserve; /* bytes that stay free: below, writes are refused */
    uint64_t changes_kept, outcomes_kept;
    void *self;
    /* One command was applied; outcome lives until it returns. Not yet to be told: the transaction
     * may still fail and the command be applied again. */
    void (*applied)(void *self, uint64_t index, const Pb__Outcome *outcome);
    /* All applied so far is in the state. */
    void (*settled)(void *self, uint64_t index);
    /* Proposals from index on are not in the log and will not be. */
    void (*lost)(void *self, uint64_t index, const char *why);
    /* Cannot go on: stop the process. */
    void (*broken)(void *self, const char *why);
};

/* Opens and recovers; does not run yet. */
enum err replica_open(struct replica **out, struct loop *l, const struct replica_options *o,
                      struct reason *why);
void replica_start(struct replica *r);
/* Writes all that is queued, marks the state as whole. */
void replica_close(struct replica *r);

/* ERR_NO_SPACE, ERR_NOT_LEADER, ERR_BUSY: *why says more; nothing has happened then. */
enum err replica_propose(struct replica *r, const void *data, size_t len, uint64_t *index,
                         struct reason *why);
/* Never goes back, also over restarts. */
int64_t replica_time(struct replica *r);
struct state *replica_state(struct replica *r);

struct replica_status {
    struct raft_status raft;
    uint64_t applied_index;
    uint64_t first_log_index;
    bool caught_up; /* everything that the log held at the start is applied */
    uint8_t cluster_id[16];
    const char *write_refused; /* "" : writes are taken */
    uint64_t log_bytes, state_bytes, fsyncs, entries, checkpoints;
};
void replica_status(struct replica *r, struct replica_status *out);

#endif
