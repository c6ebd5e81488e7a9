/* common/net over a simulated network. Each client has one connection to its server, as with nng;
 * messages take their time, each its own, so that they overtake one another; a lost message takes
 * the connection with it, as one between hosts would end by and by; what is cut off is silent. */
#include "base/err.h"
#include "base/map.h"
#include "net/net.h"
#include "sim.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_BUDGET_MS 5000
#define DEFAULT_PARKED    4096
#define RETRY_MIN_MS      10
#define RETRY_MAX_MS      1000
#define DIAL_MIN_US       10000
#define DIAL_MAX_US       500000
#define NEARLY_OVER_MS    3
#define NOTICE_US         2000000 /* within so long an end that nobody told is noticed */

/* A request or a reply on its way; shared by copies. */
struct packet {
    unsigned references;
    uint8_t id[ID_SIZE];
    uint32_t method, budget_ms;
    Pb__Service__Name service;
    char *region, *namespace, *token;
    Pb__Reply__Code code;
    char *reason;
    uint64_t index;
    bool has_body;
    uint8_t *body;
    size_t len;
};

/* A connection. Gone from the map when either end is. */
struct pipe {
    uint32_t number;
    struct client *client;
    struct server *server;
    bool doomed; /* its end is on its way */
};

struct server {
    struct link link;
    struct process *process;
    struct server_options options;
    char *address;
    struct link requests;
    size_t unanswered;
};

struct request {
    struct link link;
    struct server *server;
    struct arena *arena;
    Pb__Request *envelope;
    const ProtobufCMessage *body;
    ProtobufCBinaryData payload;
    uint64_t deadline_ms;
    uint32_t pipe;
    uint64_t call; /* serial number */
    void (*gone)(void *owner, struct request *req);
    void *owner;
};

struct client {
    struct link link;
    uint64_t number;
    struct process *process;
    struct loop *loop;
    char *address;
    Pb__Service__Name service;
    struct pipe *pipe; /* NULL: not connected */
    struct link calls;
    struct timer dial;
    uint64_t dial_us;
};

struct call {
    struct link link;
    struct client *client;
    uint64_t serial;
    struct packet *packet;
    const ProtobufCMessageDescriptor *reply;
    response_fn *done;
    void *owner;
    uint64_t until_ms;
    uint32_t tries;
    bool retry, raw_reply, sent;
    struct timer over, again;
};

static struct {
    struct link servers, clients;
    struct map *pipes;
    uint32_t last_pipe;
    uint64_t last_call, last_client;
} net;

static void net_begin(void)
{
    if (net.pipes != NULL)
        return;
    list_init(&net.servers);
    list_init(&net.clients);
    net.pipes = map_new();
    net.last_pipe = 0;
    net.last_call = net.last_client = 0;
}

void net_free(void)
{
    if (net.pipes == NULL)
        return;
    must(list_empty(&net.servers) && list_empty(&net.clients) && map_count(net.pipes) == 0);
    map_free(net.pipes);
    net.pipes = NULL;
}

/* ---- packets */

static void packet_drop(struct packet *p)
{
    if (--p->references > 0)
        return;
    free(p->region);
    free(p->namespace);
    free(p->token);
    free(p->reason);
    free(p->body);
    free(p);
}

static char *copy_text(const char *text)
{
    return text != NULL ? xstrdup(text) : NULL;
}

static struct packet *packet_new(const ProtobufCMessage *body, const ProtobufCBinaryData *raw)
{
    struct packet *p = xcalloc(1, sizeof(*p));
    p->references = 1;
    p->has_body = body != NULL || (raw != NULL && raw->data != NULL);
    if (body != NULL) {
        p->len = protobuf_c_message_get_packed_size(body);
        p->body = xmalloc(p->len + 1);
        protobuf_c_message_pack(body, p->body);
    } else if (p->has_body) {
        p->len = raw->len;
        p->body = xmalloc(p->len + 1);
        memcpy(p->body, raw->data, p->len);
    }
    return p;
}

static struct pipe *pipe_of(uint32_t number)
{
    return map_get(net.pipes, &number, sizeof(number));
}

static uint64_t delay_between(const struct process *a, const struct process *b)
{
    return sim_about(a->host == b->host ? sim->weather.local_us : sim->weather.remote_us);
}

static bool is_cut(const struct process *from, const struct process *to)
{
    return sim->weather.cut[from->host->number][to->host->number];
}

