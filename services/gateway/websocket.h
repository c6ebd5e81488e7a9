/* Messages over an exchange whose connection has become a websocket (RFC 6455; the framing is
 * libwslay's). Pings are answered, fragments put together, text is known to be UTF-8, and what
 * breaks the protocol ends it. */
#ifndef GATEWAY_WEBSOCKET_H
#define GATEWAY_WEBSOCKET_H

#include "http.h"
#include <stdbool.h>
#include <stddef.h>

struct websocket;

/* Reasons to end, by RFC 6455, section 7.4.1. */
enum {
    WEBSOCKET_DONE = 1000,
    WEBSOCKET_MALFORMED = 1007,
    WEBSOCKET_REFUSED = 1008,
    WEBSOCKET_FAILED = 1011,
};

struct websocket_handlers {
    void (*message)(void *owner, bool text, const void *data, size_t len);
    void (*room)(void *owner); /* little is left unsent */
    void (*gone)(void *owner); /* the client has closed it; it must still be closed here */
    void *owner;
};

/* Whether x asks for a websocket; else it is answered why not, and is no longer the caller's. What
 * came from another gateway was looked at there. */
bool websocket_is_asked_for(struct exchange *x);
/* The header that completes the handshake. Of no use to another gateway, which makes its own. */
void websocket_accept(struct exchange *x);

/* Takes x, of which websocket_is_asked_for. A longer message of the client ends it. */
struct websocket *websocket_open(struct exchange *x, size_t longest,
                                 const struct websocket_handlers *h);
void websocket_send(struct websocket *w, bool text, const void *data, size_t len);
size_t websocket_unsent(const struct websocket *w); /* bytes */
/* False: messages are left in the connection, so the client must wait. Up to 64 KiB of them may
 * still come. */
void websocket_want(struct websocket *w, bool wanted);
/* Says why to the client. Takes w, also inside of a callback. */
void websocket_close(struct websocket *w, unsigned code, const char *reason);

#endif
