/* What the files of the gateway share: the service, its connections to the other daemons, and what
 * it knows by heart. */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "agents.h"
#include "base/err.h"
#include "base/list.h"
#include "daemon/daemon.h"
#include "feed/feed.h"
#include "http.h"
#include "jobstore.pb-c.h"
#include "loop/loop.h"
#include "net/net.h"
#include <stdbool.h>
#include <stdint.h>

struct names; /* names.h */
struct door_relay;
struct forward;
struct served;
struct leader;
struct roster;
struct wholeads;
struct watchers;
struct peers;
struct readers;

struct gateway {
    /* settings */
    const char *listen, *listen_poll, *listen_rpc, *http;
    const char *jobstore, *jobstore_poll, *evalbroker, *planqueue, *controller, *gossip;
    const char *region, *datacenter, *name, *known_servers;
    uint64_t max_connections, max_body, max_bodies, idle_ms, max_nodes, max_relayed;
    /* running */
    struct loop *loop;
    struct server *door, *poll_door, *rpc_door; /* rpc_door NULL: not wanted */
    struct door_relay *relay;
    char full_name[300]; /* "NAME.REGION" */
    struct roster *roster;
    struct leader *leader;
    struct wholeads *wholeads;
    struct forward *forward;
    struct served *served;
    struct http *web;
    struct client *jobstore_client, *controller_client;
    struct agents *agents;
    struct feed *feed; /* ALLOCS and NODES: for the agents and for everyone who waits on them */
    struct watchers *watchers;
    struct names *names;
    struct peers *peers;
    struct link queries;     /* open reads, to be ended at close */
    struct readers *readers; /* feeds.c */
    bool jobstore_up, feed_synced;
    uint64_t started_ms;
    struct metric *metrics;
    struct {
        uint64_t reads, writes, refused, blocked;
    } counted;
};

enum err gateway_open(void *self, struct loop *l, struct reason *why);
enum err gateway_start(void *self, struct loop *l, struct reason *why);
void gateway_close(void *self);
struct metric *gateway_metrics(void *self, size_t *count);

/* ---- asking jobstore: the leader's, or, for what may be a little old (stale), that of our own
 * server. The response is borrowed until done returns. */
void gateway_get(struct gateway *g, bool stale, const Pb__Key *key, response_fn *done, void *owner);
void gateway_list(struct gateway *g, bool stale, const Pb__List *list, response_fn *done,
                  void *owner);
void gateway_apply(struct gateway *g, const Pb__Command *command, response_fn *done, void *owner);

#endif
