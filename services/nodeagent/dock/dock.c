#include "dock.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define REMOVE_AGAIN_MS 100
#define REMOVE_TRIES    100

struct question dock_ask(const struct dock *d, const char *method, const char *path)
{
    return (struct question){
        .socket = d->socket, .method = method, .path = path, .file = -1, .timeout_ms = CALL_MS};
}

void dock_path(char out[DOCK_PATH], const char *format, const char *name)
{
    snprintf(out, DOCK_PATH, format, name);
}

static enum err exists(const struct dock *d, const char *name, struct reason *why)
{
    char path[DOCK_PATH];
    dock_path(path, "/containers/%s/json", name);
    struct question q = dock_ask(d, "GET", path);
    return engine_call(&q, NULL, why);
}

/* Where another removes it already, we wait for that. */
enum err dock_remove(const struct dock *d, const char *name, struct reason *why)
{
    char path[DOCK_PATH];
    dock_path(path, "/containers/%s?force=1&v=1", name);
    struct question q = dock_ask(d, "DELETE", path);
    enum err e = engine_call(&q, NULL, why);
    for (int i = 0; e == ERR_EXISTS && i < REMOVE_TRIES; i++) {
        poll(NULL, 0, REMOVE_AGAIN_MS);
        if (exists(d, name, why) == ERR_NOT_FOUND)
            e = OK;
    }
    return e == ERR_NOT_FOUND ? OK : e;
}

static void write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno != EINTR)
            return;
        data += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
}

/* Frames: which stream, three zeros, a length, and so many bytes. */
void dock_pass_on(struct dock *d, const char *data, size_t len)
{
    if (d->raw) {
        write_all(STDOUT_FILENO, data, len);
        return;
    }
    while (len > 0) {
        if (d->frame_left == 0) {
            d->frame[d->frame_len++] = (unsigned char)*data++;
            len--;
            if (d->frame_len < sizeof d->frame)
                continue;
            d->frame_len = 0;
            d->frame_left = (uint32_t)d->frame[4] << 24 | (uint32_t)d->frame[5] << 16 |
                            (uint32_t)d->frame[6] << 8 | d->frame[7];
            continue;
        }
        size_t n = len < d->frame_left ? len : d->frame_left;
        write_all(d->frame[0] == 2 ? STDERR_FILENO : STDOUT_FILENO, data, n);
        d->frame_left -= (uint32_t)n;
        data += n;
        len -= n;
    }
}
