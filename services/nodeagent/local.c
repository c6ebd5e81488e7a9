#include "local.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "daemon/datadir.h"
#include "record.h"
#include "soundness.h"
#include "spare.h"
#include "store/store.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FORMAT    1
#define MAP_BYTES (1ul << 30)
#define ARENA_CAP (64u << 20)

#define ROOM_BYTES (256u << 10)

enum { TABLE_NODE, TABLE_ALLOCS, TABLE_JOBS, TABLE_COUNT };
static const char *const table_names[TABLE_COUNT] = {"node", "allocs", "jobs"};
static const ProtobufCMessageDescriptor *const table_types[TABLE_COUNT] = {
    &pb__local_node__descriptor, &pb__local_alloc__descriptor, &pb__job__descriptor};

/* What the spare copy gets when it has been committed. */
struct change {
    struct link link;
    unsigned table;
    bool removed;
    size_t key_len, value_len;
    uint8_t data[]; /* key, value */
};

struct local {
    struct store *store;
    struct spare *spare;
    struct txn *writes; /* NULL: nothing gathered */
    struct link changes;
    bool corrupt; /* something that was read cannot have been written */
};

static const struct store_options options = {
    .map_bytes = MAP_BYTES,
    .tables = table_names,
    .table_count = TABLE_COUNT,
};

/* ---- is it sound? */

static void look_at_table(struct txn *t, unsigned table, struct arena *a)
{
    struct cursor c;
    cursor_open(&c, t, table);
    for (bool more = cursor_first(&c); more; more = cursor_next(&c)) {
        if (record_open(a, table_types[table], c.value) == NULL)
            txn_fail(t, ERR_CORRUPT, "a record is not what was written");
        arena_reset(a);
    }
    cursor_close(&c);
}

static enum err look(void *path, struct reason *why)
{
    struct store *s;
    struct store_options reader = options;
    reader.read_only = true;
    enum err e = store_open(&s, path, &reader, why);
    if (e != OK)
        return e;
    struct arena *a = arena_new(ARENA_CAP);
    struct txn *t = txn_read(s);
    txn_check_free_pages(t);
    for (unsigned i = 0; i < TABLE_COUNT; i++)
        look_at_table(t, i, a);
    return txn_commit(t, why); /* the process ends here: nothing is closed */
}

static enum err set_aside_if_unsound(const char *path, struct reason *why)
{
    char data[4200];
    struct stat st;
    struct reason found = {""};
    snprintf(data, sizeof data, "%s/data.mdb", path);
    if (stat(data, &st) != 0 || st.st_size == 0)
        return OK; /* nothing is there: the spare copy may know more */
    if (soundness_try(look, (void *)(uintptr_t)path, &found) != ERR_CORRUPT)
        return OK; /* what else hinders, opening it tells */
    return soundness_set_aside(path, &found, why);
}

/* ---- the spare copy */

static void gather_change(struct local *l, unsigned table, struct bytes key, struct bytes value,
                          bool removed)
{
    struct change *c = xmalloc(sizeof *c + key.len + value.len);
    *c = (struct change){
        .table = table, .removed = removed, .key_len = key.len, .value_len = value.len};
    memcpy(c->data, key.data, key.len);
    if (value.len > 0)
        memcpy(c->data + key.len, value.data, value.len);
    list_push_back(&l->changes, &c->link);
}

static void copy_change(struct local *l, const struct change *c)
{
    struct bytes key = bytes_of(c->data, c->key_len);
    if (c->removed)
        spare_remove(l->spare, c->table, key);
    else
        spare_put(l->spare, c->table, key, bytes_of(c->data + c->key_len, c->value_len),
                  c->table == TABLE_NODE);
}

static void end_changes(struct local *l, bool committed)
{
    struct change *c;
    list_each(&l->changes, struct change, link, c)
    {
        if (committed)
            copy_change(l, c);
        list_remove(&c->link);
        free(c);
    }
}

struct rebuild {
    struct txn *txn;
    size_t records, bad;
};

static void take_back(void *owner, unsigned table, struct bytes key, struct bytes value)
{
    struct rebuild *r = owner;
    struct arena *a = arena_new(ARENA_CAP);
    bool good = record_open(a, table_types[table], value) != NULL;
    arena_free(a);
    r->records += good;
    r->bad += !good;
    if (good)
        txn_put(r->txn, table, key, value);
}

static enum err rebuild(struct local *l, struct reason *why)
{
    struct rebuild r = {.txn = txn_write(l->store)};
    spare_each(l->spare, take_back, &r);
    enum err e = txn_commit(r.txn, why);
    if (e == OK && r.records + r.bad > 0)
        log_warn("local_state_rebuilt", "records=%zu unreadable=%zu", r.records, r.bad);
    return e;
}

struct comparison {
    struct local *local;
    struct txn *txn;
};

