#include "place.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Takes "." and ".." out of a relative path, in place. False: it leads out. */
static bool clean(char *path)
{
    char *out = path, *rest = path, *part;
    char copy[4096];
    if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy)
        return false;
    rest = copy;
    *out = '\0';
    while ((part = strsep(&rest, "/")) != NULL) {
        if (*part == '\0' || strcmp(part, ".") == 0)
            continue;
        if (strcmp(part, "..") == 0) {
            if (out == path)
                return false;
            while (out > path && *--out != '/')
                continue;
            *out = '\0';
            continue;
        }
        if (out > path)
            *out++ = '/';
        out = stpcpy(out, part);
    }
    return true;
}

static bool begins_with(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 && path[len] == '/';
}

/* In the task's own directory, or in the shared one; not one of these themselves. */
static bool is_given(const char *place, const char *task)
{
    return (begins_with(place, task) || begins_with(place, "alloc")) &&
           strchr(place, '/')[1] != '\0';
}

char *place_of(struct arena *a, const char *alloc_dir, const char *task, const char *path)
{
    char *place;
    if (begins_with(path, alloc_dir))
        place = arena_strdup(a, path + strlen(alloc_dir) + 1);
    else if (begins_with(path, "/alloc"))
        place = arena_strdup(a, path + 1);
    else
        place = arena_printf(a, "%s/%s", task, path);
    return clean(place) && is_given(place, task) ? place : NULL;
}

/* The directory the last part lies in; takes dir. */
static int enter(int dir, char **rest, uid_t uid, gid_t gid)
{
    char *slash;
    while (dir >= 0 && (slash = strchr(*rest, '/')) != NULL) {
        *slash = '\0';
        bool made = mkdirat(dir, *rest, 0755) == 0;
        int below = openat(dir, *rest, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below >= 0 && made && geteuid() == 0 && fchown(below, uid, gid) != 0) {
            close(below);
            below = -1;
        }
        int saved = errno;
        close(dir);
        errno = saved;
        dir = below;
        *rest = slash + 1;
    }
    return dir;
}

static bool write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno != EINTR)
            return false;
        data += n < 0 ? 0 : n;
        len -= n < 0 ? 0 : (size_t)n;
    }
    return true;
}

static bool fill(int fd, const void *data, size_t len, mode_t mode, uid_t uid, gid_t gid)
{
    return write_all(fd, data, len) && (geteuid() != 0 || fchown(fd, uid, gid) == 0) &&
           fchmod(fd, mode & 0777) == 0;
}

enum err place_write(const char *alloc_dir, const char *place, const void *data, size_t len,
                     mode_t mode, uid_t uid, gid_t gid, struct reason *why)
{
    static const char temporary[] = ".norn-new";
    char path[4096], *rest = path;
    if (snprintf(path, sizeof path, "%s", place) >= (int)sizeof path)
        return reason_set(why, ERR_INVALID, "path too long: %s", place);
    int dir = enter(open(alloc_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), &rest, uid, gid);
    if (dir < 0)
        return reason_errno(why, ERR_IO, "enter the directory of %s", place);
    unlinkat(dir, temporary, 0);
    int fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool written =
        fd >= 0 && fill(fd, data, len, mode, uid, gid) && renameat(dir, temporary, dir, rest) == 0;
    enum err e = written ? OK : reason_errno(why, ERR_IO, "write %s", place);
    if (fd >= 0)
        close(fd);
    if (!written && fd >= 0)
        unlinkat(dir, temporary, 0);
    close(dir);
    return e;
}
