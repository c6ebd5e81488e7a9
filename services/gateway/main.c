/* gateway: the only door. HTTP for people and programs, long polls for node agents.
 *
 * Hears     clients over HTTP; agents (register, heartbeat, poll, updates, files and logs);
 *           jobstore (changes of state); gossip, evalbroker, planqueue, controller (when asked)
 * Says      commands to jobstore; to controller, which nodes were heard from
 * Owns      nothing durable: open requests, and a few names it could fetch again
 * Signals   TERM exits; USR1 logs a summary
 * Exits     0 asked to stop, 1 failed, 2 bad usage or settings (do not restart), abort: a bug */
#include "base/log.h"
#include "daemon/daemon.h"
#include "gateway.h"
#include "watch.h"
#include <inttypes.h>

static const struct setting settings[] = {
    SETTING(gateway, listen, ADDR, "ipc:///run/norn/gateway.sock", "where agents ask"),
    SETTING(gateway, listen_poll, ADDR, "ipc:///run/norn/gateway-poll.sock",
            "where agents wait for news"),
    SETTING(gateway, listen_rpc, TEXT, "",
            "the door for other hosts (servers, schedworkers, agents), such as "
            "tcp://10.0.0.1:4647; empty: none"),
    SETTING(gateway, http, TEXT, "127.0.0.1:4646", "host:port of the HTTP API"),
    SETTING(gateway, jobstore, ADDR, "ipc:///run/norn/jobstore.sock",
            "where state is read and written"),
    SETTING(gateway, jobstore_poll, ADDR, "ipc:///run/norn/jobstore-poll.sock",
            "where changes of state are told"),
    SETTING(gateway, controller, ADDR, "ipc:///run/norn/controller.sock",
            "who watches the heartbeats of nodes"),
    SETTING(gateway, evalbroker, ADDR, "ipc:///run/norn/evalbroker.sock", "asked for its metrics"),
    SETTING(gateway, planqueue, ADDR, "ipc:///run/norn/planqueue.sock", "asked for its metrics"),
    SETTING(gateway, gossip, ADDR, "ipc:///run/norn/gossip.sock", "asked for members and regions"),
    SETTING(gateway, region, TEXT, "global", "the region this server belongs to"),
    SETTING(gateway, datacenter, TEXT, "dc1", "the datacenter this server is in"),
    SETTING(gateway, name, TEXT, "norn", "the name of this server, as clients see it"),
    SETTING(gateway, known_servers, LIST, "",
            "servers known without gossip, with their doors: NAME.REGION=tcp://10.0.0.2:4647"),
    SETTING(gateway, max_connections, COUNT, "2048",
            "HTTP connections at once; of more, the one silent for longest is closed"),
    SETTING(gateway, max_body, SIZE, "4MiB", "bytes of one request's body; more is 413"),
    SETTING(gateway, max_bodies, SIZE, "64MiB", "bytes of all bodies held at once; more is 503"),
    SETTING(gateway, idle_ms, MSEC, "120s", "a connection that says nothing for so long is closed"),
    SETTING(gateway, max_nodes, COUNT, "20000", "agents connected at once"),
    SETTING(
        gateway, max_relayed, COUNT, "4096",
        "requests of other hosts relayed at once, long polls and short ones each; more are BUSY"),
    SETTING_END,
};

static void summary(void *self)
{
    const struct gateway *g = self;
    struct http_stats http;
    http_stats(g->web, &http);
    log_info("summary",
             "requests=%" PRIu64 " errors=%" PRIu64 " connections=%" PRIu64 " open=%" PRIu64
             " waiting=%zu writes=%" PRIu64,
             http.requests, http.errors, http.connections, http.open, watchers_count(g->watchers),
             g->counted.writes);
}

const struct service gateway_service = {
    .name = "gateway",
    .summary = "the door of the cluster: the HTTP API, and the agents' long polls",
    .size = sizeof(struct gateway),
    .settings = settings,
    .open = gateway_open,
    .start = gateway_start,
    .close = gateway_close,
    .summary_log = summary,
    .metrics = gateway_metrics,
};

DAEMON_MAIN(gateway_service)
