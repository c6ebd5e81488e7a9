#include "forward.h"
#include "answer.h"
#include "base/list.h"
#include "gateway.pb-c.h"
#include "net/net.h"
#include "websocket.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REACH_MS      1000u  /* a server that does not answer a ping so long is out of reach */
#define ANSWER_MS     20000u /* and whatever the client lets it wait */
#define MORE_MS       20000u
#define INPUT_MS      600000u /* until a command has read what came before */
#define TRIES         3
#define SERVERS_MOST  64 /* connections kept to others */
#define HEADERS_TAKEN 8

/* The door of another gateway. */
struct remote {
    struct link link;
    char address[256];
    struct client *client;
    size_t users;
};

struct forward {
    struct loop *loop;
    struct roster *roster;
    struct link remotes;
    size_t remote_count;
    struct link sent;
};

/* One request on its way. Lives in its exchange's arena but for what it refers to. */
struct sent {
    struct link link;
    struct forward *forward;
    struct exchange *x;
    const char *doors[TRIES];
    size_t door_count, at;
    struct remote *remote;
    struct call *call;
    uint64_t wait_ms;
    uint8_t stream_id[ID_SIZE];
    bool streaming;
    struct call *input; /* what the client said, on its way there; NULL: nothing is */
    /* looking for a node's gateway */
    bool for_node;
    uint8_t node_id[ID_SIZE];
    forward_decided_fn *decided; /* NULL: it has been called, or nobody wants to know */
    void *decided_owner;
};

static void try_door(struct sent *s);
static void ask_more(struct sent *s);

/* ---- others' doors */

static void remote_free(struct forward *f, struct remote *r)
{
    list_remove(&r->link);
    f->remote_count--;
    client_close(r->client);
    free(r);
}

/* One that nobody uses makes room; which of them does not matter. */
static void make_room(struct forward *f)
{
    struct remote *r;
    if (f->remote_count < SERVERS_MOST)
        return;
    list_each(&f->remotes, struct remote, link, r)
    {
        if (r->users > 0)
            continue;
        remote_free(f, r);
        return;
    }
}

/* NULL: it cannot be dialled. */
static struct remote *remote_get(struct forward *f, const char *address)
{
    struct remote *r;
    struct reason why;
    list_each(&f->remotes, struct remote, link, r)
    {
        if (strcmp(r->address, address) == 0)
            return r;
    }
    make_room(f);
    r = xcalloc(1, sizeof(*r));
    snprintf(r->address, sizeof(r->address), "%s", address);
    if (client_open_to(&r->client, f->loop, r->address, PEER_SERVER | PEER_FOREIGN_SERVER, &why) !=
        OK) {
        free(r);
        return NULL;
    }
    list_push_back(&f->remotes, &r->link);
    f->remote_count++;
    return r;
}

static void leave_remote(struct sent *s)
{
    if (s->remote != NULL)
        s->remote->users--;
    s->remote = NULL;
}

static void decide(struct sent *s, bool taken)
{
    forward_decided_fn *decided = s->decided;
    s->decided = NULL;
    if (decided != NULL)
        decided(s->decided_owner, taken);
}

static void sent_end(struct sent *s)
{
    call_cancel(s->call);
    call_cancel(s->input);
    s->call = s->input = NULL;
    leave_remote(s);
    list_remove(&s->link);
}

/* ---- the answer */

static void on_told(void *owner, const struct response *r) {}

/* What was asked for there ends now, and not when nobody has read on for long. */
static void tell_gone(struct sent *s)
{
    Pb__HttpInput input = PB__HTTP_INPUT__INIT;
    input.has_stream_id = input.has_gone = input.gone = true;
    input.stream_id = (ProtobufCBinaryData){.len = ID_SIZE, .data = s->stream_id};
    client_call(s->remote->client, &(struct call_options){.method = PB__GATEWAY__METHOD__HTTP_INPUT,
                                                          .body = &input.base,
                                                          .budget_ms = REACH_MS,
                                                          .done = on_told});
}

