#include "gateway.h"
#include "base/log.h"
#include "door.h"
#include "feeds.h"
#include "forward.h"
#include "gateway.pb-c.h"
#include "jobstore.pb-c.h"
#include "leader.h"
#include "names.h"
#include "peers.h"
#include "query.h"
#include "roster.h"
#include "routes.h"
#include "served.h"
#include "watch.h"
#include "wholeads.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_BUDGET_MS  5000u /* as long as Nomad looks for a leader */
#define WRITE_BUDGET_MS 10000u

/* ---- asking jobstore */

static void read(struct gateway *g, bool stale, const struct call_options *o)
{
    if (stale)
        client_call(g->jobstore_client, o);
    else
        leader_call(g->leader, PB__SERVICE__NAME__JOBSTORE, o);
}

void gateway_get(struct gateway *g, bool stale, const Pb__Key *key, response_fn *done, void *owner)
{
    Pb__Key k = *key;
    k.has_consistent = k.consistent = !stale;
    read(g, stale,
         &(struct call_options){.method = PB__JOBSTORE__METHOD__GET,
                                .body = &k.base,
                                .reply = &pb__object__descriptor,
                                .budget_ms = READ_BUDGET_MS,
                                .retry = true,
                                .done = done,
                                .owner = owner});
}

void gateway_list(struct gateway *g, bool stale, const Pb__List *list, response_fn *done,
                  void *owner)
{
    Pb__List l = *list;
    l.has_consistent = l.consistent = !stale;
    read(g, stale,
         &(struct call_options){.method = PB__JOBSTORE__METHOD__LIST,
                                .body = &l.base,
                                .reply = &pb__objects__descriptor,
                                .budget_ms = READ_BUDGET_MS,
                                .retry = true,
                                .done = done,
                                .owner = owner});
}

void gateway_apply(struct gateway *g, const Pb__Command *command, response_fn *done, void *owner)
{
    leader_call(g->leader, PB__SERVICE__NAME__JOBSTORE,
                &(struct call_options){.method = PB__JOBSTORE__METHOD__APPLY,
                                       .body = &command->base,
                                       .reply = &pb__outcome__descriptor,
                                       .budget_ms = WRITE_BUDGET_MS,
                                       .retry = true,
                                       .done = done,
                                       .owner = owner});
}

/* ---- the doors: for this host, for long polls of this host, and for other hosts */

static void on_leader(void *self, struct request *req)
{
    struct gateway *g = self;
    wholeads_answer(g->wholeads, req);
}

static void on_http(void *self, struct request *req)
{
    struct gateway *g = self;
    served_on_http(g->served, req);
}

static void on_http_more(void *self, struct request *req)
{
    struct gateway *g = self;
    served_on_more(g->served, req);
}

static void on_http_input(void *self, struct request *req)
{
    struct gateway *g = self;
    served_on_input(g->served, req);
}

static void on_has_node(void *self, struct request *req)
{
    struct gateway *g = self;
    const Pb__HasNode *ask = (const Pb__HasNode *)request_body(req);
    if (ask->node_id.len == ID_SIZE && agents_is_connected(g->agents, ask->node_id.data))
        request_reply(req, NULL, 0);
    else
        request_fail(req, PB__REPLY__CODE__NOT_FOUND, "its agent is not connected here");
}

/* What agents ask is for the agents' part, whose own table has the rest of it. */
static void on_agents(void *self, struct request *req)
{
    struct gateway *g = self;
    agents_handle(g->agents, req);
}

static const struct method door_methods[] = {
    {PB__GATEWAY__METHOD__NODE_REGISTER, "node_register", &pb__node_register__descriptor,
     on_agents},
    {PB__GATEWAY__METHOD__HEARTBEAT, "heartbeat", &pb__heartbeat__descriptor, on_agents},
    {PB__GATEWAY__METHOD__NODE_POLL, "node_poll", &pb__node_poll__descriptor, on_agents},
    {PB__GATEWAY__METHOD__ALLOC_UPDATE, "alloc_update", &pb__alloc_updates__descriptor, on_agents},
    {PB__GATEWAY__METHOD__ALLOCS_KEPT, "allocs_kept", &pb__allocs_kept__descriptor, on_agents},
    {PB__GATEWAY__METHOD__NODE_LEAVE, "node_leave", &pb__node_leave__descriptor, on_agents},
    {PB__GATEWAY__METHOD__AGENT_RESULT, "agent_result", &pb__agent_result__descriptor, on_agents},
    {PB__GATEWAY__METHOD__AGENT_INPUT, "agent_input", &pb__agent_input_wait__descriptor, on_agents},
    {PB__GATEWAY__METHOD__LEADER, "leader", &pb__leader_wait__descriptor, on_leader},
    {PB__GATEWAY__METHOD__HTTP, "http", &pb__http_request__descriptor, on_http},
    {PB__GATEWAY__METHOD__HTTP_MORE, "http_more", &pb__http_more__descriptor, on_http_more},
    {PB__GATEWAY__METHOD__HTTP_INPUT, "http_input", &pb__http_input__descriptor, on_http_input},
    {PB__GATEWAY__METHOD__HAS_NODE, "has_node", &pb__has_node__descriptor, on_has_node},
    DAEMON_METHODS,
    {0, NULL, NULL, NULL},
};

