/* Consensus as a pure core (Ongaro, "Consensus: Bridging Theory and Practice", 2014; sections are
 * cited as [n]). Events go in, effects come out; no clock, no socket, no disk: time is a tick,
 * chance comes from a seed.
 *
 * The owner's loop: put events in (tick, step, propose, ...), then take effects until there are
 * none:
 *   raft_ready          what to write, what to send at once, what to send when it is written
 *     raft_stored       it is on the disk; or raft_store_failed: it is not
 *   raft_next_committed, raft_applied      entries to apply, in order
 *   raft_next_read      reads that may be answered now
 *   raft_next_load      entries that a slow member lacks and only the disk still has
 * One write is out at a time; what comes meanwhile gathers for the next: that is the group commit.
 * raft_ready is called also while a write is out: a leader sends without waiting for its own disk.
 * Whatever promises something (a vote, an answer to an append) is in `held` and must wait for its
 * write; the leader counts its own log only when it is stored.
 *
 * Members change one at a time [4.1]; a new one comes as a learner and is made a voter when it has
 * caught up. A server without members (a new one, before somebody adds it) only listens. A member
 * whose needs are no longer in anybody's log gets the state itself: see RAFT_SNAPSHOT. */
#ifndef RAFT_RAFT_H
#define RAFT_RAFT_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct raft;

