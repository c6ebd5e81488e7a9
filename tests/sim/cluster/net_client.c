/* common/net's calling over the simulated network. */
#include "base/err.h"
#include "net/rules.h"
#include "network.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIAL_MIN_US 10000
#define DIAL_MAX_US 500000

static void settle(struct call *call, bool sent, Pb__Reply__Code code, const char *why);
static void send_now(void *owner);
static void dial_later(struct client *c);

/* ---- the connection, and its end */

struct client *client_numbered(uint64_t number)
{
    struct client *c;
    list_each(&net.clients, struct client, link, c)
    {
        if (c->number == number)
            return c;
    }
    return NULL;
}

static struct call *first_sent(struct client *c)
{
    struct call *call;
    list_each(&c->calls, struct call, link, call)
    {
        if (call->sent)
            return call;
    }
    return NULL;
}

/* What each call's end leads to may end others, or the client. */
void client_lost(struct client *c)
{
    uint64_t number = c->number;
    struct call *call;
    dial_later(c);
    while ((c = client_numbered(number)) != NULL && (call = first_sent(c)) != NULL) {
        call->sent = false;
        settle(call, true, PB__REPLY__CODE__UNAVAILABLE, "the connection broke");
    }
}

static void on_dial(void *owner)
{
    struct client *c = owner;
    struct server *s = server_at(c->address);
    if (c->pipe != NULL)
        return;
    if (s == NULL || s->process->dying || is_cut(c->process, s->process) ||
        is_cut(s->process, c->process)) {
        dial_later(c);
        return;
    }
    c->dial_us = DIAL_MIN_US;
    c->pipe = pipe_new(c, s);
    struct call *call;
    list_each(&c->calls, struct call, link, call)
    {
        if (!call->sent && !timer_is_armed(&call->again))
            send_now(call);
        if (c->pipe == NULL)
            break;
    }
}

static void dial_later(struct client *c)
{
    if (timer_is_armed(&c->dial))
        return;
    uint64_t us = c->dial_us / 2 + sim_below(c->dial_us / 2 + 1);
    c->dial_us = c->dial_us * 2 < DIAL_MAX_US ? c->dial_us * 2 : DIAL_MAX_US;
    timer_arm(c->loop, &c->dial, us / 1000, on_dial, c);
}

/* ---- calling */

static void call_free(struct call *call)
{
    timer_cancel(call->client->loop, &call->over);
    timer_cancel(call->client->loop, &call->again);
    list_remove(&call->link);
    packet_drop(call->packet);
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
    struct response r = {.code = code, .reason = why, .arena = arena_new(WIRE_MAX_UNPACKED)};
    struct arena *a = r.arena;
    finish(call, &r);
    arena_free(a);
}

static void on_over(void *owner)
{
    struct call *call = owner;
    char why[300];
    snprintf(why, sizeof(why), "%s %s within %u ms", call->sent ? "no answer from" : "cannot reach",
             call->client->address, call->packet->budget_ms);
    fail(call, PB__REPLY__CODE__TIMEOUT, why);
}

static void settle(struct call *call, bool sent, Pb__Reply__Code code, const char *why)
{
    uint64_t now = sim->now_us / 1000;
    if (!net_may_retry(now, call->until_ms, sent, call->retry)) {
        fail(call, code, why);
        return;
    }
    uint64_t delay =
        net_retry_delay_ms(call->tries, loop_random(call->client->loop), now, call->until_ms);
    timer_arm(call->client->loop, &call->again, delay, send_now, call);
}

static void send_now(void *owner)
{
    struct call *call = owner;
    struct client *c = call->client;
    if (c->pipe == NULL)
        return; /* when the connection is there */
    call->sent = true;
    call->tries++;
    unsigned copies = call->retry && sim_chance(sim->weather.repeated) ? 2 : 1;
    transit_send(call->packet, c->pipe, call->serial, true, copies, on_request);
}

static struct call *call_of(struct client *c, uint64_t serial)
{
    struct call *call;
    list_each(&c->calls, struct call, link, call)
    {
        if (call->serial == serial)
            return call;
    }
    return NULL;
}

static void deliver(struct call *call, const struct packet *p)
{
    struct arena *a = arena_new(WIRE_MAX_UNPACKED);
    struct response r = {.code = p->code,
                         .reason = p->reason != NULL ? p->reason : "",
                         .index = p->index,
                         .arena = a};
    if (call->raw_reply && p->has_body)
        r.payload = (ProtobufCBinaryData){p->len, p->body};
    if (call->reply != NULL && (p->has_body || p->code == PB__REPLY__CODE__OK)) {
        r.body = wire_unpack(a, call->reply, p->body, p->len);
        must(r.body != NULL);
    }
    finish(call, &r);
    arena_free(a);
}

void on_reply(void *arg)
{
    struct transit *t = arg;
    struct pipe *pipe = pipe_of(t->pipe);
    struct call *call = pipe != NULL ? call_of(pipe->client, t->call) : NULL;
    if (call != NULL)
        deliver(call, t->packet);
    transit_drop(t);
}

enum err client_open(struct client **out, struct loop *l, const char *addr, struct reason *why)
{
    net_begin();
    struct client *c = xcalloc(1, sizeof(*c));
    c->number = ++net.last_client;
    c->loop = l;
    c->process = loop_process(l);
    c->address = xstrdup(addr);
    c->dial_us = DIAL_MIN_US;
    must(net_cut_service(c->address, &c->service, why) == OK);
    list_init(&c->calls);
    list_push_back(&net.clients, &c->link);
    timer_arm(l, &c->dial, 0, on_dial, c);
    *out = c;
    return OK;
}

enum err client_open_to(struct client **out, struct loop *l, const char *addr, unsigned peers,
                        struct reason *why)
{
    return client_open(out, l, addr, why);
}

void client_close(struct client *c)
{
    if (c == NULL)
        return;
    struct call *call;
    while ((call = list_first(&c->calls, struct call, link)) != NULL)
        call_free(call);
    if (c->pipe != NULL)
        pipe_end(c->pipe, false, true, 3000);
    timer_cancel(c->loop, &c->dial);
    list_remove(&c->link);
    free(c->address);
    free(c);
}

bool client_is_connected(const struct client *c)
{
    return c->pipe != NULL;
}

struct call *client_call(struct client *c, const struct call_options *o)
{
    struct call *call = xcalloc(1, sizeof(*call));
    struct packet *p = packet_new(o->body, o->raw);
    call->client = c;
    call->serial = ++net.last_call;
    call->packet = p;
    call->reply = o->reply;
    call->done = o->done;
    call->owner = o->owner;
    call->retry = o->retry;
    call->raw_reply = o->raw_reply;
    p->budget_ms = o->budget_ms > 0 ? o->budget_ms : NET_BUDGET_MS;
    p->method = o->method;
    p->service = o->service != PB__SERVICE__NAME__SELF ? o->service : c->service;
    p->region = copy_text(o->region);
    p->namespace = copy_text(o->namespace);
    p->token = copy_text(o->token);
    memcpy(p->id, o->id != NULL ? o->id : id_new().bytes, ID_SIZE);
    call->until_ms = sim->now_us / 1000 + p->budget_ms;
    list_push_back(&c->calls, &call->link);
    timer_arm(c->loop, &call->over, p->budget_ms, on_over, call);
    send_now(call);
    return call;
}

void call_cancel(struct call *call)
{
    if (call != NULL)
        call_free(call);
}
