/* A connection to a port of an allocation here, for a client somewhere. */
#include "base/id.h"
#include "channel.h"
#include "fingerprint.h"
#include "forward_target.h"
#include "networks.h"
#include "sessions.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_MS 10000

struct forward_session {
    struct session session;
    char *addresses[2]; /* still to be tried; NULL: none */
    char port[12];
    int fd; /* being connected; -1: none */
    struct watch *watch;
    struct timer timer;
    int error; /* of the last try */
};

static void try_next(struct forward_session *f);

static struct forward_session *of(struct session *s)
{
    return container_of(s, struct forward_session, session);
}

static void stop_trying(struct forward_session *f)
{
    timer_cancel(session_loop(&f->session), &f->timer);
    watch_close(f->watch);
    f->watch = NULL;
}

static void stop(struct session *s)
{
    struct forward_session *f = of(s);
    stop_trying(f);
    if (f->fd >= 0)
        close(f->fd);
    for (size_t i = 0; i < COUNT_OF(f->addresses); i++)
        free(f->addresses[i]);
    free(f);
}

struct session *forward_session_new(void)
{
    struct forward_session *f = xcalloc(1, sizeof *f);
    f->session = (struct session){.stop = stop};
    f->fd = -1;
    return &f->session;
}

/* ---- connecting */

static void go_on_with_next(struct forward_session *f, int error)
{
    stop_trying(f);
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
    f->error = error;
    try_next(f);
}

/* Both ends of the channel are this connection; it is over when the other side has said all. */
static void begin_talking(struct forward_session *f)
{
    struct channel *c = f->session.channel;
    int input = fcntl(f->fd, F_DUPFD_CLOEXEC, 0); /* what is watched must not be the same one */
    if (input < 0) {
        go_on_with_next(f, errno);
        return;
    }
    stop_trying(f);
    channel_output(c, f->fd, NULL);
    channel_input(c, input, CHANNEL_SHUT);
    f->fd = -1;
    channel_finish(c, 0);
}

static void on_connected(void *owner, int events)
{
    struct forward_session *f = owner;
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0)
        go_on_with_next(f, error);
    else
        begin_talking(f);
}

static void on_time_over(void *owner)
{
    go_on_with_next(owner, ETIMEDOUT);
}

static void connect_to(struct forward_session *f, const struct addrinfo *a)
{
    f->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (f->fd < 0 || (connect(f->fd, a->ai_addr, a->ai_addrlen) != 0 && errno != EINPROGRESS)) {
        go_on_with_next(f, errno);
        return;
    }
    f->watch = watch_open(session_loop(&f->session), f->fd, WATCH_WRITE, on_connected, f);
    timer_arm(session_loop(&f->session), &f->timer, CONNECT_MS, on_time_over, f);
}

static void try_next(struct forward_session *f)
{
    const struct addrinfo wanted = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                                    .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char text[160];
    char *address = f->addresses[0];
    if (address == NULL) {
        snprintf(text, sizeof text, "nobody listens at port %s of the allocation: %s", f->port,
                 strerror(f->error));
        channel_fail(f->session.channel, 502, text);
        return;
    }
    f->addresses[0] = f->addresses[1];
    f->addresses[1] = NULL;
    int failed = getaddrinfo(address, f->port, &wanted, &found); /* numbers only: asks nobody */
    free(address);
    if (failed != 0) {
        go_on_with_next(f, EADDRNOTAVAIL);
        return;
    }
    connect_to(f, found);
    freeaddrinfo(found);
}

/* ---- the beginning */

static enum err find_target(struct forward_session *f, struct arena *a, const Pb__AgentRequest *q,
                            struct reason *why)
{
    struct runner *r = session_runner(&f->session);
    const struct alloc_run *run = map_get_id(r->allocs, q->alloc_id.data);
    const Pb__LocalAlloc *local =
        run == NULL ? NULL : local_alloc(r->options.local, a, q->alloc_id.data);
    struct forward_target target;
    if (local == NULL)
        return reason_set(why, ERR_NOT_FOUND, "the allocation does not run on this node");
    const Pb__LocalNetwork *network = networks_made(run);
    const Pb__NetworkStatus none = PB__NETWORK_STATUS__INIT;
    const Pb__NetworkStatus *own = network == NULL           ? NULL
                                   : network->status == NULL ? &none
                                                             : network->status;
    enum err e = forward_target_find(local->alloc, own, fingerprint_address(r->options.node),
                                     q->port == NULL ? "" : q->port, &target, why);
    for (size_t i = 0; e == OK && i < COUNT_OF(f->addresses) && target.addresses[i] != NULL; i++)
        f->addresses[i] = xstrdup(target.addresses[i]);
    snprintf(f->port, sizeof f->port, "%s", target.port);
    return e;
}

void forward_session_begin(struct session *s, const Pb__AgentRequest *q)
{
    struct reason why;
    struct arena *a = arena_new(RUN_ARENA_CAP);
    enum err e = find_target(of(s), a, q, &why);
    if (e == OK)
        try_next(of(s));
    else
        channel_fail(s->channel, e == ERR_NOT_FOUND ? 404 : 400, why.text);
    arena_free(a);
}
