/* Consensus as a pure core (Ongaro, "Consensus: Bridging Theory and Practice", 2014; sections are
 * cited as [n]). Events go in, effects come out; no clock, no socket, no disk: time is a tick,
 * chance comes from a seed.
 *
 * The owner's loop: put events in (tick, step, propose, ...), then take effects until there are
 * none: raft_ready        what to write, what to send at once, what to send when it is written
 *   raft_stored       it is on the disk; or raft_store_failed: it is not
 *   raft_next_committed, raft_applied      entries to apply, in order
 *   raft_next_read    reads that may be answered now
 * One write is out at a time; what comes meanwhile gathers for the next: that is the group commit.
 * Whatever promises something (a vote, an answer to an append) is in `held` and must wait for its
 * write; the leader counts its own log only when it is stored.
 *
 * Messages, roles and the progress kept per member are those of the whole protocol. This version
 * runs a single voter; raft_new refuses more. */
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
    bool voter;  /* else a learner: gets the log, does not count */
};

enum raft_message_type {
    RAFT_PRE_VOTE = 1, /* would you vote for me? [9.6] */
    RAFT_PRE_VOTE_REPLY,
    RAFT_VOTE, /* [3.4] */
    RAFT_VOTE_REPLY,
    RAFT_APPEND, /* [3.5]; without entries: a heartbeat */
    RAFT_APPEND_REPLY,
    RAFT_SNAPSHOT,    /* the log no longer reaches back: take the state beside it [5] */
    RAFT_TIMEOUT_NOW, /* campaign at once: leadership is handed over [3.10] */
};

struct raft_message {
    enum raft_message_type type;
    uint64_t from, to;
    uint64_t term;
    uint64_t index, log_term; /* VOTE: the candidate's last entry. APPEND: the one before entries.
                                 APPEND_REPLY: the last that matches. SNAPSHOT: what it holds */
    uint64_t commit;          /* APPEND */
    uint64_t hint;            /* APPEND_REPLY refused: where to try next */
    uint64_t context;         /* APPEND and its reply: the round of reads it confirms [6.4] */
    bool refused;
    bool transfer; /* VOTE: the old leader wants it, so leader stickiness does not apply */
    const struct raft_entry *entries;
    size_t entry_count;
};

struct raft_config {
    uint64_t id;
    const struct raft_member
        *members; /* as of snapshot_index or the last RAFT_MEMBERS entry applied */
    size_t member_count;
    unsigned election_ticks;  /* silence before a campaign is this to twice this; 0: 10 */
    unsigned heartbeat_ticks; /* 0: 1 */
    uint64_t seed;
    size_t max_uncommitted; /* bytes of proposals not yet committed; beyond it BUSY. 0: 64 MiB */
    /* what the disk knows */
    struct raft_hard_state hard;
    uint64_t snapshot_index, snapshot_term; /* the state on the disk holds everything up to here */
    const struct raft_entry *entries;       /* those behind it, without gaps; copied */
    size_t entry_count;
};

/* *out is untouched on error. ERR_INVALID: entries with gaps, members that do not fit. */
enum err raft_new(struct raft **out, const struct raft_config *c, struct reason *why);
void raft_free(struct raft *r);

/* ---- events */

void raft_tick(struct raft *r);
/* Begins an election now, as if the leader had been silent for long. */
void raft_campaign(struct raft *r);
/* From another member; m and its entries are copied. */
void raft_step(struct raft *r, const struct raft_message *m);
/* Copies data. ERR_NOT_LEADER, ERR_BUSY. It is committed when raft_next_committed gives the entry
 * of *index with the term of now; if that index comes with another term, it was lost. */
enum err raft_propose(struct raft *r, const void *data, size_t len, uint64_t *index);
/* The state at the commit index of now may be read once raft_next_read gives context.
 * ERR_NOT_LEADER; ERR_BUSY: nothing of this term is committed yet. */
enum err raft_read_index(struct raft *r, uint64_t context);

/* ---- effects */

struct raft_ready {
    bool must_store; /* else there is nothing to write, and raft_stored must not be called */
    bool hard_changed;
    struct raft_hard_state hard;
    const struct raft_entry
        *entries; /* to write; those on the disk from entries[0].index on are gone */
    size_t entry_count;
    const struct raft_message *messages; /* to send now */
    size_t message_count;
    const struct raft_message *held; /* to send when it is written */
    size_t held_count;
};
/* False: nothing to do, or a write is out; *out is untouched then. What *out points to stays until
 * raft_stored or raft_store_failed, or, if must_store is false, until the next call on r. */
bool raft_ready(struct raft *r, struct raft_ready *out);
void raft_stored(struct raft *r);
/* The write of the last ready did not happen and will not: its entries are forgotten, and all
 * behind them. Nobody was told of them: a leader of others steps down, one alone goes on. A lost
 * hard state is asked for again. */
void raft_store_failed(struct raft *r);

/* The next entry to apply: committed and stored. Only after the one before was given to
 * raft_applied or may be applied with it. */
bool raft_next_committed(struct raft *r, struct raft_entry *out);
/* Applied durably enough never to be asked for again: entries up to index may be forgotten. */
void raft_applied(struct raft *r, uint64_t index);
bool raft_next_read(struct raft *r, uint64_t *context, uint64_t *index);

/* ---- questions */

struct raft_status {
    uint64_t id, leader; /* 0: not known */
    enum raft_role role;
    uint64_t term, commit, given, stored, first, last; /* first: of what is in memory */
    size_t uncommitted;
};
void raft_status(const struct raft *r, struct raft_status *out);
/* Aborts if an invariant is broken. */
void raft_check(const struct raft *r);

#endif
