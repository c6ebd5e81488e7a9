/* nctl alloc port-forward: ports of this machine that lead to those of an allocation, wherever its
 * node is. Each connection is carried by a process of its own, over a websocket of its own. */
#include "allocs.h"
#include "base/err.h"
#include "command.h"
#include "show.h"
#include "websocket.h"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAILED "failed to forward"

enum {
    PORTS_MOST = 16,
    CONNECTIONS_MOST = 128,
    PIECE = 32 << 10,
    UNSENT_MAX = 128 << 10, /* then the local side waits */
};

/* One port that leads there. */
struct entry {
    int fd;
    unsigned local;
    const char *remote; /* a label, or a number */
};

struct forwarder {
    const struct args *args;
    const char *alloc_id;
    struct entry entries[PORTS_MOST];
    size_t count;
    int connections;
};

/* ---- one connection, in its own process */

struct carried {
    struct websocket *socket;
    int fd;
    bool reads; /* the local side, until its end */
};

static void on_message(void *self, bool text, const void *data, size_t len)
{
    const struct carried *c = self;
    const char *bytes = data;
    for (size_t done = 0; done < len;) {
        ssize_t n = send(c->fd, bytes + done, len - done, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return; /* it has gone; reading tells */
        done += n > 0 ? (size_t)n : 0;
    }
}

/* False: the local side is broken. */
static bool read_local(struct carried *c)
{
    static char piece[PIECE];
    ssize_t n = recv(c->fd, piece, sizeof(piece), MSG_DONTWAIT);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    c->reads = n > 0;
    if (n > 0)
        websocket_send(c->socket, false, piece, (size_t)n);
    else
        websocket_send(c->socket, true, "{}", 2); /* no more will come */
    return true;
}

static void carry(struct carried *c)
{
    bool good = true;
    while (good && websocket_run(c->socket)) {
        bool reads = c->reads && websocket_unsent(c->socket) < UNSENT_MAX;
        struct pollfd fds[] = {{websocket_fd(c->socket), websocket_events(c->socket), 0},
                               {c->fd, reads ? POLLIN : 0, 0}};
        if (poll(fds, 2, -1) < 0)
            continue;
        if (reads && fds[1].revents != 0)
            good = read_local(c);
        else if ((fds[1].revents & (POLLERR | POLLHUP)) != 0)
            good = false;
    }
}

static _Noreturn void serve(const struct forwarder *f, const struct entry *e, int fd)
{
    struct carried c = {.fd = fd, .reads = true};
    const struct websocket_handlers h = {on_message, &c};
    struct client *client = client_open(f->args);
    char *path = path_of("/v1/client/allocation/", f->alloc_id, "/forward");
    struct strbuf query = STRBUF_INIT;
    const char *reason = "";
    query_add(&query, "port", e->remote);
    c.socket =
        client == NULL ? NULL : websocket_open(client, path, strbuf_text(&query), FAILED, &h);
    if (c.socket != NULL) {
        carry(&c);
        if (websocket_ending(c.socket, &reason) != 1000 && *reason != '\0')
            fprintf(stderr, FAILED ": %s\n", reason);
        websocket_free(c.socket);
    }
    strbuf_free(&query);
    free(path);
    client_close(client);
    close(fd);
    exit(EXIT_OK);
}

/* ---- the ports */

/* "LOCAL:REMOTE", or "REMOTE": the same number here, and of a label any that is free. False: told.
 */
static bool read_port(const char *text, struct entry *out)
{
    const char *colon = strchr(text, ':');
    char *end;
    unsigned long local = strtoul(text, &end, 10);
    bool digits = text[0] >= '0' && text[0] <= '9' && (*end == '\0' || end == colon);
    out->remote = colon != NULL ? colon + 1 : text;
    out->local = digits ? (unsigned)local : 0;
    if ((colon == NULL || digits) && local <= UINT16_MAX && *out->remote != '\0')
        return true;
    fprintf(stderr,
            "%s: must be LOCAL:PORT, or PORT alone, where LOCAL is a number up to 65535 and PORT a "
            "label or a number\n",
            text);
    return false;
}

static bool listen_at(struct entry *e)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)e->local),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    const int on = 1;
    e->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (e->fd >= 0)
        setsockopt(e->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (e->fd < 0 || bind(e->fd, (struct sockaddr *)&address, len) != 0 ||
        listen(e->fd, SOMAXCONN) != 0 ||
        getsockname(e->fd, (struct sockaddr *)&address, &len) != 0) {
        fprintf(stderr, "cannot listen at 127.0.0.1:%u: %s\n", e->local, strerror(errno));
        return false;
    }
    e->local = ntohs(address.sin_port);
    printf("Forwarding from 127.0.0.1:%u to %s\n", e->local, e->remote);
    return true;
}

