#ifndef GOSSIP_GOSSIP_H
#define GOSSIP_GOSSIP_H

#include "daemon/daemon.h"
#include "swim.h"

struct gossip {
    /* settings */
    const char *listen;
    const char *name;
    const char *region;
    const char *datacenter;
    const char *address;
    uint64_t http_port, rpc_port, gossip_port;

    struct server *server;
    struct swim *swim;
};

enum err gossip_open(void *self, struct loop *l, struct reason *why);
void gossip_drain(void *self, void (*drained)(void *arg), void *arg);
void gossip_close(void *self);
void gossip_summary(void *self);
struct metric *gossip_metrics(void *self, size_t *count);

#endif
