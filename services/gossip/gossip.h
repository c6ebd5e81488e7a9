#ifndef GOSSIP_GOSSIP_H
#define GOSSIP_GOSSIP_H

#include "courier.h"
#include "daemon/daemon.h"
#include "swim.h"

struct gossip {
    /* settings */
    const char *listen;
    const char *listen_gossip;
    const char *name;
    const char *region;
    const char *datacenter;
    const char *address;
    const char *advertise_gossip, *advertise_rpc, *advertise_http, *advertise_raft;
    const char *join;
    const char *jobstore;
    uint64_t http_port, rpc_port, gossip_port;
    uint64_t bootstrap_expect;
    bool non_voting;
    uint64_t probe_ms, reap_ms;

    struct loop *loop;
    struct server *server;        /* of this server's daemons */
    struct server *gossip_server; /* of other servers; NULL: we are alone */
    struct courier *courier;
    struct client *jobstore_client;
    struct swim *swim;
    struct timer tick, rejoin, identity, left;
    struct link waiting; /* MEMBERS that wait for news */
    size_t waiting_count;
    struct link joinings; /* JOIN under way */
    size_t joining_count;
    char full_name[SWIM_MAX_TEXT + 1], host[SWIM_MAX_TEXT + 1], own_address[SWIM_MAX_TEXT + 1];
    struct id id;
    uint64_t raft_id;
    uint32_t rejoin_delay_ms;
    void (*drained)(void *arg);
    void *drained_arg;
    uint64_t drain_until_ms;
    uint64_t refused, accused, conflicts, told_refused_ms;
};

enum err gossip_open(void *self, struct loop *l, struct reason *why);
enum err gossip_start(void *self, struct loop *l, struct reason *why);
void gossip_drain(void *self, void (*drained)(void *arg), void *arg);
void gossip_close(void *self);
void gossip_summary(void *self);
struct metric *gossip_metrics(void *self, size_t *count);

/* ---- gossip.c */
/* Carries out what the core wants, but for answer, which has its own way. */
void gossip_carry_out(struct gossip *g, const Pb__GossipPacket *answer);
/* After each event of the core: the same for all, and looks when it wants to be called. */
void gossip_settle(struct gossip *g);

/* ---- identity.c: what this server says of itself */
enum err identity_check(const struct gossip *g, struct reason *why);
void identity_make(struct gossip *g, Pb__Member *out); /* texts are g's */
void identity_ask(void *gossip);                       /* jobstore, for the raft id; and again */

/* ---- requests.c: what the daemons of this server and other servers ask */
extern const struct method gossip_methods[], gossip_pool_methods[];
void requests_news(struct gossip *g); /* the members may have changed */
void requests_joined(struct gossip *g, uint64_t sequence);
void requests_close(struct gossip *g);

#endif