enum raft_role { RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

enum raft_kind {
    RAFT_NOOP = 1,    /* a new leader's first entry, so that it may commit what came before [6.4] */
    RAFT_COMMAND = 2, /* the owner's bytes */
    RAFT_MEMBERS = 3, /* a new set of members [4.1] */
};

struct raft_entry {
    uint64_t index, term;
    enum raft_kind kind;
    const uint8_t *data; /* the core's, as long as the entry is in its memory */
    size_t len;
};

/* What must be on the disk before anything is promised. */
struct raft_hard_state {
    uint64_t term;
    uint64_t vote; /* member voted for in term; 0: none */
};

struct raft_member {
    uint64_t id; /* not 0 */
    bool voter;  /* else a learner: gets the log, does not count [4.2.1] */
};

#define RAFT_MAX_MEMBERS 32

enum raft_message_type {
    RAFT_PRE_VOTE = 1, /* would you vote for me? [9.6] */
    RAFT_PRE_VOTE_REPLY,
    RAFT_VOTE, /* [3.4] */
    RAFT_VOTE_REPLY,
    RAFT_APPEND, /* [3.5]; without entries: a heartbeat */
    RAFT_APPEND_REPLY,
    RAFT_SNAPSHOT,    /* the log no longer reaches back: take the state beside it [5]. The owner of
                         the sender begins to stream its newest applied state to `to`, and tells
                         the end by raft_snapshot_done or _failed. To step it into the receiver is
                         allowed and only says that the leader lives */
    RAFT_TIMEOUT_NOW, /* campaign at once: leadership is handed over [3.10] */
};

struct raft_message {
    enum raft_message_type type;
    uint64_t from, to;
    uint64_t term;
    uint64_t index, log_term; /* VOTE: the candidate's last entry. APPEND: the one before entries.
                                 APPEND_REPLY: the last that matches and is stored; refused: the
                                 index of the APPEND, and log_term goes with hint. SNAPSHOT: what
                                 was applied when it was offered; the stream may hold more */
    uint64_t commit;          /* APPEND */
    uint64_t hint;            /* APPEND_REPLY refused: the last that may match */
    uint64_t context;         /* APPEND and its reply: the round of reads it confirms [6.4] */
    bool refused;
    bool transfer; /* VOTE: the old leader wants it, so leader stickiness does not apply */
    const struct raft_entry *entries;
    size_t entry_count;
};

struct raft_config {
    uint64_t id;
    /* As of snapshot_index: the last RAFT_MEMBERS entry applied, or what the first cluster began
     * with, equal on each of its servers. None: a server that waits to be added. */
    const struct raft_member *members;
    size_t member_count;      /* at most RAFT_MAX_MEMBERS */
    unsigned election_ticks;  /* silence before a campaign is this to twice this; 0: 10 */
    unsigned heartbeat_ticks; /* 0: 1 */
    uint64_t seed;
    size_t max_uncommitted; /* bytes of proposals not yet committed; beyond it BUSY. 0: 64 MiB */
    size_t max_unapplied;   /* bytes that a follower takes before its owner applies. 0: 256 MiB */
    size_t max_reads;       /* waiting for their round. 0: 65536 */
    /* To each member at most max_inflight appends are out unanswered, each of at most so many
     * entries and bytes (one entry always goes). 0: 64, 1024, 1 MiB */
    size_t max_inflight, max_message_entries, max_message_bytes;
    size_t keep_bytes; /* of applied entries kept in memory for slow members. 0: 16 MiB */
    /* what the disk knows */
    struct raft_hard_state hard;
    uint64_t snapshot_index, snapshot_term; /* the state on the disk holds everything up to here */
    /* The disk's log without gaps, from snapshot_index on, or from behind it where it does not
     * reach back, or its last entry where it ends before; copied. If its entry of snapshot_index
     * is missing so or has another term, a crash came between the installing of a snapshot and
     * the reset of the log: all of it is dropped. */
    const struct raft_entry *entries;
    size_t entry_count;
};

/* *out is untouched on error. ERR_INVALID: entries with gaps, members that do not fit. */
enum err raft_new(struct raft **out, const struct raft_config *c, struct reason *why);
void raft_free(struct raft *r);

/* ---- events */

void raft_tick(struct raft *r);
/* Begins an election now, as if the leader had been silent for long. Members that hear a leader
 * refuse. */
void raft_campaign(struct raft *r);
/* From another member; m and its entries are copied. */
void raft_step(struct raft *r, const struct raft_message *m);
/* Copies data. ERR_NOT_LEADER, ERR_BUSY (also while leadership is handed over). It is committed
 * when raft_next_committed gives the entry of *index with the term of now; if that index comes with
 * another term, it was lost. */
enum err raft_propose(struct raft *r, const void *data, size_t len, uint64_t *index);
/* The state at the commit index of now may be read once raft_next_read gives context: a quorum has
 * then confirmed that we led when it was asked [6.4]. Reads are lost without a word when
 * leadership is. ERR_NOT_LEADER; ERR_BUSY: nothing of this term is committed yet, or too many. */
enum err raft_read_index(struct raft *r, uint64_t context);

enum raft_change { RAFT_SET_VOTER, RAFT_SET_LEARNER, RAFT_REMOVE }; /* SET adds or changes */
/* Proposes to change one member; it takes effect at once and is agreed when the RAFT_MEMBERS entry
 * of *index is committed. ERR_NOT_LEADER; ERR_BUSY: another change is not yet committed, or
 * nothing of this term is; ERR_EXISTS, ERR_NOT_FOUND: nothing to change; ERR_INVALID: no voter
 * would be left, or too many members. A leader that removes itself leads until it is committed. */
enum err raft_change_members(struct raft *r, enum raft_change change, uint64_t id, uint64_t *index,
                             struct reason *why);
/* Hands leadership to a voter [3.10]: proposals are refused until it is done, or given up after an
 * election timeout. ERR_NOT_LEADER, ERR_NOT_FOUND, ERR_INVALID: a learner; ERR_BUSY: handing over
 * to another. To oneself: OK, nothing happens. */
enum err raft_transfer(struct raft *r, uint64_t id, struct reason *why);

/* The receiver: the state on our disk now holds everything up to index, with these members, for
 * good (also what a rebuild would begin with). Not while a write is out; entries given before and
 * not applied are void. False: what we have is newer, nothing changed. The next raft_ready resets
 * the log on the disk if it does not go on from index. */
bool raft_snapshot_installed(struct raft *r, uint64_t index, uint64_t term,
                             const struct raft_member *members, size_t count);
/* Would raft_snapshot_installed take it? Ask before, to save the work. */
bool raft_snapshot_wanted(const struct raft *r, uint64_t index);
/* The sender: the stream that RAFT_SNAPSHOT asked for ended. Harmless if it is no longer leader. */
void raft_snapshot_done(struct raft *r, uint64_t peer, uint64_t index);
void raft_snapshot_failed(struct raft *r, uint64_t peer); /* it will be offered again */

/* ---- effects */

struct raft_ready {
    bool must_store; /* else there is nothing to write, and raft_stored must not be called */
    bool hard_changed;
    bool reset_log; /* first remove every entry that is on the disk, in the same transaction */
    struct raft_hard_state hard;
    const struct raft_entry
        *entries; /* to write; those on the disk from entries[0].index on are gone */
    size_t entry_count;
    const struct raft_message *messages; /* to send now */
    size_t message_count;
    const struct raft_message *held; /* to send when it is written; without entries */
    size_t held_count;
};
/* False: nothing to do; *out is untouched then. While a write is out it gives only messages, with
 * must_store false. entries and held stay until raft_stored or raft_store_failed; messages and
 * what they point to only until the next call on r, so send (or copy) them first. */
bool raft_ready(struct raft *r, struct raft_ready *out);
void raft_stored(struct raft *r);
/* The write of the last ready did not happen and will not: its entries are forgotten, and all
 * behind them. Nobody was told of them: a leader of others steps down, one alone goes on. A lost
 * hard state is asked for again. */
void raft_store_failed(struct raft *r);

/* The next entry to apply: committed and stored. Only after the one before was given to
 * raft_applied or may be applied with it. Its data stays until raft_applied covers it. */
bool raft_next_committed(struct raft *r, struct raft_entry *out);
/* Applied durably enough never to be asked for again: entries up to index may be forgotten. */
void raft_applied(struct raft *r, uint64_t index);
bool raft_next_read(struct raft *r, uint64_t *context, uint64_t *index);

/* A member needs entries that are no longer in memory: the owner reads them from its log on the
 * disk and answers with raft_loaded or raft_load_failed, now or later. */
struct raft_load {
    uint64_t peer;
    uint64_t after;                /* wanted: the term of this entry, and those behind it */
    size_t max_entries, max_bytes; /* more is too much; one entry always goes */
};
bool raft_next_load(struct raft *r, struct raft_load *out);
/* Entries from after + 1 on, without gaps, at least one; copied. after_term: of entry `after` (0
 * if after is 0). Harmless if it is no longer wanted. */
void raft_loaded(struct raft *r, uint64_t peer, uint64_t after, uint64_t after_term,
                 const struct raft_entry *entries, size_t count);
/* The log does not reach back that far: the member will be offered a snapshot. */
void raft_load_failed(struct raft *r, uint64_t peer);

/* ---- questions */

struct raft_status {
    uint64_t id, leader; /* 0: not known */
    enum raft_role role;
    uint64_t term, commit, given, stored, first, last; /* first: of what is in memory */
    uint64_t applied;
    uint64_t transferee;    /* leadership is being handed to; 0: no */
    uint64_t members_index; /* the entry that made the members of now; 0: the first ones */
    bool members_committed;
    bool voter;         /* of the members of now */
    bool log_reset_due; /* the disk's log is of before a snapshot: do not compact it */
    size_t uncommitted;
};
void raft_status(const struct raft *r, struct raft_status *out);

enum raft_flow { RAFT_PROBE, RAFT_REPLICATE, RAFT_SNAPSHOT_SENT };

struct raft_peer {
    uint64_t id;
    bool voter;
    /* the rest is known to a leader only; for itself match is what it has stored */
    enum raft_flow flow;
    uint64_t match, next;
    unsigned silent_ticks; /* since it was last heard in this term; from the beginning of it */
    bool heard;            /* ever, in this term */
};
/* The members of now, one oneself among them, by ascending id; how many. */
size_t raft_peers(const struct raft *r, struct raft_peer out[RAFT_MAX_MEMBERS]);

/* The bytes of a RAFT_MEMBERS entry. The owner keeps the last one it applied with its state, as
 * raft_new and snapshots need it. False: damaged. */
bool raft_members_decode(const void *data, size_t len, struct raft_member out[RAFT_MAX_MEMBERS],
                         size_t *count);
#define RAFT_MEMBERS_SIZE (RAFT_MAX_MEMBERS * 9)
/* Returns the length. For recovery by hand: such an entry, of a term of its own behind the last,
 * written to the log of a stopped server, makes these the members. */
size_t raft_members_encode(const struct raft_member *members, size_t count,
                           uint8_t out[RAFT_MEMBERS_SIZE]);
/* Aborts if an invariant is broken. */
void raft_check(const struct raft *r);

#endif