/* Who is taken at the door for other hosts. Whose daemons the relayed requests are for: servers of
 * our region, which is what net takes without being told. */
enum {
    AGENTS = PEER_LOCAL | PEER_SERVER | PEER_CLIENT,
    SERVERS = PEER_LOCAL | PEER_SERVER,
    ANY_SERVER = SERVERS | PEER_FOREIGN_SERVER,
    ANYBODY = ANY_SERVER | PEER_CLIENT /* agents for one path: served.c */
};

static const struct restriction door_restrictions[] = {
    {PB__GATEWAY__METHOD__NODE_REGISTER, AGENTS},
    {PB__GATEWAY__METHOD__HEARTBEAT, AGENTS},
    {PB__GATEWAY__METHOD__NODE_POLL, AGENTS},
    {PB__GATEWAY__METHOD__ALLOC_UPDATE, AGENTS},
    {PB__GATEWAY__METHOD__AGENT_RESULT, AGENTS},
    {PB__GATEWAY__METHOD__ALLOCS_KEPT, AGENTS},
    {PB__GATEWAY__METHOD__LEADER, AGENTS},
    {PB__GATEWAY__METHOD__HTTP, ANYBODY},
    {PB__GATEWAY__METHOD__HTTP_MORE, ANYBODY},
    {PB__GATEWAY__METHOD__HAS_NODE, SERVERS},
    {PB__GATEWAY__METHOD__AGENT_INPUT, AGENTS},
    {PB__GATEWAY__METHOD__HTTP_INPUT, ANY_SERVER},
    {PB__GATEWAY__METHOD__NODE_LEAVE, AGENTS},
    {PB__DAEMON__METHOD__METRICS, SERVERS},
    {0, 0},
};

static void on_relay(void *self, struct request *req)
{
    struct gateway *g = self;
    door_relay(g->relay, req);
}

static void on_peer_gone(void *self, uint32_t peer)
{
    struct gateway *g = self;
    door_peer_gone(g->relay, peer);
}

static enum err open_rpc(struct gateway *g, struct reason *why)
{
    if (g->listen_rpc[0] == '\0')
        return OK;
    struct door_options o = {.max_polls = (uint32_t)g->max_relayed,
                             .max_short = (uint32_t)g->max_relayed,
                             .addresses = {[PB__SERVICE__NAME__JOBSTORE] = g->jobstore,
                                           [PB__SERVICE__NAME__JOBSTORE_POLL] = g->jobstore_poll,
                                           [PB__SERVICE__NAME__EVALBROKER] = g->evalbroker,
                                           [PB__SERVICE__NAME__PLANQUEUE] = g->planqueue,
                                           [PB__SERVICE__NAME__CONTROLLER] = g->controller,
                                           [PB__SERVICE__NAME__GOSSIP] = g->gossip}};
    enum err e = door_open(&g->relay, g->loop, &o, why);
    if (e != OK)
        return e;
    struct server_options so = {.methods = door_methods,
                                .self = g,
                                .max_parked = (uint32_t)(g->max_nodes + 2 * g->max_relayed + 1024),
                                .peer_gone = on_peer_gone,
                                .relay = on_relay,
                                .peers = PEER_SERVER | PEER_CLIENT | PEER_FOREIGN_SERVER,
                                .restricted = door_restrictions};
    return server_open(&g->rpc_door, g->loop, g->listen_rpc, &so, why);
}

/* ---- life */

static void on_leader_changed(void *self)
{
    struct gateway *g = self;
    log_info("leader", "here=%d term=%" PRIu64 " raft_id=%" PRIu64, leader_is_here(g->leader),
             leader_term(g->leader), leader_raft_id(g->leader));
    if (g->wholeads != NULL)
        wholeads_changed(g->wholeads);
}

