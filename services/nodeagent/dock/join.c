#include "join.h"
#include "base/crc32c.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK      512
#define HOLD_MOST  (8u << 20)
#define HOLD_TRIES 1000
#define HOLD_MS    5

/* ---- the image: a tar with one program */

/* As digits, and a NUL behind them. */
static void put_octal(char *field, size_t room, size_t value)
{
    for (size_t i = room - 1; i-- > 0; value /= 8)
        field[i] = (char)('0' + value % 8);
}

/* A header as POSIX describes it (ustar). */
static void make_header(char header[BLOCK], const char *name, size_t size)
{
    unsigned sum = 0;
    memset(header, 0, BLOCK);
    snprintf(header, 100, "%s", name);
    put_octal(header + 100, 8, 0755);
    put_octal(header + 108, 8, 0);
    put_octal(header + 116, 8, 0);
    put_octal(header + 124, 12, size);
    put_octal(header + 136, 12, 0);
    memset(header + 148, ' ', 8);
    header[156] = '0';
    memcpy(header + 257, "ustar\00000", 8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += (unsigned char)header[i];
    put_octal(header + 148, 7, sum);
    header[154] = '\0';
}

static bool write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* -1: errno says why. */
static int make_archive(const char *program, size_t size)
{
    static const char zeros[3 * BLOCK];
    char header[BLOCK];
    int fd = memfd_create("image", MFD_CLOEXEC);
    make_header(header, "taskhold", size);
    if (fd >= 0 && write_all(fd, header, BLOCK) && write_all(fd, program, size) &&
        write_all(fd, zeros, 2 * BLOCK + (BLOCK - size % BLOCK) % BLOCK) &&
        lseek(fd, 0, SEEK_SET) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static enum err read_program(char **out, size_t *size, struct reason *why)
{
    char path[PATH_MAX + 16];
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
    path[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(path, '/');
    snprintf(slash == NULL ? path : slash + 1, 16, "taskhold");
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return reason_errno(why, ERR_UNAVAILABLE, "%s", path);
    *out = xcalloc(1, HOLD_MOST);
    *size = fread(*out, 1, HOLD_MOST, f);
    fclose(f);
    return OK;
}

static enum err import_image(const struct dock *d, const char *image, const char *program,
                             size_t size, struct reason *why)
{
    char path[DOCK_PATH];
    dock_path(path, "/images/%s/json", image);
    struct question q = dock_ask(d, "GET", path);
    if (engine_call(&q, NULL, why) == OK)
        return OK;
    const char *tag = strchr(image, ':');
    snprintf(path, sizeof path, "/images/create?fromSrc=-&repo=%.*s&tag=%s", (int)(tag - image),
             image, tag + 1);
    q.method = "POST";
    q.file = make_archive(program, size);
    if (q.file < 0)
        return reason_errno(why, ERR_UNAVAILABLE, "make an image of taskhold");
    enum err e = engine_call(&q, NULL, why);
    close(q.file);
    return e;
}

/* Its name tells which taskhold it has. */
static enum err have_image(const struct dock *d, char image[64], struct reason *why)
{
    char *program = NULL;
    size_t size = 0;
    enum err e = read_program(&program, &size, why);
    if (e == OK) {
        snprintf(image, 64, "norn-hold:%08x", crc32c(0, program, size));
        e = import_image(d, image, program, size, why);
    }
    free(program);
    return e;
}

/* ---- the container that goes ahead */

static void name_of(const struct dock *d, char out[256])
{
    snprintf(out, 256, "%s-net", d->name);
}

static enum err create(const struct dock *d, const char *netns, const char *name,
                       struct reason *why)
{
    char path[DOCK_PATH], image[64], bind[PATH_MAX + 8];
    json_t *task = json_object_get(d->spec, "create");
    const char *host = json_string_value(json_object_get(task, "Hostname"));
    enum err e = have_image(d, image, why);
    if (e != OK)
        return e;
    snprintf(bind, sizeof bind, "%s:/net", netns);
    json_t *body =
        json_pack("{ss,s[ss],ss,s{ss,s[s],s[s],s[s],s{ss}},sO}", "Image", image, "Cmd", "/taskhold",
                  "/net", "Hostname", host == NULL ? "" : host, "HostConfig", "NetworkMode", "none",
                  "Binds", bind, "CapAdd", "SYS_ADMIN", "SecurityOpt", "label=disable", "LogConfig",
                  "Type", "none", "Labels", json_object_get(task, "Labels"));
    dock_path(path, "/containers/create?name=%s", name);
    struct question q = dock_ask(d, "POST", path);
    q.json = body;
    e = engine_call(&q, NULL, why);
    json_decref(body);
    return e;
}

static pid_t pid_of(const struct dock *d, const char *name)
{
    char path[DOCK_PATH];
    struct reason why;
    json_t *all = NULL;
    dock_path(path, "/containers/%s/json", name);
    struct question q = dock_ask(d, "GET", path);
    if (engine_call(&q, &all, &why) != OK)
        return 0;
    const json_t *state = json_object_get(all, "State");
    pid_t pid = (pid_t)json_integer_value(json_object_get(state, "Pid"));
    json_decref(all);
    return pid;
}

static bool is_in(pid_t pid, const char *netns)
{
    char path[64];
    struct stat there, wanted;
    snprintf(path, sizeof path, "/proc/%d/ns/net", pid);
    return stat(path, &there) == 0 && stat(netns, &wanted) == 0 && there.st_ino == wanted.st_ino;
}

static enum err start(const struct dock *d, const char *netns, const char *name, struct reason *why)
{
    char path[DOCK_PATH];
    dock_path(path, "/containers/%s/start", name);
    struct question q = dock_ask(d, "POST", path);
    enum err e = engine_call(&q, NULL, why);
    pid_t pid = e == OK ? pid_of(d, name) : 0;
    for (int i = 0; e == OK && pid > 1 && i < HOLD_TRIES; i++) {
        if (is_in(pid, netns))
            return OK;
        poll(NULL, 0, HOLD_MS);
    }
    return e != OK ? e : reason_set(why, ERR_UNAVAILABLE, "taskhold did not reach %s", netns);
}

static bool is_podman(const struct dock *d)
{
    struct reason why;
    json_t *said = NULL, *one;
    size_t i;
    bool found = false;
    struct question q = dock_ask(d, "GET", "/version");
    if (engine_call(&q, &said, &why) != OK)
        return false;
    json_array_foreach(json_object_get(said, "Components"), i, one)
    {
        const char *name = json_string_value(json_object_get(one, "Name"));
        found |= name != NULL && strstr(name, "Podman") != NULL;
    }
    json_decref(said);
    return found;
}

static void set_mode(const struct dock *d, const char *kind, const char *what)
{
    char mode[PATH_MAX + 16];
    snprintf(mode, sizeof mode, "%s:%s", kind, what);
    json_object_set_new(json_object_get(json_object_get(d->spec, "create"), "HostConfig"),
                        "NetworkMode", json_string(mode));
}

enum err join_begin(const struct dock *d, struct reason *why)
{
    const char *netns = json_string_value(json_object_get(d->spec, "netns"));
    char name[256];
    if (netns == NULL)
        return OK;
    if (is_podman(d)) {
        set_mode(d, "ns", netns);
        return OK;
    }
    name_of(d, name);
    enum err e = dock_remove(d, name, why);
    if (e == OK)
        e = create(d, netns, name, why);
    if (e == OK)
        e = start(d, netns, name, why);
    if (e != OK)
        return reason_add(why, e, "join the group's network");
    set_mode(d, "container", name);
    json_object_del(json_object_get(d->spec, "create"), "Hostname");
    return OK;
}

void join_end(const struct dock *d)
{
    char name[256];
    struct reason why;
    if (json_object_get(d->spec, "netns") == NULL)
        return;
    name_of(d, name);
    if (dock_remove(d, name, &why) != OK)
        fprintf(stderr, "taskdock: %s: %s\n", name, why.text);
}