static void on_gone(void *owner)
{
    struct sent *s = owner;
    struct exchange *x = s->x;
    bool streaming = s->streaming;
    if (streaming)
        tell_gone(s);
    decide(s, true);
    sent_end(s);
    if (streaming)
        exchange_end(x);
    else
        answer_nothing(x, 200); /* still owed, and read by nobody */
}

static void on_room(void *owner)
{
    struct sent *s = owner;
    if (s->call == NULL)
        ask_more(s);
}

static const char *take_headers(struct exchange *x, const Pb__HttpReply *reply)
{
    const char *type = NULL;
    size_t taken = 0;
    for (size_t i = 0; i < reply->n_headers; i++) {
        const Pb__KeyValue *h = reply->headers[i];
        if (h->key == NULL || h->value == NULL)
            continue;
        if (strcasecmp(h->key, "Content-Type") == 0)
            type = h->value;
        else if (strcasecmp(h->key, "Vary") != 0 && taken++ < HEADERS_TAKEN)
            exchange_set(x, h->key, h->value);
    }
    return type != NULL ? arena_strdup(exchange_arena(x), type) : NULL;
}

/* ---- both directions */

static void on_input_taken(void *owner, const struct response *r)
{
    struct sent *s = owner;
    struct exchange *x = s->x;
    s->input = NULL;
    if (r->code == PB__REPLY__CODE__OK) {
        exchange_want_input(x, true);
        return;
    }
    tell_gone(s); /* a piece is lost: nothing that follows would make sense */
    sent_end(s);
    exchange_end(x);
}

/* One piece at a time, each as soon as there is room for it. */
static void on_input(void *owner, const void *data, size_t len)
{
    struct sent *s = owner;
    Pb__HttpInput input = PB__HTTP_INPUT__INIT;
    input.has_stream_id = input.has_data = true;
    input.stream_id = (ProtobufCBinaryData){.len = ID_SIZE, .data = s->stream_id};
    input.data = (ProtobufCBinaryData){.len = len, .data = (uint8_t *)(uintptr_t)data};
    exchange_want_input(s->x, false);
    s->input = client_call(s->remote->client,
                           &(struct call_options){.method = PB__GATEWAY__METHOD__HTTP_INPUT,
                                                  .body = &input.base,
                                                  .budget_ms = INPUT_MS,
                                                  .done = on_input_taken,
                                                  .owner = s});
}

/* The other gateway talks websocket with the client; we shake its hand and pass on the bytes. */
static void take_upgrade(struct sent *s, const Pb__HttpReply *reply)
{
    struct exchange *x = s->x;
    bool last = reply->last;
    if (!websocket_is_asked_for(x)) {
        if (!last)
            tell_gone(s);
        sent_end(s);
        return;
    }
    websocket_accept(x);
    s->streaming = true;
    exchange_upgrade(x, &(struct upgrade){.protocol = "websocket",
                                          .input = on_input,
                                          .room = on_room,
                                          .gone = on_gone,
                                          .owner = s});
    exchange_write(x, reply->data.data, reply->data.len);
    if (last) {
        sent_end(s);
        exchange_end(x);
    } else if (reply->data.len == 0) {
        ask_more(s);
    }
}

static void take_first(struct sent *s, const Pb__HttpReply *reply)
{
    struct exchange *x = s->x;
    const char *type = take_headers(x, reply);
    unsigned status = reply->status >= 100 && reply->status < 600 ? reply->status : 500;
    exchange_on_gone(x, NULL, NULL);
    if (reply->stream_id.len == ID_SIZE)
        memcpy(s->stream_id, reply->stream_id.data, ID_SIZE);
    if (status == 101) {
        take_upgrade(s, reply);
        return;
    }
    if (reply->last || reply->stream_id.len != ID_SIZE) {
        struct strbuf body = STRBUF_INIT;
        strbuf_add(&body, reply->data.data, reply->data.len);
        sent_end(s);
        exchange_reply(x, status, type, &body);
        return;
    }
    s->streaming = true;
    exchange_stream(x, status, type, on_room, on_gone, s);
    exchange_write(x, reply->data.data, reply->data.len);
    if (reply->data.len == 0)
        ask_more(s);
}

