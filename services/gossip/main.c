/* gossip: who is alive, in every region.
 *
 * Hears     the gossip of other servers; gateway, jobstore (who are the members?)
 * Owns      the list of members; nothing durable
 * Survives  anything: the list is made anew
 * Signals   TERM leaves the pool, then exits; HUP reloads settings; USR1 logs a summary
 * Exits     0 asked to stop, 1 failed, 2 bad usage or settings (do not restart), abort: a bug */
#include "gossip.h"

static const struct setting settings[] = {
    SETTING(gossip, listen, ADDR, "ipc:///run/norn/gossip.sock", "where requests are taken"),
    SETTING(gossip, listen_gossip, TEXT, "",
            "where other servers reach this one, such as tls+tcp://10.0.0.1:4648; empty: it is "
            "alone"),
    SETTING(gossip, name, TEXT, "",
            "name of this server, no other may have it; empty: the host's name"),
    SETTING(gossip, region, TEXT, "global", "region of this server"),
    SETTING(gossip, datacenter, TEXT, "dc1", "datacenter of this server"),
    SETTING(gossip, address, TEXT, "127.0.0.1", "address at which others reach this server"),
    SETTING(gossip, http_port, COUNT, "4646", "port of this server's HTTP API"),
    SETTING(gossip, rpc_port, COUNT, "4647", "port of this server's door for agents and servers"),
    SETTING(gossip, gossip_port, COUNT, "4648", "port of this server's gossip"),
    SETTING(gossip, advertise_gossip, TEXT, "",
            "HOST:PORT told to others; empty: address and gossip_port"),
    SETTING(gossip, advertise_rpc, TEXT, "",
            "HOST:PORT of this server's door; empty: address and rpc_port"),
    SETTING(gossip, advertise_http, TEXT, "",
            "HOST:PORT of this server's HTTP API; empty: address and http_port"),
    SETTING(gossip, advertise_raft, TEXT, "",
            "HOST:PORT of jobstore's listen_raft; empty: it takes part in no consensus"),
    SETTING(gossip, join, LIST, "",
            "HOST:PORT of other servers' gossip; tried for as long as nobody is found"),
    SETTING(gossip, jobstore, TEXT, "ipc:///run/norn/jobstore.sock",
            "asked for this server's raft id, unless alone; empty: nobody is"),
    SETTING(gossip, bootstrap_expect, COUNT, "0",
            "servers that are to form the region's first cluster; 0: not told"),
    SETTING(gossip, non_voting, BOOL, "false", "this server shall only follow, without a vote"),
    SETTING(gossip, probe_ms, MSEC, "400ms",
            "time to answer; what is silent for seven to nine times that has failed"),
    SETTING(gossip, reap_ms, MSEC, "24h", "failed and left servers are forgotten after this"),
    SETTING_END,
};

const struct service gossip_service = {
    .name = "gossip",
    .summary = "knows which servers are alive",
    .size = sizeof(struct gossip),
    .settings = settings,
    .open = gossip_open,
    .start = gossip_start,
    .drain = gossip_drain,
    .close = gossip_close,
    .summary_log = gossip_summary,
    .metrics = gossip_metrics,
};

DAEMON_MAIN(gossip_service)
