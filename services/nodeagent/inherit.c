#include "inherit.h"
#include "allocdir.h"
#include "diskquota.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Tasks may write in what is opened here: no link of theirs is followed. */
static int open_dir(int at, const char *name)
{
    return openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static enum err pass_one(const char *from_dir, const char *heir_dir, const char *below,
                         const char *name, struct reason *why)
{
    int top = open_dir(AT_FDCWD, from_dir);
    int dir = top < 0 ? -1 : open_dir(top, below);
    enum err e = dir < 0 ? OK : diskquota_pass(dir, name, heir_dir, why);
    if (dir >= 0)
        close(dir);
    if (top >= 0)
        close(top);
    return e == OK ? OK : reason_add(why, e, "give %s/%s its new project", below, name);
}

enum err inherit_project(const char *from_dir, const char *heir_dir, char *const *tasks,
                         size_t count, struct reason *why)
{
    struct reason other = {""};
    enum err first = pass_one(from_dir, heir_dir, "alloc", "data", why);
    for (size_t i = 0; i < count; i++) {
        enum err e = pass_one(from_dir, heir_dir, tasks[i], "local", first == OK ? why : &other);
        first = first == OK ? e : first;
    }
    return first;
}

static enum err move_between(int from, int to, const char *below, const char *name, bool replace,
                             struct reason *why)
{
    struct stat st;
    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? OK : reason_errno(why, ERR_IO, "stat %s/%s", below, name);
    if (!S_ISDIR(st.st_mode))
        return reason_set(why, ERR_INVALID, "%s/%s is no directory any more", below, name);
    if (renameat(from, name, to, name) == 0)
        return OK;
    if (replace && (errno == ENOTEMPTY || errno == EEXIST) &&
        renameat2(from, name, to, name, RENAME_EXCHANGE) == 0)
        return OK;
    return reason_errno(why, ERR_IO, "move %s/%s", below, name);
}

static enum err move_one(const char *from_dir, const char *to_dir, const char *below,
                         const char *name, bool replace, struct reason *why)
{
    int tops[2] = {open_dir(AT_FDCWD, from_dir), open_dir(AT_FDCWD, to_dir)};
    int dirs[2] = {-1, -1};
    enum err e = OK;
    if (tops[0] >= 0)
        dirs[0] = open_dir(tops[0], below);
    if (tops[1] >= 0)
        dirs[1] = open_dir(tops[1], below);
    if (dirs[0] >= 0)
        e = dirs[1] >= 0 ? move_between(dirs[0], dirs[1], below, name, replace, why)
                         : reason_set(why, ERR_IO, "%s cannot be opened", below);
    for (int i = 0; i < 2; i++) {
        if (dirs[i] >= 0)
            close(dirs[i]);
        if (tops[i] >= 0)
            close(tops[i]);
    }
    return e;
}

enum err inherit_disk(const char *from_dir, const char *data_dir, const uint8_t heir[16],
                      char *const *tasks, size_t count, bool replace, struct reason *why)
{
    struct arena *a = arena_new(1 << 20);
    const char *heir_dir = allocdir_path(a, data_dir, heir);
    struct reason other = {""};
    enum err first = move_one(from_dir, heir_dir, "alloc", "data", replace, why);
    for (size_t i = 0; i < count; i++) {
        struct stat st;
        if (lstat(arena_printf(a, "%s/%s", from_dir, tasks[i]), &st) != 0)
            continue;
        struct reason *mine = first == OK ? why : &other;
        enum err e = allocdir_make(data_dir, heir, tasks[i], geteuid(), getegid(), mine);
        if (e == OK)
            e = move_one(from_dir, heir_dir, tasks[i], "local", replace, mine);
        first = first == OK ? e : first;
    }
    arena_free(a);
    return first;
}
