#include "store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_MAP (64ull << 30)
#define MAX_READERS 126

#define LOCK_FILE_BYTES 16384 /* more than LMDB takes for so many readers */

struct txn {
    struct store *store;
    MDB_txn *handle;
    bool write;
    enum err error;
    char text[160];
};

struct store {
    MDB_env *env;
    MDB_dbi *tables;
    size_t table_count;
    struct txn reader; /* kept and renewed: the usual case is one reader at a time */
    bool reader_in_use;
};

static enum err err_of(int rc)
{
    switch (rc) {
    case 0:
        return OK;
    case ENOSPC:
    case EFBIG:
    case EDQUOT:
    case MDB_MAP_FULL:
        return ERR_NO_SPACE;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
    case MDB_NOTFOUND: /* of a table that must be there */
        return ERR_CORRUPT;
    case EACCES:
    case EPERM:
        return ERR_DENIED;
    default:
        return ERR_IO;
    }
}

/* Keeps the first error; mdb's codes and errno share one function for their text. */
static void fail_rc(struct txn *t, int rc)
{
    txn_fail(t, err_of(rc), mdb_strerror(rc));
}

void txn_fail(struct txn *t, enum err e, const char *text)
{
    if (t->error != OK)
        return;
    t->error = e;
    strncpy(t->text, text, sizeof t->text - 1);
}

bool txn_failed(const struct txn *t)
{
    return t->error != OK;
}

static int tables_open(struct store *s, const struct store_options *o)
{
    MDB_txn *t;
    int rc = mdb_txn_begin(s->env, NULL, o->read_only ? MDB_RDONLY : 0, &t);
    if (rc != 0)
        return rc;
    s->table_count = o->table_count;
    s->tables = xcalloc(o->table_count, sizeof *s->tables);
    for (size_t i = 0; i < o->table_count && rc == 0; i++)
        rc = mdb_dbi_open(t, o->tables[i], o->read_only ? 0 : MDB_CREATE, &s->tables[i]);
    if (rc != 0) {
        mdb_txn_abort(t);
        return rc;
    }
    return mdb_txn_commit(t);
}

/* LMDB maps a sparse file for its readers. Where the disk is full, the first write to it would be
 * answered with SIGBUS. */
static int reserve_lock_file(const char *dir)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/lock.mdb", dir) >= (int)sizeof path)
        return ENAMETOOLONG;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return 0; /* LMDB may do without, or says why not */
    int rc = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, LOCK_FILE_BYTES) == 0 ? 0 : errno;
    close(fd);
    return rc == ENOSPC || rc == EDQUOT ? rc : 0;
}

static int env_open(struct store *s, const char *dir, const struct store_options *o)
{
    int reserved = reserve_lock_file(dir);
    if (reserved != 0)
        return reserved;
    int rc = mdb_env_create(&s->env);
    if (rc != 0)
        return rc;
    mdb_env_set_maxreaders(s->env, MAX_READERS);
    mdb_env_set_maxdbs(s->env, (MDB_dbi)o->table_count);
    rc = mdb_env_set_mapsize(s->env, o->map_bytes != 0 ? o->map_bytes : DEFAULT_MAP);
    if (rc != 0)
        return rc;
    /* NOTLS ties a reader's place to its transaction, so that one thread may hold several. No
     * read-ahead: the state is bigger than what is asked of it. */
    unsigned flags = MDB_NOTLS | MDB_NORDAHEAD;
    flags |= o->nosync ? MDB_NOSYNC : 0;
    flags |= o->read_only ? MDB_RDONLY : 0;
    return mdb_env_open(s->env, dir, flags, 0640);
}

enum err store_open(struct store **out, const char *dir, const struct store_options *o,
                    struct reason *why)
{
    if (!o->read_only && mkdir(dir, 0750) != 0 && errno != EEXIST)
        return reason_errno(why, err_of(errno), "make %s", dir);
    struct store *s = xcalloc(1, sizeof *s);
    int rc = env_open(s, dir, o);
    if (rc == 0)
        rc = tables_open(s, o);
    if (rc != 0) {
        store_close(s);
        return reason_set(why, err_of(rc), "open the store %s: %s", dir, mdb_strerror(rc));
    }
    *out = s;
    return OK;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    must(!s->reader_in_use);
    if (s->reader.handle != NULL)
        mdb_txn_abort(s->reader.handle);
    if (s->env != NULL)
        mdb_env_close(s->env);
    free(s->tables);
    free(s);
}

