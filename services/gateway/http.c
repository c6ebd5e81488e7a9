#include "http_parts.h"
#include "base/list.h"
#include "base/log.h"
#include "connections.h"
#include "listener.h"
#include "urls.h"
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#define HEAD_BYTES       (16u << 10) /* per connection, for head and buffers */
#define STREAM_BLOCK     (16u << 10)
#define LOOK_FOR_GONE_MS 2000u
/* A body beyond the limit is read and thrown away, so that the client, who writes before it reads,
 * sees the answer; one beyond so many times the limit is not. */
#define DISCARD_FACTOR 16u

/* ---- the request */

enum http_method exchange_method(const struct exchange *x)
{
    return x->method;
}

const char *exchange_path(const struct exchange *x)
{
    return x->path;
}

const char *exchange_arg(const struct exchange *x, const char *name)
{
    for (size_t i = 0; i < x->arg_count; i++)
        if (strcmp(x->args[i].name, name) == 0)
            return x->args[i].value;
    return NULL;
}

size_t exchange_arg_count(const struct exchange *x)
{
    return x->arg_count;
}

void exchange_arg_at(const struct exchange *x, size_t i, const char **name, const char **value)
{
    *name = x->args[i].name;
    *value = x->args[i].value;
}

const char *exchange_query(const struct exchange *x)
{
    struct strbuf s = STRBUF_INIT;
    for (size_t i = 0; i < x->arg_count; i++) {
        strbuf_puts(&s, i == 0 ? "?" : "&");
        url_escape(&s, x->args[i].name);
        strbuf_putc(&s, '=');
        url_escape(&s, x->args[i].value);
    }
    const char *text = arena_strdup(x->arena, strbuf_text(&s));
    strbuf_free(&s);
    return text;
}

