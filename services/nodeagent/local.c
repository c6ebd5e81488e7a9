#include "local.h"
#include "base/map.h"
#include "daemon/datadir.h"
#include "store/store.h"
#include "wire/wire.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FORMAT    1
#define MAP_BYTES (1ul << 30)
#define ARENA_CAP (64u << 20)

enum { TABLE_NODE, TABLE_ALLOCS, TABLE_JOBS, TABLE_COUNT };
static const char *const table_names[TABLE_COUNT] = {"node", "allocs", "jobs"};

struct local {
    struct store *store;
    struct txn *writes; /* NULL: nothing gathered */
};

enum err local_open(struct local **out, const char *data_dir, struct reason *why)
{
    char path[4096];
    const struct store_options options = {
        .map_bytes = MAP_BYTES,
        .tables = table_names,
        .table_count = TABLE_COUNT,
    };
    struct local *l = xcalloc(1, sizeof *l);
    enum err e = datadir_open(data_dir, "nodeagent", FORMAT, why);
    /* Tasks of other users must get through to their own directories. */
    if (e == OK && chmod(data_dir, 0711) != 0)
        e = reason_errno(why, ERR_IO, "chmod %s", data_dir);
    snprintf(path, sizeof path, "%s/state", data_dir);
    if (e == OK)
        e = store_open(&l->store, path, &options, why);
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
    free(l);
}

/* ---- records */

static ProtobufCMessage *read_record(struct local *l, struct arena *a, unsigned table,
                                     struct bytes key, const ProtobufCMessageDescriptor *type)
{
    struct bytes value;
    ProtobufCMessage *m = NULL;
    struct txn *t = l->writes != NULL ? l->writes : txn_read(l->store);
    if (txn_get(t, table, key, &value))
        m = wire_unpack(a, type, value.data, value.len);
    if (t != l->writes)
        txn_abort(t);
    return m;
}

static void write_record(struct local *l, unsigned table, struct bytes key,
                         const ProtobufCMessage *message)
{
    if (l->writes == NULL)
        l->writes = txn_write(l->store);
    struct arena *a = arena_new(ARENA_CAP);
    ProtobufCBinaryData packed = wire_pack(a, message);
    txn_put(l->writes, table, key, bytes_of(packed.data, packed.len));
    arena_free(a);
}

static struct bytes node_key(void)
{
    return bytes_of("node", 4);
}

Pb__LocalNode *local_node(struct local *l, struct arena *a)
{
    return (Pb__LocalNode *)read_record(l, a, TABLE_NODE, node_key(), &pb__local_node__descriptor);
}

enum err local_put_node(struct local *l, const Pb__LocalNode *node, struct reason *why)
{
    write_record(l, TABLE_NODE, node_key(), &node->base);
    return local_commit(l, why);
}

Pb__LocalAlloc *local_alloc(struct local *l, struct arena *a, const uint8_t id[16])
{
    return (Pb__LocalAlloc *)read_record(l, a, TABLE_ALLOCS, bytes_of(id, 16),
                                         &pb__local_alloc__descriptor);
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
        ProtobufCMessage *m =
            wire_unpack(a, &pb__local_alloc__descriptor, c.value.data, c.value.len);
        if (m != NULL)
            each(owner, (Pb__LocalAlloc *)m);
        arena_reset(a);
    }
    cursor_close(&c);
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
    return (Pb__Job *)read_record(l, a, TABLE_JOBS, key_of_allocs_job(key, of),
                                  &pb__job__descriptor);
}

void local_put_alloc(struct local *l, const Pb__LocalAlloc *alloc)
{
    write_record(l, TABLE_ALLOCS, bytes_of(alloc->alloc->id.data, 16), &alloc->base);
}

void local_delete_alloc(struct local *l, const uint8_t id[16])
{
    if (l->writes == NULL)
        l->writes = txn_write(l->store);
    txn_del(l->writes, TABLE_ALLOCS, bytes_of(id, 16));
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
    return t == NULL ? OK : txn_commit(t, why);
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
    for (size_t i = 0; map_next(unused, &i, &key, &len, &value);) {
        if (l->writes == NULL)
            l->writes = txn_write(l->store);
        txn_del(l->writes, TABLE_JOBS, bytes_of(key, len));
    }
    map_free(used);
    map_free(unused);
}
