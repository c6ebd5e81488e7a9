#include "logstore.h"
#include "base/crc32c.h"
#include "base/fault.h"
#include <stdlib.h>
#include <string.h>

enum { T_LOG, T_FACTS, T_COUNT };
static const char *const table_names[T_COUNT] = {[T_LOG] = "log", [T_FACTS] = "facts"};

struct logstore {
    struct store *store;
};

/* ---- entries */

void entry_encode(const struct raft_entry *e, uint8_t *out)
{
    uint8_t kind = (uint8_t)e->kind;
    memcpy(out + 4, &e->term, sizeof e->term);
    out[12] = kind;
    if (e->len > 0)
        memcpy(out + LOG_ENTRY_HEADER, e->data, e->len);
    /* The index is part of the sum, so that an entry in another's place is found too. */
    uint32_t crc =
        crc32c(crc32c(0, &e->index, sizeof e->index), out + 4, LOG_ENTRY_HEADER - 4 + e->len);
    memcpy(out, &crc, sizeof crc);
}

bool entry_decode(uint64_t index, struct bytes value, struct raft_entry *out)
{
    const uint8_t *b = value.data;
    uint32_t crc;
    if (value.len < LOG_ENTRY_HEADER)
        return false;
    memcpy(&crc, b, sizeof crc);
    if (crc32c(crc32c(0, &index, sizeof index), b + 4, value.len - 4) != crc)
        return false;
    if (b[12] < RAFT_NOOP || b[12] > RAFT_MEMBERS)
        return false;
    *out = (struct raft_entry){.index = index,
                               .kind = (enum raft_kind)b[12],
                               .data = b + LOG_ENTRY_HEADER,
                               .len = value.len - LOG_ENTRY_HEADER};
    memcpy(&out->term, b + 4, sizeof out->term);
    return true;
}

void entries_free(struct raft_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)entries[i].data);
    free(entries);
}

/* ---- life */

enum err logstore_open(struct logstore **out, const char *dir, size_t map_bytes, bool read_only,
                       struct reason *why)
{
    struct store_options o = {.map_bytes = map_bytes,
                              .nosync = MUTANT("ack-before-fsync"),
                              .read_only = read_only,
                              .tables = table_names,
                              .table_count = T_COUNT};
    struct store *store;
    enum err e = store_open(&store, dir, &o, why);
    if (e != OK)
        return e;
    *out = xcalloc(1, sizeof **out);
    (*out)->store = store;
    return OK;
}

void logstore_close(struct logstore *l)
{
    if (l == NULL)
        return;
    store_close(l->store);
    free(l);
}

struct store *logstore_store(struct logstore *l)
{
    return l->store;
}

/* ---- writing */

static struct bytes key_of(uint8_t key[8], uint64_t index)
{
    u64_store_be(key, index);
    return bytes_of(key, 8);
}

static uint64_t last_index(struct txn *t)
{
    struct cursor c;
    cursor_open(&c, t, T_LOG);
    uint64_t last = cursor_last(&c) ? u64_load_be(c.key.data) : 0;
    cursor_close(&c);
    return last;
}

static void write_entries(struct txn *t, const struct raft_entry *entries, size_t count)
{
    uint8_t key[8];
    for (uint64_t i = last_index(t); i >= entries[0].index; i--)
        txn_del(t, T_LOG, key_of(key, i));
    size_t largest = 0;
    for (size_t i = 0; i < count; i++)
        if (entries[i].len > largest)
            largest = entries[i].len;
    uint8_t *value = xmalloc(LOG_ENTRY_HEADER + largest);
    for (size_t i = 0; i < count; i++) {
        entry_encode(&entries[i], value);
        txn_append(t, T_LOG, key_of(key, entries[i].index),
                   bytes_of(value, LOG_ENTRY_HEADER + entries[i].len));
    }
    free(value);
}

static void write_hard(struct txn *t, const struct raft_hard_state *hard)
{
    uint64_t words[2] = {hard->term, hard->vote};
    uint8_t value[20];
    uint32_t crc = crc32c(0, words, sizeof words);
    memcpy(value, &crc, sizeof crc);
    memcpy(value + sizeof crc, words, sizeof words);
    txn_put(t, T_FACTS, bytes_of("hard", 4), bytes_of(value, sizeof value));
}

/* Even a log without entries tells where it was cut. */
static void write_cut(struct txn *t, uint64_t index)
{
    uint8_t cut[8];
    u64_store_be(cut, index);
    txn_put(t, T_FACTS, bytes_of("cut", 3), bytes_of(cut, sizeof cut));
}

enum err logstore_write(struct logstore *l, const struct log_write *w, struct reason *why)
{
    struct txn *t = txn_write(l->store);
    if (w->hard != NULL)
        write_hard(t, w->hard);
    if (w->reset) {
        txn_clear(t, T_LOG);
        write_cut(t, w->cut);
    }
    if (w->count > 0)
        write_entries(t, w->entries, w->count);
    FAULT_POINT("log.before_commit");
    if (FAULT_POINT("log.commit"))
        txn_fail(t, ERR_NO_SPACE, "no space left on device (injected)");
    enum err e = txn_commit(t, why);
    FAULT_POINT("log.after_commit");
    return e;
}

enum err logstore_compact(struct logstore *l, uint64_t index, size_t most, bool *left,
                          struct reason *why)
{
    struct txn *t = txn_write(l->store);
    *left = false;
    for (size_t n = 0;; n++) {
        struct cursor c;
        uint8_t key[8];
        cursor_open(&c, t, T_LOG);
        uint64_t first = cursor_first(&c) ? u64_load_be(c.key.data) : UINT64_MAX;
        cursor_close(&c);
        if (first > index)
            break;
        if (n == most) {
            *left = true;
            break;
        }
        txn_del(t, T_LOG, key_of(key, first));
    }
    if (!*left)
        write_cut(t, index);
    return txn_commit(t, why);
}

