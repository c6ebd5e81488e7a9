/* One replica of the cluster's state: raft's core, its log on the disk, the state, and what keeps
 * them together: the disk thread (all that is queued in one transaction, one sync), checkpoints,
 * compaction of the log, recovery, copies of the state for others and from others.
 *
 * In the directory: raft/ (synced), state/ (not synced), checkpoint-INDEX (copies of the state,
 * synced). After the machine stopped without a clean end of ours, state/ cannot be trusted: it is
 * built again from the newest checkpoint and the log. While copies are made there are also
 * outgoing/ (for a member that is behind) and incoming/ (from the leader). */
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
    uint64_t tick_ms;     /* 0: 50 */
    uint64_t election_ms; /* a leader silent for this to twice this is replaced. 0: 500 */
    void *self;
    /* One command was applied; outcome lives until it returns. Not yet to be told: the transaction
     * may still fail and the command be applied again. */
    void (*applied)(void *self, uint64_t index, const Pb__Outcome *outcome);
    /* All applied so far is in the state. */
    void (*settled)(void *self, uint64_t index);
    /* Nobody will say what becomes of proposals from index on. ERR_NO_SPACE: they are not in the
     * log and will not be. ERR_NOT_LEADER: another leader may have them or not. */
    void (*lost)(void *self, uint64_t index, enum err e, const char *why);
    /* The read asked for with this context may be answered from the state of now. */
    void (*readable)(void *self, uint64_t context);
    /* All reads asked for and not yet readable will not be. */
    void (*reads_lost)(void *self);
    /* Role, leader, term or `leading` are not what they were. */
    void (*role_changed)(void *self);
    /* To another member; m and its entries live until it returns. May be dropped. */
    void (*send)(void *self, const struct raft_message *m);
    /* The member needs the state itself: see replica_copy. */
    void (*offer)(void *self, uint64_t peer);
    /* Cannot go on: stop the process. */
    void (*broken)(void *self, const char *why);
};

/* Opens and recovers; does not run yet. */
enum err replica_open(struct replica **out, struct loop *l, const struct replica_options *o,
                      struct reason *why);
void replica_start(struct replica *r);
/* Writes all that is queued, marks the state as whole. */
void replica_close(struct replica *r);

/* ---- identity */

const uint8_t *replica_server_id(const struct replica *r);
/* From the server's id. */
uint64_t replica_raft_id(const struct replica *r);
/* NULL: belongs to no cluster yet. */
const uint8_t *replica_cluster_id(const struct replica *r);
/* Belongs to this cluster from now on, for good, or already does. ERR_EXISTS: to another. */
enum err replica_adopt_cluster(struct replica *r, const uint8_t cluster_id[16], struct reason *why);
/* The first cluster begins with these members, one of them us; the same on each of its servers,
 * which have all adopted its id. OK also if the log has something already. ERR_BUSY: again later.
 */
enum err replica_found(struct replica *r, const struct raft_member *members, size_t count,
                       struct reason *why);
/* By hand, after the quorum was lost for good: these are the members from now on. Before
 * replica_start. ERR_INVALID: there is no cluster in the directory. */
enum err replica_recover(struct replica *r, const struct raft_member *members, size_t count,
                         struct reason *why);
/* A name kept in the directory. "" before it was set. */
void replica_name(struct replica *r, char *out, size_t size);
enum err replica_set_name(struct replica *r, const char *name, struct reason *why);

/* ---- for the shell */

/* ERR_NO_SPACE, ERR_NOT_LEADER (also while leadership is handed over), ERR_BUSY: *why says more;
 * nothing has happened then. */
enum err replica_propose(struct replica *r, const void *data, size_t len, uint64_t *index,
                         struct reason *why);
/* Asks for a read of everything that was committed before now. readable(context) follows, or
 * reads_lost. ERR_NOT_LEADER, ERR_BUSY. */
enum err replica_read(struct replica *r, uint64_t context);
void replica_step(struct replica *r, const struct raft_message *m);
enum err replica_change_members(struct replica *r, enum raft_change change, uint64_t id,
                                struct reason *why);
enum err replica_transfer(struct replica *r, uint64_t id, struct reason *why);
/* Never goes back, also over restarts. */
int64_t replica_time(struct replica *r);
struct state *replica_state(struct replica *r);

struct replica_status {
    struct raft_status raft;
    uint64_t applied_index;
    uint64_t first_log_index;
    bool leading;              /* leader, and everything of the terms before is applied */
    bool caught_up;            /* everything that the log held at the start is applied */
    uint64_t last_contact_ms;  /* since the leader was heard; 0 on the leader */
    const char *write_refused; /* "" : writes are taken */
    uint64_t log_bytes, state_bytes, fsyncs, entries, checkpoints, installs;
};
void replica_status(struct replica *r, struct replica_status *out);
/* As raft_peers; silent_ms instead of ticks. */
size_t replica_peers(struct replica *r, struct raft_peer out[RAFT_MAX_MEMBERS]);
uint64_t replica_ticks_ms(const struct replica *r, unsigned ticks);

/* ---- copies of the state */

struct replica_copy {
    uint64_t index, term; /* what it holds */
    uint64_t size;
    const char *path;
};
/* Makes a copy of the state of now beside it, or gives the one there is if somebody holds it. done
 * comes later, once; *c lives until replica_copy_release, and the log is kept from its index on.
 * c NULL: *why. */
void replica_copy(struct replica *r,
                  void (*done)(void *owner, const struct replica_copy *c, const char *why),
                  void *owner);
void replica_copy_release(struct replica *r);
void replica_copy_sent(struct replica *r, uint64_t peer, uint64_t index);
void replica_copy_failed(struct replica *r, uint64_t peer);

/* A state that came from the leader. Write to the file at this path (its directory is made empty),
 * then install it. */
enum err replica_incoming(struct replica *r, char *path, size_t size, struct reason *why);
bool replica_wants_copy(const struct replica *r, uint64_t index);
/* Checks, syncs and installs it: from then on the state is that one. done comes later, once, also
 * when it was not wanted any more (OK then). One at a time. */
void replica_install(struct replica *r, uint64_t index, uint64_t term,
                     void (*done)(void *owner, enum err e, const char *why), void *owner);

#endif
