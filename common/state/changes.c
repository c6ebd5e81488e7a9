/* The feed. One record per command and table lists the keys touched: its key is the index and the
 * table, both big endian, so that a reader starts with a seek and the old end is cut off record by
 * record. Values are not kept: a reader gets the present ones. Keys of id tables are 16 bytes;
 * others have their length before them. */
#include "state/internal.h"
#include <string.h>

void changes_touch(struct view *v, unsigned table, struct bytes key)
{
    if (table >= FEED_TABLES || table == T_META)
        return;
    struct strbuf *b = &v->touched[table];
    if (!table_has_ids(table)) {
        uint16_t len = (uint16_t)key.len;
        strbuf_add(b, &len, sizeof len);
    } else if (b->len >= key.len && memcmp(b->data + b->len - key.len, key.data, key.len) == 0) {
        return; /* put twice in a row */
    }
    strbuf_add(b, key.data, key.len);
    v->touched_count[table]++;
}

static size_t key_count(unsigned table, struct bytes keys)
{
    if (table_has_ids(table))
        return keys.len / ID_SIZE;
    size_t n = 0;
    for (size_t at = 0; at + 2 <= keys.len; n++) {
        uint16_t len;
        memcpy(&len, (const char *)keys.data + at, sizeof len);
        at += sizeof len + len;
    }
    return n;
}

/* The oldest record, if it is older than the command in hand. */
static bool oldest(struct view *v, uint8_t key[9], uint64_t *keys)
{
    struct cursor c;
    cursor_open(&c, v->txn, T_CHANGES);
    bool found = cursor_first(&c) && c.key.len == 9;
    if (found) {
        memcpy(key, c.key.data, 9);
        *keys = key_count(key[8], c.value);
    }
    cursor_close(&c);
    return found && u64_load_be(key) < v->index;
}

/* Whole indexes only, so that the low-water mark is one. */
static void cut_old(struct view *v)
{
    uint8_t key[9];
    uint64_t keys;
    while ((v->meta.changes_count > v->state->options.changes_kept) && oldest(v, key, &keys)) {
        uint64_t index = u64_load_be(key);
        do {
            txn_del(v->txn, T_CHANGES, bytes_of(key, sizeof key));
            v->meta.changes_count -= keys;
        } while (oldest(v, key, &keys) && u64_load_be(key) == index);
        v->meta.changes_low = index;
    }
}

void changes_flush(struct view *v)
{
    for (unsigned table = 1; table < FEED_TABLES; table++) {
        if (v->touched_count[table] == 0)
            continue;
        uint8_t key[9];
        u64_store_be(key, v->index);
        key[8] = (uint8_t)table;
        txn_append(v->txn, T_CHANGES, bytes_of(key, sizeof key),
                   bytes_of(v->touched[table].data, v->touched[table].len));
        v->meta.table_index[table] = v->index;
        v->meta.changes_count += v->touched_count[table];
    }
    cut_old(v);
}

/* ---- reading */

void change_walk_open(struct change_walk *w, struct view *v, uint64_t since, uint32_t tables)
{
    *w = (struct change_walk){.tables = tables == 0 ? UINT32_MAX : tables, .since = since};
    cursor_open(&w->cursor, v->txn, T_CHANGES);
}

void change_walk_close(struct change_walk *w)
{
    cursor_close(&w->cursor);
}

/* To the next record of a wanted table. */
static bool advance(struct change_walk *w)
{
    uint8_t from[8];
    u64_store_be(from, w->since + 1);
    bool found =
        w->started ? cursor_next(&w->cursor) : cursor_seek(&w->cursor, bytes_of(from, sizeof from));
    w->started = true;
    w->offset = 0;
    for (; found; found = cursor_next(&w->cursor)) {
        unsigned table = ((const uint8_t *)w->cursor.key.data)[8];
        if (table < FEED_TABLES && (w->tables & (1u << table)) != 0)
            return true;
    }
    w->end = true;
    return false;
}

static void job_key_of(struct change *out, const uint8_t *data, size_t len)
{
    size_t text_len = len;
    if (out->table == PB__TABLE__NAME__JOB_VERSIONS && len > 8) { /* "ns\0id\0" and the version */
        out->key.has_version = true;
        out->key.version = u64_load_be(data + len - 8);
        text_len = len - 9;
    }
    if (text_len >= sizeof out->text)
        text_len = sizeof out->text - 1;
    memcpy(out->text, data, text_len);
    out->text[text_len] = '\0';
    out->key.namespace_ = out->text;
    out->key.name = out->text + strlen(out->text) + 1;
}

bool change_walk_next(struct change_walk *w, struct change *out)
{
    if (w->end)
        return false;
    if ((!w->started || w->offset >= w->cursor.value.len) && !advance(w))
        return false;
    const uint8_t *at = (const uint8_t *)w->cursor.value.data + w->offset;
    size_t len = ID_SIZE;
    out->index = u64_load_be(w->cursor.key.data);
    out->table = ((const uint8_t *)w->cursor.key.data)[8];
    out->key = (Pb__Key)PB__KEY__INIT;
    out->key.has_table = true;
    out->key.table = out->table;
    if (table_has_ids(out->table)) {
        memcpy(out->id, at, ID_SIZE);
        out->key.has_id = true;
        out->key.id = (ProtobufCBinaryData){.len = ID_SIZE, .data = out->id};
    } else {
        uint16_t key_len;
        memcpy(&key_len, at, sizeof key_len);
        w->offset += sizeof key_len;
        len = key_len;
        job_key_of(out, at + sizeof key_len, len);
    }
    w->offset += len;
    return true;
}
