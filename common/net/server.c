#include "base/map.h"
#include "net/envelope.h"
#include "net/net.h"
#include "net/rules.h"
#include "net/tls_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <nng/protocol/reqrep0/rep.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const char ipc[] = "ipc://";

#define SPARE_CONTEXTS                                                                             \
    16 /* receiving at any time, so that no request waits for another's answer                     \
        */
#define SEND_LIMIT_MS 30000 /* a peer that does not read its answers for so long is cut off */
#define CLOSE_WAIT_MS 500
#define JUST_DEPARTED 64

/* A context of nng's: receives one request, then sends its reply. Its aio's callback runs on a
 * thread of nng's and only starts the next receive or posts to the loop. */
struct slot {
    struct server *server;
    nng_ctx ctx;
    nng_aio *aio;
    enum { RECEIVING, IN_HAND, SENDING, CLOSED } phase;
    struct post post; /* a request has come */
    struct request *request;
    nng_pipe pipe;       /* whose request it is */
    uint64_t sent_at_ms; /* loop_now_ms */
};

struct request {
    struct slot *slot;
    struct arena *arena;
    Pb__Request *envelope;
    const struct method *method;
    const ProtobufCMessage *body;
    nng_msg *msg; /* kept for a payload that is relayed; else NULL */
    ProtobufCBinaryData payload;
    uint64_t deadline_ms;
    const struct identity *identity; /* in the arena; NULL: PEER_LOCAL */
    struct peer *peer;               /* while parked */
    struct link of_peer;
    void (*gone)(void *owner, struct request *req);
    void *owner;
};

/* A connection that has parked requests. */
struct peer {
    uint32_t pipe;
    struct link parked;
};

/* Who is at the other end of a connection by TLS. */
struct identity {
    uint32_t pipe;
    unsigned kind; /* one of PEER_ */
    struct tls_name name;
};

/* Posted when a connection has ended. */
struct departure {
    struct post post;
    struct link link;
    struct server *server;
    uint32_t pipe;
};

struct server {
    struct loop *loop;
    struct server_options options;
    bool check_uid;
    struct tls *tls; /* NULL: not by TLS */
    struct tls_name own;
    struct map *identities; /* pipe -> struct identity; NULL: not by TLS. Under departures_lock */
    bool closing;           /* atomic */
    nng_socket socket;
    struct slot **slots;
    size_t slot_count, slot_room;
    size_t unanswered, max_unanswered; /* requests */
    int receiving;                     /* atomic: contexts ready for a request */
    struct map *peers;                 /* pipe -> struct peer */
    struct arena_pool arenas;
    pthread_mutex_t departures_lock;
    struct link departures;                /* posted and not yet run */
    uint32_t just_departed[JUST_DEPARTED]; /* a ring */
    uint64_t departed_count;
    struct timer send_watch;
};

static void on_request_posted(void *arg);

static uint32_t pipe_number(nng_pipe pipe)
{
    return (uint32_t)nng_pipe_id(pipe);
}

static void start_receive(struct slot *slot)
{
    __atomic_store_n(&slot->phase, RECEIVING, __ATOMIC_RELEASE);
    __atomic_add_fetch(&slot->server->receiving, 1, __ATOMIC_RELAXED);
    nng_ctx_recv(slot->ctx, slot->aio);
}

/* On a thread of nng's. */
static void on_aio(void *arg)
{
    struct slot *slot = arg;
    int error = nng_aio_result(slot->aio);
    if (slot->phase == RECEIVING)
        __atomic_sub_fetch(&slot->server->receiving, 1, __ATOMIC_RELAXED);
    else if (error != 0)
        nng_msg_free(nng_aio_get_msg(slot->aio)); /* a reply that was not sent is still ours */
    if (__atomic_load_n(&slot->server->closing, __ATOMIC_ACQUIRE)) {
        if (slot->phase == RECEIVING && error == 0)
            nng_msg_free(nng_aio_get_msg(slot->aio));
        __atomic_store_n(&slot->phase, CLOSED, __ATOMIC_RELEASE);
        return;
    }
    if (slot->phase == SENDING || error != 0) {
        start_receive(slot);
        return;
    }
    __atomic_store_n(&slot->phase, IN_HAND, __ATOMIC_RELEASE); /* watch_sends looks */
    slot->post = (struct post){.fire = on_request_posted, .arg = slot};
    loop_post(slot->server->loop, &slot->post);
}

