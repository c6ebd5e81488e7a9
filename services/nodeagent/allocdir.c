#include "allocdir.h"
#include "base/id.h"
#include "diskquota.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_DEPTH 256

static char *path_of(struct arena *a, const char *data_dir, const char *kind,
                     const uint8_t alloc[16])
{
    char id[ID_TEXT_SIZE];
    id_format(alloc, id);
    return arena_printf(a, "%s/%s/%s", data_dir, kind, id);
}

char *allocdir_path(struct arena *a, const char *data_dir, const uint8_t alloc[16])
{
    return path_of(a, data_dir, "alloc", alloc);
}

char *allocdir_task_path(struct arena *a, const char *data_dir, const uint8_t alloc[16],
                         const char *task)
{
    return arena_printf(a, "%s/%s", allocdir_path(a, data_dir, alloc), task);
}

char *allocdir_shim_path(struct arena *a, const char *data_dir, const uint8_t alloc[16],
                         const char *task)
{
    return arena_printf(a, "%s/%s", path_of(a, data_dir, "shim", alloc), task);
}

char *allocdir_moving_path(struct arena *a, const char *data_dir, const uint8_t alloc[16])
{
    return path_of(a, data_dir, "moving", alloc);
}

bool allocdir_name_is_usable(const char *task)
{
    static const char *const taken[] = {"", ".", "..", "alloc"};
    for (size_t i = 0; i < COUNT_OF(taken); i++)
        if (strcmp(task, taken[i]) == 0)
            return false;
    return strlen(task) <= 200 && strchr(task, '/') == NULL;
}

/* A task may write in what lies above many of them: no link of its own is followed. */
static int open_dir(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* The mode as given, whatever the umask. */
static enum err make_dir(const char *path, mode_t mode, struct reason *why)
{
    if (mkdir(path, mode) != 0) {
        if (errno == EEXIST)
            return OK;
        return reason_errno(why, errno == ENOSPC ? ERR_NO_SPACE : ERR_IO, "mkdir %s", path);
    }
    int fd = open_dir(path);
    enum err e =
        fd >= 0 && fchmod(fd, mode) == 0 ? OK : reason_errno(why, ERR_IO, "chmod %s", path);
    if (fd >= 0)
        close(fd);
    return e;
}

static enum err give_dir(const char *path, uid_t uid, gid_t gid, struct reason *why)
{
    int fd = open_dir(path);
    enum err e =
        fd >= 0 && fchown(fd, uid, gid) == 0 ? OK : reason_errno(why, ERR_IO, "chown %s", path);
    if (fd >= 0)
        close(fd);
    return e;
}

struct dir_to_make {
    const char *below;
    mode_t mode;
};

static enum err make_below(const char *base, const struct dir_to_make *dirs, size_t count,
                           struct reason *why)
{
    char path[4096];
    for (size_t i = 0; i < count; i++) {
        if (snprintf(path, sizeof path, "%s%s", base, dirs[i].below) >= (int)sizeof path)
            return reason_set(why, ERR_INVALID, "path too long: %s%s", base, dirs[i].below);
        enum err e = make_dir(path, dirs[i].mode, why);
        if (e != OK)
            return e;
    }
    return OK;
}

enum err allocdir_prepare(const char *data_dir, struct reason *why)
{
    static const struct dir_to_make dirs[] = {{"/alloc", 0711}, {"/shim", 0700}, {"/moving", 0700}};
    return make_below(data_dir, dirs, COUNT_OF(dirs), why);
}

static enum err make_all(struct arena *a, const char *data_dir, const uint8_t alloc[16],
                         const char *task, uid_t uid, gid_t gid, struct reason *why)
{
    static const struct dir_to_make shared[] = {
        {"", 0755},
        {"/alloc", 0777},
        {"/alloc/data", 0777},
        {"/alloc/logs", 0777},
        {"/alloc/tmp", 01777},
    };
    static const struct dir_to_make own[] = {
        {"", 0777}, {"/local", 0777}, {"/secrets", 0700}, {"/tmp", 01777}};
    static const struct dir_to_make shim[] = {{"", 0700}};
    char *task_path = allocdir_task_path(a, data_dir, alloc, task);
    enum err e = make_below(allocdir_path(a, data_dir, alloc), shared, COUNT_OF(shared), why);
    if (e == OK)
        e = make_below(task_path, own, COUNT_OF(own), why);
    if (e == OK)
        e = make_below(path_of(a, data_dir, "shim", alloc), shim, 1, why);
    if (e == OK)
        e = make_below(allocdir_shim_path(a, data_dir, alloc, task), shim, 1, why);
    if (e != OK || (uid == geteuid() && gid == getegid()))
        return e;
    return give_dir(arena_printf(a, "%s/secrets", task_path), uid, gid, why);
}

enum err allocdir_make(const char *data_dir, const uint8_t alloc[16], const char *task, uid_t uid,
                       gid_t gid, struct reason *why)
{
    struct arena *a = arena_new(1 << 16);
    enum err e = make_all(a, data_dir, alloc, task, uid, gid, why);
    arena_free(a);
    return e;
}

/* Only one that is made here is certainly empty. */
static enum err limit_dir(const char *path, const uint8_t alloc[16], uint64_t bytes,
                          struct reason *why)
{
    uint32_t seed;
    memcpy(&seed, alloc + 12, sizeof seed); /* the end of an id is random */
    enum err e = OK;
    if (mkdir(path, 0755) == 0)
        e = chmod(path, 0755) == 0 ? diskquota_begin(path, seed, why)
                                   : reason_errno(why, ERR_IO, "chmod %s", path);
    else if (errno != EEXIST)
        e = reason_errno(why, errno == ENOSPC ? ERR_NO_SPACE : ERR_IO, "mkdir %s", path);
    if (e == OK)
        e = diskquota_limit(path, bytes, why);
    return e == ERR_NOT_FOUND ? OK : e;
}

enum err allocdir_limit(const char *data_dir, const uint8_t alloc[16], uint64_t bytes,
                        struct reason *why)
{
    if (!diskquota_is_on(data_dir))
        return OK;
    struct arena *a = arena_new(1 << 16);
    enum err e = limit_dir(allocdir_path(a, data_dir, alloc), alloc, bytes, why);
    arena_free(a);
    return e;
}

bool allocdir_exists(const char *data_dir, const uint8_t alloc[16])
{
    struct stat st;
    struct arena *a = arena_new(1 << 16);
    bool there = stat(allocdir_path(a, data_dir, alloc), &st) == 0 && S_ISDIR(st.st_mode);
    arena_free(a);
    return there;
}

/* A tree that is removed. */
struct removal {
    int top;
    dev_t device;
    unsigned raised; /* directories that were too deep, and lie at the top now */
};

/* It will be met again, in the next round at the latest. */
static bool raise_to_top(struct removal *r, int dir, const char *name)
{
    char above[32];
    snprintf(above, sizeof above, ".deep-%u", r->raised);
    if (renameat(dir, name, r->top, above) != 0)
        return false;
    r->raised++;
    return true;
}

/* Empties the directory fd refers to, and closes it. */
static enum err empty_dir(struct removal *r, int fd, int depth, struct reason *why)
{
    enum err result = OK;
    struct dirent *entry;
    struct stat st;
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        close(fd);
        return reason_errno(why, ERR_IO, "fdopendir");
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(fd, entry->d_name, 0) == 0 || errno == ENOENT)
            continue;
        if (depth == MAX_DEPTH && raise_to_top(r, fd, entry->d_name))
            continue;
        int below = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below < 0 || fstat(below, &st) != 0 || st.st_dev != r->device || depth == MAX_DEPTH) {
            result = reason_errno(why, ERR_IO, "remove %s", entry->d_name);
            if (below >= 0)
                close(below);
            continue;
        }
        enum err e = empty_dir(r, below, depth + 1, why);
        if (e == OK && unlinkat(fd, entry->d_name, AT_REMOVEDIR) != 0 && errno != ENOENT)
            e = reason_errno(why, ERR_IO, "rmdir %s", entry->d_name);
        result = e == OK ? result : e;
    }
    closedir(dir);
    return result;
}

