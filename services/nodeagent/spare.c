#include "spare.h"
#include "base/log.h"
#include "wire/wire.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FRESH ".new"

struct spare {
    int dir;
    const char *const *tables;
    size_t table_count;
    bool failing; /* and it has been said */
};

enum err spare_open(struct spare **out, const char *data_dir, const char *const *tables,
                    size_t table_count, struct reason *why)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/spare", data_dir);
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return reason_errno(why, errno == ENOSPC ? ERR_NO_SPACE : ERR_IO, "mkdir %s", path);
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return reason_errno(why, ERR_IO, "open %s", path);
    struct spare *s = xcalloc(1, sizeof *s);
    *s = (struct spare){.dir = dir, .tables = tables, .table_count = table_count};
    *out = s;
    return OK;
}

void spare_close(struct spare *s)
{
    if (s == NULL)
        return;
    close(s->dir);
    free(s);
}

/* ---- names: the table's, and the key in hexadecimal */

#define NAME_SIZE (32 + 2 * SPARE_MAX_KEY)

static const char *name_of(const struct spare *s, char out[NAME_SIZE], unsigned table,
                           struct bytes key)
{
    must(table < s->table_count && key.len <= SPARE_MAX_KEY);
    int n = snprintf(out, NAME_SIZE, "%s-", s->tables[table]);
    for (size_t i = 0; i < key.len; i++)
        n += snprintf(out + n, NAME_SIZE - (size_t)n, "%02x", ((const uint8_t *)key.data)[i]);
    return out;
}

static bool read_key(const char *hex, uint8_t out[SPARE_MAX_KEY], size_t *len)
{
    size_t digits = strlen(hex);
    *len = digits / 2;
    if (digits == 0 || digits % 2 != 0 || *len > SPARE_MAX_KEY ||
        strspn(hex, "0123456789abcdef") != digits)
        return false;
    for (size_t i = 0; i < *len; i++) {
        const char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        out[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return true;
}

static bool read_name(const struct spare *s, const char *name, unsigned *table,
                      uint8_t key[SPARE_MAX_KEY], size_t *len)
{
    for (*table = 0; *table < s->table_count; (*table)++) {
        size_t n = strlen(s->tables[*table]);
        if (strncmp(name, s->tables[*table], n) == 0 && name[n] == '-')
            return read_key(name + n + 1, key, len);
    }
    return false;
}

/* ---- files */

static bool write_all(int fd, struct bytes value)
{
    const char *p = value.data;
    for (size_t left = value.len; left > 0;) {
        ssize_t n = write(fd, p, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        left -= (size_t)n;
    }
    return true;
}

static bool replace(struct spare *s, const char *name, struct bytes value, bool sync)
{
    int fd = openat(s->dir, FRESH, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool good = fd >= 0 && write_all(fd, value) && (!sync || fsync(fd) == 0) &&
                renameat(s->dir, FRESH, s->dir, name) == 0 && (!sync || fsync(s->dir) == 0);
    if (fd >= 0)
        close(fd);
    return good;
}

void spare_put(struct spare *s, unsigned table, struct bytes key, struct bytes value, bool sync)
{
    char name[NAME_SIZE];
    bool good = replace(s, name_of(s, name, table, key), value, sync);
    if (!good && !s->failing)
        log_warn("spare_not_written", "file=%s reason=%s", name, log_quote(strerror(errno)));
    if (!good)
        unlinkat(s->dir, FRESH, 0);
    s->failing = !good;
}

void spare_remove(struct spare *s, unsigned table, struct bytes key)
{
    char name[NAME_SIZE];
    unlinkat(s->dir, name_of(s, name, table, key), 0);
}

/* To be freed; NULL: there is none, or it is too large to be ours. */
static void *read_file(const struct spare *s, const char *name, size_t *len)
{
    struct stat st;
    int fd = openat(s->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool good = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
                st.st_size <= (off_t)2 * WIRE_MAX_MESSAGE;
    char *data = good ? xmalloc((size_t)st.st_size + 1) : NULL;
    for (*len = 0; good && *len < (size_t)st.st_size;) {
        ssize_t n = read(fd, data + *len, (size_t)st.st_size - *len);
        good = n > 0;
        *len += good ? (size_t)n : 0;
    }
    if (fd >= 0)
        close(fd);
    if (!good) {
        free(data);
        return NULL;
    }
    return data;
}

bool spare_has(struct spare *s, unsigned table, struct bytes key, struct bytes value)
{
    char name[NAME_SIZE];
    size_t len;
    void *data = read_file(s, name_of(s, name, table, key), &len);
    bool same = data != NULL && len == value.len && memcmp(data, value.data, len) == 0;
    free(data);
    return same;
}

void spare_each(struct spare *s,
                void (*each)(void *owner, unsigned table, struct bytes key, struct bytes value),
                void *owner)
{
    const struct dirent *entry;
    DIR *d = fdopendir(openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    while (d != NULL && (entry = readdir(d)) != NULL) {
        uint8_t key[SPARE_MAX_KEY];
        unsigned table;
        size_t key_len, len;
        void *data = read_name(s, entry->d_name, &table, key, &key_len)
                         ? read_file(s, entry->d_name, &len)
                         : NULL;
        if (data != NULL)
            each(owner, table, bytes_of(key, key_len), bytes_of(data, len));
        free(data);
    }
    if (d != NULL)
        closedir(d);
}
