#include "logfiles.h"
#include "base/arena.h"
#include "fs.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct kept {
    uint32_t number;
    int64_t size;
};

static bool number_of(const struct logfiles *l, const char *name, uint32_t *out)
{
    size_t task = strlen(l->task), type = strlen(l->type);
    if (strncmp(name, l->task, task) != 0 || name[task] != '.' ||
        strncmp(name + task + 1, l->type, type) != 0 || name[task + 1 + type] != '.')
        return false;
    const char *digits = name + task + type + 2;
    if (*digits == '\0' || strspn(digits, "0123456789") != strlen(digits) || strlen(digits) > 9)
        return false;
    *out = (uint32_t)strtoul(digits, NULL, 10);
    return true;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = ((const struct kept *)a)->number, y = ((const struct kept *)b)->number;
    return x < y ? -1 : x > y;
}

/* In order; the memory is a's. */
static enum err list_kept(const struct logfiles *l, struct arena *a, struct kept **out,
                          size_t *count, struct reason *why)
{
    Pb__FileInfo **files;
    size_t n;
    enum err e = fs_list(a, l->root, "alloc/logs", &files, &n, why);
    if (e != OK)
        return e;
    *out = arena_array(a, struct kept, n);
    *count = 0;
    for (size_t i = 0; i < n; i++)
        if (number_of(l, files[i]->name, &(*out)[*count].number))
            (*out)[(*count)++].size = files[i]->size;
    qsort(*out, *count, sizeof **out, by_number);
    return OK;
}

void logfiles_name(const struct logfiles *l, char *out, size_t room)
{
    snprintf(out, room, "alloc/logs/%s.%s.%u", l->task, l->type, l->number);
}

static enum err open_present(struct logfiles *l, struct reason *why)
{
    char name[512];
    logfiles_close(l);
    logfiles_name(l, name, sizeof name);
    return fs_open(l->root, name, &l->fd, why);
}

static enum err stand_at(struct logfiles *l, const struct kept *files, size_t count, int64_t offset,
                         bool from_end, struct reason *why)
{
    if (count == 0)
        return OK;
    int64_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += files[i].size;
    if (from_end)
        offset = offset > total ? 0 : total - offset;
    size_t i = 0;
    while (i + 1 < count && offset >= files[i].size) {
        offset -= files[i].size;
        i++;
    }
    l->number = files[i].number;
    l->offset = offset > files[i].size ? files[i].size : offset;
    return open_present(l, why);
}

enum err logfiles_open(struct logfiles *l, const char *root, const char *task, const char *type,
                       int64_t offset, bool from_end, struct reason *why)
{
    struct kept *files;
    size_t count;
    *l = (struct logfiles){.root = root, .task = task, .type = type, .fd = -1};
    struct arena *a = arena_new(64 << 20);
    enum err e = list_kept(l, a, &files, &count, why);
    if (e == OK)
        e = stand_at(l, files, count, offset < 0 ? 0 : offset, from_end, why);
    arena_free(a);
    return e;
}

void logfiles_close(struct logfiles *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}

/* The lowest number there is above the present one, or at all. */
static enum err lowest_above(const struct logfiles *l, uint32_t *number, bool *found,
                             struct reason *why)
{
    struct kept *files;
    size_t count;
    *found = false;
    struct arena *a = arena_new(64 << 20);
    enum err e = list_kept(l, a, &files, &count, why);
    for (size_t i = 0; e == OK && i < count && !*found; i++) {
        *found = l->fd < 0 || files[i].number > l->number;
        *number = files[i].number;
    }
    arena_free(a);
    return e;
}

/* Which file comes next, without reading the directory as long as the present one is still in it.
 */
static enum err find_next(const struct logfiles *l, uint32_t *number, bool *found,
                          struct reason *why)
{
    struct stat st;
    if (l->fd < 0 || fstat(l->fd, &st) != 0 || st.st_nlink == 0)
        return lowest_above(l, number, found, why);
    struct logfiles next = {.root = l->root, .task = l->task, .type = l->type, .fd = -1};
    *number = next.number = l->number + 1;
    *found = open_present(&next, NULL) == OK;
    logfiles_close(&next);
    return OK;
}

enum err logfiles_read(struct logfiles *l, void *out, size_t len, size_t *got, struct reason *why)
{
    bool last_look = false, found = false;
    uint32_t next = 0;
    *got = 0;
    for (;;) {
        ssize_t n = l->fd < 0 ? 0 : pread(l->fd, out, len, l->offset);
        if (n < 0)
            return reason_errno(why, ERR_IO, "read of a log of %s", l->task);
        if (n > 0) {
            l->offset += n;
            *got = (size_t)n;
            return OK;
        }
        if (last_look) {
            l->number = next;
            l->offset = 0;
            enum err e = open_present(l, why);
            if (e != OK && e != ERR_NOT_FOUND) /* rotated away just now: look again another time */
                return e;
            if (e == ERR_NOT_FOUND)
                return OK;
            last_look = false;
            continue;
        }
        enum err e = find_next(l, &next, &found, why);
        if (e != OK || !found)
            return e;
        /* Now that there is a next file this one grows no more, but it may have grown since we
         * read. */
        last_look = true;
    }
}
