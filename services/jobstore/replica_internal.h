/* Shared by replica's files: replica.c the loop around raft's core, replica_disk.c room and
 * checkpoints, replica_copy.c states to and from others, replica_life.c opening and identity. */
#ifndef JOBSTORE_REPLICA_INTERNAL_H
#define JOBSTORE_REPLICA_INTERNAL_H

#include "base/fault.h"
#include "base/id.h"
#include "base/log.h"
#include "apply.h"
#include "logstore.h"
#include "recovery.h"
#include "replica.h"
#include "wire/wire.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct write_job {
    struct worker_job job;
    struct replica *replica;
    struct raft_ready ready;
    struct log_write log;
    enum err result;
    struct reason why;
};

/* A checkpoint, then the cutting of the log in slices between writes. */
struct checkpoint_job {
    struct worker_job job;
    struct replica *replica;
    uint64_t index, cut; /* what it holds at least; how far the log goes */
    uint64_t bytes;      /* of the log when it began */
    bool left;
    enum err result;
    struct reason why;
};

/* A copy for members that are behind. */
struct copy_job {
    struct worker_job job;
    struct replica *replica;
    struct replica_copy copy;
    char path[PATH_MAX];
    enum err result;
    struct reason why;
};
struct copy_waiter {
    struct link link;
    void (*done)(void *owner, const struct replica_copy *c, const char *why);
    void *owner;
};

/* A copy from the leader, or a saved state. */
struct install_job {
    struct worker_job job;
    struct replica *replica;
    uint64_t index, term;   /* raft's */
    uint64_t offset;        /* restore: of the state of now */
    const Pb__Command *end; /* restore: the command; in restore_arena */
    uint8_t members[RAFT_MEMBERS_SIZE];
    size_t members_len;
    enum err result;
    struct reason why;
    void (*done)(void *owner, enum err e, const char *why);
    void *owner;
};

struct pending_read {
    uint64_t context, index;
};

struct replica {
    struct loop *loop;
    struct replica_options options;
    char dir[PATH_MAX];
    struct logstore *log;
    struct state *state;
    struct state_options state_options;
    struct raft *raft;
    struct worker *disk, *copier;
    struct write_job write;
    struct checkpoint_job checkpoint;
    struct copy_job copy;
    struct install_job install;
    struct link copy_waiters;
    size_t copy_holders;
    bool copy_out, copy_made;
    bool restoring; /* a saved state becomes the state: nothing is applied meanwhile */
    bool install_out, install_ready; /* its file is whole; the swap waits for a quiet moment */
    bool write_out, checkpoint_out, running, broken;
    struct timer tick, look, retry, readers;
    struct step step;
    bool retrying; /* a write found no room: wait before the next */
    /* given by raft, not yet applied; their bytes are raft's */
    struct raft_entry *given;
    size_t given_count, given_room;
    struct pending_read *reads; /* confirmed, but the state is not there yet */
    size_t read_count, read_room;
    struct arena *arena; /* of the command in hand */
    struct arena *restore_arena;
    struct timer copy_timer;
    uint64_t applied, applied_term, last_at_start;
    bool rebuilt; /* the state at the start may be older than what was seen */
    int64_t last_time;
    char refused[192];
    bool told_refused; /* in the log, and not yet taken back */
    uint8_t server_id[ID_SIZE], cluster_id[ID_SIZE];
    bool has_cluster;
    uint64_t raft_id;
    /* what the shell was last told */
    uint64_t told_term, told_leader;
    enum raft_role told_role;
    bool told_leading;
    uint64_t looked_ms;
    uint64_t heard_ms; /* when the leader was last heard */
    uint64_t log_first, log_bytes, checkpoint_due, trailing, checkpoint_before;
    uint64_t fsyncs, entries, checkpoints, installs;
};

void replica_mark(struct replica *r);
void replica_break(struct replica *r, const char *what, const struct reason *why);
/* Room on the disk. */
void replica_look(void *owner);           /* and again, and again */
void replica_look_now(struct replica *r); /* at most once a millisecond */
bool replica_has_room(struct replica *r, uint64_t more, char *out, size_t size);
/* A write has succeeded. */
void replica_wrote(struct replica *r);
void replica_wait_for_room(struct replica *r, const char *what);
void replica_checkpoint_maybe(struct replica *r);
/* The swap, if it waits and nothing is under way. */
void replica_install_maybe(struct replica *r);
/* Raft's core from the disk: the log behind the state, and the state's members. */
enum err replica_open_raft(struct replica *r, struct reason *why);
/* The end of a saved state's way in: it becomes the state at this entry, the first of the given
 * ones. Nothing is applied until replica_restored. */
void replica_restore_begin(struct replica *r, const struct raft_entry *end);
void replica_restored(struct replica *r);

#endif
