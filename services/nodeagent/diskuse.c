#include "diskuse.h"
#include "base/map.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHARED_MOST (1u << 20) /* files of several names that are remembered */

struct count {
    uint64_t bytes, most;
    dev_t device;
    struct map *shared; /* inodes of files of several names; NULL: none yet */
};

static bool is_counted_already(struct count *c, const struct stat *st)
{
    if (st->st_nlink < 2 || S_ISDIR(st->st_mode))
        return false;
    if (c->shared == NULL)
        c->shared = map_new();
    if (map_get(c->shared, &st->st_ino, sizeof st->st_ino) != NULL)
        return true;
    if (map_count(c->shared) < SHARED_MOST)
        map_put(c->shared, &st->st_ino, sizeof st->st_ino, c);
    return false;
}

static enum err count_below(struct count *c, int fd, unsigned depth, struct reason *why);

static enum err count_one(struct count *c, int dir, const char *name, unsigned depth,
                          struct reason *why)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || st.st_dev != c->device ||
        is_counted_already(c, &st))
        return OK;
    c->bytes += (uint64_t)st.st_blocks * 512;
    if (!S_ISDIR(st.st_mode))
        return OK;
    if (depth == DISKUSE_DEPTH_MOST)
        return reason_set(why, ERR_INVALID, "its directories are more than %d deep",
                          DISKUSE_DEPTH_MOST);
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? OK : count_below(c, fd, depth + 1, why);
}

/* Takes fd. */
static enum err count_below(struct count *c, int fd, unsigned depth, struct reason *why)
{
    DIR *d = fdopendir(fd);
    struct dirent *entry;
    enum err e = OK;
    if (d == NULL) {
        close(fd);
        return reason_errno(why, ERR_IO, "read a directory");
    }
    while (e == OK && c->bytes <= c->most && (entry = readdir(d)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            e = count_one(c, dirfd(d), entry->d_name, depth, why);
    closedir(d);
    return e;
}

enum err diskuse_measure(const char *dir, uint64_t most, uint64_t *bytes, struct reason *why)
{
    struct count c = {.most = most};
    struct stat st;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    *bytes = 0;
    if (fd < 0 || fstat(fd, &st) != 0) {
        enum err e = reason_errno(why, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s", dir);
        if (fd >= 0)
            close(fd);
        return e;
    }
    c.device = st.st_dev;
    enum err e = count_below(&c, fd, 0, why);
    map_free(c.shared);
    *bytes = c.bytes;
    return e;
}
