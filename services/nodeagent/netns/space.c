#include "space.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err path_of(char out[PATH_MAX], const char *dir, const char *id, const char *name,
                        struct reason *why)
{
    if (snprintf(out, PATH_MAX, "%s/%s%s", dir, id, name) >= PATH_MAX)
        return reason_set(why, ERR_INVALID, "%.60s...: the path is too long", dir);
    return OK;
}

static enum err make_file(const char *dir, const char *id, char path[PATH_MAX], struct reason *why)
{
    enum err e = path_of(path, dir, id, "", why);
    if (e == OK && mkdir(path, 0755) != 0 && errno != EEXIST)
        e = reason_errno(why, ERR_IO, "mkdir %s", path);
    if (e == OK)
        e = path_of(path, dir, id, "/net", why);
    if (e != OK)
        return e;
    int fd = open(path, O_CREAT | O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0444);
    if (fd < 0)
        return reason_errno(why, ERR_IO, "%s", path);
    close(fd);
    return OK;
}

enum err space_make(const char *dir, const char *id, struct reason *why)
{
    char path[PATH_MAX];
    enum err e = make_file(dir, id, path, why);
    if (e != OK)
        return e;
    if (unshare(CLONE_NEWNET) != 0)
        return reason_errno(why, ERR_UNAVAILABLE, "the kernel gives no network namespace");
    if (mount("/proc/self/ns/net", path, NULL, MS_BIND, NULL) != 0)
        return reason_errno(why, ERR_UNAVAILABLE, "keep the network namespace in %s", path);
    return OK;
}

enum err space_enter(int fd, struct reason *why)
{
    if (setns(fd, CLONE_NEWNET) != 0)
        return reason_errno(why, ERR_UNAVAILABLE, "enter a network namespace");
    return OK;
}

int space_current(void)
{
    return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

enum err space_remove(const char *dir, const char *id, bool alone, struct reason *why)
{
    static const char *const files[] = {"/net", "/resolv.conf", "/cni.json.new", "/cni.json"};
    char path[PATH_MAX];
    for (size_t i = 0; i < (alone ? 1 : COUNT_OF(files)); i++) {
        enum err e = path_of(path, dir, id, files[i], why);
        if (e != OK)
            return e;
        while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) /* one over another: all */
            continue;
        if (unlink(path) != 0 && errno != ENOENT)
            return reason_errno(why, ERR_IO, "remove %s", path);
    }
    enum err e = path_of(path, dir, id, "", why);
    if (e == OK && !alone && rmdir(path) != 0 && errno != ENOENT)
        e = reason_errno(why, ERR_IO, "remove %s", path);
    return e;
}
