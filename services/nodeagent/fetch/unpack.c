#include "fetch.h"
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

struct totals {
    uint64_t bytes, files;
};

static struct archive *open_archive(int fd, bool single, struct reason *why)
{
    struct archive *in = archive_read_new();
    archive_read_support_filter_all(in);
    if (single)
        archive_read_support_format_raw(in);
    else
        archive_read_support_format_all(in);
    if (lseek(fd, 0, SEEK_SET) == 0 && archive_read_open_fd(in, fd, 65536) == ARCHIVE_OK)
        return in;
    const char *text = archive_error_string(in);
    reason_set(why, ERR_INVALID, "it is no archive: %s", text == NULL ? "unknown form" : text);
    archive_read_free(in);
    return NULL;
}

/* "./a//b" to "a/b"; NULL: absolute, or it leads out. */
static const char *clean(struct arena *a, const char *path)
{
    char *out = arena_alloc(a, strlen(path) + 2), *to = out;
    if (path[0] == '/')
        return NULL;
    while (*path != '\0') {
        size_t n = strcspn(path, "/");
        if (n == 2 && strncmp(path, "..", 2) == 0)
            return NULL;
        if (n > 0 && !(n == 1 && path[0] == '.')) {
            if (to != out)
                *to++ = '/';
            memcpy(to, path, n);
            to += n;
        }
        path += n;
        path += strspn(path, "/");
    }
    *to = '\0';
    return out;
}

/* Where in the destination; "": nowhere, since it is not of the wanted part. */
static const char *below(const char *path, const char *subdir)
{
    size_t n = strlen(subdir);
    while (n > 0 && subdir[n - 1] == '/')
        n--;
    if (n == 0)
        return path;
    if (strncmp(path, subdir, n) != 0 || path[n] != '/')
        return "";
    return path + n + 1;
}

/* A relative link whose target, seen from where it lies, is inside. Only its beginning may go up:
 * behind a name, which may be a link, nobody knows what is above. */
static bool stays_inside(const char *path, const char *target)
{
    long depth = 0;
    bool named = false;
    for (const char *at = path; (at = strchr(at, '/')) != NULL; at++)
        depth++;
    if (target[0] == '/')
        return false;
    while (*target != '\0') {
        size_t n = strcspn(target, "/");
        bool up = n == 2 && strncmp(target, "..", 2) == 0;
        if (up && (named || --depth < 0))
            return false;
        named |= !up && n > 0 && !(n == 1 && target[0] == '.');
        target += n;
        target += strspn(target, "/");
    }
    return true;
}

/* *take stays false: it is left out. */
static enum err prepare(struct arena *a, struct archive_entry *entry, const struct source *s,
                        bool *take, struct reason *why)
{
    const char *name = archive_entry_pathname(entry);
    const char *path = name == NULL ? NULL : clean(a, name);
    const char *hard = archive_entry_hardlink(entry), *soft = archive_entry_symlink(entry);
    mode_t type = archive_entry_filetype(entry);
    if (path == NULL)
        return reason_set(why, ERR_INVALID, "entry \"%.100s\" leads out of the archive",
                          name == NULL ? "" : name);
    path = below(path, s->subdir);
    if (*path == '\0')
        return OK;
    if (hard != NULL) {
        const char *to = clean(a, hard);
        if (to == NULL || *below(to, s->subdir) == '\0')
            return reason_set(why, ERR_INVALID, "link \"%.100s\" leads out of the archive", name);
        archive_entry_set_hardlink(entry, arena_strdup(a, below(to, s->subdir)));
    } else if (type == AE_IFLNK) {
        if (soft == NULL || !stays_inside(path, soft))
            return reason_set(why, ERR_INVALID, "link \"%.100s\" leads out of the archive", name);
    } else if (type != AE_IFREG && type != AE_IFDIR)
        return reason_set(why, ERR_INVALID, "entry \"%.100s\" is no file, directory or link", name);
    archive_entry_set_pathname(entry, arena_strdup(a, path));
    archive_entry_set_perm(entry, archive_entry_perm(entry) & 0777);
    *take = true;
    return OK;
}