static bool loses(const struct process *a, const struct process *b)
{
    return sim_chance(a->host == b->host ? sim->weather.lost_local : sim->weather.lost);
}

/* ---- the end of a connection, as each side learns of it */

static void settle(struct call *call, bool sent, Pb__Reply__Code code, const char *why);
static void dial_later(struct client *c);

static struct client *client_numbered(uint64_t number)
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
static void client_lost(struct client *c)
{
    uint64_t number = c->number;
    struct call *call;
    dial_later(c);
    while ((c = client_numbered(number)) != NULL && (call = first_sent(c)) != NULL) {
        call->sent = false;
        settle(call, true, PB__REPLY__CODE__UNAVAILABLE, "the connection broke");
    }
}

static void request_free(struct request *req)
{
    list_remove(&req->link);
    req->server->unanswered--;
    arena_free(req->arena);
}

static void server_lost(struct server *s, uint32_t pipe)
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

/* Says to one end that a pipe is gone. */
struct parting {
    uint32_t pipe;
    struct server *server; /* it lives as long as its process */
    uint64_t client;
};

static void on_server_parted(void *arg)
{
    struct parting *x = arg;
    server_lost(x->server, x->pipe);
    free(x);
}

static void on_client_parted(void *arg)
{
    struct parting *x = arg;
    struct client *c = client_numbered(x->client);
    if (c != NULL && c->pipe == NULL)
        client_lost(c);
    free(x);
}

static void part(struct process *p, const struct pipe *pipe, void (*fire)(void *arg),
                 uint64_t within_us)
{
    struct parting *x = xcalloc(1, sizeof(*x));
    *x = (struct parting){pipe->number, pipe->server, pipe->client->number};
    sim_after(sim_between(1, within_us), p, fire, x, free);
}

/* The pipe is no more; each end that still lives learns of it after a while. */
static void pipe_end(struct pipe *pipe, bool tell_client, bool tell_server, uint64_t within_us)
{
    map_remove(net.pipes, &pipe->number, sizeof(pipe->number));
    pipe->client->pipe = NULL;
    if (tell_client)
        part(pipe->client->process, pipe, on_client_parted, within_us);
    if (tell_server)
        part(pipe->server->process, pipe, on_server_parted, within_us);
    free(pipe);
}

static void on_doom(void *arg)
{
    uint32_t number = (uint32_t)(uintptr_t)arg;
    struct pipe *pipe = pipe_of(number);
    if (pipe != NULL)
        pipe_end(pipe, true, true, 1000);
}

static void doom(struct pipe *pipe, uint64_t within_us)
{
    if (pipe->doomed)
        return;
    pipe->doomed = true;
    sim_after(sim_between(1, within_us), NULL, on_doom, (void *)(uintptr_t)pipe->number, NULL);
}

void net_heal(void)
{
    size_t i = 0;
    void *value;
    while (map_next(net.pipes, &i, NULL, NULL, &value)) {
        struct pipe *pipe = value;
        if (is_cut(pipe->client->process, pipe->server->process) ||
            is_cut(pipe->server->process, pipe->client->process))
            doom(pipe, NOTICE_US);
    }
}

void net_process_gone(struct process *p)
{
    uint32_t numbers[1024];
    size_t count = 0, i = 0;
    void *value;
    net_begin();
    while (map_next(net.pipes, &i, NULL, NULL, &value)) {
        const struct pipe *pipe = value;
        if (pipe->client->process == p || pipe->server->process == p) {
            must(count < COUNT_OF(numbers));
            numbers[count++] = pipe->number;
        }
    }
    for (i = 0; i < count; i++) {
        struct pipe *pipe = pipe_of(numbers[i]);
        bool theirs = pipe->client->process == p, ours = pipe->server->process == p;
        pipe_end(pipe, !theirs, !ours, 3000);
    }
}

/* ---- dialling */

static struct server *server_at(const char *address)
{
    struct server *s;
    list_each(&net.servers, struct server, link, s)
    {
        if (strcmp(s->address, address) == 0)
            return s;
    }
    return NULL;
}

static void send_now(void *owner);

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
    c->pipe = xcalloc(1, sizeof(*c->pipe));
    *c->pipe = (struct pipe){.number = ++net.last_pipe, .client = c, .server = s};
    map_put(net.pipes, &c->pipe->number, sizeof(c->pipe->number), c->pipe);
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