static void drop_if_gone(void *owner, unsigned table, struct bytes key, struct bytes value)
{
    const struct comparison *c = owner;
    struct bytes record;
    if (!txn_get(c->txn, table, key, &record))
        spare_remove(c->local->spare, table, key);
}

/* An agent may have been killed between its commit and the copy. */
static void bring_up_to_date(struct local *l)
{
    struct cursor c;
    struct comparison comparison = {l, txn_read(l->store)};
    for (unsigned i = 0; i < TABLE_COUNT; i++) {
        cursor_open(&c, comparison.txn, i);
        for (bool more = cursor_first(&c); more; more = cursor_next(&c))
            if (!spare_has(l->spare, i, c.key, c.value))
                spare_put(l->spare, i, c.key, c.value, i == TABLE_NODE);
        cursor_close(&c);
    }
    spare_each(l->spare, drop_if_gone, &comparison);
    txn_abort(comparison.txn);
}

static struct bytes node_key(void)
{
    return bytes_of("node", 4);
}

static bool is_empty(struct local *l)
{
    struct bytes value;
    struct txn *t = txn_read(l->store);
    bool empty = !txn_get(t, TABLE_NODE, node_key(), &value);
    txn_abort(t);
    return empty;
}

/* ---- beginning and end */

/* Pages that are free within the file: so that what tasks do can be noted on a full disk. Where
 * there is no room for them now, there are none. */
static void make_room(struct local *l)
{
    void *zeros = xcalloc(1, ROOM_BYTES);
    struct txn *t = txn_write(l->store);
    txn_put(t, TABLE_NODE, bytes_of("room", 4), bytes_of(zeros, ROOM_BYTES));
    if (txn_commit(t, NULL) == OK) {
        t = txn_write(l->store);
        txn_del(t, TABLE_NODE, bytes_of("room", 4));
        txn_commit(t, NULL);
    }
    free(zeros);
}

static enum err open_stores(struct local *l, const char *data_dir, struct reason *why)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/state", data_dir);
    enum err e = set_aside_if_unsound(path, why);
    if (e == OK)
        e = store_open(&l->store, path, &options, why);
    if (e == OK)
        e = spare_open(&l->spare, data_dir, table_names, TABLE_COUNT, why);
    if (e != OK)
        return e;
    if (!is_empty(l)) {
        bring_up_to_date(l);
        return OK;
    }
    make_room(l);
    return rebuild(l, why);
}

enum err local_open(struct local **out, const char *data_dir, struct reason *why)
{
    struct local *l = xcalloc(1, sizeof *l);
    list_init(&l->changes);
    enum err e = datadir_open(data_dir, "nodeagent", FORMAT, why);
    /* Tasks of other users must get through to their own directories. */
    if (e == OK && chmod(data_dir, 0711) != 0)
        e = reason_errno(why, ERR_IO, "chmod %s", data_dir);
    if (e == OK)
        e = open_stores(l, data_dir, why);
    if (e != OK) {
        local_close(l);
        return e;
    }
    *out = l;
    return OK;
}

void local_close(struct local *l)
{
    if (l == NULL)
        return;
    if (l->writes != NULL)
        local_commit(l, NULL);
    if (l->store != NULL)
        store_close(l->store);
    spare_close(l->spare);
    free(l);
}

/* ---- records */

static ProtobufCMessage *open_record(struct local *l, struct arena *a, unsigned table,
                                     struct bytes value)
{
    ProtobufCMessage *m = record_open(a, table_types[table], value);
    l->corrupt |= m == NULL;
    return m;
}

static ProtobufCMessage *read_record(struct local *l, struct arena *a, unsigned table,
                                     struct bytes key)
{
    struct bytes value;
    ProtobufCMessage *m = NULL;
    struct txn *t = l->writes != NULL ? l->writes : txn_read(l->store);
    if (txn_get(t, table, key, &value))
        m = open_record(l, a, table, value);
    if (t != l->writes) {
        l->corrupt |= txn_failed(t);
        txn_abort(t);
    }
    return m;
}

static struct txn *writes(struct local *l)
{
    if (l->writes == NULL)
        l->writes = txn_write(l->store);
    return l->writes;
}

static void write_record(struct local *l, unsigned table, struct bytes key,
                         const ProtobufCMessage *message)
{
    struct arena *a = arena_new(ARENA_CAP);
    struct bytes sealed = record_seal(a, message);
    txn_put(writes(l), table, key, sealed);
    gather_change(l, table, key, sealed, false);
    arena_free(a);
}

static void delete_record(struct local *l, unsigned table, struct bytes key)
{
    txn_del(writes(l), table, key);
    gather_change(l, table, key, bytes_of(NULL, 0), true);
}

Pb__LocalNode *local_node(struct local *l, struct arena *a)
{
    return (Pb__LocalNode *)read_record(l, a, TABLE_NODE, node_key());
}

