#include "door.h"
#include "base/map.h"
#include <stdlib.h>

/* A connection to the door that evalbroker knows as a worker. */
struct caller {
    uint32_t peer;
    struct client *evalbroker;
    struct link link; /* in leaving */
};

struct relayed {
    struct link link;
    struct door_relay *door;
    struct request *req;
    struct call *call;
    size_t *count; /* of its kind */
};

struct door_relay {
    struct loop *loop;
    struct door_options options;
    struct client *clients[DOOR_SERVICES]; /* shared by all callers */
    struct map *callers;                   /* peer -> struct caller */
    struct link leaving;
    struct timer reap;
    struct link relayed;
    size_t polls, shorts;
    uint64_t total, busy;
};

static bool is_poll(Pb__Service__Name service)
{
    return service == PB__SERVICE__NAME__JOBSTORE_POLL || service == PB__SERVICE__NAME__EVALBROKER;
}

static void relayed_end(struct relayed *x)
{
    (*x->count)--;
    list_remove(&x->link);
    free(x);
}

static void on_answer(void *owner, const struct response *r)
{
    struct relayed *x = owner;
    struct request *req = x->req;
    relayed_end(x);
    request_relay(req, r);
}

static void on_caller_gone(void *owner, struct request *req)
{
    struct relayed *x = owner;
    call_cancel(x->call);
    relayed_end(x);
}

static struct client *caller_client(struct door_relay *d, uint32_t peer)
{
    struct reason why;
    struct caller *c = map_get(d->callers, &peer, sizeof(peer));
    if (c != NULL)
        return c->evalbroker;
    c = xcalloc(1, sizeof(*c));
    c->peer = peer;
    if (client_open(&c->evalbroker, d->loop, d->options.addresses[PB__SERVICE__NAME__EVALBROKER],
                    &why) != OK) {
        free(c);
        return NULL;
    }
    map_put(d->callers, &c->peer, sizeof(c->peer), c);
    return c->evalbroker;
}

static struct client *client_for(struct door_relay *d, const struct request *req)
{
    unsigned service = request_envelope(req)->service;
    if (service >= DOOR_SERVICES || d->clients[service] == NULL)
        return NULL;
    if (service == PB__SERVICE__NAME__EVALBROKER)
        return caller_client(d, request_peer(req));
    return d->clients[service];
}

void door_relay(struct door_relay *d, struct request *req)
{
    const Pb__Request *e = request_envelope(req);
    uint64_t now = loop_now_ms(d->loop), until = request_deadline_ms(req);
    bool poll = is_poll(e->service);
    struct client *to = client_for(d, req);
    size_t *count = poll ? &d->polls : &d->shorts;
    if (to == NULL) {
        request_fail(req, PB__REPLY__CODE__INVALID, "there is no daemon %u behind this door",
                     (unsigned)e->service);
        return;
    }
    if (*count >= (poll ? d->options.max_polls : d->options.max_short)) {
        d->busy++;
        request_fail(req, PB__REPLY__CODE__BUSY, "%zu requests are being relayed already", *count);
        return;
    }
    struct relayed *x = xcalloc(1, sizeof(*x));
    ProtobufCBinaryData payload = request_payload(req);
    *x = (struct relayed){.door = d, .req = req, .count = count};
    (*count)++;
    d->total++;
    list_push_back(&d->relayed, &x->link);
    request_park(req, on_caller_gone, x);
    x->call = client_call(to, &(struct call_options){
                                  .method = e->method,
                                  .raw = &payload,
                                  .raw_reply = true,
                                  .budget_ms = until > now ? (uint32_t)(until - now) : 1,
                                  .id = request_id(req),
                                  .region = e->region,
                                  .namespace = e->namespace_,
                                  .token = e->token,
                                  .done = on_answer,
                                  .owner = x,
                              });
}

static void caller_free(struct caller *c)
{
    client_close(c->evalbroker);
    free(c);
}

static void on_reap(void *owner)
{
    struct door_relay *d = owner;
    struct caller *c;
    list_each(&d->leaving, struct caller, link, c)
    {
        list_remove(&c->link);
        caller_free(c);
    }
}

void door_peer_gone(struct door_relay *d, uint32_t peer)
{
    struct caller *c = map_remove(d->callers, &peer, sizeof(peer));
    if (c == NULL)
        return;
    list_push_back(&d->leaving, &c->link);
    timer_arm(d->loop, &d->reap, 0, on_reap, d);
}

enum err door_open(struct door_relay **out, struct loop *l, const struct door_options *o,
                   struct reason *why)
{
    struct door_relay *d = xcalloc(1, sizeof(*d));
    enum err e = OK;
    d->loop = l;
    d->options = *o;
    d->callers = map_new();
    list_init(&d->leaving);
    list_init(&d->relayed);
    for (size_t i = 0; e == OK && i < DOOR_SERVICES; i++)
        if (o->addresses[i] != NULL && o->addresses[i][0] != '\0')
            e = client_open(&d->clients[i], l, o->addresses[i], why);
    if (e == OK)
        *out = d;
    else
        door_close(d);
    return e;
}

void door_close(struct door_relay *d)
{
    if (d == NULL)
        return;
    struct relayed *x;
    list_each(&d->relayed, struct relayed, link, x)
    {
        call_cancel(x->call);
        relayed_end(x);
    }
    timer_cancel(d->loop, &d->reap);
    on_reap(d);
    size_t i = 0;
    void *c;
    while (map_next(d->callers, &i, NULL, NULL, &c))
        caller_free(c);
    map_free(d->callers);
    for (i = 0; i < DOOR_SERVICES; i++)
        client_close(d->clients[i]);
    free(d);
}

void door_stats(const struct door_relay *d, struct door_stats *out)
{
    *out = (struct door_stats){.relayed = d->total,
                               .busy = d->busy,
                               .polls = d->polls,
                               .shorts = d->shorts,
                               .callers = map_count(d->callers)};
}