static void open_slot(struct server *s)
{
    if (s->slot_count == s->slot_room) {
        s->slot_room = s->slot_room > 0 ? s->slot_room * 2 : 2 * SPARE_CONTEXTS;
        s->slots = xrealloc(s->slots, s->slot_room * sizeof(struct slot *));
    }
    struct slot *slot = xcalloc(1, sizeof(*slot));
    slot->server = s;
    must(nng_ctx_open(&slot->ctx, s->socket) == 0);
    must(nng_aio_alloc(&slot->aio, on_aio, slot) == 0);
    s->slots[s->slot_count++] = slot;
    start_receive(slot);
}

/* ---- requests */

const ProtobufCMessage *request_body(const struct request *req)
{
    return req->body;
}

ProtobufCBinaryData request_payload(const struct request *req)
{
    return req->payload;
}

const Pb__Request *request_envelope(const struct request *req)
{
    return req->envelope;
}

struct arena *request_arena(struct request *req)
{
    return req->arena;
}

const uint8_t *request_id(const struct request *req)
{
    return req->envelope->id.data;
}

uint64_t request_deadline_ms(const struct request *req)
{
    return req->deadline_ms;
}

uint32_t request_peer(const struct request *req)
{
    return pipe_number(req->slot->pipe);
}

unsigned request_peer_kind(const struct request *req)
{
    return req->identity != NULL ? req->identity->kind : PEER_LOCAL;
}

const char *request_peer_name(const struct request *req)
{
    char name[TLS_NAME_SIZE];
    if (req->identity == NULL)
        return "";
    tls_name_print(&req->identity->name, name);
    return arena_strdup(req->arena, name);
}

const char *request_peer_region(const struct request *req)
{
    return req->identity != NULL ? req->identity->name.region : "";
}

void *request_owner(const struct request *req)
{
    return req->owner;
}

void request_park(struct request *req, void (*gone)(void *owner, struct request *req), void *owner)
{
    struct server *s = req->slot->server;
    req->gone = gone;
    req->owner = owner;
    if (req->peer != NULL)
        return;
    uint32_t pipe = pipe_number(req->slot->pipe);
    struct peer *peer = map_get(s->peers, &pipe, sizeof(pipe));
    if (peer == NULL) {
        peer = xcalloc(1, sizeof(*peer));
        peer->pipe = pipe;
        list_init(&peer->parked);
        map_put(s->peers, &peer->pipe, sizeof(peer->pipe), peer);
    }
    req->peer = peer;
    list_push_back(&peer->parked, &req->of_peer);
}

static void unpark(struct request *req)
{
    struct peer *peer = req->peer;
    if (peer == NULL)
        return;
    list_remove(&req->of_peer);
    req->peer = NULL;
    if (list_empty(&peer->parked)) {
        map_remove(req->slot->server->peers, &peer->pipe, sizeof(peer->pipe));
        free(peer);
    }
}

/* Takes req; its slot is free for the next. */
static void request_end(struct request *req)
{
    unpark(req);
    if (req->msg != NULL)
        nng_msg_free(req->msg);
    req->slot->server->unanswered--;
    req->slot->request = NULL;
    arena_pool_put(&req->slot->server->arenas, req->arena); /* req lives in it */
}

/* Takes req and msg. */
static void send_reply(struct request *req, nng_msg *msg)
{
    struct slot *slot = req->slot;
    request_end(req);
    __atomic_store_n(&slot->phase, SENDING, __ATOMIC_RELEASE);
    slot->sent_at_ms = loop_now_ms(slot->server->loop);
    nng_aio_set_msg(slot->aio, msg);
    nng_ctx_send(slot->ctx, slot->aio);
}

static Pb__Reply reply_envelope(const struct request *req, Pb__Reply__Code code, const char *why,
                                uint64_t index)
{
    Pb__Reply envelope = PB__REPLY__INIT;
    envelope.has_id = req->envelope->has_id;
    envelope.id = req->envelope->id;
    envelope.has_code = 1;
    envelope.code = code;
    envelope.reason = (char *)why;
    envelope.has_index = index != 0;
    envelope.index = index;
    return envelope;
}

/* msg NULL: it was too large. */
static void send_or_refuse(struct request *req, nng_msg *msg)
{
    if (msg == NULL)
        request_fail(req, PB__REPLY__CODE__INTERNAL,
                     "the answer would be larger than %u bytes: ask for less",
                     req->slot->server->options.max_message);
    else
        send_reply(req, msg);
}

