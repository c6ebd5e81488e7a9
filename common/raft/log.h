/* The part of the log that is in memory: what is not yet applied, and behind it as much of what was
 * as slow members may want. The bytes of entries lie in blocks, in the order of the log, so that
 * an entry costs no allocation of its own. */
#ifndef RAFT_LOG_H
#define RAFT_LOG_H

#include "raft/raft.h"

struct log_block;

struct raft_log {
    struct raft_entry *entries; /* entries[begin] has index base + 1 */
    size_t begin, count, room;
    uint64_t base, base_term;    /* the entry before the first */
    uint64_t stored;             /* on our disk up to here */
    uint64_t applied;            /* never asked for again by us */
    size_t bytes, applied_bytes; /* of all entries in memory; of those applied */
    struct log_block **blocks;   /* blocks[block_begin] has the oldest bytes */
    size_t block_begin, block_count, block_room;
    struct log_block **graveyard; /* cut off while a write of them was out */
    size_t graveyard_count;
};

void log_begin(struct raft_log *l, uint64_t base, uint64_t base_term);
void log_fini(struct raft_log *l);
uint64_t log_last(const struct raft_log *l);
uint64_t log_last_term(const struct raft_log *l);
/* 0: not in memory, or index 0. */
uint64_t log_term(const struct raft_log *l, uint64_t index);
bool log_knows_term(const struct raft_log *l, uint64_t index);
const struct raft_entry *log_at(const struct raft_log *l, uint64_t index);
/* How many entries from index on, of at most `most` and max_bytes; one at least if there is one.
 * They lie side by side from log_at(index). */
size_t log_slice(const struct raft_log *l, uint64_t index, size_t most, size_t max_bytes);
/* Copies data. */
void log_append(struct raft_log *l, uint64_t term, enum raft_kind kind, const void *data,
                size_t len);
/* Forgets entries from index on. */
void log_truncate(struct raft_log *l, uint64_t index, bool write_is_out);
/* Entries up to index are applied: the oldest of them are forgotten beyond keep bytes. Returns what
 * those that were not applied before take. */
size_t log_set_applied(struct raft_log *l, uint64_t index, size_t keep);
/* What an entry takes in memory. */
size_t entry_cost(const struct raft_entry *e);
void log_bury(struct raft_log *l); /* the write is no longer out */

#endif
