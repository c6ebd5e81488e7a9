#include "move.h"
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>

#define ENTRY_BYTES 512 /* that an entry counts for at least */
#define NAME_MOST   255 /* of one part of a path */

struct unpacking {
    struct archive *in, *out;
    uint64_t left;
    bool complete;
    struct reason *why;
};

/* Behind the part; NULL: it is none. */
static const char *behind_part(const char *path, size_t *len)
{
    size_t n = strcspn(path, "/");
    bool dots = (n == 1 && path[0] == '.') || (n == 2 && path[0] == '.' && path[1] == '.');
    *len = n;
    return n == 0 || n > NAME_MOST || dots ? NULL : path + n + (path[n] == '/');
}

bool move_is_ours(const char *path)
{
    size_t first, second, n;
    const char *top = path, *below = behind_part(path, &first);
    const char *rest = below == NULL || *below == '\0' ? NULL : behind_part(below, &second);
    if (rest == NULL)
        return false;
    const char *wanted = first == 5 && strncmp(top, "alloc", 5) == 0 ? "data" : "local";
    if (second != strlen(wanted) || strncmp(below, wanted, second) != 0)
        return false;
    while (*rest != '\0')
        if ((rest = behind_part(rest, &n)) == NULL)
            return false;
    return true;
}

static enum err failed(struct unpacking *u, struct archive *which, const char *path)
{
    const char *text = archive_error_string(which);
    return reason_set(u->why, which == u->in ? ERR_CORRUPT : ERR_IO, "%.200s: %s", path,
                      text == NULL ? "unknown" : text);
}

static enum err spend(struct unpacking *u, uint64_t bytes)
{
    if (bytes > u->left)
        return reason_set(u->why, ERR_NO_SPACE, "it holds more than the disk may have");
    u->left -= bytes;
    return OK;
}

static enum err check(struct unpacking *u, struct archive_entry *entry)
{
    const char *path = archive_entry_pathname(entry), *hard = archive_entry_hardlink(entry);
    mode_t type = archive_entry_filetype(entry);
    if (path == NULL || !move_is_ours(path))
        return reason_set(u->why, ERR_INVALID, "entry \"%.100s\" has no business there",
                          path == NULL ? "" : path);
    if (hard != NULL && !move_is_ours(hard))
        return reason_set(u->why, ERR_INVALID, "entry \"%.100s\" links to \"%.100s\"", path, hard);
    if (hard == NULL && type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK)
        return reason_set(u->why, ERR_INVALID, "entry \"%.100s\" is no file, directory or link",
                          path);
    archive_entry_set_perm(entry, archive_entry_perm(entry) & 01777);
    return spend(u, ENTRY_BYTES);
}

static enum err copy_data(struct unpacking *u, const char *path)
{
    const void *data;
    size_t size;
    la_int64_t offset;
    int r;
    while ((r = archive_read_data_block(u->in, &data, &size, &offset)) == ARCHIVE_OK) {
        enum err e = spend(u, size);
        if (e != OK)
            return e;
        if (archive_write_data_block(u->out, data, size, offset) < ARCHIVE_OK)
            return failed(u, u->out, path);
    }
    return r == ARCHIVE_EOF ? OK : failed(u, u->in, path);
}

static enum err take_entry(struct unpacking *u, struct archive_entry *entry)
{
    const char *path = archive_entry_pathname(entry);
    u->complete = path != NULL && strcmp(path, MOVE_COMPLETE) == 0;
    if (u->complete)
        return OK;
    enum err e = check(u, entry);
    if (e != OK)
        return e;
    if (archive_write_header(u->out, entry) < ARCHIVE_WARN)
        return failed(u, u->out, path);
    e = copy_data(u, path);
    if (e == OK && archive_write_finish_entry(u->out) < ARCHIVE_WARN)
        e = failed(u, u->out, path);
    return e;
}

enum err move_unpack(int in, uint64_t max_bytes, struct reason *why)
{
    struct unpacking u = {archive_read_new(), archive_write_disk_new(), max_bytes, false, why};
    struct archive_entry *entry;
    enum err e = OK;
    int r = ARCHIVE_OK;
    archive_read_support_format_tar(u.in);
    archive_read_set_options(u.in, "hdrcharset=BINARY");
    archive_write_disk_set_options(
        u.out, ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_OWNER |
                   ARCHIVE_EXTRACT_SPARSE | ARCHIVE_EXTRACT_SECURE_SYMLINKS |
                   ARCHIVE_EXTRACT_SECURE_NODOTDOT | ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS);
    if (archive_read_open_fd(u.in, in, 65536) != ARCHIVE_OK)
        e = failed(&u, u.in, "read");
    while (e == OK && (r = archive_read_next_header(u.in, &entry)) != ARCHIVE_EOF)
        e = r == ARCHIVE_OK || r == ARCHIVE_WARN ? take_entry(&u, entry) : failed(&u, u.in, "read");
    if (e == OK && !u.complete)
        e = reason_set(why, ERR_CORRUPT, "it was cut short");
    if (archive_write_close(u.out) != ARCHIVE_OK && e == OK)
        e = failed(&u, u.out, "write");
    archive_read_free(u.in);
    archive_write_free(u.out);
    return e;
}
