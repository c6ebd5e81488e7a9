#include "base/clock.h"
#include "net/envelope.h"
#include "net/net.h"
#include "net/rules.h"
#include "net/tls_internal.h"
#include <nng/protocol/reqrep0/req.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECONNECT_MIN_MS 10
#define RECONNECT_MAX_MS 500
/* Between hosts: thousands of clients lose a server at the same moment, and each handshake costs it
 * a millisecond. nng waits a random part of the time, and doubles it at each try. */
#define REMOTE_RECONNECT_MIN_MS           100
#define REMOTE_RECONNECT_MAX_MS           30000
#define SERVER_TO_SERVER_RECONNECT_MAX_MS 2000

/* A context of nng's: sends one request, then receives its reply. Its aio's callback runs on a
 * thread of nng's and only goes from sending to receiving, or posts to the loop. */
struct slot {
    struct client *client;
    struct link link; /* in client->idle */
    nng_ctx ctx;
    nng_aio *aio;
    enum { IDLE, SENDING, RECEIVING } phase;
    int error;
    uint64_t until_ms; /* clock_monotonic_ms */
    struct post post;
    struct call *call; /* NULL: it was cancelled; the slot waits for nng to be done */
};

struct call {
    struct client *client;
    struct link link;  /* in client->calls */
    struct slot *slot; /* NULL while waiting for another try */
    struct timer again;
    const ProtobufCMessageDescriptor *reply;
    response_fn *done;
    void *owner;
    uint64_t until_ms;
    uint32_t budget_ms;
    uint32_t tries;
    bool retry, raw_reply;
    uint8_t id[ID_SIZE];
    nng_msg *request; /* kept for another try; NULL once handed over for good */
};

struct client {
    struct loop *loop;
    char *addr;
    Pb__Service__Name service; /* behind the door at addr */
    nng_socket socket;
    struct tls_end *end; /* NULL: not by TLS */
    int pipes;           /* atomic: connections that are up */
    bool closing;        /* atomic */
    struct link idle, calls;
    struct slot **slots;
    size_t slot_count, slot_room;
    struct arena_pool arenas;
};

static void on_slot_posted(void *arg);

static void set_time_left(struct slot *slot)
{
    uint64_t now = clock_monotonic_ms();
    nng_aio_set_timeout(slot->aio, slot->until_ms > now ? (nng_duration)(slot->until_ms - now) : 1);
}

/* On a thread of nng's. Receiving starts only when sending is complete (nng issue 1702). */
static void on_aio(void *arg)
{
    struct slot *slot = arg;
    slot->error = nng_aio_result(slot->aio);
    bool closing = __atomic_load_n(&slot->client->closing, __ATOMIC_ACQUIRE);
    if (slot->phase == SENDING) {
        if (slot->error != 0) { /* the message is still ours */
            if (closing)
                nng_msg_free(nng_aio_get_msg(slot->aio));
        } else if (!closing) {
            slot->phase = RECEIVING;
            set_time_left(slot);
            nng_ctx_recv(slot->ctx, slot->aio);
            return;
        }
    } else if (closing && slot->error == 0) {
        nng_msg_free(nng_aio_get_msg(slot->aio));
    }
    if (closing)
        return;
    slot->post = (struct post){.fire = on_slot_posted, .arg = slot};
    loop_post(slot->client->loop, &slot->post);
}

static struct slot *take_slot(struct client *c)
{
    struct slot *slot = list_first(&c->idle, struct slot, link);
    if (slot != NULL) {
        list_remove(&slot->link);
        return slot;
    }
    if (c->slot_count == c->slot_room) {
        c->slot_room = c->slot_room > 0 ? c->slot_room * 2 : 8;
        c->slots = xrealloc(c->slots, c->slot_room * sizeof(struct slot *));
    }
    slot = xcalloc(1, sizeof(*slot));
    slot->client = c;
    must(nng_ctx_open(&slot->ctx, c->socket) == 0);
    must(nng_aio_alloc(&slot->aio, on_aio, slot) == 0);
    c->slots[c->slot_count++] = slot;
    return slot;
}