/* ---- reading */

static bool read_hard(struct txn *t, struct raft_hard_state *out)
{
    struct bytes b;
    uint64_t words[2];
    uint32_t crc;
    *out = (struct raft_hard_state){0};
    if (!txn_get(t, T_FACTS, bytes_of("hard", 4), &b))
        return true; /* a new log */
    if (b.len != 20)
        return false;
    memcpy(&crc, b.data, sizeof crc);
    memcpy(words, (const uint8_t *)b.data + sizeof crc, sizeof words);
    *out = (struct raft_hard_state){.term = words[0], .vote = words[1]};
    return crc32c(0, words, sizeof words) == crc;
}

enum err logstore_summary(struct logstore *l, struct logstore_summary *out, struct reason *why)
{
    struct txn *t = txn_read(l->store);
    struct cursor c;
    *out = (struct logstore_summary){0};
    bool sound = read_hard(t, &out->hard);
    cursor_open(&c, t, T_LOG);
    if (cursor_first(&c))
        out->first = u64_load_be(c.key.data);
    if (cursor_last(&c))
        out->last = u64_load_be(c.key.data);
    cursor_close(&c);
    out->bytes = txn_bytes(t, T_LOG);
    struct bytes cut;
    if (txn_get(t, T_FACTS, bytes_of("cut", 3), &cut) && cut.len == 8)
        out->cut = u64_load_be(cut.data);
    sound &= !txn_failed(t);
    txn_abort(t);
    return sound ? OK : reason_set(why, ERR_CORRUPT, "the raft log's facts are damaged");
}

static void keep(struct raft_entry **entries, size_t *count, size_t *room,
                 const struct raft_entry *e)
{
    if (*count == *room) {
        *room = *room * 2 + 64;
        *entries = xrealloc(*entries, *room * sizeof **entries);
    }
    uint8_t *data = xmalloc(e->len + 1);
    memcpy(data, e->data, e->len);
    (*entries)[*count] = *e;
    (*entries)[(*count)++].data = data;
}

enum err logstore_load(struct logstore *l, uint64_t after, struct raft_entry **entries,
                       size_t *count, struct reason *why)
{
    struct txn *t = txn_read(l->store);
    struct cursor c;
    uint8_t key[8];
    size_t room = 0;
    uint64_t damaged = 0;
    *entries = NULL;
    *count = 0;
    cursor_open(&c, t, T_LOG);
    bool found = cursor_seek(&c, key_of(key, after + 1));
    for (; found && damaged == 0; found = cursor_next(&c)) {
        struct raft_entry e;
        uint64_t index = u64_load_be(c.key.data);
        if (entry_decode(index, c.value, &e))
            keep(entries, count, &room, &e);
        else
            damaged = index;
    }
    cursor_close(&c);
    bool failed = txn_failed(t);
    txn_abort(t);
    if (damaged == 0 && !failed)
        return OK;
    entries_free(*entries, *count);
    return reason_set(why, ERR_CORRUPT, "entry %llu of the raft log is damaged",
                      (unsigned long long)damaged);
}

static bool term_at(struct txn *t, uint64_t index, uint64_t *term)
{
    struct bytes b;
    struct raft_entry e;
    uint8_t key[8];
    *term = 0;
    if (index == 0)
        return true;
    if (!txn_get(t, T_LOG, key_of(key, index), &b) || !entry_decode(index, b, &e))
        return false;
    *term = e.term;
    return true;
}

enum err logstore_range(struct logstore *l, uint64_t after, size_t most, size_t most_bytes,
                        uint64_t *after_term, struct raft_entry **entries, size_t *count,
                        struct reason *why)
{
    struct txn *t = txn_read(l->store);
    struct cursor c;
    struct raft_entry e;
    uint8_t key[8];
    size_t room = 0, bytes = 0;
    *entries = NULL;
    *count = 0;
    bool sound = term_at(t, after, after_term);
    cursor_open(&c, t, T_LOG);
    bool found = sound && cursor_seek(&c, key_of(key, after + 1));
    for (; found && *count < most; found = cursor_next(&c)) {
        uint64_t index = u64_load_be(c.key.data);
        sound = index == after + 1 + *count && entry_decode(index, c.value, &e);
        if (!sound || (*count > 0 && bytes + e.len > most_bytes))
            break;
        bytes += e.len;
        keep(entries, count, &room, &e);
    }
    cursor_close(&c);
    txn_abort(t);
    if (sound && *count > 0)
        return OK;
    entries_free(*entries, *count);
    return reason_set(why, ERR_NOT_FOUND, "the log has nothing behind %llu",
                      (unsigned long long)after);
}

/* ---- facts */

bool logstore_fact(struct logstore *l, const char *name, char *out, size_t size)
{
    struct txn *t = txn_read(l->store);
    struct bytes b;
    bool found = txn_get(t, T_FACTS, bytes_of(name, strlen(name)), &b) && b.len < size;
    if (found) {
        memcpy(out, b.data, b.len);
        out[b.len] = '\0';
    }
    txn_abort(t);
    return found;
}

enum err logstore_set_fact(struct logstore *l, const char *name, const char *value,
                           struct reason *why)
{
    struct txn *t = txn_write(l->store);
    txn_put(t, T_FACTS, bytes_of(name, strlen(name)), bytes_of(value, strlen(value)));
    return txn_commit(t, why);
}
