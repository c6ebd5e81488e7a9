/* What the files of HTTP share; nobody else includes it. */
#ifndef GATEWAY_HTTP_PARTS_H
#define GATEWAY_HTTP_PARTS_H

#include "base/list.h"
#include "connections.h"
#include "http.h"
#include "unsent.h"
#include <microhttpd.h>
#include <zlib.h>

#define ARGS_MAX      64u
#define HEADERS_MAX   12u
#define REQUEST_ARENA (256u << 20) /* a cap, not a reservation */
#define STREAM_LOW    (64u << 10)

struct http {
    struct loop *loop;
    struct http_options o;
    struct MHD_Daemon *daemon;
    struct connections *connections;
    struct watch *watch;
    struct timer timer, look;
    struct step run;
    struct link open; /* exchanges that a handler has */
    uint64_t held;    /* bytes of bodies */
    z_stream gzip;
    uint16_t port;
    bool closing;
    struct http_stats stats;
};

struct argument {
    const char *name, *value;
};

enum phase {
    READING,
    REFUSED,  /* too large: only waits for the end of the body */
    HANDLING, /* a handler has it */
    ANSWERED, /* response is set, not yet queued */
    STREAMING,
    SENT,
    ORPHANED, /* the client has gone, the handler has yet to end the stream */
};

/* Of an exchange whose connection another protocol has taken over. */
struct duplex {
    int socket;
    struct MHD_UpgradeResponseHandle *handle; /* NULL: the answer is not sent yet, or relayed */
    struct watch *watch;
    struct strbuf early; /* what came along with the request */
    struct step begin;
    struct timer flushed; /* when it ends, whether or not all could be sent */
    bool unwanted;        /* input */
    bool lost;            /* the client has gone */
    bool said_all;
};

struct exchange {
    struct link link;
    struct http *http;
    struct MHD_Connection *connection;
    struct arena *arena;
    enum http_method method;
    enum phase phase;
    bool suspended;
    char *path;
    struct argument args[ARGS_MAX];
    size_t arg_count;
    struct strbuf body;
    uint64_t started_ms, discarded;
    struct argument headers[HEADERS_MAX];
    size_t header_count;
    unsigned status;
    struct MHD_Response *response;
    void (*gone)(void *owner);
    void (*room)(void *owner);
    void *owner;
    /* a stream */
    struct unsent unsent;
    bool ended, wants_room;
    struct duplex *duplex; /* NULL: none */
    void (*input)(void *owner, const void *data, size_t len);
    /* one that came in by another door: connection is NULL */
    struct relayed *relayed;
    const char *token;
    struct step room_step;
};

enum http_method method_of(const char *text);
void exchange_free(struct exchange *x);
void exchange_call_room(void *owner);
void exchange_queue_soon(struct exchange *x); /* its response is made */
void http_run_soon(struct http *h);
/* http_duplex.c: whether the connection is ours; something was written; no more will be; at once.
 */
bool duplex_is_open(const struct exchange *x);
void duplex_written(struct exchange *x);
void duplex_end(struct exchange *x);
void duplex_abandon(struct exchange *x);
void duplex_free(struct exchange *x);
/* Of a relayed exchange there is something new: relayed.c. */
void relayed_wake(struct exchange *x);
void relayed_reply(struct exchange *x, const char *type, struct strbuf *body);
void relayed_stream(struct exchange *x, const char *type);

#endif
