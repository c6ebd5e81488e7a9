#include "daemon/datadir.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum err datadir_make(const char *path, unsigned mode, struct reason *why)
{
    char part[PATH_MAX];
    if (path[0] == '\0' || strlen(path) >= sizeof(part))
        return reason_set(why, ERR_INVALID, "the path \"%.100s\" is empty or too long", path);
    memcpy(part, path, strlen(path) + 1);
    for (char *p = part + 1;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char end = *p;
        *p = '\0';
        if (mkdir(part, end == '\0' ? mode : 0755) != 0 && errno != EEXIST)
            return reason_errno(why, ERR_IO, "make the directory %s", part);
        if (end == '\0')
            return OK;
        *p = end;
    }
}

/* But for ".", "..", the lock, and what a file system of its own begins with. */
static bool is_empty(int dir)
{
    DIR *d = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    bool empty = true;
    const struct dirent *e;
    while (d != NULL && (e = readdir(d)) != NULL)
        empty &= e->d_name[0] == '.' || strcmp(e->d_name, "lost+found") == 0;
    if (d != NULL)
        closedir(d);
    return empty;
}

static enum err write_version(int dir, const char *path, const char *text, struct reason *why)
{
    int fd = openat(dir, ".VERSION.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fsync(fd) == 0;
    good = good && renameat(dir, ".VERSION.new", dir, "VERSION") == 0 && fsync(dir) == 0;
    enum err e = good ? OK : reason_errno(why, ERR_IO, "write %s/VERSION", path);
    if (fd >= 0)
        close(fd);
    return e;
}

static enum err check_version(int dir, const char *path, const char *expected, struct reason *why)
{
    char found[100];
    int fd = openat(dir, "VERSION", O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && is_empty(dir))
        return write_version(dir, path, expected, why);
    if (fd < 0 && errno == ENOENT)
        return reason_set(
            why, ERR_INVALID,
            "%s is not empty and has no VERSION file: it is not ours; give an empty directory",
            path);
    if (fd < 0)
        return reason_errno(why, ERR_IO, "open %s/VERSION", path);
    ssize_t len = read(fd, found, sizeof(found) - 1);
    close(fd);
    if (len < 0)
        return reason_errno(why, ERR_IO, "read %s/VERSION", path);
    found[len] = '\0';
    if (strcmp(found, expected) == 0)
        return OK;
    found[strcspn(found, "\n")] = '\0';
    return reason_set(why, ERR_INVALID,
                      "%s holds \"%s\", this program needs \"%.*s\": use the version that wrote "
                      "it, or another directory",
                      path, found, (int)strcspn(expected, "\n"), expected);
}

static enum err check_all(int dir, const char *path, const char *expected, struct reason *why)
{
    struct stat st;
    if (fstat(dir, &st) != 0)
        return reason_errno(why, ERR_IO, "look at %s", path);
    if (st.st_uid != geteuid())
        return reason_set(
            why, ERR_DENIED,
            "%s belongs to uid %u, and this process runs as uid %u: chown it, or run as its owner",
            path, st.st_uid, geteuid());
    int lock = openat(dir, ".lock", O_RDWR | O_CREAT | O_CLOEXEC,
                      0640); /* stays open as long as the process */
    if (lock < 0)
        return reason_errno(why, ERR_IO, "open %s/.lock", path);
    enum err e = OK;
    if (flock(lock, LOCK_EX | LOCK_NB) != 0)
        e = reason_set(why, ERR_BUSY,
                       "%s is in use by another process: stop that one, or give another directory",
                       path);
    if (e == OK)
        e = check_version(dir, path, expected, why);
    if (e != OK)
        close(lock);
    return e;
}

enum err datadir_open(const char *path, const char *kind, unsigned format, struct reason *why)
{
    char expected[100];
    snprintf(expected, sizeof(expected), "norn %s %u\n", kind, format);
    enum err e = datadir_make(path, 0750, why);
    if (e != OK)
        return e;
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return reason_errno(why, ERR_IO, "open %s", path);
    e = check_all(dir, path, expected, why);
    close(dir);
    return e;
}