enum err local_put_node(struct local *l, const Pb__LocalNode *node, struct reason *why)
{
    local_keep_node(l, node);
    return local_commit(l, why);
}

void local_keep_node(struct local *l, const Pb__LocalNode *node)
{
    write_record(l, TABLE_NODE, node_key(), &node->base);
}

Pb__LocalAlloc *local_alloc(struct local *l, struct arena *a, const uint8_t id[16])
{
    return (Pb__LocalAlloc *)read_record(l, a, TABLE_ALLOCS, bytes_of(id, 16));
}

void local_each_alloc(struct local *l, void (*each)(void *owner, const Pb__LocalAlloc *alloc),
                      void *owner)
{
    struct cursor c;
    struct arena *a = arena_new(ARENA_CAP);
    must(l->writes == NULL);
    struct txn *t = txn_read(l->store);
    cursor_open(&c, t, TABLE_ALLOCS);
    for (bool more = cursor_first(&c); more; more = cursor_next(&c)) {
        ProtobufCMessage *m = open_record(l, a, TABLE_ALLOCS, c.value);
        if (m != NULL)
            each(owner, (Pb__LocalAlloc *)m);
        arena_reset(a);
    }
    cursor_close(&c);
    l->corrupt |= txn_failed(t);
    txn_abort(t);
    arena_free(a);
}

/* A job's name may be used again after a purge, so its create index is part of what it is. A hash
 * keeps names of any length within a key. */
static struct bytes job_key(uint8_t out[40], const char *namespace, const char *id,
                            uint64_t version, uint64_t create_index)
{
    u64_store_be(out, hash_bytes(namespace, strlen(namespace), 1));
    u64_store_be(out + 8, hash_bytes(id, strlen(id), 2));
    u64_store_be(out + 16, hash_bytes(id, strlen(id), 3));
    u64_store_be(out + 24, create_index);
    u64_store_be(out + 32, version);
    return bytes_of(out, 40);
}

static const char *namespace_or_default(const char *namespace)
{
    return namespace == NULL || *namespace == '\0' ? "default" : namespace;
}

static struct bytes key_of_allocs_job(uint8_t out[40], const Pb__Alloc *alloc)
{
    return job_key(out, namespace_or_default(alloc->namespace_), alloc->job_id, alloc->job_version,
                   alloc->job_create_index);
}

Pb__Job *local_job(struct local *l, struct arena *a, const Pb__Alloc *of)
{
    uint8_t key[40];
    if (of->job_id == NULL)
        return NULL;
    return (Pb__Job *)read_record(l, a, TABLE_JOBS, key_of_allocs_job(key, of));
}

void local_put_alloc(struct local *l, const Pb__LocalAlloc *alloc)
{
    write_record(l, TABLE_ALLOCS, bytes_of(alloc->alloc->id.data, 16), &alloc->base);
}

void local_delete_alloc(struct local *l, const uint8_t id[16])
{
    delete_record(l, TABLE_ALLOCS, bytes_of(id, 16));
}

void local_put_job(struct local *l, const Pb__Job *job)
{
    uint8_t key[40];
    if (job->id == NULL)
        return;
    write_record(l, TABLE_JOBS,
                 job_key(key, namespace_or_default(job->namespace_), job->id, job->version,
                         job->create_index),
                 &job->base);
}

bool local_is_dirty(const struct local *l)
{
    return l->writes != NULL;
}

enum err local_commit(struct local *l, struct reason *why)
{
    struct txn *t = l->writes;
    l->writes = NULL;
    if (t != NULL && l->corrupt)
        txn_fail(t, ERR_CORRUPT, "a record is not what was written");
    enum err e = t == NULL ? OK : txn_commit(t, why);
    end_changes(l, e == OK);
    return e == OK && l->corrupt ? reason_set(why, ERR_CORRUPT, "it could not be read") : e;
}

static void note_used(void *owner, const Pb__LocalAlloc *alloc)
{
    uint8_t key[40];
    if (alloc->alloc != NULL && alloc->alloc->job_id != NULL) {
        struct bytes b = key_of_allocs_job(key, alloc->alloc);
        map_put(owner, b.data, b.len, owner);
    }
}

void local_drop_unused_jobs(struct local *l)
{
    struct cursor c;
    struct map *used = map_new(), *unused = map_new();
    local_each_alloc(l, note_used, used);
    struct txn *t = txn_read(l->store);
    cursor_open(&c, t, TABLE_JOBS);
    for (bool more = cursor_first(&c); more; more = cursor_next(&c))
        if (map_get(used, c.key.data, c.key.len) == NULL)
            map_put(unused, c.key.data, c.key.len, unused);
    cursor_close(&c);
    txn_abort(t);
    const void *key;
    size_t len;
    void *value;
    for (size_t i = 0; map_next(unused, &i, &key, &len, &value);)
        delete_record(l, TABLE_JOBS, bytes_of(key, len));
    map_free(used);
    map_free(unused);
}
