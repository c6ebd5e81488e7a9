#include "http.h"
#include "base/strbuf.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

struct http {
    struct loop *loop;
    struct watch *watch;
    int fd, port;
    struct strbuf out, in;
    size_t sent;
    http_fn *done; /* NULL: idle */
    void *owner;
};

static void on_ready(void *owner, int events);

static void drop(struct http *h)
{
    if (h->watch != NULL)
        watch_close(h->watch);
    if (h->fd >= 0)
        close(h->fd);
    h->watch = NULL;
    h->fd = -1;
}

static void finish(struct http *h, int status, const char *body, size_t len)
{
    http_fn *done = h->done;
    h->done = NULL;
    done(h->owner, status, body, len);
}

static bool dial(struct http *h)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)h->port)};
    int yes = 1;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    h->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    must(h->fd >= 0);
    setsockopt(h->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(h->fd, (struct sockaddr *)&a, sizeof a) != 0 && errno != EINPROGRESS) {
        drop(h);
        return false;
    }
    h->watch = watch_open(h->loop, h->fd, WATCH_WRITE, on_ready, h);
    return true;
}

struct http *http_open(struct loop *l, int port)
{
    struct http *h = xcalloc(1, sizeof *h);
    h->loop = l;
    h->port = port;
    h->fd = -1;
    return h;
}

void http_close(struct http *h)
{
    drop(h);
    strbuf_free(&h->out);
    strbuf_free(&h->in);
    free(h);
}

void http_send(struct http *h, const char *method, const char *path, const char *body,
               http_fn *done, void *owner)
{
    must(h->done == NULL);
    h->done = done;
    h->owner = owner;
    h->sent = 0;
    strbuf_clear(&h->out);
    strbuf_clear(&h->in);
    strbuf_printf(&h->out, "%s %s HTTP/1.1\r\nHost: bench\r\nContent-Length: %zu\r\n\r\n%s", method,
                  path, strlen(body), body);
    if (h->fd < 0 && !dial(h))
        finish(h, 0, "", 0);
    else
        watch_set(h->watch, WATCH_WRITE);
}

/* Puts the pieces of a chunked body together in place. False: not all is there, or it is malformed.
 */
static bool unchunk(char *body, size_t len, size_t *out_len)
{
    char *from = body, *to = body, *end = body + len;
    for (;;) {
        char *line = memmem(from, (size_t)(end - from), "\r\n", 2);
        if (line == NULL)
            return false;
        size_t size = strtoul(from, NULL, 16);
        from = line + 2;
        if ((size_t)(end - from) < size + 2)
            return false;
        memmove(to, from, size);
        to += size;
        from += size + 2;
        if (size == 0) {
            *to = '\0';
            *out_len = (size_t)(to - body);
            return true;
        }
    }
}

/* The value of a header; NULL if it is not there. head ends in NUL. */
static const char *header(const char *head, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = head; (line = strstr(line, "\r\n")) != NULL;) {
        line += 2;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':')
            return line + len + 1 + strspn(line + len + 1, " ");
    }
    return NULL;
}

/* True when the answer is whole. */
static bool answer_take(struct http *h, int *status, char **body, size_t *len)
{
    char *end = h->in.data == NULL ? NULL : strstr(h->in.data, "\r\n\r\n");
    if (end == NULL)
        return false;
    *end = '\0';
    *body = end + 4;
    *len = h->in.len - (size_t)(*body - h->in.data);
    *status = (int)strtol(h->in.data + strcspn(h->in.data, " "), NULL, 10);
    const char *length = header(h->in.data, "Content-Length");
    const char *coding = header(h->in.data, "Transfer-Encoding");
    bool whole;
    if (coding != NULL && strncasecmp(coding, "chunked", 7) == 0)
        whole = memmem(*body, *len, "0\r\n\r\n", 5) != NULL && unchunk(*body, *len, len);
    else
        whole = length == NULL || *len >= strtoul(length, NULL, 10);
    if (!whole)
        *end = '\r';
    return whole;
}

static void fail(struct http *h)
{
    drop(h);
    if (h->done != NULL)
        finish(h, 0, "", 0);
}

static void on_writable(struct http *h)
{
    ssize_t n = send(h->fd, h->out.data + h->sent, h->out.len - h->sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        fail(h);
        return;
    }
    h->sent += n > 0 ? (size_t)n : 0;
    if (h->sent == h->out.len)
        watch_set(h->watch, WATCH_READ);
}

static void on_readable(struct http *h)
{
    char buffer[16384], *body;
    size_t len;
    int status;
    ssize_t n = recv(h->fd, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        fail(h);
        return;
    }
    strbuf_add(&h->in, buffer, (size_t)n);
    if (h->done != NULL && answer_take(h, &status, &body, &len))
        finish(h, status, body, len);
}

static void on_ready(void *owner, int events)
{
    struct http *h = owner;
    if (events & WATCH_WRITE)
        on_writable(h);
    else
        on_readable(h);
}
