#include "courier.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "net/tls.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_PEERS   128u
#define MOST_CALLS   32u /* to one peer at once */
#define BUDGET_MS    1500u
#define SYNC_MS      5000u
#define FRESH_MS     500u
#define MOST_ADDRESS 300u

struct peer {
    struct link link; /* in courier->peers, the least used first */
    char address[MOST_ADDRESS];
    struct client *client;
    uint64_t opened_ms;
    struct link sendings; /* under way */
    uint32_t calls;       /* how many */
    char reason[160];
};

struct courier {
    struct loop *loop;
    struct courier_options options;
    struct map *by_address;
    struct link peers;
    struct link doomed; /* peers to be freed at the end of the turn: we may be in one's callback */
    struct step sweep;
    uint64_t dropped;
};

struct sending {
    struct link link;
    struct courier *courier;
    struct peer *peer;
};

struct courier *courier_open(struct loop *l, const struct courier_options *o)
{
    struct courier *c = xcalloc(1, sizeof *c);
    c->loop = l;
    c->options = *o;
    c->by_address = map_new();
    list_init(&c->peers);
    list_init(&c->doomed);
    return c;
}

static void peer_free(struct peer *p)
{
    struct sending *s;
    list_remove(&p->link);
    if (p->client != NULL)
        client_close(p->client);
    list_each(&p->sendings, struct sending, link, s) free(s);
    free(p);
}

static void sweep(void *owner)
{
    struct courier *c = owner;
    struct peer *p;
    list_each(&c->doomed, struct peer, link, p) peer_free(p);
}

static void peer_doom(struct courier *c, struct peer *p)
{
    map_remove(c->by_address, p->address, strlen(p->address));
    list_remove(&p->link);
    list_push_back(&c->doomed, &p->link);
    step_mark(c->loop, &c->sweep, sweep, c);
}

void courier_close(struct courier *c)
{
    struct peer *p;
    if (c == NULL)
        return;
    step_cancel(&c->sweep);
    sweep(c);
    list_each(&c->peers, struct peer, link, p) peer_free(p);
    map_free(c->by_address);
    free(c);
}

/* Others say where they are; that it is by our own kind of network is for us to say. */
static bool full_address(const struct courier *c, const char *address, char out[MOST_ADDRESS])
{
    const char *scheme = strstr(c->options.listen, "://");
    int own = scheme == NULL ? 0 : (int)(scheme - c->options.listen);
    if (strchr(address, '#') != NULL || strstr(address, "://") != NULL)
        return false;
    int n = snprintf(out, MOST_ADDRESS, "%.*s://%s", own, c->options.listen, address);
    return n > 0 && n < (int)MOST_ADDRESS;
}

static void peer_dial(struct courier *c, struct peer *p)
{
    char full[MOST_ADDRESS];
    struct reason why = {"this is no address of a server: HOST:PORT is"};
    if (!full_address(c, p->address, full) ||
        client_open_to(&p->client, c->loop, full, PEER_SERVER | PEER_FOREIGN_SERVER, &why) != OK)
        snprintf(p->reason, sizeof p->reason, "%.150s", why.text);
    p->opened_ms = loop_now_ms(c->loop);
}

static struct peer *peer_at(struct courier *c, const char *address)
{
    struct peer *p = map_get(c->by_address, address, strlen(address));
    if (p != NULL || strlen(address) >= sizeof p->address)
        return p;
    struct peer *oldest = list_first(&c->peers, struct peer, link);
    if (map_count(c->by_address) >= MOST_PEERS && oldest != NULL)
        peer_doom(c, oldest);
    p = xcalloc(1, sizeof *p);
    list_init(&p->sendings);
    snprintf(p->address, sizeof p->address, "%s", address);
    map_put(c->by_address, p->address, strlen(p->address), p);
    list_push_back(&c->peers, &p->link);
    peer_dial(c, p);
    return p;
}

static void on_answer(void *owner, const struct response *r)
{
    struct sending *s = owner;
    struct courier *c = s->courier;
    const Pb__GossipPacket *p = (const Pb__GossipPacket *)r->body;
    bool refused = r->code == PB__REPLY__CODE__DENIED || r->code == PB__REPLY__CODE__INVALID;
    s->peer->calls--;
    if (refused && strncmp(s->peer->reason, r->reason, 150) != 0)
        log_warn("peer_refuses", "address=%s reason=%s", log_quote(s->peer->address),
                 log_quote(r->reason));
    snprintf(s->peer->reason, sizeof s->peer->reason, "%.150s",
             r->code == PB__REPLY__CODE__OK ? "" : r->reason);
    list_remove(&s->link);
    free(s);
    if (r->code == PB__REPLY__CODE__OK && p != NULL && p->has_kind)
        c->options.answered(c->options.self, p);
}

void courier_send(struct courier *c, const char *address, const Pb__GossipPacket *packet)
{
    struct peer *p = peer_at(c, address);
    if (p == NULL || p->client == NULL || p->calls >= MOST_CALLS) {
        c->dropped++;
        return;
    }
    list_remove(&p->link);
    list_push_back(&c->peers, &p->link);
    struct sending *s = xcalloc(1, sizeof *s);
    s->courier = c;
    s->peer = p;
    list_push_back(&p->sendings, &s->link);
    p->calls++;
    bool sync = packet->kind == PB__GOSSIP_PACKET__KIND__SYNC;
    client_call(p->client, &(struct call_options){.method = PB__GOSSIP__METHOD__PACKET,
                                                  .body = &packet->base,
                                                  .reply = &pb__gossip_packet__descriptor,
                                                  .budget_ms = sync ? SYNC_MS : BUDGET_MS,
                                                  .done = on_answer,
                                                  .owner = s});
}

void courier_hurry(struct courier *c, const char *address)
{
    struct peer *p = map_get(c->by_address, address, strlen(address));
    if (p == NULL || (p->client != NULL && client_is_connected(p->client)) ||
        loop_now_ms(c->loop) < p->opened_ms + FRESH_MS)
        return;
    peer_doom(c, p);
    peer_at(c, address);
}

const char *courier_reason(const struct courier *c, const char *address)
{
    const struct peer *p = map_get(c->by_address, address, strlen(address));
    return p == NULL ? "" : p->reason;
}

uint64_t courier_dropped(const struct courier *c)
{
    return c->dropped;
}
