/* What the files of the core share. raft.c: life, time, messages; election.c: roles and votes;
 * append.c: the follower's side of the log; progress.c: the leader's; store.c: proposing, storing,
 * applying; members.c: who counts; read.c: reads; snapshot.c: what is no longer in memory. */
#ifndef RAFT_CORE_H
#define RAFT_CORE_H

#include "base/prng.h"
#include "raft/log.h"
#include "raft/mutants.h"
#include "raft/raft.h"

/* Beyond any that elections can reach: keeps term + 1 from wrapping. */
#define MAX_TERM (UINT64_MAX / 4)

/* What is known of each member, oneself included [3.5]. Our own match is log.stored. */
struct progress {
    struct raft_member member;
    uint64_t match; /* known to be in its log, stored */
    uint64_t next;  /* the next to send; above match */
    enum raft_flow flow;
    bool granted;          /* its vote of this campaign */
    bool probed;           /* PROBE: one is out, until its answer or the next heartbeat */
    bool stepped_back;     /* since the last heartbeat */
    bool active;           /* heard since the last look at the quorum [6.2] */
    bool heard;            /* in this term */
    bool heartbeat_due;    /* send something, be it empty */
    unsigned silent_ticks; /* since it was heard */
    uint64_t commit_sent;
    uint64_t sent, sent_term; /* the last entry that was sent: its term may leave our memory */
    uint64_t round;           /* the newest round of reads it confirmed */
    /* last index of each append that is out, a ring of max_inflight */
    uint64_t *inflight;
    size_t inflight_begin, inflight_count;
    /* entries that only the disk has */
    bool load_asked;
    uint64_t load_after, load_term;
    struct raft_entry *loaded;
    size_t loaded_count;
    bool snapshot_due; /* tell the owner to stream */
};

/* The members as of one entry. */
struct members {
    uint64_t index;
    size_t count;
    struct raft_member list[RAFT_MAX_MEMBERS]; /* by ascending id */
};

struct read {
    uint64_t context, index, round;
};

struct messages {
    struct raft_message *list;
    size_t count, room;
};

struct raft {
    struct raft_config config;
    struct prng chance;
    struct raft_log log;
    struct raft_hard_state hard;
    bool hard_dirty, reset_log;
    enum raft_role role;
    uint64_t leader;
    uint64_t commit;
    uint64_t given;          /* handed out to be applied */
    struct members *configs; /* [0]: settled; behind it those that may still be cut off */
    size_t config_count, config_room;
    struct progress *members; /* of the newest of configs */
    size_t member_count;
    unsigned elapsed, timeout, heartbeat_elapsed;
    uint64_t transferee;
    unsigned transfer_elapsed;
    size_t uncommitted, unapplied; /* bytes of data; of entries committed and not applied */
    /* reads[read_begin..]: asked; up to read_confirmed they may be answered */
    struct read *reads;
    size_t read_begin, read_count, read_room;
    uint64_t round, round_confirmed; /* of heartbeats */
    bool round_wanted;
    /* now: promise nothing; later: wait for what is not yet stored; sending: lent to the owner */
    struct messages now, later, sending, held;
    /* the write that is out */
    bool write_out, write_has_vote, write_hard, write_reset;
    uint64_t write_last, write_last_term;
    struct raft_entry *write_entries;
};

/* ---- raft.c */
/* Fills in from and, where it is 0, the term. Dropped when too many wait. */
void send_now(struct raft *r, struct raft_message m);
void send_later(struct raft *r, struct raft_message m);
void messages_add(struct messages *list, const struct raft_message *m);

/* ---- store.c */
bool hard_is_stored(const struct raft *r);
void cut_log(struct raft *r, uint64_t index);
void recount_bytes(struct raft *r);
void raise_commit(struct raft *r, uint64_t index);

/* ---- election.c */
void reset_timeout(struct raft *r);
/* leader 0: not known. */
void become_follower(struct raft *r, uint64_t term, uint64_t leader);
void campaign(struct raft *r, bool transfer);
void count_votes(struct raft *r);
bool leader_is_fresh(const struct raft *r);
void on_vote_request(struct raft *r, const struct raft_message *m);
void on_vote_reply(struct raft *r, const struct raft_message *m);
void on_timeout_now(struct raft *r, const struct raft_message *m);

/* ---- append.c */
void on_append(struct raft *r, const struct raft_message *m);
void reply_append(struct raft *r, uint64_t to, uint64_t matched, uint64_t context, bool heartbeat);

/* ---- progress.c */
void progress_begin(struct raft *r); /* of a new leader */
void progress_reset(const struct raft *r, struct progress *p);
void progress_fini(struct progress *p);
void heartbeat_all(struct raft *r);
void on_append_reply(struct raft *r, const struct raft_message *m);
/* Fills r->sending with what the leader has for the others. */
void send_appends(struct raft *r);
bool may_send(const struct raft *r, const struct progress *p);
void advance_commit(struct raft *r);

/* ---- members.c */
struct progress *member_of(const struct raft *r, uint64_t id);
bool is_voter(const struct raft *r);
/* Voter of the newest members, or of those before it that may come back [4.2.2]. */
bool may_campaign(const struct raft *r);
size_t quorum(const struct raft *r);
/* The highest value that a majority of voters has reached. */
uint64_t quorum_value(const struct raft *r,
                      uint64_t (*value)(const struct raft *, const struct progress *));
bool members_valid(const struct raft_member *list, size_t count, struct reason *why);
void members_begin(struct raft *r, uint64_t index, const struct raft_member *list, size_t count);
/* An entry came into the log, entries from index on left it, or more is settled. */
void members_appended(struct raft *r, const struct raft_entry *e);
void members_cut(struct raft *r, uint64_t index);
void members_settle(struct raft *r);
void members_check(const struct raft *r);

/* ---- read.c */
void reads_clear(struct raft *r);
void reads_begin_round(struct raft *r); /* if one is wanted and none is out */
void reads_force_round(struct raft *r); /* if one is wanted */
void reads_confirm(struct raft *r);

/* ---- snapshot.c */
/* True: the entries behind p->next - 1 lie in p->loaded. */
bool load_ready(struct raft *r, struct progress *p);
void load_forget(struct progress *p);

#endif