const char *exchange_header(const struct exchange *x, const char *name)
{
    if (x->relayed != NULL)
        return strcasecmp(name, "X-Nomad-Token") == 0 ? x->token : NULL;
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

const char *exchange_body(const struct exchange *x, size_t *len)
{
    *len = x->body.len;
    return strbuf_text(&x->body);
}

void exchange_drop_body(struct exchange *x)
{
    x->http->held -= x->body.len;
    strbuf_free(&x->body);
    x->body = (struct strbuf)STRBUF_INIT;
}

struct arena *exchange_arena(struct exchange *x)
{
    return x->arena;
}

uint64_t exchange_started_ms(const struct exchange *x)
{
    return x->started_ms;
}

enum http_method method_of(const char *text)
{
    static const struct {
        const char *text;
        enum http_method method;
    } known[] = {{"GET", HTTP_GET},       {"PUT", HTTP_PUT},   {"POST", HTTP_POST},
                 {"DELETE", HTTP_DELETE}, {"HEAD", HTTP_HEAD}, {"OPTIONS", HTTP_OPTIONS}};
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (strcmp(text, known[i].text) == 0)
            return known[i].method;
    return HTTP_OTHER;
}

static enum MHD_Result keep_argument(void *cls, enum MHD_ValueKind kind, const char *name,
                                     const char *value)
{
    struct exchange *x = cls;
    if (x->arg_count == ARGS_MAX)
        return MHD_NO;
    char *n = arena_strdup(x->arena, name), *v = arena_strdup(x->arena, value == NULL ? "" : value);
    if (url_unescape(n) && url_unescape(v))
        x->args[x->arg_count++] = (struct argument){n, v};
    return MHD_YES;
}

static struct exchange *exchange_new(struct http *h, struct MHD_Connection *c, const char *url,
                                     const char *method)
{
    struct exchange *x = xcalloc(1, sizeof(*x));
    x->http = h;
    x->connection = c;
    x->arena = arena_new(REQUEST_ARENA);
    x->method = method_of(method);
    x->started_ms = loop_now_ms(h->loop);
    x->path = arena_strdup(x->arena, url);
    MHD_get_connection_values(c, MHD_GET_ARGUMENT_KIND, keep_argument, x);
    return x;
}

void exchange_free(struct exchange *x)
{
    list_remove(&x->link);
    step_cancel(&x->room_step);
    exchange_drop_body(x);
    duplex_free(x);
    unsent_free(&x->unsent);
    if (x->response != NULL)
        MHD_destroy_response(x->response);
    arena_free(x->arena);
    free(x);
}

/* ---- the answer */

void exchange_set(struct exchange *x, const char *name, const char *value)
{
    must(x->header_count < HEADERS_MAX);
    x->headers[x->header_count++] =
        (struct argument){arena_strdup(x->arena, name), arena_strdup(x->arena, value)};
}

static bool takes_gzip(const struct exchange *x)
{
    const char *at = exchange_header(x, MHD_HTTP_HEADER_ACCEPT_ENCODING);
    return at != NULL && url_accepts_gzip(at);
}

/* Compresses *body in place. The stream is kept between answers, so it costs no allocation. */
static bool compress_body(struct http *h, struct strbuf *body)
{
    z_stream *z = &h->gzip;
    if (deflateReset(z) != Z_OK)
        return false;
    size_t room = deflateBound(z, body->len);
    unsigned char *out = xmalloc(room);
    z->next_in = (unsigned char *)body->data;
    z->avail_in = (unsigned)body->len;
    z->next_out = out;
    z->avail_out = (unsigned)room;
    bool ok = deflate(z, Z_FINISH) == Z_STREAM_END;
    size_t len = room - z->avail_out;
    if (ok) {
        strbuf_free(body);
        *body = (struct strbuf){.data = xrealloc(out, len), .len = len, .room = len};
    } else {
        free(out);
    }
    return ok;
}

static void add_headers(struct exchange *x, const char *type)
{
    if (type != NULL)
        MHD_add_response_header(x->response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    for (size_t i = 0; i < x->header_count; i++)
        MHD_add_response_header(x->response, x->headers[i].name, x->headers[i].value);
}

static void wake(struct exchange *x)
{
    if (x->relayed != NULL)
        relayed_wake(x);
    if (!x->suspended)
        return;
    x->suspended = false;
    MHD_resume_connection(x->connection);
    http_run_soon(x->http);
}

void exchange_reply(struct exchange *x, unsigned status, const char *type, struct strbuf *body)
{
    struct strbuf none = STRBUF_INIT;
    must(x->phase == HANDLING);
    if (body == NULL)
        body = &none;
    bool gzip =
        body->len > 0 && x->relayed == NULL && takes_gzip(x) && compress_body(x->http, body);
    x->http->stats.bytes_out += body->len;
    x->http->stats.errors += status >= 400;
    x->status = status;
    x->gone = NULL;
    if (x->relayed != NULL) {
        relayed_reply(x, type, body);
        return;
    }
    x->response = body->len == 0 ? MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT)
                                 : MHD_create_response_from_buffer(body->len, body->data,
                                                                   MHD_RESPMEM_MUST_FREE);
    must(x->response != NULL);
    if (body->len == 0)
        strbuf_free(body);
    *body = (struct strbuf)STRBUF_INIT;
    add_headers(x, type);
    if (gzip)
        MHD_add_response_header(x->response, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
    x->phase = ANSWERED;
    wake(x);
}

void exchange_queue_soon(struct exchange *x)
{
    add_headers(x, NULL);
    x->phase = STREAMING;
    wake(x);
}

void exchange_on_gone(struct exchange *x, void (*gone)(void *owner), void *owner)
{
    x->gone = gone;
    x->owner = owner;
}

void exchange_call_room(void *owner)
{
    struct exchange *x = owner;
    if (x->wants_room && !x->ended) {
        x->wants_room = false;
        x->room(x->owner);
    }
}

static ssize_t read_stream(void *cls, uint64_t pos, char *buf, size_t max)
{
    struct exchange *x = cls;
    size_t left = unsent_len(&x->unsent), n = left < max ? left : max;
    if (n == 0 && x->ended)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (n > 0)
        memcpy(buf, unsent_data(&x->unsent), n);
    unsent_take(&x->unsent, n);
    if (left - n < STREAM_LOW && !x->ended) {
        x->wants_room = true;
        step_mark(x->http->loop, &x->room_step, exchange_call_room, x);
    }
    if (n == 0) { /* nothing yet: sleep until written to, or MHD would spin */
        x->suspended = true;
        MHD_suspend_connection(x->connection);
    }
    x->http->stats.bytes_out += n;
    return (ssize_t)n;
}

void exchange_stream(struct exchange *x, unsigned status, const char *type,
                     void (*room)(void *owner), void (*gone)(void *owner), void *owner)
{
    must(x->phase == HANDLING);
    x->status = status;
    x->room = room;
    x->gone = gone;
    x->owner = owner;
    if (x->relayed != NULL) {
        relayed_stream(x, type);
        return;
    }
    x->response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_stream, x, NULL);
    must(x->response != NULL);
    add_headers(x, type);
    x->phase = STREAMING;
    wake(x);
}

void exchange_write(struct exchange *x, const void *data, size_t len)
{
    must(x->room != NULL && !x->ended);
    if (x->phase == ORPHANED)
        return;
    unsent_add(&x->unsent, data, len);
    if (duplex_is_open(x))
        duplex_written(x);
    else
        wake(x);
}

size_t exchange_unsent(const struct exchange *x)
{
    return unsent_len(&x->unsent);
}

void exchange_end(struct exchange *x)
{
    x->ended = true;
    x->gone = NULL;
    if (x->phase == ORPHANED)
        exchange_free(x);
    else if (duplex_is_open(x))
        duplex_end(x);
    else
        wake(x);
}

/* ---- libmicrohttpd's side */

static enum MHD_Result queue(struct exchange *x)
{
    enum MHD_Result result = MHD_queue_response(x->connection, x->status, x->response);
    MHD_destroy_response(x->response); /* our reference; the connection has its own */
    x->response = NULL;
    x->phase = SENT;
    x->http->stats.requests++;
    return result;
}

static enum MHD_Result refuse_body(struct exchange *x, unsigned status, const char *text)
{
    x->phase = HANDLING;
    struct strbuf body = STRBUF_INIT;
    strbuf_puts(&body, text);
    exchange_set(x, MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ACCEPT_ENCODING);
    exchange_set(x, MHD_HTTP_HEADER_CONNECTION, "close");
    exchange_reply(x, status, "text/plain; charset=utf-8", &body);
    return queue(x);
}

static const char too_large[] = "request body too large";
static const char too_busy[] = "too many large requests at once, try again";

static enum MHD_Result first_call(struct exchange *x)
{
    const struct http_options *o = &x->http->o;
    const char *length = exchange_header(x, MHD_HTTP_HEADER_CONTENT_LENGTH);
    uint64_t expected = length == NULL ? 0 : strtoull(length, NULL, 10);
    if (expected > o->max_body && expected <= o->max_body * DISCARD_FACTOR)
        x->phase = REFUSED;
    else if (expected > o->max_body)
        return refuse_body(x, MHD_HTTP_CONTENT_TOO_LARGE, too_large);
    if (x->phase == READING && x->http->held + expected > o->max_bodies)
        return refuse_body(x, MHD_HTTP_SERVICE_UNAVAILABLE, too_busy);
    return MHD_YES;
}

static enum MHD_Result keep_body(struct exchange *x, const char *data, size_t *len)
{
    const struct http_options *o = &x->http->o;
    x->http->stats.bytes_in += *len;
    if (x->phase == READING &&
        (x->body.len + *len > o->max_body || x->http->held + *len > o->max_bodies)) {
        x->phase = REFUSED;
        exchange_drop_body(x);
    }
    if (x->phase == REFUSED && (x->discarded += *len) > o->max_body * DISCARD_FACTOR)
        return MHD_NO;
    if (x->phase == READING) {
        strbuf_add(&x->body, data, *len);
        x->http->held += *len;
    }
    *len = 0;
    return MHD_YES;
}

static enum MHD_Result begin_handling(struct exchange *x)
{
    struct http *h = x->http;
    if (x->phase == REFUSED)
        return refuse_body(x, MHD_HTTP_CONTENT_TOO_LARGE, too_large);
    x->phase = HANDLING;
    connection_begin_request(x->connection);
    if (!url_unescape(x->path))
        return refuse_body(x, MHD_HTTP_BAD_REQUEST, "malformed path");
    list_push_back(&h->open, &x->link);
    h->o.handle(h->o.self, x);
    if (x->phase != HANDLING)
        return queue(x);
    x->suspended = true;
    MHD_suspend_connection(x->connection);
    return MHD_YES;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *len, void **state)
{
    struct exchange *x = *state;
    if (x == NULL) {
        *state = x = exchange_new(cls, c, url, method);
        return first_call(x);
    }
    if (*len > 0)
        return keep_body(x, data, len);
    if (x->phase == READING || x->phase == REFUSED)
        return begin_handling(x);
    if (x->phase == ANSWERED || x->phase == STREAMING)
        return queue(x);
    return MHD_YES;
}

static void on_completed(void *cls, struct MHD_Connection *c, void **state,
                         enum MHD_RequestTerminationCode code)
{
    struct exchange *x = *state;
    *state = NULL;
    if (x == NULL)
        return;
    connection_end_request(x->http->connections, c);
    if (x->room == NULL || x->ended) {
        exchange_free(x);
        return;
    }
    x->phase = ORPHANED;
    x->connection = NULL;
    x->suspended = x->wants_room = false;
    unsent_clear(&x->unsent);
    x->gone(x->owner);
}

static size_t leave_escaped(void *cls, struct MHD_Connection *c, char *text)
{
    return strlen(text);
}

static void on_log(void *cls, const char *format, va_list args)
{
    char line[256];
    if (!log_enabled(LOG_DEBUG))
        return;
    vsnprintf(line, sizeof(line), format, args);
    log_debug("http", "text=%s", log_quote(line));
}

/* ---- in the loop */

static void run(void *owner)
{
    struct http *h = owner;
    MHD_UNSIGNED_LONG_LONG wait_ms;
    if (h->closing)
        return;
    MHD_run(h->daemon);
    if (MHD_get_timeout(h->daemon, &wait_ms) == MHD_YES)
        timer_arm(h->loop, &h->timer, wait_ms, run, h);
}

void http_run_soon(struct http *h)
{
    if (!h->closing)
        step_mark(h->loop, &h->run, run, h);
}

static void on_ready(void *owner, int events)
{
    run(owner);
}

/* libmicrohttpd does not look at a suspended connection, so we do, now and then. */
static void look_for_gone(void *owner)
{
    struct http *h = owner;
    struct exchange *x;
    list_each(&h->open, struct exchange, link, x)
    {
        if (x->phase != HANDLING || !x->suspended || x->gone == NULL ||
            !connection_peer_is_gone(x->connection))
            continue;
        void (*gone)(void *) = x->gone;
        x->gone = NULL;
        gone(x->owner);
    }
    connections_sweep(h->connections);
    timer_arm(h->loop, &h->look, LOOK_FOR_GONE_MS, look_for_gone, h);
}

static struct MHD_Daemon *start(struct http *h, int fd)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG, 0, NULL,
        NULL, on_request, h, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)h->o.max_connections + CONNECTIONS_SPARE,
        MHD_OPTION_NOTIFY_CONNECTION, connections_notify, h->connections,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)(h->o.idle_ms / 1000 + 1), MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
        MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL, MHD_OPTION_END);
}

