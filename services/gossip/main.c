/* gossip: who is alive, in every region.
 *
 * Hears     gateway (who are the members?)
 * Owns      the list of members; nothing durable
 * Survives  anything: the list is made anew
 * Signals   TERM leaves the pool, then exits; USR1 logs a summary
 * Exits     0 asked to stop, 1 failed, 2 bad usage or settings (do not restart), abort: a bug */
#include "gossip.h"

static const struct setting settings[] = {
    SETTING(gossip, listen, ADDR, "ipc:///run/norn/gossip.sock", "where requests are taken"),
    SETTING(gossip, name, TEXT, "", "name of this server; empty: the host's name"),
    SETTING(gossip, region, TEXT, "global", "region of this server"),
    SETTING(gossip, datacenter, TEXT, "dc1", "datacenter of this server"),
    SETTING(gossip, address, TEXT, "127.0.0.1", "address at which others reach this server"),
    SETTING(gossip, http_port, COUNT, "4646", "port of this server's HTTP API"),
    SETTING(gossip, rpc_port, COUNT, "4647", "port of this server's door for agents and servers"),
    SETTING(gossip, gossip_port, COUNT, "4648", "port of this server's gossip"),
    SETTING_END,
};

const struct service gossip_service = {
    .name = "gossip",
    .summary = "knows which servers are alive",
    .size = sizeof(struct gossip),
    .settings = settings,
    .open = gossip_open,
    .drain = gossip_drain,
    .close = gossip_close,
    .summary_log = gossip_summary,
    .metrics = gossip_metrics,
};

DAEMON_MAIN(gossip_service)
