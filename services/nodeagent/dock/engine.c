#include "engine.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define API         "/v1.40"
#define ANSWER_MOST (4u << 20) /* bytes of one that is read whole */
#define PING_MS     2000

static enum err connect_to(const char *path, int *out, struct reason *why)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return reason_set(why, ERR_INVALID, "%s: too long for a socket", path);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        enum err e = reason_errno(why, ERR_UNAVAILABLE, "%s", path);
        if (fd >= 0)
            close(fd);
        return e;
    }
    *out = fd;
    return OK;
}

static bool wait_for(int fd, short events, int timeout_ms)
{
    struct pollfd p = {fd, events, 0};
    int n;
    do
        n = poll(&p, 1, timeout_ms);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

static bool send_all(int fd, const char *data, size_t len, int timeout_ms)
{
    while (len > 0) {
        if (!wait_for(fd, POLLOUT, timeout_ms))
            return false;
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return false;
        data += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool send_file(int fd, int file, int timeout_ms)
{
    static char piece[65536];
    ssize_t n;
    while ((n = read(file, piece, sizeof piece)) > 0)
        if (!send_all(fd, piece, (size_t)n, timeout_ms))
            return false;
    return n == 0;
}

static bool send_question(const struct question *q, int fd)
{
    struct strbuf text = STRBUF_INIT;
    struct stat st;
    char *json = q->json == NULL ? NULL : json_dumps(q->json, JSON_COMPACT);
    strbuf_printf(&text, "%s " API "%s HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n",
                  q->method, q->path);
    if (q->auth != NULL)
        strbuf_printf(&text, "X-Registry-Auth: %s\r\n", q->auth);
    if (json != NULL)
        strbuf_printf(&text, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                      strlen(json), json);
    else if (q->file >= 0 && fstat(q->file, &st) == 0)
        strbuf_printf(&text, "Content-Type: application/x-tar\r\nContent-Length: %lld\r\n\r\n",
                      (long long)st.st_size);
    else
        strbuf_puts(&text, "Content-Length: 0\r\n\r\n");
    bool sent = send_all(fd, text.data, text.len, q->timeout_ms) &&
                (q->file < 0 || send_file(fd, q->file, q->timeout_ms));
    strbuf_free(&text);
    free(json);
    return sent;
}

/* False: the connection has ended, or it is late. */
static bool read_more(struct answer *a, int timeout_ms)
{
    if (a->have == sizeof a->bytes || !wait_for(a->fd, POLLIN, timeout_ms))
        return false;
    ssize_t n = recv(a->fd, a->bytes + a->have, sizeof a->bytes - a->have, 0);
    if (n > 0)
        a->have += (size_t)n;
    return n > 0 || (n < 0 && errno == EINTR);
}

/* As head_read. */
static int take_head(struct answer *a)
{
    struct head head;
    int done = head_read(a->bytes, a->have, &head);
    if (done <= 0)
        return done;
    a->status = head.status;
    a->body = head.body;
    a->at = head.size;
    return 1;
}

static bool read_head(struct answer *a, int timeout_ms)
{
    int done;
    while ((done = take_head(a)) == 0)
        if (!read_more(a, timeout_ms))
            return false;
    return done > 0;
}

/* *sent false: not all of it could be; an engine that refuses early answers and reads no further,
 * and what it says counts. */
static enum err begin(const struct question *q, struct answer *out, bool *sent, struct reason *why)
{
    *out = (struct answer){.fd = -1};
    enum err e = connect_to(q->socket, &out->fd, why);
    if (e == OK)
        *sent = send_question(q, out->fd);
    return e;
}

enum err engine_send(const struct question *q, struct answer *out, struct reason *why)
{
    bool sent;
    return begin(q, out, &sent, why);
}

enum err engine_ask(const struct question *q, struct answer *out, struct reason *why)
{
    bool sent;
    enum err e = begin(q, out, &sent, why);
    if (e != OK)
        return e;
    if (read_head(out, q->timeout_ms))
        return OK;
    answer_close(out);
    return reason_set(why, ERR_UNAVAILABLE, "%s: %s", q->socket,
                      sent ? "no sound answer came in time" : "the question could not be sent");
}

void answer_close(struct answer *a)
{
    if (a->fd >= 0)
        close(a->fd);
    a->fd = -1;
}

bool answer_has_more(const struct answer *a)
{
    return a->at < a->have && !a->body.ended && !a->body.broken;
}

ssize_t answer_read(struct answer *a, void *out, size_t room, int timeout_ms)
{
    for (;;) {
        const char *data;
        size_t len, most = a->have - a->at < room ? a->have - a->at : room;
        a->at += body_take(&a->body, a->bytes + a->at, most, &data, &len);
        if (len > 0) {
            memcpy(out, data, len);
            return (ssize_t)len;
        }
        if (a->body.broken || a->body.ended)
            return a->body.broken ? -1 : 0;
        if (a->at < a->have)
            continue;
        a->at = a->have = 0;
        if (!read_more(a, timeout_ms))
            return a->body.kind == BODY_OPEN ? 0 : -1;
    }
}

/* What is in a->bytes of the body goes to text. */
static void take_body(struct answer *a, struct strbuf *text)
{
    while (a->at < a->have && !a->body.ended && !a->body.broken) {
        const char *data;
        size_t len;
        a->at += body_take(&a->body, a->bytes + a->at, a->have - a->at, &data, &len);
        strbuf_add(text, data, len);
    }
    a->at = a->have = 0;
}

int answer_step(struct answer *a, struct strbuf *text)
{
    ssize_t n = a->have == sizeof a->bytes
                    ? 0
                    : recv(a->fd, a->bytes + a->have, sizeof a->bytes - a->have, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    a->have += n > 0 ? (size_t)n : 0;
    int done = a->status == 0 ? take_head(a) : 1;
    if (done > 0)
        take_body(a, text);
    if (done < 0 || a->body.broken || text->len > ANSWER_MOST)
        return -1;
    if (done > 0 && (a->body.ended || (n <= 0 && a->body.kind == BODY_OPEN)))
        return 1;
    return n <= 0 ? -1 : 0;
}

/* The engine's words: {"message": "..."}, or podman's {"cause", "message"}. */
static enum err refused(unsigned status, const json_t *said, struct reason *why)
{
    const char *text = json_string_value(json_object_get(said, "message"));
    enum err e = status == 404   ? ERR_NOT_FOUND
                 : status == 409 ? ERR_EXISTS
                 : status < 500  ? ERR_INVALID
                                 : ERR_UNAVAILABLE;
    return reason_set(why, e, "%s", text != NULL ? text : "the engine refused it without a word");
}

/* False: it is cut short. */
static bool read_whole(struct answer *a, int timeout_ms, struct strbuf *text)
{
    char piece[4096];
    ssize_t n;
    while ((n = answer_read(a, piece, sizeof piece, timeout_ms)) > 0 && text->len < ANSWER_MOST)
        strbuf_add(text, piece, (size_t)n);
    return n == 0;
}

enum err engine_refusal(struct answer *a, int timeout_ms, struct reason *why)
{
    struct strbuf text = STRBUF_INIT;
    read_whole(a, timeout_ms, &text);
    json_t *said = json_loadb(strbuf_text(&text), text.len, 0, NULL);
    enum err e = refused(a->status, said, why);
    json_decref(said);
    strbuf_free(&text);
    return e;
}

enum err engine_call(const struct question *q, json_t **out, struct reason *why)
{
    struct answer a;
    struct strbuf text = STRBUF_INIT;
    enum err e = engine_ask(q, &a, why);
    if (e != OK)
        return e;
    if (a.status >= 400)
        e = engine_refusal(&a, q->timeout_ms, why);
    else if (!read_whole(&a, q->timeout_ms, &text))
        e = reason_set(why, ERR_UNAVAILABLE, "%s: the answer was cut short", q->path);
    if (e == OK && out != NULL)
        *out = json_loadb(strbuf_text(&text), text.len, JSON_DECODE_ANY, NULL);
    strbuf_free(&text);
    answer_close(&a);
    return e;
}

enum err engine_version(const char *socket, char *out, size_t room, struct reason *why)
{
    json_t *said = NULL;
    enum err e = engine_call(&(struct question){.socket = socket,
                                                .method = "GET",
                                                .path = "/version",
                                                .file = -1,
                                                .timeout_ms = PING_MS},
                             &said, why);
    const char *version = json_string_value(json_object_get(said, "Version"));
    snprintf(out, room, "%s", version == NULL ? "" : version);
    json_decref(said);
    return e;
}