static void send_now(void *owner)
{
    struct call *call = owner;
    struct slot *slot = take_slot(call->client);
    nng_msg *msg = call->request;
    if (call->retry)
        must(nng_msg_dup(&msg, call->request) == 0);
    else
        call->request = NULL;
    call->slot = slot;
    call->tries++;
    slot->call = call;
    slot->until_ms = call->until_ms;
    slot->phase = SENDING;
    nng_aio_set_msg(slot->aio, msg);
    set_time_left(slot);
    nng_ctx_send(slot->ctx, slot->aio);
}

static void call_free(struct call *call)
{
    timer_cancel(call->client->loop, &call->again);
    list_remove(&call->link);
    if (call->slot != NULL)
        call->slot->call = NULL;
    if (call->request != NULL)
        nng_msg_free(call->request);
    free(call);
}

static void finish(struct call *call, const struct response *r)
{
    response_fn *done = call->done;
    void *owner = call->owner;
    call_free(call);
    done(owner, r);
}

static void fail(struct call *call, Pb__Reply__Code code, const char *why)
{
    struct client *c = call->client;
    struct response r = {.code = code, .reason = why, .arena = arena_pool_get(&c->arenas)};
    finish(call, &r);
    arena_pool_put(&c->arenas, r.arena);
}

static void fail_by_error(struct call *call, int error, bool sent)
{
    char why[900], refusal[500] = "";
    if (call->client->end != NULL && !sent)
        tls_end_failure(call->client->end, refusal, sizeof(refusal));
    if (error == NNG_ETIMEDOUT) {
        snprintf(why, sizeof(why), "%s %s within %u ms%s%s",
                 sent ? "no answer from" : "cannot reach", call->client->addr, call->budget_ms,
                 refusal[0] != '\0' ? ": " : "", refusal);
        fail(call, PB__REPLY__CODE__TIMEOUT, why);
    } else {
        snprintf(why, sizeof(why), "the connection to %s broke: %s", call->client->addr,
                 nng_strerror(error));
        fail(call, PB__REPLY__CODE__UNAVAILABLE, why);
    }
}

/* Another try, unless time is over or a second copy could do harm. An aio whose timer raced with
 * its completion may time out at once the next time it is used: that, too, is worth another try
 * while there is time left. */
static void settle(struct call *call, int error, bool sent)
{
    uint64_t now = clock_monotonic_ms();
    if (!net_may_retry(now, call->until_ms, sent, call->retry)) {
        fail_by_error(call, error, sent);
        return;
    }
    uint64_t delay =
        net_retry_delay_ms(call->tries, loop_random(call->client->loop), now, call->until_ms);
    timer_arm(call->client->loop, &call->again, delay, send_now, call);
}

static void deliver(struct call *call, nng_msg *msg)
{
    struct client *c = call->client;
    struct arena *a = arena_pool_get(&c->arenas);
    struct response r = {.reason = "", .arena = a};
    ProtobufCBinaryData payload;
    const Pb__Reply *reply = (const Pb__Reply *)envelope_unpack(
        a, &pb__reply__descriptor, REPLY_PAYLOAD, nng_msg_body(msg), nng_msg_len(msg), &payload);
    /* A server that could not read our request knows no id, and has not done anything either. */
    bool ours = reply != NULL && (reply->has_id ? id_equal(reply->id.data, call->id)
                                                : reply->code != PB__REPLY__CODE__OK);
    if (!ours) {
        r.code = PB__REPLY__CODE__INTERNAL;
        r.reason = arena_printf(a, "%s answered with something that is no reply to us", c->addr);
    } else {
        r.code = reply->code;
        r.reason = reply->reason != NULL ? reply->reason : "";
        r.index = reply->index;
        if (call->raw_reply)
            r.payload = payload;
        if (call->reply != NULL && (payload.data != NULL || reply->code == PB__REPLY__CODE__OK))
            r.body = wire_unpack(a, call->reply, payload.data, payload.len);
        if (call->reply != NULL && r.body == NULL && r.code == PB__REPLY__CODE__OK) {
            r.code = PB__REPLY__CODE__INTERNAL;
            r.reason = arena_printf(a, "%s sent a malformed %s", c->addr, call->reply->name);
        }
    }
    if (r.payload.data == NULL) { /* what was needed of it is in the arena */
        nng_msg_free(msg);
        msg = NULL;
    }
    finish(call, &r);
    arena_pool_put(&c->arenas, a);
    if (msg != NULL)
        nng_msg_free(msg);
}

