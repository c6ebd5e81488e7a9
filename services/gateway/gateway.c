#include "gateway.h"
#include "base/log.h"
#include "feeds.h"
#include "jobstore.pb-c.h"
#include "names.h"
#include "peers.h"
#include "query.h"
#include "routes.h"
#include "watch.h"
#include <stdlib.h>
#include <string.h>

#define READ_BUDGET_MS  5000u /* as long as Nomad looks for a leader */
#define WRITE_BUDGET_MS 10000u

/* ---- asking jobstore */

void gateway_get(struct gateway *g, const Pb__Key *key, response_fn *done, void *owner)
{
    client_call(g->jobstore_client, &(struct call_options){.method = PB__JOBSTORE__METHOD__GET,
                                                           .body = &key->base,
                                                           .reply = &pb__object__descriptor,
                                                           .budget_ms = READ_BUDGET_MS,
                                                           .retry = true,
                                                           .done = done,
                                                           .owner = owner});
}

void gateway_list(struct gateway *g, const Pb__List *list, response_fn *done, void *owner)
{
    client_call(g->jobstore_client, &(struct call_options){.method = PB__JOBSTORE__METHOD__LIST,
                                                           .body = &list->base,
                                                           .reply = &pb__objects__descriptor,
                                                           .budget_ms = READ_BUDGET_MS,
                                                           .retry = true,
                                                           .done = done,
                                                           .owner = owner});
}

void gateway_apply(struct gateway *g, const Pb__Command *command, response_fn *done, void *owner)
{
    client_call(g->jobstore_client, &(struct call_options){.method = PB__JOBSTORE__METHOD__APPLY,
                                                           .body = &command->base,
                                                           .reply = &pb__outcome__descriptor,
                                                           .budget_ms = WRITE_BUDGET_MS,
                                                           .retry = true,
                                                           .done = done,
                                                           .owner = owner});
}

/* ---- life */

static enum err open_doors(struct gateway *g, struct reason *why)
{
    uint32_t parked = (uint32_t)g->max_nodes + 1024;
    struct server_options door = {
        .methods = agents_methods, .self = g->agents, .max_parked = parked};
    struct server_options poll = {
        .methods = agents_poll_methods, .self = g->agents, .max_parked = parked};
    enum err e = server_open(&g->door, g->loop, g->listen, &door, why);
    return e != OK ? e : server_open(&g->poll_door, g->loop, g->listen_poll, &poll, why);
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
    return http_open(&g->web, g->loop, &o, why);
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
        (e = peers_open(g, why)) != OK)
        return e;
    g->agents = agents_open(l, &(struct agents_options){.jobstore = g->jobstore_client,
                                                        .controller = g->controller_client,
                                                        .max_nodes = g->max_nodes});
    if ((e = open_doors(g, why)) != OK)
        return e;
    return open_web(g, why);
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
    http_close(g->web);
    feeds_close(g);
    if (g->agents != NULL)
        agents_close(g->agents);
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
