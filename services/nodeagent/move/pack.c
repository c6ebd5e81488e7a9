#include "base/arena.h"
#include "move.h"
#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_MOST 300 /* of TASK/local */

struct packing {
    struct archive *disk, *out;
    struct archive_entry_linkresolver *links;
    struct reason *why;
};

static enum err failed(struct packing *p, struct archive *which)
{
    const char *text = archive_error_string(which);
    return reason_set(p->why, ERR_IO, "%s", text == NULL ? "unknown" : text);
}

static enum err write_zeros(struct packing *p, la_int64_t count)
{
    static const char zeros[65536];
    while (count > 0) {
        size_t n = count < (la_int64_t)sizeof zeros ? (size_t)count : sizeof zeros;
        if (archive_write_data(p->out, zeros, n) < 0)
            return failed(p, p->out);
        count -= (la_int64_t)n;
    }
    return OK;
}

/* Holes are written as zeros: the writer knows where they are, and leaves them out. */
static enum err copy_data(struct packing *p)
{
    const void *data;
    size_t size;
    la_int64_t offset, done = 0;
    enum err e = OK;
    while (e == OK && archive_read_data_block(p->disk, &data, &size, &offset) == ARCHIVE_OK) {
        e = write_zeros(p, offset - done);
        if (e == OK && archive_write_data(p->out, data, size) < 0)
            e = failed(p, p->out);
        done = offset + (la_int64_t)size;
    }
    return e; /* what could not be read (it shrank) the writer fills up with zeros */
}

static enum err write_entry(struct packing *p, struct archive_entry *entry)
{
    if (archive_write_header(p->out, entry) < ARCHIVE_WARN)
        return failed(p, p->out);
    enum err e = OK;
    if (archive_entry_size(entry) > 0 && archive_entry_filetype(entry) == AE_IFREG)
        e = copy_data(p);
    if (e == OK && archive_write_finish_entry(p->out) < ARCHIVE_WARN)
        e = failed(p, p->out);
    return e;
}

static bool is_wanted(struct archive_entry *entry)
{
    mode_t type = archive_entry_filetype(entry);
    return type == AE_IFREG || type == AE_IFDIR || type == AE_IFLNK;
}

static enum err add_tree(struct packing *p, const char *path)
{
    enum err e = OK;
    int r;
    if (archive_read_disk_open(p->disk, path) != ARCHIVE_OK)
        return failed(p, p->disk);
    for (;;) {
        struct archive_entry *entry = archive_entry_new(), *spare = NULL;
        r = archive_read_next_header2(p->disk, entry);
        if (r == ARCHIVE_OK || r == ARCHIVE_WARN) {
            archive_read_disk_descend(p->disk);
            archive_entry_linkify(p->links, &entry, &spare);
            if (entry != NULL && is_wanted(entry))
                e = write_entry(p, entry);
        } else if (r != ARCHIVE_EOF && r != ARCHIVE_FAILED) { /* FAILED: it has just vanished */
            e = failed(p, p->disk);
        }
        archive_entry_free(entry);
        archive_entry_free(spare);
        if (e != OK || r == ARCHIVE_EOF)
            break;
    }
    archive_read_close(p->disk);
    return e;
}

static enum err add_if_there(struct packing *p, const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) ? add_tree(p, path) : OK;
}

static enum err add_tasks(struct packing *p)
{
    DIR *dir = opendir(".");
    const struct dirent *d;
    char path[PATH_MOST];
    enum err e = OK;
    if (dir == NULL)
        return reason_errno(p->why, ERR_IO, "read the allocation's directory");
    while (e == OK && (d = readdir(dir)) != NULL)
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0 &&
            strcmp(d->d_name, "alloc") != 0 &&
            snprintf(path, sizeof path, "%s/local", d->d_name) < PATH_MOST)
            e = add_if_there(p, path);
    closedir(dir);
    return e;
}

static enum err add_mark(struct packing *p)
{
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, MOVE_COMPLETE);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, 0);
    enum err e = write_entry(p, entry);
    archive_entry_free(entry);
    return e;
}

enum err move_pack(int out, struct reason *why)
{
    struct packing p = {archive_read_disk_new(), archive_write_new(),
                        archive_entry_linkresolver_new(), why};
    archive_read_disk_set_symlink_physical(p.disk);
    archive_read_disk_set_behavior(p.disk, ARCHIVE_READDISK_NO_TRAVERSE_MOUNTS |
                                               ARCHIVE_READDISK_NO_XATTR | ARCHIVE_READDISK_NO_ACL |
                                               ARCHIVE_READDISK_NO_FFLAGS);
    archive_write_set_format_pax_restricted(p.out);
    archive_write_set_bytes_per_block(p.out, 10240);
    archive_entry_linkresolver_set_strategy(p.links, ARCHIVE_FORMAT_TAR_PAX_RESTRICTED);
    enum err e = archive_write_open_fd(p.out, out) == ARCHIVE_OK ? OK : failed(&p, p.out);
    if (e == OK)
        e = add_if_there(&p, "alloc/data");
    if (e == OK)
        e = add_tasks(&p);
    if (e == OK)
        e = add_mark(&p);
    if (archive_write_close(p.out) != ARCHIVE_OK && e == OK)
        e = failed(&p, p.out);
    archive_entry_linkresolver_free(p.links);
    archive_write_free(p.out);
    archive_read_free(p.disk);
    return e;
}