enum err store_sync(struct store *s, struct reason *why)
{
    int rc = mdb_env_sync(s->env, 1);
    return rc == 0 ? OK : reason_set(why, err_of(rc), "sync: %s", mdb_strerror(rc));
}

enum err store_copy(struct store *s, int fd, struct reason *why)
{
    int rc = mdb_env_copyfd2(s->env, fd, MDB_CP_COMPACT);
    return rc == 0 ? OK : reason_set(why, err_of(rc), "copy: %s", mdb_strerror(rc));
}

void store_check_readers(struct store *s)
{
    int dead;
    mdb_reader_check(s->env, &dead);
}

uint64_t store_file_bytes(const struct store *s)
{
    MDB_envinfo info;
    MDB_stat stat;
    mdb_env_info(s->env, &info);
    mdb_env_stat(s->env, &stat);
    return (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize;
}

uint64_t store_room_bytes(const struct store *s)
{
    MDB_envinfo info;
    mdb_env_info(s->env, &info);
    uint64_t used = store_file_bytes(s);
    return info.me_mapsize > used ? info.me_mapsize - used : 0;
}

/* ---- transactions */

struct txn *txn_read(struct store *s)
{
    struct txn *t = &s->reader;
    int rc;
    if (!s->reader_in_use && t->handle != NULL) {
        rc = mdb_txn_renew(t->handle);
    } else {
        if (s->reader_in_use)
            t = xcalloc(1, sizeof *t);
        rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &t->handle);
    }
    /* Only a full table of readers or a broken environment can do this: both are bugs here. */
    must(rc == 0);
    if (t == &s->reader)
        s->reader_in_use = true;
    t->store = s;
    t->error = OK;
    return t;
}

struct txn *txn_write(struct store *s)
{
    struct txn *t = xcalloc(1, sizeof *t);
    t->store = s;
    t->write = true;
    int rc = mdb_txn_begin(s->env, NULL, 0, &t->handle);
    if (rc != 0)
        fail_rc(t, rc);
    return t;
}

static void txn_end(struct txn *t)
{
    if (t == &t->store->reader)
        t->store->reader_in_use = false;
    else
        free(t);
}

void txn_abort(struct txn *t)
{
    if (t == NULL)
        return;
    if (t == &t->store->reader)
        mdb_txn_reset(t->handle);
    else if (t->handle != NULL)
        mdb_txn_abort(t->handle);
    txn_end(t);
}

enum err txn_commit(struct txn *t, struct reason *why)
{
    if (t->write && t->error == OK) {
        int rc = mdb_txn_commit(t->handle);
        t->handle = NULL; /* gone, whatever commit said */
        if (rc != 0)
            fail_rc(t, rc);
    }
    enum err e = t->error;
    if (e != OK)
        reason_set(why, e, "%s", t->text);
    txn_abort(t);
    return e;
}

static MDB_val val_of(struct bytes b)
{
    return (MDB_val){b.len, (void *)(uintptr_t)b.data};
}

static MDB_dbi dbi_of(const struct txn *t, unsigned table)
{
    must(table < t->store->table_count);
    return t->store->tables[table];
}

bool txn_get(struct txn *t, unsigned table, struct bytes key, struct bytes *value)
{
    if (t->error != OK)
        return false;
    MDB_val k = val_of(key), v;
    int rc = mdb_get(t->handle, dbi_of(t, table), &k, &v);
    if (rc != 0) {
        if (rc != MDB_NOTFOUND)
            fail_rc(t, rc);
        return false;
    }
    *value = bytes_of(v.mv_data, v.mv_size);
    return true;
}

static void put(struct txn *t, unsigned table, struct bytes key, struct bytes value, unsigned flags)
{
    if (t->error != OK)
        return;
    must(key.len > 0 && key.len <= STORE_MAX_KEY);
    MDB_val k = val_of(key), v = val_of(value);
    int rc = mdb_put(t->handle, dbi_of(t, table), &k, &v, flags);
    if (rc != 0)
        fail_rc(t, rc);
}

void txn_put(struct txn *t, unsigned table, struct bytes key, struct bytes value)
{
    put(t, table, key, value, 0);
}

