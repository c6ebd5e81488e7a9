/* What disks do: they are full, and they forget what was not synced when the power fails. The
 * stores are LMDB's own, on real files; these functions stand before those of common/store (by the
 * linker's --wrap), so that the daemons' use of them is seen. */
#include "base/err.h"
#include "daemon/datadir.h"
#include "sim.h"
#include "store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MOST_STORES 64
#define GIB         (1ull << 30)

/* A directory with a store, open or not. */
struct place {
    char dir[128];
    struct host *host;
    struct store *store; /* NULL: closed */
    const struct txn *writing;
    bool nosync, dirty; /* commits that no sync followed */
};

static struct place places[MOST_STORES];
static unsigned place_count;

enum err __real_store_open(struct store **out, const char *dir, const struct store_options *o,
                           struct reason *why);
enum err __wrap_store_open(struct store **out, const char *dir, const struct store_options *o,
                           struct reason *why);
void __real_store_close(struct store *s);
void __wrap_store_close(struct store *s);
enum err __real_store_sync(struct store *s, struct reason *why);
enum err __wrap_store_sync(struct store *s, struct reason *why);
enum err __real_store_copy(struct store *s, int fd, struct reason *why);
enum err __wrap_store_copy(struct store *s, int fd, struct reason *why);
struct txn *__real_txn_write(struct store *s);
struct txn *__wrap_txn_write(struct store *s);
enum err __real_txn_commit(struct txn *t, struct reason *why);
enum err __wrap_txn_commit(struct txn *t, struct reason *why);
int __wrap_statvfs(const char *path, struct statvfs *out);

static struct place *place_at(const char *dir)
{
    for (unsigned i = 0; i < place_count; i++)
        if (strcmp(places[i].dir, dir) == 0)
            return &places[i];
    must(place_count < MOST_STORES);
    struct place *p = &places[place_count++];
    memset(p, 0, sizeof(*p));
    snprintf(p->dir, sizeof(p->dir), "%s", dir);
    return p;
}

static struct place *place_of(const struct store *s)
{
    for (unsigned i = 0; i < place_count; i++)
        if (places[i].store == s)
            return &places[i];
    return NULL;
}

enum err __wrap_store_open(struct store **out, const char *dir, const struct store_options *o,
                           struct reason *why)
{
    enum err e = __real_store_open(out, dir, o, why);
    if (e != OK)
        return e;
    struct place *p = place_at(dir);
    p->host = sim->current->host;
    p->store = *out;
    p->nosync = o->nosync;
    p->dirty |= o->nosync; /* opening makes the tables */
    return OK;
}

void __wrap_store_close(struct store *s)
{
    struct place *p = s != NULL ? place_of(s) : NULL;
    if (p != NULL) {
        p->store = NULL;
        p->writing = NULL;
    }
    __real_store_close(s);
}

static bool is_killed(void)
{
    return sim->current != NULL && sim->current->dying;
}

static bool disk_is_full(void)
{
    return sim->current != NULL && sim->current->host->disk_full;
}

enum err __wrap_store_sync(struct store *s, struct reason *why)
{
    struct place *p = place_of(s);
    if (is_killed())
        return reason_set(why, ERR_IO, "killed");
    enum err e = __real_store_sync(s, why);
    if (e == OK && p != NULL)
        p->dirty = false;
    return e;
}

enum err __wrap_store_copy(struct store *s, int fd, struct reason *why)
{
    if (is_killed())
        return reason_set(why, ERR_IO, "killed");
    if (disk_is_full())
        return reason_set(why, ERR_NO_SPACE, "copy: no space left on device");
    return __real_store_copy(s, fd, why);
}

struct txn *__wrap_txn_write(struct store *s)
{
    struct txn *t = __real_txn_write(s);
    for (unsigned i = 0; i < place_count; i++)
        if (places[i].writing == t || places[i].store == s)
            places[i].writing = places[i].store == s ? t : NULL;
    return t;
}

/* Of which store t is a write; a transaction's memory may serve others after it. */
static struct place *place_written(const struct txn *t)
{
    for (unsigned i = 0; i < place_count; i++)
        if (places[i].writing == t) {
            places[i].writing = NULL;
            return &places[i];
        }
    return NULL;
}

static bool is_state(const struct place *p)
{
    size_t len = strlen(p->dir);
    return len > 6 && strcmp(p->dir + len - 6, "/state") == 0;
}

enum err __wrap_txn_commit(struct txn *t, struct reason *why)
{
    struct place *p = place_written(t);
    if (is_killed()) {
        txn_abort(t);
        return reason_set(why, ERR_IO, "killed");
    }
    if (disk_is_full())
        txn_fail(t, ERR_NO_SPACE, "no space left on device");
    if (p != NULL)
        p->dirty |= p->nosync;
    enum err e = __real_txn_commit(t, why);
    if (e == OK && p != NULL && is_state(p) && sim->current != NULL && sim->current->self != NULL)
        world_state_changed(sim->current);
    return e;
}

int __wrap_statvfs(const char *path, struct statvfs *out)
{
    memset(out, 0, sizeof(*out));
    out->f_frsize = out->f_bsize = 4096;
    out->f_blocks = 100 * GIB / 4096;
    out->f_bavail = out->f_bfree = disk_is_full() ? 0 : 50 * GIB / 4096;
    return 0;
}

/* Nothing that was not synced can be relied on: the pages that lead to all others are garbage. */
static void damage(const struct place *p)
{
    char path[160];
    unsigned char noise[8192];
    snprintf(path, sizeof(path), "%s/data.mdb", p->dir);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (unsigned char)sim_below(256);
    must(write(fd, noise, sizeof(noise)) == (ssize_t)sizeof(noise));
    close(fd);
}

void disk_crash(struct host *h)
{
    for (unsigned i = 0; i < place_count; i++) {
        struct place *p = &places[i];
        if (p->host != h || !p->dirty)
            continue;
        must(p->store == NULL);
        damage(p);
        p->dirty = false;
    }
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    return remove(path);
}

void disk_remove(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void disk_lose(struct host *h)
{
    for (unsigned i = 0; i < place_count; i++)
        if (places[i].host == h) {
            must(places[i].store == NULL);
            places[i].dirty = false;
        }
    disk_remove(h->name);
}

void disk_free(void)
{
    place_count = 0;
}

/* ---- daemon/datadir: nobody else is here */

enum err datadir_make(const char *path, unsigned mode, struct reason *why)
{
    char part[256];
    must(strlen(path) + 2 <= sizeof(part));
    memcpy(part, path, strlen(path));
    memcpy(part + strlen(path), "/", 2);
    for (char *p = strchr(part + 1, '/'); p != NULL; p = strchr(p + 1, '/')) {
        *p = '\0';
        if (mkdir(part, 0750) != 0 && errno != EEXIST)
            return reason_errno(why, ERR_IO, "make %s", part);
        *p = '/';
    }
    return OK;
}

enum err datadir_open(const char *path, const char *kind, unsigned format, struct reason *why)
{
    return datadir_make(path, 0750, why);
}
