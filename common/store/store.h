/* LMDB behind a small door: environments, transactions, tables, cursors. Nobody else includes
 * lmdb.h.
 *
 * A transaction remembers its first error and later calls do nothing: write straight down, look
 * once, at commit. Keys are at most STORE_MAX_KEY bytes and ordered as memcmp orders them. Read
 * transactions must be short: pages freed meanwhile cannot be used again, and the file never
 * shrinks. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_MAX_KEY 511

struct store;
struct txn;

struct bytes {
    const void *data;
    size_t len;
};

struct store_options {
    size_t map_bytes; /* how far the file may grow; 0: 64 GiB. Address space only */
    bool nosync;      /* commits reach the disk when the kernel likes: safe against kill -9, not
                         against loss of power */
    bool read_only;
    const char *const *tables; /* a table is named by its place in here */
    size_t table_count;
};

/* dir is made if it is missing (not if read_only); *out is untouched on error. A store that is
 * damaged is often found to be (ERR_CORRUPT); to read it may also fault. */
enum err store_open(struct store **out, const char *dir, const struct store_options *o,
                    struct reason *why);
/* No transaction may be open. */
void store_close(struct store *s);
/* Everything committed is on the disk when it returns. From any thread. */
enum err store_sync(struct store *s, struct reason *why);
/* Writes a compacted, consistent picture of all tables to fd while writers go on. From any thread.
 */
enum err store_copy(struct store *s, int fd, struct reason *why);
/* Frees the places of readers that died. */
void store_check_readers(struct store *s);
uint64_t store_file_bytes(const struct store *s); /* up to the last page ever used */
uint64_t store_room_bytes(const struct store *s); /* what the map still allows beyond that */

/* ---- transactions: one writer at a time, in one thread; any number of readers */

struct txn *txn_read(struct store *s);
/* Never NULL: what went wrong shows at commit. Waits for another writer. */
struct txn *txn_write(struct store *s);
/* Both take t. After an error the store is as before. ERR_NO_SPACE: the disk or the map is full. Of
 * a reader, commit only says whether all could be read. */
enum err txn_commit(struct txn *t, struct reason *why);
void txn_abort(struct txn *t);
bool txn_failed(const struct txn *t);
/* Lets the owner of a transaction fail it: commit will say so. The first error stays. */
void txn_fail(struct txn *t, enum err e, const char *text);

/* False: not there (or failed before). *value points into the store until the next write in t or
 * its end, and is not aligned. */
bool txn_get(struct txn *t, unsigned table, struct bytes key, struct bytes *value);
void txn_put(struct txn *t, unsigned table, struct bytes key, struct bytes value);
/* As txn_put where key is greater than any in the table; cheaper. */
void txn_append(struct txn *t, unsigned table, struct bytes key, struct bytes value);
bool txn_del(struct txn *t, unsigned table, struct bytes key); /* whether it was there */
void txn_clear(struct txn *t, unsigned table);
uint64_t txn_count(struct txn *t, unsigned table);
uint64_t txn_bytes(struct txn *t, unsigned table); /* of the pages it takes */
/* Reads the list of free pages, which writers take from; fails t if it cannot be right. */
void txn_check_free_pages(struct txn *t);

/* ---- cursors: walk a table in order of its keys. Not across writes to the same table. */

struct cursor {
    void *handle;
    struct txn *txn;
    struct bytes key, value; /* of the current record; valid as long as txn_get's */
};

void cursor_open(struct cursor *c, struct txn *t, unsigned table);
void cursor_close(struct cursor *c);
bool cursor_seek(struct cursor *c, struct bytes key); /* the first record at or behind key */
bool cursor_first(struct cursor *c);
bool cursor_last(struct cursor *c);
bool cursor_next(struct cursor *c);
bool cursor_prev(struct cursor *c);

static inline struct bytes bytes_of(const void *data, size_t len)
{
    return (struct bytes){data, len};
}
static inline bool bytes_begin_with(struct bytes b, struct bytes prefix)
{
    return b.len >= prefix.len && __builtin_memcmp(b.data, prefix.data, prefix.len) == 0;
}

/* Numbers in keys, so that memcmp orders them. */
static inline void u64_store_be(uint8_t out[8], uint64_t v)
{
    v = __builtin_bswap64(v);
    __builtin_memcpy(out, &v, 8);
}
static inline uint64_t u64_load_be(const void *p)
{
    uint64_t v;
    __builtin_memcpy(&v, p, 8);
    return __builtin_bswap64(v);
}

#endif