static void on_slot_posted(void *arg)
{
    struct slot *slot = arg;
    struct call *call = slot->call;
    bool sent = slot->phase == RECEIVING;
    int error = slot->error;
    nng_msg *msg = error == 0 || !sent ? nng_aio_get_msg(slot->aio) : NULL;
    slot->call = NULL;
    slot->phase = IDLE;
    list_push_front(&slot->client->idle, &slot->link);
    if (call != NULL)
        call->slot = NULL;
    if (call != NULL && error == 0) {
        deliver(call, msg);
        return;
    }
    if (call != NULL && !sent && call->request == NULL) { /* never left: it can be sent yet */
        call->request = msg;
        msg = NULL;
    }
    if (msg != NULL)
        nng_msg_free(msg);
    if (call != NULL)
        settle(call, error, sent);
}

/* On a thread of nng's. */
static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct client *c = arg;
    __atomic_add_fetch(&c->pipes, event == NNG_PIPE_EV_ADD_POST ? 1 : -1, __ATOMIC_RELAXED);
}

bool client_is_connected(const struct client *c)
{
    return __atomic_load_n(&c->pipes, __ATOMIC_RELAXED) > 0;
}

static void set_reconnect(const struct client *c)
{
    int least = RECONNECT_MIN_MS, most = RECONNECT_MAX_MS;
    if (c->end != NULL) {
        least = REMOTE_RECONNECT_MIN_MS;
        most =
            tls_end_of_server(c->end) ? SERVER_TO_SERVER_RECONNECT_MAX_MS : REMOTE_RECONNECT_MAX_MS;
    }
    must(nng_socket_set_ms(c->socket, NNG_OPT_RECONNMINT, least) == 0);
    must(nng_socket_set_ms(c->socket, NNG_OPT_RECONNMAXT, most) == 0);
}

static enum err dial(struct client *c, unsigned peers, struct reason *why)
{
    nng_dialer dialer;
    enum err e = net_check_address(c->loop, c->addr, why);
    if (e != OK)
        return e;
    int error = nng_dialer_create(&dialer, c->socket, c->addr);
    if (error != 0)
        return reason_set(why, ERR_INVALID, "%s", nng_strerror(error));
    e = tls_set_dialer(dialer, c->loop, c->addr, peers, &c->end, why);
    if (e != OK)
        return e;
    set_reconnect(c);
    error = nng_dialer_start(dialer, NNG_FLAG_NONBLOCK);
    return error == 0 ? OK : reason_set(why, ERR_INVALID, "%s", nng_strerror(error));
}

enum err client_open_to(struct client **out, struct loop *l, const char *addr, unsigned peers,
                        struct reason *why)
{
    struct client *c = xcalloc(1, sizeof(*c));
    c->loop = l;
    c->addr = xstrdup(addr);
    enum err e = net_cut_service(c->addr, &c->service, why);
    if (e != OK) {
        free(c->addr);
        free(c);
        return e;
    }
    list_init(&c->idle);
    list_init(&c->calls);
    must(nng_req0_open(&c->socket) == 0);
    /* A re-sent request would be executed twice without anybody knowing. */
    must(nng_socket_set_ms(c->socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE) == 0);
    must(nng_socket_set_size(c->socket, NNG_OPT_RECVMAXSZ, WIRE_MAX_MESSAGE) == 0);
    must(nng_pipe_notify(c->socket, NNG_PIPE_EV_ADD_POST, on_pipe, c) == 0);
    must(nng_pipe_notify(c->socket, NNG_PIPE_EV_REM_POST, on_pipe, c) == 0);
    e = dial(c, peers, why);
    if (e != OK) {
        client_close(c);
        return reason_add(why, e, "dial %s", addr);
    }
    *out = c;
    return OK;
}

enum err client_open(struct client **out, struct loop *l, const char *addr, struct reason *why)
{
    return client_open_to(out, l, addr, PEER_SERVER, why);
}

