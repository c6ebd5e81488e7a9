#include "fetch.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MOST 200 /* a descriptor, or two, each */

static int open_dir(int at, const char *name)
{
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Takes fd. */
static void empty(int fd, int depth)
{
    struct dirent *d;
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        close(fd);
        return;
    }
    while ((d = readdir(dir)) != NULL) {
        if (is_dots(d->d_name) || unlinkat(fd, d->d_name, 0) == 0)
            continue;
        int below = depth == DEPTH_MOST ? -1 : open_dir(fd, d->d_name);
        if (below < 0)
            continue;
        empty(below, depth + 1);
        unlinkat(fd, d->d_name, AT_REMOVEDIR);
    }
    closedir(dir);
}

void drop_tree(int at, const char *name)
{
    if (unlinkat(at, name, 0) == 0)
        return;
    int fd = open_dir(at, name);
    if (fd < 0)
        return;
    empty(fd, 0);
    unlinkat(at, name, AT_REMOVEDIR);
}

static enum err merge_below(int from, int to, bool replace, int depth, struct reason *why);

static enum err merge_directories(int from, int to, const char *name, int depth, struct reason *why)
{
    int source = open_dir(from, name), target = open_dir(to, name);
    enum err e = source < 0 || target < 0 ? reason_errno(why, ERR_IO, "merge %s", name)
                                          : merge_below(source, target, false, depth + 1, why);
    if (source >= 0)
        close(source);
    if (target >= 0)
        close(target);
    return e;
}

static enum err put(int from, int to, const char *name, bool replace, int depth, struct reason *why)
{
    struct stat ours, theirs;
    if (fstatat(from, name, &ours, AT_SYMLINK_NOFOLLOW) != 0)
        return reason_errno(why, ERR_IO, "stat %s", name);
    bool there = fstatat(to, name, &theirs, AT_SYMLINK_NOFOLLOW) == 0;
    if (!replace && there && S_ISDIR(ours.st_mode) && S_ISDIR(theirs.st_mode) && depth < DEPTH_MOST)
        return merge_directories(from, to, name, depth, why);
    if (there && (S_ISDIR(ours.st_mode) || S_ISDIR(theirs.st_mode)))
        drop_tree(to, name);
    if (renameat(from, name, to, name) != 0)
        return reason_errno(why, ERR_IO, "put %s in its place", name);
    return OK;
}

static enum err merge_below(int from, int to, bool replace, int depth, struct reason *why)
{
    enum err e = OK;
    const struct dirent *d;
    int fd = open_dir(from, ".");
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        e = reason_errno(why, ERR_IO, "read a directory");
        if (fd >= 0)
            close(fd);
        return e;
    }
    while (e == OK && (d = readdir(dir)) != NULL)
        if (!is_dots(d->d_name))
            e = put(from, to, d->d_name, replace, depth, why);
    closedir(dir);
    return e;
}

enum err merge(int from, int to, bool replace, struct reason *why)
{
    return merge_below(from, to, replace, 0, why);
}