static void on_roster_changed(void *self)
{
    struct gateway *g = self;
    if (g->leader != NULL)
        leader_roster_changed(g->leader);
    if (g->wholeads != NULL)
        wholeads_changed(g->wholeads);
}

static void on_reach(void *self, uint64_t index)
{
    struct gateway *g = self;
    if (g->feed != NULL)
        feed_reach(g->feed, index);
}

static enum err open_leader(struct gateway *g, struct reason *why)
{
    struct roster_options ro = {.gossip = peers_gossip(g->peers),
                                .region = g->region,
                                .self_name = g->full_name,
                                .peers = g->known_servers,
                                .listen_rpc = g->listen_rpc,
                                .self = g,
                                .changed = on_roster_changed};
    snprintf(g->full_name, sizeof(g->full_name), "%s.%s", g->name, g->region);
    enum err e = roster_open(&g->roster, g->loop, &ro, why);
    if (e != OK)
        return e;
    struct leader_options o = {
        .own = {[PB__SERVICE__NAME__JOBSTORE] = g->jobstore_client,
                [PB__SERVICE__NAME__CONTROLLER] = g->controller_client,
                [PB__SERVICE__NAME__EVALBROKER] = peers_evalbroker(g->peers)},
        .jobstore_poll = g->jobstore_poll,
        .roster = g->roster,
        .self = g,
        .changed = on_leader_changed};
    e = leader_open(&g->leader, g->loop, &o, why);
    if (e == OK)
        g->wholeads = wholeads_new(g->loop, g->leader, g->roster);
    return e;
}

static enum err open_doors(struct gateway *g, struct reason *why)
{
    uint32_t parked = (uint32_t)g->max_nodes + 1024;
    struct server_options o = {.methods = door_methods, .self = g, .max_parked = parked};
    enum err e = server_open(&g->door, g->loop, g->listen, &o, why);
    return e != OK ? e : server_open(&g->poll_door, g->loop, g->listen_poll, &o, why);
}

static enum err open_web(struct gateway *g, struct reason *why)
{
    struct http_options o = {.address = g->http,
                             .max_connections = g->max_connections,
                             .max_body = g->max_body,
                             .max_bodies = g->max_bodies,
                             .idle_ms = g->idle_ms,
                             .self = g,
                             .handle = routes_handle};
    enum err e = http_open(&g->web, g->loop, &o, why);
    if (e == OK)
        g->served = served_new(g->loop, g->web, g->max_connections);
    return e;
}

enum err gateway_open(void *self, struct loop *l, struct reason *why)
{
    struct gateway *g = self;
    enum err e;
    g->loop = l;
    g->started_ms = loop_now_ms(l);
    list_init(&g->queries);
    g->watchers = watchers_new(l);
    g->names = names_new(g);
    if ((e = client_open(&g->jobstore_client, l, g->jobstore, why)) != OK ||
        (e = client_open(&g->controller_client, l, g->controller, why)) != OK ||
        (e = peers_open(g, why)) != OK || (e = open_leader(g, why)) != OK)
        return e;
    g->agents = agents_open(l, &(struct agents_options){.jobstore = g->jobstore_client,
                                                        .leader = g->leader,
                                                        .roster = g->roster,
                                                        .self = g,
                                                        .reach = on_reach,
                                                        .max_nodes = g->max_nodes});
    g->forward = forward_new(l, g->roster);
    if ((e = open_web(g, why)) != OK || (e = open_doors(g, why)) != OK)
        return e;
    return open_rpc(g, why);
}

enum err gateway_start(void *self, struct loop *l, struct reason *why)
{
    struct gateway *g = self;
    log_info("listening", "http=%s port=%u", g->http, http_port(g->web));
    return feeds_open(g, why);
}

void gateway_close(void *self)
{
    struct gateway *g = self;
    if (g->queries.next != NULL)
        query_close_all(g);
    forward_free(g->forward);
    served_free(g->served);
    http_close(g->web);
    feeds_close(g);
    if (g->agents != NULL)
        agents_close(g->agents);
    wholeads_free(g->wholeads);
    server_close(g->rpc_door);
    door_close(g->relay);
    leader_close(g->leader);
    roster_close(g->roster);
    if (g->poll_door != NULL)
        server_close(g->poll_door);
    if (g->door != NULL)
        server_close(g->door);
    peers_close(g->peers);
    if (g->controller_client != NULL)
        client_close(g->controller_client);
    if (g->jobstore_client != NULL)
        client_close(g->jobstore_client);
    names_free(g->names);
    watchers_free(g->watchers);
    free(g->metrics);
}