enum err http_open(struct http **out, struct loop *l, const struct http_options *o,
                   struct reason *why)
{
    uint16_t port = 0;
    int fd = listener_open(o->address, &port, why);
    if (fd < 0)
        return ERR_IO;
    struct http *h = xcalloc(1, sizeof(*h));
    h->loop = l;
    h->o = *o;
    h->port = port;
    list_init(&h->open);
    must(deflateInit2(&h->gzip, 1, Z_DEFLATED, 12 + 16, 6, Z_DEFAULT_STRATEGY) == Z_OK);
    h->connections = connections_new(o->max_connections);
    h->daemon = start(h, fd);
    if (h->daemon == NULL) {
        reason_errno(why, ERR_IO, "cannot start http");
        close(fd);
        connections_free(h->connections);
        deflateEnd(&h->gzip);
        free(h);
        return ERR_IO;
    }
    int epoll_fd = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    h->watch = watch_open(l, epoll_fd, WATCH_READ, on_ready, h);
    timer_arm(l, &h->look, LOOK_FOR_GONE_MS, look_for_gone, h);
    *out = h;
    return OK;
}

void http_close(struct http *h)
{
    struct exchange *x;
    if (h == NULL)
        return;
    h->closing = true;
    timer_cancel(h->loop, &h->timer);
    timer_cancel(h->loop, &h->look);
    step_cancel(&h->run);
    watch_close(h->watch);
    list_each(&h->open, struct exchange, link, x) if (x->suspended)
    { /* a suspended connection would keep the daemon from stopping */
        x->suspended = false;
        MHD_resume_connection(x->connection);
    }
    list_each(&h->open, struct exchange, link, x) if (duplex_is_open(x)) duplex_abandon(x);
    MHD_stop_daemon(h->daemon);
    connections_free(h->connections);
    list_each(&h->open, struct exchange, link, x)
    { /* those of another door that nobody will answer any more */
        free(x->relayed);
        exchange_free(x);
    }
    deflateEnd(&h->gzip);
    free(h);
}

uint16_t http_port(const struct http *h)
{
    return h->port;
}

void http_stats(const struct http *h, struct http_stats *out)
{
    *out = h->stats;
    out->connections = connections_count(h->connections);
    out->open = 0;
    for (const struct link *l = h->open.next; l != &h->open; l = l->next)
        out->open++;
}
