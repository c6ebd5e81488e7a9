#include "peers.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUDGET_MS 1000u

enum peer { EVALBROKER, PLANQUEUE, GOSSIP, PEER_COUNT };

struct peers {
    struct client *clients[PEER_COUNT]; /* NULL: not configured */
};

enum err peers_open(struct gateway *g, struct reason *why)
{
    const char *addresses[PEER_COUNT] = {
        [EVALBROKER] = g->evalbroker, [PLANQUEUE] = g->planqueue, [GOSSIP] = g->gossip};
    struct peers *p = g->peers = xcalloc(1, sizeof(*p));
    for (int i = 0; i < PEER_COUNT; i++) {
        if (addresses[i] == NULL || addresses[i][0] == '\0')
            continue;
        enum err e = client_open(&p->clients[i], g->loop, addresses[i], why);
        if (e != OK)
            return e;
    }
    return OK;
}

void peers_close(struct peers *p)
{
    if (p == NULL)
        return;
    for (int i = 0; i < PEER_COUNT; i++)
        if (p->clients[i] != NULL)
            client_close(p->clients[i]);
    free(p);
}

struct client *peers_gossip(const struct peers *p)
{
    return p->clients[GOSSIP];
}

struct client *peers_evalbroker(const struct peers *p)
{
    return p->clients[EVALBROKER];
}

/* ---- members, status */

struct asking {
    union {
        peers_members_fn *members;
        peers_status_fn *status;
    } done;
    void *owner;
};

static void on_members(void *owner, const struct response *r)
{
    struct asking *a = owner;
    a->done.members(a->owner, r->code == PB__REPLY__CODE__OK ? (const Pb__Members *)r->body : NULL);
    free(a);
}

void peers_members(struct gateway *g, peers_members_fn *done, void *owner)
{
    const struct client *gossip = g->peers->clients[GOSSIP];
    if (gossip == NULL || !client_is_connected(gossip)) {
        done(owner, NULL);
        return;
    }
    struct asking *a = xcalloc(1, sizeof(*a));
    a->done.members = done;
    a->owner = owner;
    client_call(g->peers->clients[GOSSIP],
                &(struct call_options){.method = PB__GOSSIP__METHOD__MEMBERS,
                                       .reply = &pb__members__descriptor,
                                       .budget_ms = BUDGET_MS,
                                       .done = on_members,
                                       .owner = a});
}

static void on_status(void *owner, const struct response *r)
{
    struct asking *a = owner;
    a->done.status(a->owner,
                   r->code == PB__REPLY__CODE__OK ? (const Pb__JobstoreStatus *)r->body : NULL);
    free(a);
}

void peers_status(struct gateway *g, peers_status_fn *done, void *owner)
{
    struct asking *a = xcalloc(1, sizeof(*a));
    a->done.status = done;
    a->owner = owner;
    client_call(g->jobstore_client,
                &(struct call_options){.method = PB__JOBSTORE__METHOD__STATUS,
                                       .reply = &pb__jobstore_status__descriptor,
                                       .budget_ms = BUDGET_MS,
                                       .done = on_status,
                                       .owner = a});
}

/* ---- numbers of all */

struct gathering {
    void (*one)(void *owner, const Pb__Metrics *m);
    void (*end)(void *owner);
    void *owner;
    size_t awaited;
};

static void on_metrics(void *owner, const struct response *r)
{
    struct gathering *a = owner;
    if (r->code == PB__REPLY__CODE__OK && r->body != NULL)
        a->one(a->owner, (const Pb__Metrics *)r->body);
    if (--a->awaited > 0)
        return;
    a->end(a->owner);
    free(a);
}

void peers_metrics(struct gateway *g, void (*one)(void *owner, const Pb__Metrics *m),
                   void (*end)(void *owner), void *owner)
{
    struct client *all[PEER_COUNT + 2];
    size_t n = 0;
    all[n++] = g->jobstore_client;
    if (client_is_connected(g->controller_client))
        all[n++] = g->controller_client;
    for (int i = 0; i < PEER_COUNT; i++)
        if (g->peers->clients[i] != NULL && client_is_connected(g->peers->clients[i]))
            all[n++] = g->peers->clients[i];
    struct gathering *a = xcalloc(1, sizeof(*a));
    *a = (struct gathering){.one = one, .end = end, .owner = owner, .awaited = n};
    for (size_t i = 0; i < n; i++)
        client_call(all[i], &(struct call_options){.method = PB__DAEMON__METHOD__METRICS,
                                                   .reply = &pb__metrics__descriptor,
                                                   .budget_ms = BUDGET_MS,
                                                   .done = on_metrics,
                                                   .owner = a});
}