static void reply(struct request *req, Pb__Reply__Code code, const char *why, uint64_t index,
                  const ProtobufCMessage *body)
{
    Pb__Reply envelope = reply_envelope(req, code, why, index);
    send_or_refuse(req, envelope_pack(&envelope.base, REPLY_PAYLOAD, body,
                                      req->slot->server->options.max_message));
}

void request_relay(struct request *req, const struct response *r)
{
    Pb__Reply envelope =
        reply_envelope(req, r->code, r->reason[0] != '\0' ? r->reason : NULL, r->index);
    send_or_refuse(req, envelope_pack_raw(&envelope.base, REPLY_PAYLOAD, &r->payload,
                                          req->slot->server->options.max_message));
}

void request_reply(struct request *req, const ProtobufCMessage *body, uint64_t index)
{
    reply(req, PB__REPLY__CODE__OK, NULL, index, body);
}

void request_fail_with(struct request *req, Pb__Reply__Code code, const char *why, uint64_t index,
                       const ProtobufCMessage *body)
{
    reply(req, code, why, index, body);
}

void request_fail(struct request *req, Pb__Reply__Code code, const char *format, ...)
{
    struct reason why;
    va_list args;
    va_start(args, format);
    vsnprintf(why.text, sizeof(why.text), format, args);
    va_end(args);
    reply(req, code, why.text, 0, NULL);
}

/* Connections by TLS only. A peer that has just gone is nobody any more, and gets nothing. */
static void identify(struct server *s, struct request *req)
{
    struct identity *copy = arena_alloc(req->arena, sizeof(*copy));
    uint32_t pipe = pipe_number(req->slot->pipe);
    memset(copy, 0, sizeof(*copy));
    pthread_mutex_lock(&s->departures_lock);
    const struct identity *known = map_get(s->identities, &pipe, sizeof(pipe));
    if (known != NULL)
        *copy = *known;
    pthread_mutex_unlock(&s->departures_lock);
    req->identity = copy;
}

/* Whose requests for this method are taken. */
static unsigned allowed_peers(const struct server *s, uint32_t method)
{
    for (const struct restriction *r = s->options.restricted; r != NULL && r->peers != 0; r++)
        if (r->method == method)
            return r->peers;
    return ~0u;
}

static const char *describe_peer(const struct request *req)
{
    return req->identity != NULL ? request_peer_name(req) : "a program of this host";
}

/* The method of the request and its body; NULL: *why is the refusal. */
static const struct method *read_body(struct server *s, struct request *req, const char **why,
                                      Pb__Reply__Code *code)
{
    struct arena *a = req->arena;
    const struct method *m = net_find_method(s->options.methods, req->envelope->method);
    if (m == NULL) {
        *why = arena_printf(a, "there is no method %u here", req->envelope->method);
        return NULL;
    }
    if ((allowed_peers(s, m->number) & request_peer_kind(req)) == 0) {
        *why = arena_printf(a, "%s is not for %s", m->name, describe_peer(req));
        *code = PB__REPLY__CODE__DENIED;
        return NULL;
    }
    req->body = wire_unpack(a, m->body, req->payload.data, req->payload.len);
    if (req->body == NULL) {
        *why = arena_printf(a, "the body of %s is malformed", m->name);
        return NULL;
    }
    return m;
}

/* Everything of msg that the handler needs; false: *why is the refusal. */
static bool read_request(struct server *s, struct request *req, const char **why,
                         Pb__Reply__Code *code, nng_msg *msg)
{
    static const struct method relayed = {.name = "relayed"};
    struct arena *a = req->arena;
    Pb__Request *envelope =
        (Pb__Request *)envelope_unpack(a, &pb__request__descriptor, REQUEST_PAYLOAD,
                                       nng_msg_body(msg), nng_msg_len(msg), &req->payload);
    if (envelope == NULL || !envelope->has_id) {
        req->envelope = arena_array(a, Pb__Request, 1);
        pb__request__init(req->envelope);
        *why = "not a request: the envelope is malformed or has no id";
        return false;
    }
    req->envelope = envelope;
    req->deadline_ms =
        loop_now_ms(s->loop) + (envelope->has_budget_ms ? envelope->budget_ms : NET_BUDGET_MS);
    if (envelope->service == PB__SERVICE__NAME__SELF)
        req->method = read_body(s, req, why, code);
    else if (s->options.relay != NULL && (s->options.relay_peers & request_peer_kind(req)) != 0)
        req->method = &relayed;
    else if (s->options.relay != NULL) {
        *why = arena_printf(a, "the daemons behind this door are not for %s", describe_peer(req));
        *code = PB__REPLY__CODE__DENIED;
    } else
        *why = "this is a daemon's own socket, no door to others: call the gateway's listen_rpc";
    return req->method != NULL;
}

