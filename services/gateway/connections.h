/* All HTTP connections, for three things that libmicrohttpd 0.9.75 does not do. It overlooks a peer
 * that hung up right behind bytes which it then reads: its epoll is edge-triggered, and after a
 * short read it waits for an event that has been. And at its limit it lets connections that say
 * nothing keep out those that would. And when it is asked how many there are, it frees those that
 * ended, which its own loop may be about to look at: a handler must not ask it. */
#ifndef GATEWAY_CONNECTIONS_H
#define GATEWAY_CONNECTIONS_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>

struct connections;

/* Of more than `most`, the one that has waited longest for its next request is ended; libmicrohttpd
 * gets CONNECTIONS_SPARE more as its limit, so that there is room to do it. */
#define CONNECTIONS_SPARE 64u
struct connections *connections_new(size_t most);
void connections_free(struct connections *all);
size_t connections_count(const struct connections *all);

/* For MHD_OPTION_NOTIFY_CONNECTION; cls is the struct connections. */
void connections_notify(void *cls, struct MHD_Connection *c, void **context,
                        enum MHD_ConnectionNotificationCode what);
/* It has a request that is there whole, or has been answered and may have another. */
void connection_begin_request(struct MHD_Connection *c);
void connection_end_request(struct connections *all, struct MHD_Connection *c);
bool connection_peer_is_gone(struct MHD_Connection *c);

/* Ends those without a request whose peer has gone. */
void connections_sweep(struct connections *all);

#endif
