/* A websocket to a gateway, over TLS where its address says so: the connection is libcurl's, the
 * framing libwslay's. For a loop of poll(2): nothing here blocks once it is open. */
#ifndef NCTL_WEBSOCKET_H
#define NCTL_WEBSOCKET_H

#include "client.h"
#include <stdbool.h>
#include <stddef.h>

struct websocket;

struct websocket_handlers {
    void (*message)(void *self, bool text, const void *data, size_t len);
    void *self;
};

/* Waits for the handshake. NULL: told on stderr, what: "failed to exec into task". */
struct websocket *websocket_open(struct client *c, const char *path, const char *query,
                                 const char *what, const struct websocket_handlers *h);
void websocket_free(struct websocket *w);

int websocket_fd(const struct websocket *w);
short websocket_events(const struct websocket *w); /* to poll for */
/* When poll told, or something is to be sent: reads and writes what can be now. False: it is over;
 * see websocket_ending. */
bool websocket_run(struct websocket *w);
void websocket_send(struct websocket *w, bool text, const void *data, size_t len);
size_t websocket_unsent(const struct websocket *w); /* bytes: bound them by looking here first */
/* The code and the reason of the other's goodbye; 0: it went without one. */
unsigned websocket_ending(const struct websocket *w, const char **reason);

#endif
