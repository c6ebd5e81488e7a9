/* common/net's serving over the simulated network. */
#include "base/err.h"
#include "base/map.h"
#include "net/rules.h"
#include "network.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct server *server_at(const char *address)
{
    struct server *s;
    list_each(&net.servers, struct server, link, s)
    {
        if (strcmp(s->address, address) == 0)
            return s;
    }
    return NULL;
}

static void request_free(struct request *req)
{
    list_remove(&req->link);
    req->server->unanswered--;
    arena_free(req->arena);
}

void server_lost(struct server *s, uint32_t pipe)
{
    struct link parked;
    struct request *req;
    list_init(&parked);
    list_each(&s->requests, struct request, link, req)
    {
        if (req->pipe != pipe || req->gone == NULL)
            continue;
        list_remove(&req->link);
        list_push_back(&parked, &req->link);
    }
    while ((req = list_first(&parked, struct request, link)) != NULL) {
        req->gone(req->owner, req);
        request_free(req);
    }
    if (s->options.peer_gone != NULL)
        s->options.peer_gone(s->options.self, pipe);
}

static Pb__Request *envelope_of(struct arena *a, const struct packet *p)
{
    Pb__Request *e = arena_array(a, Pb__Request, 1);
    pb__request__init(e);
    e->has_id = e->has_method = e->has_budget_ms = e->has_service = 1;
    e->id = wire_id(a, p->id);
    e->method = p->method;
    e->budget_ms = p->budget_ms;
    e->service = p->service;
    e->region = p->region != NULL ? arena_strdup(a, p->region) : NULL;
    e->namespace_ = p->namespace != NULL ? arena_strdup(a, p->namespace) : NULL;
    e->token = p->token != NULL ? arena_strdup(a, p->token) : NULL;
    return e;
}

static void handle(struct server *s, struct request *req)
{
    const struct method *m = net_find_method(s->options.methods, req->envelope->method);
    if (s->unanswered > (s->options.max_parked > 0 ? s->options.max_parked : NET_PARKED)) {
        request_fail(req, PB__REPLY__CODE__BUSY, "too many requests wait here");
    } else if (req->envelope->service != PB__SERVICE__NAME__SELF) {
        must(s->options.relay != NULL);
        s->options.relay(s->options.self, req);
    } else if (req->envelope->method == PB__DAEMON__METHOD__PING) {
        request_reply(req, NULL, 0);
    } else {
        must(m != NULL);
        req->body = wire_unpack(req->arena, m->body, req->payload.data, req->payload.len);
        must(req->body != NULL);
        m->handle(s->options.self, req);
    }
}

void on_request(void *arg)
{
    struct transit *t = arg;
    struct pipe *pipe = pipe_of(t->pipe);
    if (pipe != NULL) {
        struct server *s = pipe->server;
        struct arena *a = arena_new(WIRE_MAX_UNPACKED);
        struct request *req = arena_array(a, struct request, 1);
        req->server = s;
        req->arena = a;
        req->envelope = envelope_of(a, t->packet);
        if (t->packet->has_body)
            req->payload = (ProtobufCBinaryData){
                t->packet->len, arena_copy(a, t->packet->body, t->packet->len + 1)};
        req->deadline_ms = sim->now_us / 1000 + t->packet->budget_ms;
        req->pipe = t->pipe;
        req->call = t->call;
        list_push_back(&s->requests, &req->link);
        s->unanswered++;
        handle(s, req);
    }
    transit_drop(t);
}

/* Takes req and packet. */
static void answer(struct request *req, struct packet *packet)
{
    struct pipe *pipe = pipe_of(req->pipe);
    if (pipe != NULL)
        transit_send(packet, pipe, req->call, false, 1, on_reply);
    packet_drop(packet);
    request_free(req);
}

void request_fail_with(struct request *req, Pb__Reply__Code code, const char *why, uint64_t index,
                       const ProtobufCMessage *body)
{
    struct packet *p = packet_new(body, NULL);
    p->code = code;
    p->reason = copy_text(why);
    p->index = index;
    answer(req, p);
}

void request_reply(struct request *req, const ProtobufCMessage *body, uint64_t index)
{
    request_fail_with(req, PB__REPLY__CODE__OK, NULL, index, body);
}

void request_fail(struct request *req, Pb__Reply__Code code, const char *format, ...)
{
    struct reason why;
    va_list args;
    va_start(args, format);
    vsnprintf(why.text, sizeof(why.text), format, args);
    va_end(args);
    request_fail_with(req, code, why.text, 0, NULL);
}

void request_relay(struct request *req, const struct response *r)
{
    struct packet *p = packet_new(NULL, &r->payload);
    p->code = r->code;
    p->reason = r->reason[0] != '\0' ? xstrdup(r->reason) : NULL;
    p->index = r->index;
    answer(req, p);
}

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
    return req->pipe;
}

void request_park(struct request *req, void (*gone)(void *owner, struct request *req), void *owner)
{
    req->gone = gone;
    req->owner = owner;
}

/* Every peer is as one on its own host: certificates are not simulated. */
unsigned request_peer_kind(const struct request *req)
{
    return PEER_LOCAL;
}

const char *request_peer_name(const struct request *req)
{
    return "";
}

const char *request_peer_region(const struct request *req)
{
    return "";
}

void *request_owner(const struct request *req)
{
    return req->owner;
}

enum err server_open(struct server **out, struct loop *l, const char *addr,
                     const struct server_options *o, struct reason *why)
{
    net_begin();
    if (server_at(addr) != NULL)
        return reason_set(why, ERR_BUSY, "listen on %s: in use", addr);
    struct server *s = xcalloc(1, sizeof(*s));
    s->process = loop_process(l);
    s->options = *o;
    s->address = xstrdup(addr);
    list_init(&s->requests);
    list_push_back(&net.servers, &s->link);
    *out = s;
    return OK;
}

static void end_pipes(struct server *s)
{
    size_t i = 0;
    void *value;
    while (map_next(net.pipes, &i, NULL, NULL, &value)) {
        struct pipe *pipe = value;
        if (pipe->server == s)
            pipe_end(pipe, true, false, 3000);
    }
}

void server_close(struct server *s)
{
    if (s == NULL)
        return;
    struct request *req;
    while ((req = list_first(&s->requests, struct request, link)) != NULL)
        request_fail(req, PB__REPLY__CODE__UNAVAILABLE, "the daemon is stopping");
    list_remove(&s->link);
    end_pipes(s);
    free(s->address);
    free(s);
}