/* nng tells of requests and of the end of connections on different threads: a request may come to
 * us after the end of its own connection, and would then never be given up. */
static bool has_departed(const struct server *s, uint32_t pipe)
{
    uint64_t known = s->departed_count < JUST_DEPARTED ? s->departed_count : JUST_DEPARTED;
    for (uint64_t i = 0; i < known; i++)
        if (s->just_departed[i] == pipe)
            return true;
    return false;
}

static void on_request_posted(void *arg)
{
    struct slot *slot = arg;
    struct server *s = slot->server;
    nng_msg *msg = nng_aio_get_msg(slot->aio);
    slot->pipe = nng_msg_get_pipe(msg);
    if (has_departed(s, pipe_number(slot->pipe))) {
        nng_msg_free(msg);
        start_receive(slot);
        return;
    }
    if (__atomic_load_n(&s->receiving, __ATOMIC_RELAXED) < SPARE_CONTEXTS &&
        s->slot_count < s->max_unanswered + SPARE_CONTEXTS)
        open_slot(s);

    struct arena *a = arena_pool_get(&s->arenas);
    struct request *req = arena_alloc(a, sizeof(*req));
    req->slot = slot;
    req->arena = a;
    slot->request = req;
    s->unanswered++;
    if (s->identities != NULL)
        identify(s, req);
    const char *why = NULL;
    Pb__Reply__Code code = PB__REPLY__CODE__INVALID;
    bool good = read_request(s, req, &why, &code, msg);
    bool relayed = good && req->envelope->service != PB__SERVICE__NAME__SELF;
    if (relayed) {
        req->msg = msg; /* its payload is read yet */
    } else {
        req->payload = (ProtobufCBinaryData){0};
        nng_msg_free(msg);
    }
    if (!good)
        request_fail(req, code, "%s", why);
    else if (s->unanswered > s->max_unanswered + SPARE_CONTEXTS / 2)
        request_fail(req, PB__REPLY__CODE__BUSY, "%zu requests are waiting here already",
                     s->max_unanswered);
    else if (relayed)
        s->options.relay(s->options.self, req);
    else if (req->method->handle == NULL)
        request_reply(req, NULL, 0);
    else
        req->method->handle(s->options.self, req);
}

/* ---- connections */

static void on_departed(void *arg)
{
    struct departure *d = arg;
    struct server *s = d->server;
    pthread_mutex_lock(&s->departures_lock);
    list_remove(&d->link);
    if (s->identities != NULL)
        free(map_remove(s->identities, &d->pipe, sizeof(d->pipe)));
    pthread_mutex_unlock(&s->departures_lock);
    s->just_departed[s->departed_count++ % JUST_DEPARTED] = d->pipe;
    struct request *req;
    struct peer *peer;
    while ((peer = map_get(s->peers, &d->pipe, sizeof(d->pipe))) != NULL) {
        req = list_first(&peer->parked, struct request, of_peer);
        struct slot *slot = req->slot;
        req->gone(req->owner, req);
        request_end(req);
        start_receive(slot); /* nng forgets the request that was never answered */
    }
    if (s->options.peer_gone != NULL)
        s->options.peer_gone(s->options.self, d->pipe);
    free(d);
}

/* On a thread of nng's. The handshake let nobody in who is not taken. */
static void remember_identity(struct server *s, nng_pipe pipe)
{
    struct identity *i = xcalloc(1, sizeof(*i));
    i->pipe = pipe_number(pipe);
    if (!tls_pipe_name(s->tls, pipe, &i->name)) {
        free(i);
        nng_pipe_close(pipe);
        return;
    }
    i->kind = tls_peer_kind(&s->own, &i->name);
    pthread_mutex_lock(&s->departures_lock);
    free(map_put(s->identities, &i->pipe, sizeof(i->pipe), i));
    pthread_mutex_unlock(&s->departures_lock);
}