static enum err empty_top(int top, struct reason *why)
{
    struct removal r = {.top = top};
    struct stat st;
    unsigned before;
    enum err e;
    if (fstat(top, &st) != 0)
        return reason_errno(why, ERR_IO, "stat");
    r.device = st.st_dev;
    do {
        before = r.raised;
        int again = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        e = again < 0 ? reason_errno(why, ERR_IO, "open") : empty_dir(&r, again, 0, why);
    } while (e == OK && r.raised > before);
    return e;
}

static enum err remove_tree(const char *path, struct reason *why)
{
    int fd = open_dir(path);
    if (fd < 0)
        return errno == ENOENT ? OK : reason_errno(why, ERR_IO, "open %s", path);
    enum err e = empty_top(fd, why);
    close(fd);
    if (e == OK && rmdir(path) != 0 && errno != ENOENT)
        e = reason_errno(why, ERR_IO, "rmdir %s", path);
    return e;
}

enum err allocdir_drop_moving(const char *data_dir, const uint8_t alloc[16], struct reason *why)
{
    struct arena *a = arena_new(1 << 16);
    enum err e = remove_tree(allocdir_moving_path(a, data_dir, alloc), why);
    arena_free(a);
    return e;
}

enum err allocdir_destroy(const char *data_dir, const uint8_t alloc[16], struct reason *why)
{
    struct arena *a = arena_new(1 << 16);
    enum err moving = allocdir_drop_moving(data_dir, alloc, why);
    enum err shim = remove_tree(path_of(a, data_dir, "shim", alloc), why);
    const char *path = allocdir_path(a, data_dir, alloc);
    /* First: once the directory has gone, nobody knows which limit was its own. */
    diskquota_limit(path, 0, NULL);
    enum err e = remove_tree(path, why);
    arena_free(a);
    return e != OK ? e : shim != OK ? shim : moving;
}

void allocdir_drop_shim(const char *data_dir, const uint8_t alloc[16], const char *task)
{
    struct arena *a = arena_new(1 << 16);
    if (remove_tree(allocdir_shim_path(a, data_dir, alloc, task), NULL) == OK)
        rmdir(path_of(a, data_dir, "shim", alloc)); /* fails while another task has a shim */
    arena_free(a);
}