/* ---- serving */

struct transit {
    struct packet *packet;
    uint32_t pipe;
    uint64_t call;
};

static void transit_drop(void *arg)
{
    struct transit *t = arg;
    packet_drop(t->packet);
    free(t);
}

static void transit_send(struct packet *packet, uint32_t pipe, uint64_t call, uint64_t delay_us,
                         struct process *to, void (*fire)(void *arg))
{
    struct transit *t = xcalloc(1, sizeof(*t));
    *t = (struct transit){.packet = packet, .pipe = pipe, .call = call};
    packet->references++;
    sim_after(delay_us, to, fire, t, transit_drop);
}

static const struct method *find_method(const struct server *s, uint32_t number)
{
    for (const struct method *m = s->options.methods; m->name != NULL; m++)
        if (m->number == number)
            return m;
    return NULL;
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
    const struct method *m = find_method(s, req->envelope->method);
    if (s->unanswered > (s->options.max_parked > 0 ? s->options.max_parked : DEFAULT_PARKED)) {
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

static void on_request(void *arg)
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

static void on_reply(void *arg);

/* Takes req and packet. */
static void answer(struct request *req, struct packet *packet)
{
    struct server *s = req->server;
    struct pipe *pipe = pipe_of(req->pipe);
    if (pipe != NULL && !s->process->dying) {
        struct process *to = pipe->client->process;
        if (is_cut(s->process, to))
            doom(pipe, 15000000);
        else if (loses(s->process, to))
            doom(pipe, NOTICE_US);
        else
            transit_send(packet, req->pipe, req->call, delay_between(s->process, to), to, on_reply);
    }
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
    if (now + NEARLY_OVER_MS >= call->until_ms || (sent && !call->retry)) {
        fail(call, code, why);
        return;
    }
    uint64_t delay = RETRY_MIN_MS << (call->tries < 8 ? call->tries : 8);
    delay = delay > RETRY_MAX_MS ? RETRY_MAX_MS : delay;
    delay = delay / 2 + sim_below(delay / 2 + 1);
    timer_arm(call->client->loop, &call->again, delay, send_now, call);
}

static void send_now(void *owner)
{
    struct call *call = owner;
    struct client *c = call->client;
    if (c->pipe == NULL)
        return; /* when the connection is there */
    struct process *to = c->pipe->server->process;
    call->sent = true;
    call->tries++;
    if (c->process->dying)
        return;
    if (is_cut(c->process, to)) {
        doom(c->pipe, 15000000);
        return;
    }
    if (loses(c->process, to)) {
        doom(c->pipe, NOTICE_US);
        return;
    }
    unsigned copies = call->retry && sim_chance(sim->weather.repeated) ? 2 : 1;
    for (unsigned i = 0; i < copies; i++)
        transit_send(call->packet, c->pipe->number, call->serial,
                     delay_between(c->process, to) * (i * 20 + 1), to, on_request);
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

static void on_reply(void *arg)
{
    struct transit *t = arg;
    struct pipe *pipe = pipe_of(t->pipe);
    struct call *call = pipe != NULL ? call_of(pipe->client, t->call) : NULL;
    if (call != NULL)
        deliver(call, t->packet);
    transit_drop(t);
}

static enum err cut_service(char *addr, Pb__Service__Name *service)
{
    static const char *const names[] = {
        [PB__SERVICE__NAME__JOBSTORE] = "jobstore",
        [PB__SERVICE__NAME__JOBSTORE_POLL] = "jobstore-poll",
        [PB__SERVICE__NAME__EVALBROKER] = "evalbroker",
        [PB__SERVICE__NAME__PLANQUEUE] = "planqueue",
        [PB__SERVICE__NAME__CONTROLLER] = "controller",
        [PB__SERVICE__NAME__GOSSIP] = "gossip",
    };
    char *name = strchr(addr, '#');
    if (name == NULL)
        return OK;
    *name++ = '\0';
    for (unsigned i = PB__SERVICE__NAME__JOBSTORE; i < COUNT_OF(names); i++)
        if (strcmp(names[i], name) == 0) {
            *service = (Pb__Service__Name)i;
            return OK;
        }
    return ERR_INVALID;
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
    must(cut_service(c->address, &c->service) == OK);
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
    p->budget_ms = o->budget_ms > 0 ? o->budget_ms : DEFAULT_BUDGET_MS;
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