void client_close(struct client *c)
{
    if (c == NULL)
        return;
    __atomic_store_n(&c->closing, true, __ATOMIC_RELEASE);
    struct call *call;
    while ((call = list_first(&c->calls, struct call, link)) != NULL)
        call_free(call);
    /* Contexts first: nng_close may wait for ever for one that is still at work (nng issue 1543).
     */
    for (size_t i = 0; i < c->slot_count; i++) {
        struct slot *slot = c->slots[i];
        nng_aio_stop(slot->aio);
        if (loop_unpost(c->loop, &slot->post) && (slot->error == 0 || slot->phase == SENDING))
            nng_msg_free(nng_aio_get_msg(slot->aio));
        nng_ctx_close(slot->ctx);
        nng_aio_free(slot->aio);
        free(slot);
    }
    bool closed = socket_close(c->socket);
    tls_end_drop(c->end);
    free(c->slots);
    free(c->addr);
    arena_pool_fini(&c->arenas);
    if (closed)
        free(c);
}

static void on_too_large(void *owner)
{
    fail(owner, PB__REPLY__CODE__INVALID, "the request is larger than a message may be");
}

struct call *client_call(struct client *c, const struct call_options *o)
{
    struct call *call = xcalloc(1, sizeof(*call));
    call->client = c;
    call->reply = o->reply;
    call->done = o->done;
    call->owner = o->owner;
    call->retry = o->retry;
    call->raw_reply = o->raw_reply;
    call->budget_ms = o->budget_ms > 0 ? o->budget_ms : NET_BUDGET_MS;
    call->until_ms = clock_monotonic_ms() + call->budget_ms;
    if (o->id != NULL)
        memcpy(call->id, o->id, ID_SIZE);
    else
        memcpy(call->id, id_new().bytes, ID_SIZE);
    list_push_back(&c->calls, &call->link);

    Pb__Request envelope = PB__REQUEST__INIT;
    envelope.has_id = envelope.has_method = envelope.has_budget_ms = 1;
    envelope.id = (ProtobufCBinaryData){.len = ID_SIZE, .data = call->id};
    envelope.method = o->method;
    envelope.budget_ms = call->budget_ms;
    envelope.region = (char *)o->region;
    envelope.namespace_ = (char *)o->namespace;
    envelope.token = (char *)o->token;
    envelope.service = o->service != PB__SERVICE__NAME__SELF ? o->service : c->service;
    envelope.has_service = envelope.service != PB__SERVICE__NAME__SELF;
    call->request =
        o->raw != NULL
            ? envelope_pack_raw(&envelope.base, REQUEST_PAYLOAD, o->raw, WIRE_MAX_MESSAGE)
            : envelope_pack(&envelope.base, REQUEST_PAYLOAD, o->body, WIRE_MAX_MESSAGE);
    if (call->request == NULL)
        timer_arm(c->loop, &call->again, 0, on_too_large, call);
    else
        send_now(call);
    return call;
}

void call_cancel(struct call *call)
{
    if (call != NULL)
        call_free(call);
}

/* ---- for callers without a loop */

struct waiter {
    struct loop *loop;
    struct arena *arena;
    struct response *out;
};

static void on_waited(void *owner, const struct response *r)
{
    struct waiter *w = owner;
    *w->out = (struct response){
        .code = r->code,
        .reason = arena_strdup(w->arena, r->reason),
        .index = r->index,
        .body = r->body != NULL ? wire_clone(w->arena, r->body) : NULL,
        .arena = w->arena,
    };
    loop_stop(w->loop);
}

enum err net_call_wait(const char *addr, const struct call_options *o, struct arena *a,
                       struct response *out, struct reason *why)
{
    struct waiter w = {.loop = loop_new(), .arena = a, .out = out};
    struct client *c = NULL;
    enum err e = client_open(&c, w.loop, addr, why);
    if (c != NULL) {
        struct call_options with_waiter = *o;
        with_waiter.done = on_waited;
        with_waiter.owner = &w;
        client_call(c, &with_waiter);
        loop_run(w.loop);
        client_close(c);
    }
    loop_free(w.loop);
    return e;
}
