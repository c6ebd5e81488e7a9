#include "gossip.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct metric metrics[] = {
    {"gossip.members", PB__METRIC__KIND__GAUGE, "servers known, in every region", 0, 0, 0, 0},
};

struct metric *gossip_metrics(void *self, size_t *count)
{
    const struct gossip *g = self;
    metric_set(&metrics[0], (double)swim_members(g->swim)->n_members);
    *count = COUNT_OF(metrics);
    return metrics;
}

static void on_members(void *self, struct request *req)
{
    const struct gossip *g = self;
    request_reply(req, &swim_members(g->swim)->base, 0);
}

static const struct method methods[] = {
    {PB__GOSSIP__METHOD__MEMBERS, "members", &pb__empty__descriptor, on_members},
    DAEMON_METHODS,
    {0, NULL, NULL, NULL},
};

static enum err check_ports(const struct gossip *g, struct reason *why)
{
    const struct {
        const char *name;
        uint64_t port;
    } ports[] = {
        {"http_port", g->http_port}, {"rpc_port", g->rpc_port}, {"gossip_port", g->gossip_port}};
    for (size_t i = 0; i < COUNT_OF(ports); i++)
        if (ports[i].port == 0 || ports[i].port > 65535)
            return reason_set(why, ERR_INVALID, "%s is %llu; a port is between 1 and 65535",
                              ports[i].name, (unsigned long long)ports[i].port);
    return OK;
}

static struct swim *join_pool(const struct gossip *g)
{
    char host[256] = "localhost", full_name[600];
    if (g->name[0] != '\0')
        snprintf(host, sizeof(host), "%s", g->name);
    else if (gethostname(host, sizeof(host) - 1) != 0)
        snprintf(host, sizeof(host), "localhost");
    snprintf(full_name, sizeof(full_name), "%s.%s", host, g->region);
    struct id id = id_new();
    Pb__Member self = PB__MEMBER__INIT;
    self.name = full_name;
    self.region = (char *)g->region;
    self.datacenter = (char *)g->datacenter;
    self.address = (char *)g->address;
    self.has_gossip_port = self.has_rpc_port = self.has_http_port = self.has_id = 1;
    self.gossip_port = (uint32_t)g->gossip_port;
    self.rpc_port = (uint32_t)g->rpc_port;
    self.http_port = (uint32_t)g->http_port;
    self.id = (ProtobufCBinaryData){.len = ID_SIZE, .data = id.bytes};
    self.version = (char *)NORN_VERSION;
    return swim_new(&self);
}

enum err gossip_open(void *self, struct loop *l, struct reason *why)
{
    struct gossip *g = self;
    enum err e = check_ports(g, why);
    if (e != OK)
        return e;
    g->swim = join_pool(g);
    return server_open(&g->server, l, g->listen,
                       &(struct server_options){.methods = methods, .self = g}, why);
}

void gossip_drain(void *self, void (*drained)(void *arg), void *arg)
{
    struct gossip *g = self;
    swim_leave(g->swim);
    drained(arg);
}

void gossip_close(void *self)
{
    struct gossip *g = self;
    server_close(g->server);
    swim_free(g->swim);
}

void gossip_summary(void *self)
{
    const struct gossip *g = self;
    log_info("summary", "members=%zu", swim_members(g->swim)->n_members);
}