static void on_more(void *owner, const struct response *r)
{
    struct sent *s = owner;
    struct exchange *x = s->x;
    const Pb__HttpReply *reply = (const Pb__HttpReply *)r->body;
    s->call = NULL;
    bool good = r->code == PB__REPLY__CODE__OK && reply != NULL;
    if (good && reply->data.len > 0)
        exchange_write(x, reply->data.data, reply->data.len);
    if (!good || reply->last) {
        sent_end(s);
        exchange_end(x); /* cut short, if it was not the last piece: no other sign is left */
    } else if (reply->data.len == 0) {
        ask_more(s); /* nobody will ask us for what was not written */
    }
}

static void ask_more(struct sent *s)
{
    Pb__HttpMore more = PB__HTTP_MORE__INIT;
    more.has_stream_id = true;
    more.stream_id = (ProtobufCBinaryData){.len = ID_SIZE, .data = s->stream_id};
    s->call = client_call(s->remote->client,
                          &(struct call_options){.method = PB__GATEWAY__METHOD__HTTP_MORE,
                                                 .body = &more.base,
                                                 .reply = &pb__http_reply__descriptor,
                                                 .budget_ms = MORE_MS,
                                                 .done = on_more,
                                                 .owner = s});
}

/* ---- the question */

static void on_reply(void *owner, const struct response *r)
{
    struct sent *s = owner;
    struct exchange *x = s->x;
    s->call = NULL;
    if (r->code == PB__REPLY__CODE__OK && r->body != NULL) {
        take_first(s, (const Pb__HttpReply *)r->body);
        return;
    }
    sent_end(s);
    answer_failure(x, r);
}

static Pb__HttpRequest *make_request(struct exchange *x)
{
    static const char *const names[] = {
        [HTTP_GET] = "GET",   [HTTP_HEAD] = "HEAD",     [HTTP_PUT] = "PUT",
        [HTTP_POST] = "POST", [HTTP_DELETE] = "DELETE", [HTTP_OPTIONS] = "OPTIONS"};
    struct arena *a = exchange_arena(x);
    Pb__HttpRequest *q = arena_array(a, Pb__HttpRequest, 1);
    size_t len, n = exchange_arg_count(x);
    const char *body = exchange_body(x, &len);
    pb__http_request__init(q);
    q->method = (char *)(uintptr_t)names[exchange_method(x)];
    q->path = (char *)(uintptr_t)exchange_path(x);
    q->token = (char *)(uintptr_t)exchange_header(x, "X-Nomad-Token");
    q->has_data = len > 0;
    q->data = (ProtobufCBinaryData){.len = len, .data = (uint8_t *)(uintptr_t)body};
    q->args = arena_array(a, Pb__KeyValue *, n + 1);
    for (size_t i = 0; i < n; i++) {
        Pb__KeyValue *kv = arena_array(a, Pb__KeyValue, 1);
        pb__key_value__init(kv);
        exchange_arg_at(x, i, (const char **)&kv->key, (const char **)&kv->value);
        q->args[q->n_args++] = kv;
    }
    return q;
}

static void send_it(struct sent *s)
{
    s->call = client_call(s->remote->client,
                          &(struct call_options){.method = PB__GATEWAY__METHOD__HTTP,
                                                 .body = &make_request(s->x)->base,
                                                 .reply = &pb__http_reply__descriptor,
                                                 .budget_ms = (uint32_t)(s->wait_ms + ANSWER_MS),
                                                 .done = on_reply,
                                                 .owner = s});
}

static void nobody(struct sent *s)
{
    struct exchange *x = s->x;
    sent_end(s);
    exchange_on_gone(x, NULL, NULL);
    if (s->for_node)
        decide(s, false);
    else
        answer_text(x, 500, "No path to region");
}

