#include "owndir.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_below(int dir, const char *path, uint64_t flags)
{
    struct open_how how = {.flags = flags | O_CLOEXEC,
                           .resolve =
                               RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

/* Each part of the path in turn, as far as it is missing. */
static bool make_below(int dir, const char *path)
{
    char so_far[4096];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof so_far)
        return false;
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(so_far, path, i);
        so_far[i] = '\0';
        int fd = open_below(dir, so_far, O_PATH);
        if (fd < 0 && (errno != ENOENT || mkdirat(dir, so_far, 0755) != 0))
            return false;
        if (fd >= 0)
            close(fd);
    }
    return true;
}

static enum err refused(struct reason *why, const char *path)
{
    return errno == ELOOP || errno == EXDEV
               ? reason_set(why, ERR_DENIED,
                            "%.200s: a symlink is on the way, and would lead the engine anywhere",
                            path)
               : reason_errno(why, ERR_UNAVAILABLE, "%.200s", path);
}

enum err owndirs_make(const json_t *spec, struct reason *why)
{
    const char *root = json_string_value(json_object_get(spec, "root"));
    const json_t *own = json_object_get(spec, "own"), *one;
    size_t i;
    if (json_array_size(own) == 0 || root == NULL)
        return OK;
    int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    enum err e = dir < 0 ? reason_errno(why, ERR_UNAVAILABLE, "%s", root) : OK;
    json_array_foreach(own, i, one)
    {
        const char *path = json_string_value(one);
        if (e == OK && path != NULL && !make_below(dir, path))
            e = refused(why, path);
    }
    if (dir >= 0)
        close(dir);
    return e;
}

int owndir_open(const char *root, const char *path, struct reason *why)
{
    int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = dir < 0 ? -1 : open_below(dir, path, O_RDONLY);
    if (fd < 0)
        refused(why, path);
    if (dir >= 0)
        close(dir);
    return fd;
}