static enum err copy_data(struct archive *in, struct archive *out, const struct limits *l,
                          struct totals *t, struct reason *why)
{
    const void *data;
    size_t size;
    la_int64_t offset;
    int r;
    while ((r = archive_read_data_block(in, &data, &size, &offset)) == ARCHIVE_OK) {
        t->bytes += size;
        if (t->bytes > l->max_unpacked)
            return reason_set(why, ERR_INVALID, "it unpacks to more than this node allows");
        if (archive_write_data_block(out, data, size, offset) < ARCHIVE_OK)
            return reason_set(why, ERR_IO, "%s", archive_error_string(out));
    }
    return r == ARCHIVE_EOF ? OK : reason_set(why, ERR_INVALID, "%s", archive_error_string(in));
}

static enum err take_entry(struct archive *in, struct archive *out, struct archive_entry *entry,
                           const struct limits *l, struct totals *t, struct reason *why)
{
    if (++t->files > l->max_files)
        return reason_set(why, ERR_INVALID, "it holds more files than this node allows");
    if (archive_write_header(out, entry) < ARCHIVE_WARN)
        return reason_set(why, ERR_IO, "%s: %s", archive_entry_pathname(entry),
                          archive_error_string(out));
    enum err e = copy_data(in, out, l, t, why);
    if (e == OK && archive_write_finish_entry(out) < ARCHIVE_WARN)
        e = reason_set(why, ERR_IO, "%s", archive_error_string(out));
    return e;
}

enum err unpack(int fd, const struct source *s, const struct limits *l, struct reason *why)
{
    struct archive *in = open_archive(fd, false, why), *out = archive_write_disk_new();
    struct totals totals = {0};
    struct archive_entry *entry;
    enum err e = in == NULL ? ERR_INVALID : OK;
    archive_write_disk_set_options(
        out, ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_UNLINK |
                 ARCHIVE_EXTRACT_SECURE_SYMLINKS | ARCHIVE_EXTRACT_SECURE_NODOTDOT |
                 ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS);
    while (e == OK) {
        struct arena *a = arena_new(1u << 20);
        bool take = false;
        int r = archive_read_next_header(in, &entry);
        if (r == ARCHIVE_OK || r == ARCHIVE_WARN)
            e = prepare(a, entry, s, &take, why);
        else if (r != ARCHIVE_EOF)
            e = reason_set(why, ERR_INVALID, "%s", archive_error_string(in));
        if (e == OK && r != ARCHIVE_EOF && take)
            e = take_entry(in, out, entry, l, &totals, why);
        arena_free(a);
        if (r == ARCHIVE_EOF)
            break;
    }
    if (e == OK && *s->subdir != '\0' && totals.files == 0)
        e = reason_set(why, ERR_INVALID, "it has no directory \"%s\"", s->subdir);
    archive_read_free(in);
    archive_write_free(out);
    return e;
}

enum err unpack_single(int fd, int out_fd, const struct limits *l, struct reason *why)
{
    struct archive *in = open_archive(fd, true, why);
    struct archive_entry *entry;
    char data[65536];
    uint64_t total = 0;
    la_ssize_t n = -1;
    if (in == NULL)
        return ERR_INVALID;
    enum err e = OK;
    if (archive_read_next_header(in, &entry) != ARCHIVE_OK)
        e = reason_set(why, ERR_INVALID, "%s", archive_error_string(in));
    while (e == OK && (n = archive_read_data(in, data, sizeof data)) > 0) {
        total += (uint64_t)n;
        if (total > l->max_unpacked)
            e = reason_set(why, ERR_INVALID, "it unpacks to more than this node allows");
        else if (write(out_fd, data, (size_t)n) != n)
            e = reason_errno(why, ERR_IO, "write");
    }
    if (e == OK && n < 0)
        e = reason_set(why, ERR_INVALID, "%s", archive_error_string(in));
    archive_read_free(in);
    return e;
}