void txn_append(struct txn *t, unsigned table, struct bytes key, struct bytes value)
{
    put(t, table, key, value, MDB_APPEND);
}

bool txn_del(struct txn *t, unsigned table, struct bytes key)
{
    if (t->error != OK)
        return false;
    MDB_val k = val_of(key);
    int rc = mdb_del(t->handle, dbi_of(t, table), &k, NULL);
    if (rc != 0 && rc != MDB_NOTFOUND)
        fail_rc(t, rc);
    return rc == 0;
}

void txn_clear(struct txn *t, unsigned table)
{
    if (t->error != OK)
        return;
    int rc = mdb_drop(t->handle, dbi_of(t, table), 0);
    if (rc != 0)
        fail_rc(t, rc);
}

static MDB_stat table_stat(struct txn *t, unsigned table)
{
    MDB_stat stat = {0};
    if (t->error != OK)
        return stat;
    int rc = mdb_stat(t->handle, dbi_of(t, table), &stat);
    if (rc != 0)
        fail_rc(t, rc);
    return stat;
}

uint64_t txn_count(struct txn *t, unsigned table)
{
    return table_stat(t, table).ms_entries;
}

uint64_t txn_bytes(struct txn *t, unsigned table)
{
    MDB_stat s = table_stat(t, table);
    return (uint64_t)(s.ms_branch_pages + s.ms_leaf_pages + s.ms_overflow_pages) * s.ms_psize;
}

/* Each record is a list: how many pages, then their numbers, the highest first. */
static bool is_list_of_pages(const MDB_val *v, size_t last)
{
    const size_t *list = v->mv_data;
    size_t room = v->mv_size / sizeof *list;
    if (room == 0 || list[0] >= room)
        return false;
    for (size_t i = 1; i <= list[0]; i++)
        if (list[i] < 2 || list[i] > last || (i > 1 && list[i] >= list[i - 1]))
            return false;
    return true;
}

void txn_check_free_pages(struct txn *t)
{
    MDB_cursor *c;
    MDB_val k, v;
    MDB_envinfo info;
    if (t->error != OK)
        return;
    mdb_env_info(t->store->env, &info);
    int rc = mdb_cursor_open(t->handle, 0, &c);
    if (rc != 0) {
        fail_rc(t, rc);
        return;
    }
    while ((rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) == 0)
        if (!is_list_of_pages(&v, info.me_last_pgno)) {
            rc = MDB_CORRUPTED;
            break;
        }
    if (rc != MDB_NOTFOUND)
        fail_rc(t, rc);
    mdb_cursor_close(c);
}

/* ---- cursors */

void cursor_open(struct cursor *c, struct txn *t, unsigned table)
{
    *c = (struct cursor){.txn = t};
    if (t->error != OK)
        return;
    MDB_cursor *handle;
    int rc = mdb_cursor_open(t->handle, dbi_of(t, table), &handle);
    if (rc != 0)
        fail_rc(t, rc);
    else
        c->handle = handle;
}

void cursor_close(struct cursor *c)
{
    if (c->handle != NULL)
        mdb_cursor_close(c->handle);
    c->handle = NULL;
}

static bool move(struct cursor *c, MDB_val k, MDB_cursor_op op)
{
    MDB_val v;
    if (c->handle == NULL || c->txn->error != OK)
        return false;
    int rc = mdb_cursor_get(c->handle, &k, &v, op);
    if (rc != 0) {
        if (rc != MDB_NOTFOUND)
            fail_rc(c->txn, rc);
        return false;
    }
    c->key = bytes_of(k.mv_data, k.mv_size);
    c->value = bytes_of(v.mv_data, v.mv_size);
    return true;
}

bool cursor_seek(struct cursor *c, struct bytes key)
{
    return move(c, val_of(key), MDB_SET_RANGE);
}

bool cursor_first(struct cursor *c)
{
    return move(c, (MDB_val){0, NULL}, MDB_FIRST);
}

bool cursor_last(struct cursor *c)
{
    return move(c, (MDB_val){0, NULL}, MDB_LAST);
}

bool cursor_next(struct cursor *c)
{
    return move(c, (MDB_val){0, NULL}, MDB_NEXT);
}

bool cursor_prev(struct cursor *c)
{
    return move(c, (MDB_val){0, NULL}, MDB_PREV);
}