/* ---- numbers */

enum {
    HTTP_REQUESTS,
    HTTP_ERRORS,
    HTTP_CONNECTIONS,
    HTTP_OPEN,
    HTTP_BYTES_IN,
    HTTP_BYTES_OUT,
    READS,
    WRITES,
    REFUSED,
    WAITING,
    AGENTS_CONNECTED,
    AGENTS_PARKED,
    AGENTS_READERS,
    AGENTS_UPDATES,
    AGENTS_BATCHES,
    METRIC_COUNT
};

static const struct metric blank[METRIC_COUNT] = {
    [HTTP_REQUESTS] = {"gateway.http.requests", PB__METRIC__KIND__COUNTER, "requests answered"},
    [HTTP_ERRORS] = {"gateway.http.errors", PB__METRIC__KIND__COUNTER,
                     "answers with a status of 400 and above"},
    [HTTP_CONNECTIONS] = {"gateway.http.connections", PB__METRIC__KIND__GAUGE, "open connections"},
    [HTTP_OPEN] = {"gateway.http.open", PB__METRIC__KIND__GAUGE, "requests not yet answered"},
    [HTTP_BYTES_IN] = {"gateway.http.bytes_in", PB__METRIC__KIND__COUNTER, "bytes of bodies read"},
    [HTTP_BYTES_OUT] = {"gateway.http.bytes_out", PB__METRIC__KIND__COUNTER,
                        "bytes of bodies written"},
    [READS] = {"gateway.reads", PB__METRIC__KIND__COUNTER,
               "readings of state, those of waiting requests included"},
    [WRITES] = {"gateway.writes", PB__METRIC__KIND__COUNTER, "commands proposed for clients"},
    [REFUSED] = {"gateway.refused", PB__METRIC__KIND__COUNTER,
                 "jobs refused by validation or by apply"},
    [WAITING] = {"gateway.waiting", PB__METRIC__KIND__GAUGE, "reads that wait for a change"},
    [AGENTS_CONNECTED] = {"gateway.agents.connected", PB__METRIC__KIND__GAUGE, "agents in touch"},
    [AGENTS_PARKED] = {"gateway.agents.parked", PB__METRIC__KIND__GAUGE, "polls of agents held"},
    [AGENTS_READERS] = {"gateway.agents.readers", PB__METRIC__KIND__GAUGE,
                        "files and logs being read"},
    [AGENTS_UPDATES] = {"gateway.agents.updates", PB__METRIC__KIND__COUNTER,
                        "updates of allocations committed for agents"},
    [AGENTS_BATCHES] = {"gateway.agents.batches", PB__METRIC__KIND__COUNTER,
                        "log entries that these took"},
};

struct metric *gateway_metrics(void *self, size_t *count)
{
    struct gateway *g = self;
    struct http_stats http;
    struct agents_stats agents;
    http_stats(g->web, &http);
    agents_stats(g->agents, &agents);
    if (g->metrics == NULL) {
        g->metrics = xmalloc(sizeof(blank));
        memcpy(g->metrics, blank, sizeof(blank));
    }
    double values[METRIC_COUNT] = {
        [HTTP_REQUESTS] = (double)http.requests,
        [HTTP_ERRORS] = (double)http.errors,
        [HTTP_CONNECTIONS] = (double)http.connections,
        [HTTP_OPEN] = (double)http.open,
        [HTTP_BYTES_IN] = (double)http.bytes_in,
        [HTTP_BYTES_OUT] = (double)http.bytes_out,
        [READS] = (double)g->counted.reads,
        [WRITES] = (double)g->counted.writes,
        [REFUSED] = (double)g->counted.refused,
        [WAITING] = (double)watchers_count(g->watchers),
        [AGENTS_CONNECTED] = (double)agents.connected,
        [AGENTS_PARKED] = (double)agents.parked,
        [AGENTS_READERS] = (double)agents.asks,
        [AGENTS_UPDATES] = (double)agents.updates,
        [AGENTS_BATCHES] = (double)agents.batches,
    };
    for (size_t i = 0; i < METRIC_COUNT; i++)
        g->metrics[i].value = values[i];
    *count = METRIC_COUNT;
    return g->metrics;
}