/* On a thread of nng's. */
static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct server *s = arg;
    uint64_t uid;
    if (event == NNG_PIPE_EV_ADD_PRE) {
        if (s->identities != NULL)
            remember_identity(s, pipe);
        if (s->check_uid && (nng_pipe_get_uint64(pipe, NNG_OPT_IPC_PEER_UID, &uid) != 0 ||
                             (uid != 0 && uid != (uint64_t)geteuid())))
            nng_pipe_close(pipe);
        return;
    }
    struct departure *d = xcalloc(1, sizeof(*d));
    d->server = s;
    d->pipe = pipe_number(pipe);
    d->post = (struct post){.fire = on_departed, .arg = d};
    pthread_mutex_lock(&s->departures_lock);
    bool closing = __atomic_load_n(&s->closing, __ATOMIC_ACQUIRE);
    if (!closing) {
        list_push_back(&s->departures, &d->link);
        loop_post(s->loop, &d->post);
    }
    pthread_mutex_unlock(&s->departures_lock);
    if (closing)
        free(d);
}

/* Locks the directory of path, so that two daemons that start together do not both find the socket
 * stale, and one removes the other's. Closing *fd unlocks. */
static enum err lock_directory(const char *path, int *fd, struct reason *why)
{
    struct sockaddr_un sun;
    if (strlen(path) >= sizeof(sun.sun_path))
        return reason_set(why, ERR_INVALID, "the socket path is longer than %zu bytes",
                          sizeof(sun.sun_path) - 1);
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return reason_set(why, ERR_INVALID, "the socket path is not absolute");
    char directory[sizeof(sun.sun_path)] = "/";
    if (slash > path)
        snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path), path);
    *fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return reason_errno(why, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "open %s", directory);
    while (flock(*fd, LOCK_EX) != 0)
        if (errno != EINTR) {
            close(*fd);
            return reason_errno(why, ERR_IO, "lock %s", directory);
        }
    return OK;
}