static void on_reached(void *owner, const struct response *r)
{
    struct sent *s = owner;
    s->call = NULL;
    if (r->code == PB__REPLY__CODE__OK) {
        decide(s, true);
        send_it(s);
        return;
    }
    leave_remote(s);
    s->at++;
    try_door(s);
}

/* The next door. A ping first, so that one out of reach costs little time and nothing is sent
 * twice. */
static void try_door(struct sent *s)
{
    while (s->at < s->door_count && s->remote == NULL) {
        s->remote = remote_get(s->forward, s->doors[s->at]);
        if (s->remote == NULL)
            s->at++;
    }
    if (s->remote == NULL) {
        nobody(s);
        return;
    }
    Pb__HasNode node = PB__HAS_NODE__INIT;
    node.has_node_id = true;
    node.node_id = (ProtobufCBinaryData){.len = ID_SIZE, .data = s->node_id};
    s->remote->users++;
    s->call = client_call(
        s->remote->client,
        &(struct call_options){.method = s->for_node ? (uint32_t)PB__GATEWAY__METHOD__HAS_NODE
                                                     : (uint32_t)PB__DAEMON__METHOD__PING,
                               .body = s->for_node ? &node.base : NULL,
                               .budget_ms = REACH_MS,
                               .retry = true,
                               .done = on_reached,
                               .owner = s});
}

/* Up to TRIES servers of the region that are up, from a random one on. */
static void find_doors(struct sent *s, const char *region, bool but_self)
{
    struct forward *f = s->forward;
    const Pb__Members *all = roster_members(f->roster);
    size_t from = all->n_members > 0 ? loop_random(f->loop) % all->n_members : 0;
    char door[256];
    for (size_t i = 0; i < all->n_members && s->door_count < TRIES; i++) {
        const Pb__Member *m = all->members[(from + i) % all->n_members];
        if (roster_is_up(m, region) && !(but_self && roster_is_self(f->roster, m)) &&
            roster_door(f->roster, m, door))
            s->doors[s->door_count++] = arena_strdup(exchange_arena(s->x), door);
    }
}

static struct sent *sent_new(struct forward *f, struct exchange *x)
{
    struct sent *s = arena_alloc(exchange_arena(x), sizeof(*s));
    s->forward = f;
    s->x = x;
    list_push_back(&f->sent, &s->link);
    return s;
}

void forward_to_region(struct forward *f, struct exchange *x, const char *region, uint64_t wait_ms)
{
    struct sent *s = sent_new(f, x);
    s->wait_ms = wait_ms + wait_ms / 16;
    find_doors(s, region, false);
    if (s->door_count == 0) {
        nobody(s);
        return;
    }
    exchange_on_gone(x, on_gone, s);
    try_door(s);
}

void forward_to_node(struct forward *f, struct exchange *x, const uint8_t node_id[16],
                     forward_decided_fn *decided, void *owner)
{
    struct sent *s = sent_new(f, x);
    s->for_node = true;
    s->decided = decided;
    s->decided_owner = owner;
    memcpy(s->node_id, node_id, ID_SIZE);
    find_doors(s, roster_region(f->roster), true);
    exchange_on_gone(x, on_gone, s);
    try_door(s);
}

struct forward *forward_new(struct loop *l, struct roster *roster)
{
    struct forward *f = xcalloc(1, sizeof(*f));
    f->loop = l;
    f->roster = roster;
    list_init(&f->remotes);
    list_init(&f->sent);
    return f;
}

void forward_free(struct forward *f)
{
    if (f == NULL)
        return;
    struct sent *s;
    struct remote *r;
    list_each(&f->sent, struct sent, link, s)
    {
        decide(s, true);
        exchange_on_gone(s->x, NULL, NULL);
        if (s->streaming)
            on_gone(s);
        else
            sent_end(s);
    }
    list_each(&f->remotes, struct remote, link, r)
    {
        remote_free(f, r);
    }
    free(f);
}
