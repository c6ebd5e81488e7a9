/* The part of the log that is in memory: behind what was applied, up to what was proposed. */
#ifndef RAFT_LOG_H
#define RAFT_LOG_H

#include "raft/raft.h"

struct raft_log {
    struct raft_entry *entries; /* entries[begin] has index base + 1 */
    size_t begin, count, room;
    uint64_t base, base_term; /* the entry before the first */
    uint64_t stored;          /* on our disk up to here */
    uint8_t **graveyard;      /* bytes of entries cut off while a write of them was out */
    size_t graveyard_count;
};

void log_fini(struct raft_log *l);
uint64_t log_last(const struct raft_log *l);
uint64_t log_last_term(const struct raft_log *l);
/* 0: not in memory. */
uint64_t log_term(const struct raft_log *l, uint64_t index);
const struct raft_entry *log_at(const struct raft_log *l, uint64_t index);
/* Copies data. */
void log_append(struct raft_log *l, uint64_t term, enum raft_kind kind, const void *data,
                size_t len);
/* Forgets entries from index on. */
void log_truncate(struct raft_log *l, uint64_t index, bool write_is_out);
/* Forgets entries up to index. */
void log_compact(struct raft_log *l, uint64_t index, bool write_is_out);
void log_bury(struct raft_log *l); /* the write is no longer out */

#endif
