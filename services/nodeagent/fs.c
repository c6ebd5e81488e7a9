#include "fs.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static enum err escapes(struct reason *why)
{
    return reason_set(why, ERR_DENIED, "Path escapes the alloc directory");
}

/* True when ".." leads above the root, read as text: told before anything is looked at. */
static bool climbs_out(const char *path)
{
    int depth = 0;
    while (*path != '\0') {
        size_t len = strcspn(path, "/");
        if (len == 2 && path[0] == '.' && path[1] == '.')
            depth--;
        else if (len > 0 && !(len == 1 && path[0] == '.'))
            depth++;
        if (depth < 0)
            return true;
        path += len;
        path += strspn(path, "/");
    }
    return false;
}

static const char *below_root(const char *path)
{
    path += strspn(path, "/");
    return *path == '\0' ? "." : path;
}

static int open_beneath(int dir, const char *path, int flags)
{
    struct open_how how = {
        .flags = (unsigned)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    for (int i = 0;; i++) {
        int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
        /* EAGAIN: something was renamed meanwhile and the kernel could not be sure; ask again. */
        if (fd >= 0 || errno != EAGAIN || i == 16)
            return fd;
    }
}

/* An O_PATH descriptor: nothing has been opened yet. verb: what the reason says was tried. */
static enum err locate(const char *root, const char *path, const char *verb, int *out,
                       struct reason *why)
{
    if (climbs_out(path))
        return escapes(why);
    int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = dir < 0 ? -1 : open_beneath(dir, below_root(path), O_PATH);
    int saved = errno;
    if (dir >= 0)
        close(dir);
    if (fd >= 0) {
        *out = fd;
        return OK;
    }
    if (saved == EXDEV || saved == ELOOP)
        return escapes(why);
    const char *text = saved == ENOENT ? "no such file or directory" : strerror(saved);
    return reason_set(why, saved == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s %s%s%s: %s", verb, root,
                      strcmp(below_root(path), ".") == 0 ? "" : "/",
                      strcmp(below_root(path), ".") == 0 ? "" : below_root(path), text);
}

/* The same object again, now to be read; it cannot have become another one. */
static int reopen(int path_fd, int flags)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", path_fd);
    return open(link, flags | O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void fs_mode_text(uint32_t mode, char out[16])
{
    static const char bits[] = "rwxrwxrwx";
    char *p = out;
    const struct {
        bool set;
        const char *text;
    } kinds[] = {
        {S_ISDIR(mode), "d"},  {S_ISLNK(mode), "L"},         {S_ISBLK(mode), "D"},
        {S_ISCHR(mode), "Dc"}, {S_ISFIFO(mode), "p"},        {S_ISSOCK(mode), "S"},
        {mode & S_ISUID, "u"}, {(mode & S_ISGID) != 0, "g"}, {(mode & S_ISVTX) != 0, "t"},
    };
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (kinds[i].set)
            p = stpcpy(p, kinds[i].text);
    if (p == out)
        *p++ = '-';
    for (int i = 0; i < 9; i++)
        *p++ = mode & (0400u >> i) ? bits[i] : '-';
    *p = '\0';
}

static bool is_binary(const unsigned char *head, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = head[i];
        if (c <= 0x08 || c == 0x0b || (c >= 0x0e && c <= 0x1a) || (c >= 0x1c && c <= 0x1f))
            return true;
    }
    return false;
}

const char *fs_content_type(const char *name, const void *head, size_t len)
{
    static const struct {
        const char *ending, *type;
    } by_name[] = {
        {".css", "text/css; charset=utf-8"},
        {".gif", "image/gif"},
        {".htm", "text/html; charset=utf-8"},
        {".html", "text/html; charset=utf-8"},
        {".jpeg", "image/jpeg"},
        {".jpg", "image/jpeg"},
        {".js", "text/javascript; charset=utf-8"},
        {".json", "application/json"},
        {".pdf", "application/pdf"},
        {".png", "image/png"},
        {".svg", "image/svg+xml"},
        {".wasm", "application/wasm"},
        {".xml", "text/xml; charset=utf-8"},
    };
    static const struct {
        const char *magic, *type;
        size_t len;
    } by_magic[] = {
        {"\x1f\x8b\x08", "application/x-gzip", 3}, {"PK\x03\x04", "application/zip", 4},
        {"\x89PNG\r\n\x1a\n", "image/png", 8},     {"%PDF-", "application/pdf", 5},
        {"\xff\xd8\xff", "image/jpeg", 3},
    };
    const char *ending = strrchr(name, '.');
    for (size_t i = 0; ending != NULL && i < COUNT_OF(by_name); i++)
        if (strcasecmp(ending, by_name[i].ending) == 0)
            return by_name[i].type;
    for (size_t i = 0; i < COUNT_OF(by_magic); i++)
        if (len >= by_magic[i].len && memcmp(head, by_magic[i].magic, by_magic[i].len) == 0)
            return by_magic[i].type;
    return is_binary(head, len) ? "application/octet-stream" : "text/plain; charset=utf-8";
}

static Pb__FileInfo *info_of(struct arena *a, const char *name, const struct stat *st)
{
    char mode[16];
    Pb__FileInfo *info = arena_alloc(a, sizeof *info);
    pb__file_info__init(info);
    fs_mode_text(st->st_mode, mode);
    info->name = arena_strdup(a, name);
    info->has_is_dir = info->has_size = info->has_mod_time = true;
    info->is_dir = S_ISDIR(st->st_mode);
    info->size = st->st_size;
    info->file_mode = arena_strdup(a, mode);
    info->mod_time = st->st_mtim.tv_sec * 1000000000L + st->st_mtim.tv_nsec;
    return info;
}

/* The last part of the path; of the root, its own name. */
static const char *name_of(struct arena *a, const char *root, const char *path)
{
    char *copy = arena_strdup(a, path);
    size_t len = strlen(copy);
    while (len > 0 && copy[len - 1] == '/')
        copy[--len] = '\0';
    if (len == 0 || strcmp(copy, ".") == 0)
        return strrchr(root, '/') == NULL ? root : strrchr(root, '/') + 1;
    return strrchr(copy, '/') == NULL ? copy : strrchr(copy, '/') + 1;
}

enum err fs_stat(struct arena *a, const char *root, const char *path, Pb__FileInfo **out,
                 struct reason *why)
{
    int fd = -1;
    struct stat st;
    char head[512];
    ssize_t len = 0;
    enum err e = locate(root, path, "stat", &fd, why);
    if (e != OK)
        return e;
    if (fstat(fd, &st) != 0) {
        close(fd);
        return reason_errno(why, ERR_IO, "stat %s", path);
    }
    Pb__FileInfo *info = info_of(a, name_of(a, root, path), &st);
    const char *type = "application/octet-stream";
    if (S_ISREG(st.st_mode)) {
        int file = reopen(fd, 0);
        len = file < 0 ? 0 : read(file, head, sizeof head);
        if (file >= 0)
            close(file);
        type = fs_content_type(info->name, head, len < 0 ? 0 : (size_t)len);
    }
    close(fd);
    info->content_type = arena_strdup(a, type);
    *out = info;
    return OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(Pb__FileInfo *const *)a)->name, (*(Pb__FileInfo *const *)b)->name);
}

