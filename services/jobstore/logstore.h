/* Raft's log and promises on the disk: an LMDB environment whose commits are synced. LMDB has no
 * checksums, so each entry carries a CRC32C. Also keeps what tells whether the state beside it can
 * be trusted. Written by one thread at a time. */
#ifndef JOBSTORE_LOGSTORE_H
#define JOBSTORE_LOGSTORE_H

#include "base/id.h"
#include "raft/raft.h"
#include "store/store.h"

struct logstore;

enum err logstore_open(struct logstore **out, const char *dir, size_t map_bytes, bool read_only,
                       struct reason *why);
void logstore_close(struct logstore *l);
struct store *logstore_store(struct logstore *l);

/* One transaction, one sync. hard NULL: unchanged. Entries from entries[0].index on are replaced.
 * reset: every entry goes first, and the log begins behind the state's index `cut`. */
struct log_write {
    const struct raft_hard_state *hard;
    const struct raft_entry *entries;
    size_t count;
    bool reset;
    uint64_t cut;
};
enum err logstore_write(struct logstore *l, const struct log_write *w, struct reason *why);
/* Removes entries up to index, at most `most` of them. *left: whether there are more. */
enum err logstore_compact(struct logstore *l, uint64_t index, size_t most, bool *left,
                          struct reason *why);

struct logstore_summary {
    struct raft_hard_state hard;
    uint64_t first, last; /* 0, 0: no entries */
    uint64_t cut;         /* what was removed, at least up to here */
    uint64_t bytes;       /* of the pages that the entries take: counting them would read all */
};
enum err logstore_summary(struct logstore *l, struct logstore_summary *out, struct reason *why);
/* Entries behind `after`, each checked; data and array are malloc'd, end with entries_free. */
enum err logstore_load(struct logstore *l, uint64_t after, struct raft_entry **entries,
                       size_t *count, struct reason *why);
void entries_free(struct raft_entry *entries, size_t count);
/* Entries behind `after`, at most so many and (but for the first) so many bytes, for a member that
 * is behind; *after_term: of the entry `after`. ERR_NOT_FOUND: the log does not reach back to it,
 * or has nothing behind it. */
enum err logstore_range(struct logstore *l, uint64_t after, size_t most, size_t most_bytes,
                        uint64_t *after_term, struct raft_entry **entries, size_t *count,
                        struct reason *why);

/* Small facts by name. False: not there. */
bool logstore_fact(struct logstore *l, const char *name, char *out, size_t size);
enum err logstore_set_fact(struct logstore *l, const char *name, const char *value,
                           struct reason *why);

/* ---- the form of an entry: crc32c of the rest (4), term (8), kind (1), the bytes; numbers little
 * endian. Both are pure */

#define LOG_ENTRY_HEADER 13u
void entry_encode(const struct raft_entry *e, uint8_t *out); /* LOG_ENTRY_HEADER + e->len bytes */
/* out->data points into value. False: damaged. */
bool entry_decode(uint64_t index, struct bytes value, struct raft_entry *out);

#endif
