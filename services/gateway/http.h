/* HTTP over libmicrohttpd, inside our loop: one thread, nothing blocks. A handler is called once a
 * request is there whole, and answers now or later, at once or as a stream.
 *
 * What comes from outside is bounded: connections, bytes of a body, bytes of all bodies held, bytes
 * of a head, the time a silent or slow client may take. */
#ifndef GATEWAY_HTTP_H
#define GATEWAY_HTTP_H

#include "base/arena.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "loop/loop.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http;
struct exchange; /* one request and its answer */

enum http_method {
    HTTP_GET = 1,
    HTTP_HEAD = 2,
    HTTP_PUT = 4,
    HTTP_POST = 8,
    HTTP_DELETE = 16,
    HTTP_OPTIONS = 32,
    HTTP_OTHER = 64,
    HTTP_ANY = 127,
};

struct http_options {
    const char *address; /* "127.0.0.1:4646", "[::1]:4646", ":4646" */
    uint64_t max_connections;
    uint64_t max_body;   /* bytes of one request's body; more is 413 */
    uint64_t max_bodies; /* bytes of all bodies held at once; more is 503 */
    uint64_t idle_ms;    /* a connection that says nothing for so long is closed */
    void *self;
    void (*handle)(void *self, struct exchange *x); /* owns x until it has answered */
};

enum err http_open(struct http **out, struct loop *l, const struct http_options *o,
                   struct reason *why);
void http_close(struct http *h);
uint16_t http_port(const struct http *h); /* as bound: differs from the asked one if that was 0 */

struct http_stats {
    uint64_t requests, errors;    /* answered; of those with a status of 400 and above */
    uint64_t connections, open;   /* connections now; exchanges now */
    uint64_t bytes_in, bytes_out; /* of bodies */
};
void http_stats(const struct http *h, struct http_stats *out);

/* ---- the request */

enum http_method exchange_method(const struct exchange *x);
const char *exchange_path(const struct exchange *x);  /* percent-decoded; holds no NUL */
const char *exchange_query(const struct exchange *x); /* rebuilt; "" when there is none */
/* NULL: not given; "" when given without a value. The first of several. */
const char *exchange_arg(const struct exchange *x, const char *name);
size_t exchange_arg_count(const struct exchange *x);
void exchange_arg_at(const struct exchange *x, size_t i, const char **name, const char **value);
const char *exchange_header(const struct exchange *x, const char *name);
const char *exchange_body(const struct exchange *x, size_t *len); /* never NULL */
struct arena *exchange_arena(struct exchange *x);                 /* ends with the exchange */
void exchange_drop_body(struct exchange *x); /* it has been read: give the memory back */
uint64_t exchange_started_ms(const struct exchange *x);

/* ---- the answer */

/* Adds a header to the coming answer. Both are copied. */
void exchange_set(struct exchange *x, const char *name, const char *value);

/* Answers. body is taken and left empty; NULL: no bytes. type NULL: no Content-Type. Compressed
 * here if the client takes gzip. */
void exchange_reply(struct exchange *x, unsigned status, const char *type, struct strbuf *body);

/* The client may go away while an answer is awaited: gone is then called once, within seconds; the
 * exchange must still be answered (into the void). NULL takes it back. */
void exchange_on_gone(struct exchange *x, void (*gone)(void *owner), void *owner);

/* Begins an answer of unknown length. room is called whenever little is left unsent; gone once,
 * when the client has gone: what is written then is lost, and the stream must still be ended.
 * Neither is called from within the functions here. */
void exchange_stream(struct exchange *x, unsigned status, const char *type,
                     void (*room)(void *owner), void (*gone)(void *owner), void *owner);
void exchange_write(struct exchange *x, const void *data, size_t len);
size_t exchange_unsent(const struct exchange *x);
void exchange_end(struct exchange *x); /* x is no longer the caller's */

/* Answers 101: the connection changes to another protocol, and its bytes go both ways. write,
 * unsent, end, room and gone are as with a stream. input is called with what comes, unless it is
 * not wanted: bound what you keep by that. */
struct upgrade {
    const char *protocol; /* "websocket" */
    void (*input)(void *owner, const void *data, size_t len);
    void (*room)(void *owner);
    void (*gone)(void *owner);
    void *owner;
};
void exchange_upgrade(struct exchange *x, const struct upgrade *u);
void exchange_want_input(struct exchange *x, bool wanted);

/* ---- exchanges that come in by another door, with the answer read piece by piece */

struct relayed;

struct relayed_request {
    const char *method, *path, *token; /* token NULL: none */
    const char *const *args;           /* name, value, name, value ... */
    size_t arg_count;                  /* pairs */
    const void *body;
    size_t body_len;
    bool may_go_on; /* to a third gateway */
};

/* Handles the request, copied, like one of HTTP. news is called, from the loop, whenever more can
 * be read of the answer. NULL: it is larger than a request may be. */
struct relayed *relayed_open(struct http *h, const struct relayed_request *q,
                             void (*news)(void *owner), void *owner);
void relayed_close(struct relayed *r); /* whether or not the answer is complete */

/* False: nothing to read yet. The first true one sets *status and the headers (name, value ...),
 * which live until relayed_close; *data, of at most max bytes, lives until the next call. */
struct relayed_piece {
    unsigned status;
    const char *const *headers;
    size_t header_count; /* pairs */
    const void *data;
    size_t len;
    bool last;
};
bool relayed_read(struct relayed *r, size_t max, struct relayed_piece *out);
/* What the client sends, once status was 101. False: there is no room for it yet; news is called
 * when there may be. */
bool relayed_input(struct relayed *r, const void *data, size_t len);
bool relayed_wants_input(const struct relayed *r);
/* Whether x came in by another door: it is answered here and not sent on again. */
bool exchange_is_relayed(const struct exchange *x);
/* Another gateway passed it on: it goes no further. */
bool exchange_must_stay(const struct exchange *x);

#endif