/* A socket file that nobody listens on is left from a killed daemon: it goes. */
static enum err clear_stale_socket(const char *path, struct reason *why)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? OK : reason_errno(why, ERR_IO, "look at %s", path);
    if (!S_ISSOCK(st.st_mode))
        return reason_set(why, ERR_EXISTS, "%s exists and is not a socket", path);
    memcpy(sun.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return reason_errno(why, ERR_IO, "open a socket");
    int refused = connect(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0 && errno == ECONNREFUSED;
    close(fd);
    if (!refused)
        return reason_set(why, ERR_EXISTS, "another process listens there");
    return unlink(path) == 0 ? OK : reason_errno(why, ERR_IO, "remove the stale socket %s", path);
}

static enum err start_listener(struct server *s, const char *addr, struct reason *why)
{
    nng_listener listener;
    int error = nng_listener_create(&listener, s->socket, addr);
    if (error == 0 && strncmp(addr, ipc, strlen(ipc)) == 0)
        error = nng_listener_setopt_int(listener, NNG_OPT_IPC_PERMISSIONS,
                                        s->options.any_uid ? 0666 : 0600);
    enum err e = error == 0 ? tls_set_listener(listener, s->loop, addr, s->options.peers, why) : OK;
    if (e != OK)
        return e;
    if (error == 0)
        error = nng_listener_start(listener, 0);
    if (error == NNG_EADDRINUSE)
        return reason_set(why, ERR_EXISTS, "another process listens there");
    return error == 0 ? OK : reason_set(why, ERR_IO, "%s", nng_strerror(error));
}

static enum err listen_at(struct server *s, const char *addr, struct reason *why)
{
    must(nng_pipe_notify(s->socket, NNG_PIPE_EV_ADD_PRE, on_pipe, s) == 0);
    must(nng_pipe_notify(s->socket, NNG_PIPE_EV_REM_POST, on_pipe, s) == 0);
    if (strncmp(addr, ipc, strlen(ipc)) != 0)
        return start_listener(s, addr, why);
    const char *path = addr + strlen(ipc);
    int lock = -1;
    enum err e = lock_directory(path, &lock, why);
    if (e != OK)
        return e;
    s->check_uid = !s->options.any_uid;
    e = clear_stale_socket(path, why);
    if (e == OK)
        e = start_listener(s, addr, why);
    close(lock);
    return e;
}

/* A peer that takes no more answers holds contexts that others need. */
static void watch_sends(void *owner)
{
    struct server *s = owner;
    uint64_t now = loop_now_ms(s->loop);
    for (size_t i = 0; i < s->slot_count; i++) {
        struct slot *slot = s->slots[i];
        if (__atomic_load_n(&slot->phase, __ATOMIC_ACQUIRE) == SENDING &&
            now - slot->sent_at_ms > SEND_LIMIT_MS)
            nng_pipe_close(slot->pipe);
    }
    timer_arm(s->loop, &s->send_watch, SEND_LIMIT_MS / 2, watch_sends, s);
}

enum err server_open(struct server **out, struct loop *l, const char *addr,
                     const struct server_options *o, struct reason *why)
{
    struct server *s = xcalloc(1, sizeof(*s));
    s->loop = l;
    s->options = *o;
    if (s->options.max_message == 0)
        s->options.max_message = WIRE_MAX_MESSAGE;
    if (s->options.peers == 0)
        s->options.peers = PEER_SERVER | PEER_CLIENT;
    if (s->options.relay_peers == 0)
        s->options.relay_peers = PEER_LOCAL | PEER_SERVER;
    s->max_unanswered = o->max_parked > 0 ? o->max_parked : NET_PARKED;
    s->peers = map_new();
    list_init(&s->departures);
    must(pthread_mutex_init(&s->departures_lock, NULL) == 0);
    must(nng_rep0_open(&s->socket) == 0);
    must(nng_socket_set_size(s->socket, NNG_OPT_RECVMAXSZ, s->options.max_message) == 0);
    for (int i = 0; i < SPARE_CONTEXTS; i++)
        open_slot(s);
    int64_t unused;
    enum err e = net_check_address(l, addr, why);
    if (e == OK && addr_is_tls(addr)) {
        s->identities = map_new();
        s->tls = net_tls(l);
        tls_own(s->tls, &s->own, &unused);
    }
    if (e == OK)
        e = listen_at(s, addr, why);
    if (e != OK) {
        server_close(s);
        return reason_add(why, e, "listen on %s", addr);
    }
    timer_arm(l, &s->send_watch, SEND_LIMIT_MS / 2, watch_sends, s);
    *out = s;
    return OK;
}

static void fail_unanswered(struct server *s)
{
    for (size_t i = 0; i < s->slot_count; i++) {
        struct request *req = s->slots[i]->request;
        if (req != NULL)
            request_fail(req, PB__REPLY__CODE__UNAVAILABLE, "the daemon is stopping");
    }
}

/* Answers that a peer takes at once still go out; one that reads nothing does not hold us. */
static void wait_for_sends(const struct server *s)
{
    for (size_t i = 0, waited_ms = 0; i < s->slot_count && waited_ms < CLOSE_WAIT_MS;)
        if (__atomic_load_n(&s->slots[i]->phase, __ATOMIC_ACQUIRE) != SENDING) {
            i++;
        } else {
            usleep(1000);
            waited_ms++;
        }
}

static void free_identities(struct server *s)
{
    size_t i = 0;
    void *identity;
    if (s->identities == NULL)
        return;
    while (map_next(s->identities, &i, NULL, NULL, &identity))
        free(identity);
    map_free(s->identities);
    s->identities = NULL;
}

void server_close(struct server *s)
{
    if (s == NULL)
        return;
    fail_unanswered(s);
    __atomic_store_n(&s->closing, true, __ATOMIC_RELEASE);
    timer_cancel(s->loop, &s->send_watch);
    wait_for_sends(s);
    for (size_t i = 0; i < s->slot_count; i++) { /* before nng_close: see client_close */
        struct slot *slot = s->slots[i];
        nng_aio_stop(slot->aio);
        if (loop_unpost(s->loop, &slot->post)) /* a request that had just come in */
            nng_msg_free(nng_aio_get_msg(slot->aio));
        nng_ctx_close(slot->ctx);
        nng_aio_free(slot->aio);
        free(slot);
    }
    bool closed = socket_close(s->socket);
    free(s->slots);
    pthread_mutex_lock(&s->departures_lock); /* a last notification may just be under way */
    struct departure *d;
    list_each(&s->departures, struct departure, link, d)
    {
        loop_unpost(s->loop, &d->post);
        free(d);
    }
    pthread_mutex_unlock(&s->departures_lock);
    free_identities(s);
    map_free(s->peers);
    arena_pool_fini(&s->arenas);
    if (!closed)
        return;
    pthread_mutex_destroy(&s->departures_lock);
    free(s);
}
