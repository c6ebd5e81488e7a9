#include "rotate.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct raw_dirent {
    uint64_t ino;
    int64_t off;
    uint16_t reclen;
    uint8_t type;
    char name[];
};

/* The number in "TASK.TYPE.NUMBER", or false. */
static bool number_of(const struct rotate *r, const char *name, uint32_t *out)
{
    size_t task = strlen(r->task), type = strlen(r->type);
    if (strncmp(name, r->task, task) != 0 || name[task] != '.')
        return false;
    name += task + 1;
    if (strncmp(name, r->type, type) != 0 || name[type] != '.')
        return false;
    name += type + 1;
    if (*name < '0' || *name > '9' || strlen(name) > 9)
        return false;
    char *end;
    unsigned long n = strtoul(name, &end, 10);
    *out = (uint32_t)n;
    return *end == '\0';
}

static void name_of(const struct rotate *r, uint32_t number, char out[NAME_MAX + 1])
{
    snprintf(out, NAME_MAX + 1, "%s.%s.%u", r->task, r->type, number);
}

/* Calls getdents itself: opendir would allocate. */
static uint32_t highest_number(const struct rotate *r)
{
    uint32_t highest = 0, n;
    int fd = openat(r->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    char buffer[4096] __attribute__((aligned(16)));
    long got;
    while ((got = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0) {
        for (long at = 0; at < got;) {
            struct raw_dirent *e = (struct raw_dirent *)(void *)(buffer + at);
            if (number_of(r, e->name, &n) && n > highest)
                highest = n;
            at += e->reclen;
        }
    }
    close(fd);
    return highest;
}

/* The directory may be writable to the task: what lies under our name counts only if it is a plain
 * file that nothing else names, else a task could make us write elsewhere. */
static bool open_number(struct rotate *r)
{
    char name[NAME_MAX + 1];
    struct stat st;
    name_of(r, r->number, name);
    int fd = openat(r->dir, name,
                    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    if (fd < 0)
        return false;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1) {
        close(fd);
        return false;
    }
    r->fd = fd;
    r->size = (uint64_t)st.st_size;
    return true;
}

static void drop_oldest(const struct rotate *r)
{
    char name[NAME_MAX + 1];
    if (r->number < r->max_files)
        return;
    /* Usually one; more only after max_files was lowered. */
    for (uint32_t n = r->number - r->max_files + 1; n-- > 0;) {
        name_of(r, n, name);
        if (unlinkat(r->dir, name, 0) != 0)
            break;
    }
}

static void open_next(struct rotate *r)
{
    rotate_fini(r);
    for (int i = 0; i < 16 && !open_number(r); i++) {
        if (errno == ENOSPC || errno == EDQUOT || errno == EMFILE || errno == ENFILE)
            return;
        r->number++;
    }
    drop_oldest(r);
}

void rotate_init(struct rotate *r, int dir, const char *task, const char *type, uint32_t max_files,
                 uint64_t max_bytes)
{
    *r = (struct rotate){.dir = dir, .fd = -1, .task = task, .type = type};
    r->max_files = max_files < 1 ? 1 : max_files;
    r->max_bytes = max_bytes < 1 ? 1 : max_bytes;
    r->number = highest_number(r);
    open_next(r);
}

void rotate_fini(struct rotate *r)
{
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
}

/* How much of data still goes into the present file; 0: it is full. */
static size_t room_for(const struct rotate *r, const char *data, size_t len)
{
    if (r->size >= r->max_bytes)
        return 0;
    uint64_t room = r->max_bytes - r->size;
    if (len <= room)
        return len;
    const char *newline = memrchr(data, '\n', room);
    if (newline != NULL)
        return (size_t)(newline - data) + 1;
    /* A line that began in this file and does not end in it: cut only what no file could hold
     * whole. */
    return len > r->max_bytes || r->size == 0 ? (size_t)room : 0;
}

void rotate_write(struct rotate *r, const char *data, size_t len)
{
    while (len > 0) {
        if (r->fd < 0)
            open_next(r);
        if (r->fd < 0)
            return;
        size_t n = room_for(r, data, len);
        if (n == 0) {
            r->number++;
            open_next(r);
            continue;
        }
        ssize_t written = write(r->fd, data, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        data += written;
        len -= (size_t)written;
        r->size += (uint64_t)written;
    }
}
