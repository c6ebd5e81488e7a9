/* Connections that another protocol has taken over after an answer of 101: their bytes go both
 * ways. What is unsent and what comes in are bounded by those who use it: they look at
 * exchange_unsent, and take no input while they have no room for it. */
#include "http_parts.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define INPUT_PIECE (64u << 10)
#define FLUSH_MS    10000u /* for what is left at the end, and for the client to hang up */

static void set_watch(struct exchange *x)
{
    struct duplex *d = x->duplex;
    int events = 0;
    if (d->watch == NULL)
        return;
    if (!d->unwanted || x->ended)
        events |= WATCH_READ;
    if (exchange_unsent(x) > 0)
        events |= WATCH_WRITE;
    watch_set(d->watch, events);
}

/* libmicrohttpd closes the socket, and the exchange ends with it. */
static void hang_up(struct exchange *x)
{
    struct duplex *d = x->duplex;
    watch_close(d->watch);
    d->watch = NULL;
    timer_cancel(x->http->loop, &d->flushed);
    step_cancel(&d->begin);
    MHD_upgrade_action(d->handle, MHD_UPGRADE_ACTION_CLOSE);
    http_run_soon(x->http);
}

static void on_flush_over(void *owner)
{
    hang_up(owner);
}

/* The client has gone: what is not sent yet never will be. */
static void lose(struct exchange *x)
{
    struct duplex *d = x->duplex;
    watch_close(d->watch);
    d->watch = NULL;
    unsent_clear(&x->unsent);
    d->lost = true;
    if (x->ended)
        hang_up(x);
    else if (x->gone != NULL)
        x->gone(x->owner);
}

static void send_on(struct exchange *x)
{
    while (exchange_unsent(x) > 0) {
        ssize_t n = send(x->duplex->socket, unsent_data(&x->unsent), exchange_unsent(x),
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break; /* full, or broken: then reading tells */
        unsent_take(&x->unsent, (size_t)n);
        x->http->stats.bytes_out += (uint64_t)n;
    }
    if (exchange_unsent(x) < STREAM_LOW && !x->ended) {
        x->wants_room = true;
        step_mark(x->http->loop, &x->room_step, exchange_call_room, x);
    }
    if (x->ended && exchange_unsent(x) == 0 && !x->duplex->said_all) {
        x->duplex->said_all = true;
        shutdown(x->duplex->socket, SHUT_WR);
    }
}

static void take_input(struct exchange *x)
{
    static char piece[INPUT_PIECE];
    ssize_t n = recv(x->duplex->socket, piece, sizeof piece, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (n <= 0) {
        lose(x);
        return;
    }
    x->http->stats.bytes_in += (uint64_t)n;
    if (!x->ended) /* else it is thrown away: an unread rest would take our last words with it */
        x->input(x->owner, piece, (size_t)n);
}

static void on_ready(void *owner, int events)
{
    struct exchange *x = owner;
    if ((events & WATCH_WRITE) != 0)
        send_on(x);
    set_watch(x);
    if ((events & WATCH_READ) != 0)
        take_input(x); /* last: the exchange may end in it */
}

/* What the client sent right behind its request. */
static void begin(void *owner)
{
    struct exchange *x = owner;
    struct duplex *d = x->duplex;
    struct strbuf early = d->early;
    d->early = (struct strbuf)STRBUF_INIT;
    d->watch = watch_open(x->http->loop, d->socket, WATCH_READ, on_ready, x);
    send_on(x);
    set_watch(x);
    if (early.len > 0 && !x->ended)
        x->input(x->owner, early.data, early.len);
    strbuf_free(&early);
}

/* A client whose machine died says nothing: the kernel asks it now and then. */
static void keep_alive(int fd)
{
    const int on = 1, idle_s = 30, every_s = 10, times = 3, unacknowledged_ms = 60000;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof every_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof unacknowledged_ms);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void on_upgraded(void *cls, struct MHD_Connection *c, void *state, const char *early,
                        size_t early_len, MHD_socket fd, struct MHD_UpgradeResponseHandle *handle)
{
    struct exchange *x = cls;
    struct duplex *d = x->duplex;
    d->socket = fd;
    d->handle = handle;
    strbuf_add(&d->early, early, early_len);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    keep_alive(fd);
    step_mark(x->http->loop, &d->begin, begin, x);
    if (x->ended)
        duplex_end(x);
}

void exchange_upgrade(struct exchange *x, const struct upgrade *u)
{
    must(x->phase == HANDLING);
    x->status = MHD_HTTP_SWITCHING_PROTOCOLS;
    x->duplex = xcalloc(1, sizeof(*x->duplex));
    x->duplex->socket = -1;
    x->room = u->room;
    x->gone = u->gone;
    x->input = u->input;
    x->owner = u->owner;
    if (x->relayed != NULL) {
        relayed_stream(x, NULL);
        return;
    }
    exchange_set(x, MHD_HTTP_HEADER_UPGRADE, u->protocol);
    x->response = MHD_create_response_for_upgrade(on_upgraded, x);
    must(x->response != NULL);
    exchange_queue_soon(x);
}

void exchange_want_input(struct exchange *x, bool wanted)
{
    must(x->duplex != NULL);
    if (x->duplex->unwanted == !wanted)
        return;
    x->duplex->unwanted = !wanted;
    set_watch(x);
    if (x->relayed != NULL && wanted)
        relayed_wake(x);
}

bool duplex_is_open(const struct exchange *x)
{
    return x->duplex != NULL && x->duplex->handle != NULL;
}

void duplex_written(struct exchange *x)
{
    if (x->duplex->lost)
        unsent_clear(&x->unsent);
    set_watch(x);
}

void duplex_end(struct exchange *x)
{
    struct duplex *d = x->duplex;
    if (d->lost) {
        hang_up(x);
        return;
    }
    timer_arm(x->http->loop, &d->flushed, FLUSH_MS, on_flush_over, x);
    if (d->watch == NULL)
        return; /* begin sends it */
    send_on(x);
    set_watch(x);
}

void duplex_abandon(struct exchange *x)
{
    x->ended = true;
    hang_up(x);
}

void duplex_free(struct exchange *x)
{
    struct duplex *d = x->duplex;
    if (d == NULL)
        return;
    must(d->watch == NULL);
    step_cancel(&d->begin);
    timer_cancel(x->http->loop, &d->flushed);
    strbuf_free(&d->early);
    free(d);
    x->duplex = NULL;
}