static void accept_one(struct forwarder *f, const struct entry *e, int signals)
{
    int fd = accept4(e->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        close(signals);
        for (size_t i = 0; i < f->count; i++)
            close(f->entries[i].fd);
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
            exit(EXIT_OK);
        serve(f, e, fd);
    }
    if (pid < 0)
        fprintf(stderr, FAILED ": %s\n", strerror(errno));
    f->connections += pid > 0;
    close(fd);
}

static int take_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        sigaddset(&set, numbers[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* False: asked to end. */
static bool take_signal(struct forwarder *f, int signals)
{
    struct signalfd_siginfo info;
    while (read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (info.ssi_signo != SIGCHLD)
            return false;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        f->connections--;
    return true;
}

/* Until a signal. Whoever comes while there are too many waits in the queue of the port. */
static void run(struct forwarder *f)
{
    int signals = take_signals();
    for (bool going = true; going;) {
        struct pollfd fds[PORTS_MOST + 1] = {{signals, POLLIN, 0}};
        for (size_t i = 0; i < f->count; i++)
            fds[1 + i] = (struct pollfd){f->connections < CONNECTIONS_MOST ? f->entries[i].fd : -1,
                                         POLLIN, 0};
        if (poll(fds, f->count + 1, -1) < 0)
            continue;
        for (size_t i = 0; i < f->count; i++)
            if (fds[1 + i].revents != 0)
                accept_one(f, &f->entries[i], signals);
        if (fds[0].revents != 0)
            going = take_signal(f, signals);
    }
    close(signals);
}

static int forward(const struct args *args, const char *alloc_id)
{
    struct forwarder f = {.args = args, .alloc_id = alloc_id};
    bool good = args->count - 1 <= PORTS_MOST;
    if (!good)
        fprintf(stderr, "at most %d ports\n", PORTS_MOST);
    for (int i = 1; good && i < args->count; i++) {
        good = read_port(args->items[i], &f.entries[f.count]) && listen_at(&f.entries[f.count]);
        f.count++;
    }
    fflush(stdout);
    if (good)
        run(&f);
    return good ? EXIT_OK : EXIT_ERROR;
}

static int run_forward(const struct args *args)
{
    struct client *c = client_open(args);
    json_t *alloc = c != NULL ? alloc_get(c, args->items[0]) : NULL;
    client_close(c); /* each connection has its own */
    int code = alloc != NULL ? forward(args, text_at(alloc, "ID")) : EXIT_ERROR;
    json_decref(alloc);
    return code;
}

const struct command commands_port_forward[] = {
    {"alloc port-forward", NULL, "<alloc> <local:port>...",
     "reach an allocation's ports from this machine",
     "Listens on 127.0.0.1 until interrupted. PORT is a label of the allocation or a number: of a\n"
     "group with a network of its own any, else one of its ports. LOCAL may be left out: the same\n"
     "number, or any that is free. Works through any server, also to nodes behind NAT.",
     NULL, 2, -1, run_forward},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
