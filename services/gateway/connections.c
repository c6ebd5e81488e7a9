#include "connections.h"
#include "base/err.h"
#include "base/list.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

struct connection {
    struct link link; /* in all->waiting, unless it has a request or was ended */
    int fd;
    bool ended;
};

struct connections {
    struct link waiting; /* for a request, longest first */
    size_t count, most;
};

struct connections *connections_new(size_t most)
{
    struct connections *all = xcalloc(1, sizeof(*all));
    list_init(&all->waiting);
    all->most = most;
    return all;
}

void connections_free(struct connections *all)
{
    must(all->count == 0);
    free(all);
}

size_t connections_count(const struct connections *all)
{
    return all->count;
}

static int fd_of(struct MHD_Connection *c)
{
    return MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

static struct connection *connection_of(struct MHD_Connection *c)
{
    return MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static bool is_gone(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

bool connection_peer_is_gone(struct MHD_Connection *c)
{
    return is_gone(fd_of(c));
}

/* libmicrohttpd is told by the event that this makes, and closes it. */
static void end(struct connection *c)
{
    list_remove(&c->link);
    c->ended = true;
    shutdown(c->fd, SHUT_RDWR);
}

static void on_started(struct connections *all, struct MHD_Connection *c, void **context)
{
    struct connection *mine = xcalloc(1, sizeof(*mine));
    mine->fd = fd_of(c);
    list_push_back(&all->waiting, &mine->link);
    *context = mine;
    struct connection *longest = list_first(&all->waiting, struct connection, link);
    must(longest != NULL);
    if (++all->count > all->most)
        end(longest);
}

void connections_notify(void *cls, struct MHD_Connection *c, void **context,
                        enum MHD_ConnectionNotificationCode what)
{
    struct connections *all = cls;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        on_started(all, c, context);
        return;
    }
    struct connection *mine = *context;
    list_remove(&mine->link);
    free(mine);
    all->count--;
}

void connection_begin_request(struct MHD_Connection *c)
{
    list_remove(&connection_of(c)->link);
}

void connection_end_request(struct connections *all, struct MHD_Connection *c)
{
    struct connection *mine = connection_of(c);
    list_remove(&mine->link);
    if (!mine->ended)
        list_push_back(&all->waiting, &mine->link);
}

void connections_sweep(struct connections *all)
{
    struct connection *c;
    list_each(&all->waiting, struct connection, link, c) if (is_gone(c->fd)) end(c);
}