static size_t read_entries(struct arena *a, DIR *dir, Pb__FileInfo **list)
{
    struct dirent *entry;
    struct stat st;
    size_t n = 0;
    while (n < FS_MAX_ENTRIES && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        list[n++] = info_of(a, entry->d_name, &st);
    }
    return n;
}

enum err fs_list(struct arena *a, const char *root, const char *path, Pb__FileInfo ***out,
                 size_t *count, struct reason *why)
{
    int fd = -1;
    enum err e = locate(root, path, "open", &fd, why);
    if (e != OK)
        return e;
    int dir_fd = reopen(fd, O_DIRECTORY);
    close(fd);
    DIR *dir = dir_fd < 0 ? NULL : fdopendir(dir_fd);
    if (dir == NULL) {
        e = reason_errno(why, ERR_INVALID, "readdirent %s/%s", root, below_root(path));
        if (dir_fd >= 0)
            close(dir_fd);
        return e;
    }
    Pb__FileInfo **list = arena_array(a, Pb__FileInfo *, FS_MAX_ENTRIES);
    *count = read_entries(a, dir, list);
    closedir(dir);
    qsort(list, *count, sizeof *list, by_name);
    *out = list;
    return OK;
}

/* Where it really lies, symlinks followed: a link elsewhere must not open a task's secrets. */
static bool is_secret(int fd, const char *root)
{
    char link[64], real_root[PATH_MAX], real[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, real, sizeof real - 1);
    if (n < 0 || realpath(root, real_root) == NULL)
        return true;
    real[n] = '\0';
    size_t len = strlen(real_root);
    if (strncmp(real, real_root, len) != 0 || real[len] != '/')
        return false;
    const char *task = real + len + 1;
    const char *rest = strchr(task, '/');
    return rest != NULL && strncmp(rest, "/secrets", 8) == 0 && (rest[8] == '/' || rest[8] == '\0');
}

enum err fs_open(const char *root, const char *path, int *out_fd, struct reason *why)
{
    int fd = -1;
    struct stat st;
    enum err e = locate(root, path, "stat", &fd, why);
    if (e != OK)
        return e;
    if (fstat(fd, &st) != 0)
        e = reason_errno(why, ERR_IO, "stat %s", path);
    else if (S_ISDIR(st.st_mode))
        e = reason_set(why, ERR_INVALID, "file \"%s\" is a directory", path);
    else if (!S_ISREG(st.st_mode))
        e = reason_set(why, ERR_INVALID, "file \"%s\" is not a plain file", path);
    else if (is_secret(fd, root))
        e = reason_set(why, ERR_DENIED, "Reading secret file prohibited: %s", path);
    else if ((*out_fd = reopen(fd, 0)) < 0)
        e = reason_errno(why, ERR_IO, "open %s", path);
    close(fd);
    return e;
}
