#include "gossip.h"
#include "jobstore.pb-c.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_MS       1000u
#define ASK_AGAIN_MS 10000u

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "localhost") == 0 ||
           strncmp(host, "[::1]", 5) == 0;
}

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

/* "HOST:PORT", without a scheme: how it is spoken to, others know by their own settings. */
static enum err check_advertised(const char *name, const char *text, struct reason *why)
{
    const char *colon = strrchr(text, ':');
    if (text[0] == '\0')
        return OK;
    if (strlen(text) > SWIM_MAX_TEXT || strstr(text, "://") != NULL || colon == NULL ||
        colon == text || strtoul(colon + 1, NULL, 10) == 0 || strtoul(colon + 1, NULL, 10) > 65535)
        return reason_set(why, ERR_INVALID,
                          "%s is \"%.100s\"; an address of the form HOST:PORT, such as "
                          "10.0.0.1:4648, is wanted",
                          name, text);
    return OK;
}

/* Others would be told an address at which they find themselves. */
static enum err check_reach(const struct gossip *g, struct reason *why)
{
    const char *host = strstr(g->listen_gossip, "://");
    if (host == NULL || strncmp(g->listen_gossip, "ipc", 3) == 0)
        return g->listen_gossip[0] == '\0'
                   ? OK
                   : reason_set(why, ERR_INVALID,
                                "listen_gossip is \"%.100s\"; tls+tcp://HOST:PORT is wanted, or "
                                "tcp://HOST:PORT where nothing shall be encrypted",
                                g->listen_gossip);
    if (!is_loopback(host + 3) && is_loopback(g->address) && g->advertise_gossip[0] == '\0')
        return reason_set(why, ERR_INVALID,
                          "listen_gossip is %.100s, but address is %.60s, which means another "
                          "machine on each: set address to that of this machine",
                          g->listen_gossip, g->address);
    return OK;
}

enum err identity_check(const struct gossip *g, struct reason *why)
{
    const struct {
        const char *name, *text;
    } advertised[] = {{"advertise_gossip", g->advertise_gossip},
                      {"advertise_rpc", g->advertise_rpc},
                      {"advertise_http", g->advertise_http},
                      {"advertise_raft", g->advertise_raft}};
    enum err e = check_ports(g, why);
    for (size_t i = 0; e == OK && i < COUNT_OF(advertised); i++)
        e = check_advertised(advertised[i].name, advertised[i].text, why);
    if (e == OK)
        e = check_reach(g, why);
    if (e == OK && (strlen(g->full_name) >= SWIM_MAX_TEXT || strlen(g->address) > SWIM_MAX_TEXT))
        e = reason_set(why, ERR_INVALID, "name, region or address is longer than %u bytes",
                       SWIM_MAX_TEXT);
    if (e == OK && (g->bootstrap_expect > 9 || g->probe_ms < 50 || g->probe_ms > 60000))
        e = reason_set(why, ERR_INVALID,
                       "bootstrap_expect is %llu, 0 to 9 is wanted; probe_ms is %llu, 50 to 60000 "
                       "is wanted",
                       (unsigned long long)g->bootstrap_expect, (unsigned long long)g->probe_ms);
    return e;
}

static char *if_any(const char *text)
{
    return text[0] == '\0' ? NULL : (char *)(uintptr_t)text;
}

void identity_make(struct gossip *g, Pb__Member *out)
{
    pb__member__init(out);
    out->name = g->full_name;
    out->region = (char *)(uintptr_t)g->region;
    out->datacenter = (char *)(uintptr_t)g->datacenter;
    out->address = (char *)(uintptr_t)g->address;
    out->has_gossip_port = out->has_rpc_port = out->has_http_port = out->has_id = 1;
    out->gossip_port = (uint32_t)g->gossip_port;
    out->rpc_port = (uint32_t)g->rpc_port;
    out->http_port = (uint32_t)g->http_port;
    out->id = (ProtobufCBinaryData){.len = ID_SIZE, .data = g->id.bytes};
    out->version = (char *)(uintptr_t)NORN_VERSION;
    out->gossip_address = g->own_address;
    out->rpc_address = if_any(g->advertise_rpc);
    out->http_address = if_any(g->advertise_http);
    out->raft_address = if_any(g->advertise_raft);
    out->has_raft_id = g->raft_id != 0;
    out->raft_id = g->raft_id;
    out->has_bootstrap_expect = g->bootstrap_expect != 0;
    out->bootstrap_expect = (uint32_t)g->bootstrap_expect;
    out->has_non_voting = g->non_voting;
    out->non_voting = g->non_voting;
}

static void on_status(void *owner, const struct response *r)
{
    struct gossip *g = owner;
    const Pb__JobstoreStatus *status = (const Pb__JobstoreStatus *)r->body;
    bool known = r->code == PB__REPLY__CODE__OK && status != NULL && status->raft_id != 0;
    timer_arm(g->loop, &g->identity, known ? ASK_AGAIN_MS : ASK_MS, identity_ask, g);
    if (!known || status->raft_id == g->raft_id)
        return;
    Pb__Member self;
    g->raft_id = status->raft_id;
    identity_make(g, &self);
    swim_update(g->swim, &self, loop_now_ms(g->loop));
    gossip_settle(g);
}

void identity_ask(void *gossip)
{
    struct gossip *g = gossip;
    client_call(g->jobstore_client,
                &(struct call_options){.method = PB__JOBSTORE__METHOD__STATUS,
                                       .reply = &pb__jobstore_status__descriptor,
                                       .budget_ms = ASK_MS,
                                       .done = on_status,
                                       .owner = g});
}
