#include "routes.h"
#include "answer.h"
#include "forward.h"
#include "nouns.h"
#include "urls.h"
#include <stdlib.h>
#include <string.h>

#define WRITE (HTTP_PUT | HTTP_POST)

/* The first line that fits wins, so what has a suffix stands before what has none. */
static const struct route table[] = {
    {"/v1/jobs", NULL, HTTP_GET, ROUTE_REGION, jobs_list},
    {"/v1/jobs", NULL, WRITE, ROUTE_REGION, jobs_put},
    {"/v1/job/", "/allocations", HTTP_GET, ROUTE_REGION | ROUTE_PREFIX, job_allocations},
    {"/v1/job/", "/evaluations", HTTP_GET, ROUTE_REGION | ROUTE_PREFIX, job_evaluations},
    {"/v1/job/", "/deployments", HTTP_GET, ROUTE_REGION | ROUTE_PREFIX, job_deployments},
    {"/v1/job/", "/deployment", HTTP_GET, ROUTE_REGION | ROUTE_PREFIX, job_deployment},
    {"/v1/job/", "/summary", HTTP_ANY, ROUTE_REGION | ROUTE_PREFIX, job_summary},
    {"/v1/job/", "/versions", HTTP_ANY, ROUTE_REGION | ROUTE_PREFIX, job_versions},
    {"/v1/job/", "/periodic/force", WRITE, ROUTE_REGION | ROUTE_PREFIX, job_periodic_force},
    {"/v1/job/", "/plan", WRITE, ROUTE_REGION | ROUTE_PREFIX, job_plan},
    {"/v1/job/", "/why", HTTP_GET, ROUTE_REGION | ROUTE_PREFIX, job_why},
    {"/v1/job/", "/dispatch", WRITE, ROUTE_REGION | ROUTE_PREFIX, job_dispatch},
    {"/v1/job/", "/evaluate", WRITE, ROUTE_REGION | ROUTE_PREFIX, job_evaluate},
    {"/v1/job/", "/revert", WRITE, ROUTE_REGION | ROUTE_PREFIX, job_revert},
    {"/v1/job/", "/stable", WRITE, ROUTE_REGION | ROUTE_PREFIX, job_stable},
    {"/v1/job/", "/scale", HTTP_GET, ROUTE_REGION | ROUTE_PREFIX, job_scale_get},
    {"/v1/job/", "/scale", WRITE, ROUTE_REGION | ROUTE_PREFIX, job_scale_put},
    {"/v1/job/", NULL, HTTP_GET, ROUTE_REGION | ROUTE_PREFIX, job_get},
    {"/v1/job/", NULL, WRITE, ROUTE_REGION | ROUTE_PREFIX, job_put},
    {"/v1/job/", NULL, HTTP_DELETE, ROUTE_REGION | ROUTE_PREFIX, job_delete},
    {"/v1/validate/job", NULL, WRITE, ROUTE_REGION, job_validate_put},
    {"/v1/allocations", NULL, HTTP_GET, ROUTE_REGION, allocations_list},
    {"/v1/allocation/", "/stop", WRITE, ROUTE_REGION | ROUTE_PREFIX, allocation_stop},
    {"/v1/allocation/", "/why", HTTP_GET, ROUTE_REGION | ROUTE_PREFIX, allocation_why},
    {"/v1/allocation/", NULL, HTTP_GET, ROUTE_REGION | ROUTE_PREFIX, allocation_get},
    {"/v1/evaluations", NULL, HTTP_GET, ROUTE_REGION, evaluations_list},
    {"/v1/evaluation/", "/allocations", HTTP_GET, ROUTE_REGION | ROUTE_PREFIX,
     evaluation_allocations},
    {"/v1/evaluation/", "/replay", HTTP_GET, ROUTE_REGION | ROUTE_PREFIX, evaluation_replay},
    {"/v1/evaluation/", "/why", HTTP_GET, ROUTE_REGION | ROUTE_PREFIX, evaluation_why},
    {"/v1/evaluation/", NULL, HTTP_GET, ROUTE_REGION | ROUTE_PREFIX, evaluation_get},
    {"/v1/deployments", NULL, HTTP_GET, ROUTE_REGION, deployments_list},
    {"/v1/deployment/allocations/", NULL, HTTP_GET, ROUTE_REGION | ROUTE_PREFIX,
     deployment_allocations},
    {"/v1/deployment/promote/", NULL, WRITE, ROUTE_REGION | ROUTE_PREFIX, deployment_promote_put},
    {"/v1/deployment/pause/", NULL, WRITE, ROUTE_REGION | ROUTE_PREFIX, deployment_pause_put},
    {"/v1/deployment/fail/", NULL, WRITE, ROUTE_REGION | ROUTE_PREFIX, deployment_fail_put},
    {"/v1/deployment/unblock/", NULL, WRITE, ROUTE_REGION | ROUTE_PREFIX, deployment_unblock_put},
    {"/v1/deployment/allocation-health/", NULL, WRITE, ROUTE_REGION | ROUTE_PREFIX,
     deployment_health_put},
    {"/v1/deployment/", NULL, HTTP_GET, ROUTE_REGION | ROUTE_PREFIX, deployment_get},
    {"/v1/scaling/policies", NULL, HTTP_GET, ROUTE_REGION, scaling_policies_list},
    {"/v1/scaling/policy/", NULL, HTTP_GET, ROUTE_REGION | ROUTE_PREFIX, scaling_policy_get},
    {"/v1/nodes", NULL, HTTP_GET, ROUTE_REGION, nodes_list},
    {"/v1/node/pools", NULL, HTTP_GET, ROUTE_REGION, node_pools_list},
    {"/v1/node/pools", NULL, WRITE, ROUTE_REGION, node_pool_put},
    {"/v1/node/pool/", "/nodes", HTTP_GET, ROUTE_REGION | ROUTE_PREFIX, node_pool_nodes},
    {"/v1/node/pool/", "/jobs", HTTP_GET, ROUTE_REGION | ROUTE_PREFIX, node_pool_jobs},
    {"/v1/node/pool/", NULL, HTTP_GET, ROUTE_REGION | ROUTE_PREFIX, node_pool_get},
    {"/v1/node/pool/", NULL, WRITE, ROUTE_REGION | ROUTE_PREFIX, node_pool_put},
    {"/v1/node/pool/", NULL, HTTP_DELETE, ROUTE_REGION | ROUTE_PREFIX, node_pool_delete},
    {"/v1/node/", "/allocations", HTTP_GET, ROUTE_REGION | ROUTE_PREFIX, node_allocations},
    {"/v1/node/", "/evaluate", WRITE, ROUTE_REGION | ROUTE_PREFIX, node_evaluate_put},
    {"/v1/node/", "/drain", WRITE, ROUTE_REGION | ROUTE_PREFIX, node_drain_put},
    {"/v1/node/", "/eligibility", WRITE, ROUTE_REGION | ROUTE_PREFIX, node_eligibility_put},
    {"/v1/node/", "/purge", WRITE, ROUTE_REGION | ROUTE_PREFIX, node_purge_put},
    {"/v1/node/", NULL, HTTP_GET, ROUTE_REGION | ROUTE_PREFIX, node_get},
    {"/v1/client/allocation/", "/exec", HTTP_ANY, ROUTE_PREFIX | ROUTE_ORIGIN, allocation_exec},
    {"/v1/client/allocation/", "/forward", HTTP_ANY, ROUTE_PREFIX | ROUTE_ORIGIN,
     allocation_forward},
    {"/v1/client/fs/", NULL, HTTP_ANY, ROUTE_PREFIX | ROUTE_ORIGIN, fs_any},
    {"/v1/client/allocation/", "/snapshot", HTTP_ANY, ROUTE_PREFIX | ROUTE_ORIGIN,
     alloc_snapshot_get},
    {"/v1/client/allocation/", "/restart", WRITE, ROUTE_PREFIX | ROUTE_ORIGIN, alloc_restart_put},
    {"/v1/client/allocation/", "/signal", WRITE, ROUTE_PREFIX | ROUTE_ORIGIN, alloc_signal_put},
    {"/v1/client/allocation/", "/stats", HTTP_ANY, ROUTE_PREFIX | ROUTE_ORIGIN, alloc_stats_get},
    {"/v1/client/allocation/", "/gc", HTTP_ANY, ROUTE_PREFIX | ROUTE_ORIGIN, alloc_collect},
    {"/v1/client/allocation/", NULL, HTTP_ANY, ROUTE_PREFIX | ROUTE_ORIGIN, alloc_no_action},
    {"/v1/client/stats", NULL, HTTP_ANY, ROUTE_ORIGIN, client_stats_get},
    {"/v1/client/gc", NULL, HTTP_ANY, ROUTE_ORIGIN, client_collect},
    {"/v1/client/metadata", NULL, HTTP_GET, ROUTE_ORIGIN, client_metadata_get},
    {"/v1/client/metadata", NULL, WRITE, ROUTE_ORIGIN, client_metadata_put},
    {"/v1/status/leader", NULL, HTTP_GET, ROUTE_REGION, status_leader},
    {"/v1/status/peers", NULL, HTTP_GET, ROUTE_REGION, status_peers},
    {"/v1/regions", NULL, HTTP_GET, 0, regions_list},
    {"/v1/namespaces", NULL, HTTP_GET, ROUTE_REGION, namespaces_list},
    {"/v1/namespace", NULL, WRITE, ROUTE_REGION, namespace_put},
    {"/v1/namespace/", NULL, HTTP_GET, ROUTE_REGION | ROUTE_PREFIX, namespace_get},
    {"/v1/namespace/", NULL, WRITE, ROUTE_REGION | ROUTE_PREFIX, namespace_put},
    {"/v1/namespace/", NULL, HTTP_DELETE, ROUTE_REGION | ROUTE_PREFIX, namespace_delete},
    {"/v1/operator/raft/configuration", NULL, HTTP_GET, ROUTE_REGION, operator_raft_configuration},
    {"/v1/operator/raft/peer", NULL, HTTP_DELETE, ROUTE_REGION, operator_raft_peer},
    {"/v1/operator/raft/transfer-leadership", NULL, WRITE, ROUTE_REGION, operator_raft_transfer},
    {"/v1/operator/autopilot/configuration", NULL, HTTP_GET, ROUTE_REGION, operator_autopilot_get},
    {"/v1/operator/autopilot/configuration", NULL, HTTP_PUT, ROUTE_REGION, operator_autopilot_put},
    {"/v1/operator/autopilot/health", NULL, HTTP_GET, ROUTE_REGION, operator_autopilot_health},
    {"/v1/operator/scheduler/configuration", NULL, HTTP_GET, ROUTE_REGION, operator_scheduler_get},
    {"/v1/operator/scheduler/configuration", NULL, WRITE, ROUTE_REGION, operator_scheduler_put},
    {"/v1/operator/snapshot", NULL, HTTP_GET, ROUTE_REGION, operator_snapshot_get},
    {"/v1/operator/snapshot", NULL, HTTP_PUT, ROUTE_REGION, operator_snapshot_put},
    {"/v1/system/gc", NULL, HTTP_PUT, ROUTE_REGION, system_gc},
    {"/v1/system/reconcile/summaries", NULL, HTTP_PUT, ROUTE_REGION, system_reconcile_summaries},
    {"/v1/agent/self", NULL, HTTP_GET, 0, agent_self},
    {"/v1/agent/members", NULL, HTTP_GET, 0, agent_members},
    {"/v1/agent/servers", NULL, HTTP_GET, 0, agent_servers},
    {"/v1/agent/join", NULL, WRITE, 0, agent_join},
    {"/v1/agent/force-leave", NULL, WRITE, 0, agent_force_leave},
    {"/v1/agent/health", NULL, HTTP_GET, 0, agent_health},
    {"/v1/metrics", NULL, HTTP_GET, 0, metrics_get},
};

static bool ends_with(const char *text, const char *suffix, size_t *without)
{
    size_t n = strlen(text), m = strlen(suffix);
    *without = n - m;
    return n >= m && strcmp(text + n - m, suffix) == 0;
}

/* Whether the path is the route's; *len: of the id in it. */
static bool fits(const struct route *r, const char *path, size_t *len)
{
    size_t n = strlen(r->path);
    *len = 0;
    if ((r->flags & ROUTE_PREFIX) == 0)
        return strcmp(path, r->path) == 0;
    if (strncmp(path, r->path, n) != 0)
        return false;
    *len = strlen(path + n);
    return r->suffix == NULL || ends_with(path + n, r->suffix, len);
}

const struct route *route_find(const char *path, enum http_method method, unsigned *allowed,
                               unsigned *flags, struct arena *a, const char **id)
{
    const struct route *first = NULL;
    size_t len;
    *allowed = *flags = 0;
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        const struct route *r = &table[i];
        if (!fits(r, path, &len))
            continue;
        /* a suffix is its own place: what follows without one is another */
        if (first != NULL && (first->suffix != r->suffix || strcmp(first->path, r->path) != 0))
            break;
        first = r;
        *allowed |= r->methods;
        *flags |= r->flags;
        if ((r->methods & method) == 0)
            continue;
        char *text = arena_copy(a, path + strlen(r->path), len + 1);
        text[len] = '\0';
        *id = (r->flags & ROUTE_PREFIX) != 0 ? text : "";
        return r;
    }
    return NULL;
}

bool route_bool(struct call_context *c, const char *name, bool *out)
{
    const char *text = exchange_arg(c->x, name);
    if (text == NULL || text[0] == '\0' || parse_bool(text, out))
        return true;
    answer_text(
        c->x, 500,
        "Failed to parse value of \"%s\" (%s) as a bool: strconv.ParseBool: parsing \"%s\": "
        "invalid syntax",
        name, text, text);
    return false;
}

bool route_cas(struct call_context *c, struct cas *out)
{
    const char *text = exchange_arg(c->x, "cas");
    char *end;
    *out = (struct cas){.given = text != NULL};
    if (text == NULL)
        return true;
    out->index = strtoull(text, &end, 10);
    if (text[0] != '\0' && text[0] != '-' && *end == '\0')
        return true;
    answer_text(c->x, 400,
                "Error parsing cas value: strconv.ParseUint: parsing \"%s\": invalid syntax", text);
    return false;
}

static void redirect(struct exchange *x, unsigned status, const char *what, const char *to)
{
    struct strbuf body = STRBUF_INIT;
    exchange_set(x, "Location", to);
    strbuf_printf(&body, "<a href=\"%s\">%s</a>.\n\n", to, what);
    exchange_reply(x, status, "text/html; charset=utf-8", &body);
}

/* Paths that are written in another way than ours are sent to the right one. */
static bool redirected(struct exchange *x)
{
    struct strbuf clean = STRBUF_INIT, escaped = STRBUF_INIT;
    const char *path = exchange_path(x);
    bool wrong = url_clean(path, &clean);
    if (!wrong && strcmp(path, "/") == 0) {
        redirect(x, 307, "Temporary Redirect", "/ui/");
        strbuf_free(&clean);
        return true;
    }
    for (size_t i = 0; !wrong && i < COUNT_OF(table); i++)
        if ((table[i].flags & ROUTE_PREFIX) != 0 && strlen(table[i].path) == clean.len + 1 &&
            strncmp(table[i].path, path, clean.len) == 0) {
            unsigned allowed, flags;
            const char *id;
            wrong = route_find(path, HTTP_GET, &allowed, &flags, exchange_arena(x), &id) == NULL &&
                    allowed == 0;
            strbuf_putc(&clean, '/');
            break;
        }
    if (wrong) {
        url_escape(&escaped, strbuf_text(&clean));
        strbuf_puts(&escaped, exchange_query(x));
        redirect(x, 301, "Moved Permanently", strbuf_text(&escaped));
    }
    strbuf_free(&clean);
    strbuf_free(&escaped);
    return wrong;
}

static void allow_origin(struct exchange *x)
{
    if (exchange_header(x, "Origin") == NULL)
        return;
    exchange_set(x, "Access-Control-Allow-Origin", "*");
    exchange_set(x, "Access-Control-Allow-Credentials", "true");
}

static bool is_preflight(struct exchange *x)
{
    return exchange_method(x) == HTTP_OPTIONS && exchange_header(x, "Origin") != NULL &&
           exchange_header(x, "Access-Control-Request-Method") != NULL;
}

static void answer_preflight(struct exchange *x)
{
    const char *headers = exchange_header(x, "Access-Control-Request-Headers");
    if (headers != NULL && strlen(headers) < 256)
        exchange_set(x, "Access-Control-Allow-Headers", headers);
    exchange_set(x, "Access-Control-Allow-Methods",
                 exchange_header(x, "Access-Control-Request-Method"));
    answer_nothing(x, 200);
}

void routes_handle(void *gateway, struct exchange *x)
{
    struct gateway *g = gateway;
    unsigned allowed, flags;
    const char *id, *problem;
    struct call_context *c = arena_alloc(exchange_arena(x), sizeof(*c));
    if (strncmp(exchange_path(x), "/v1/client/", 11) == 0)
        exchange_set(x, "Vary", "Accept-Encoding, Origin");
    else
        exchange_set(x, "Vary", "Accept-Encoding");
    if (redirected(x))
        return;
    const struct route *r =
        route_find(exchange_path(x), exchange_method(x), &allowed, &flags, exchange_arena(x), &id);
    if (r == NULL && allowed == 0) {
        answer_nothing(x, 404);
        return;
    }
    if ((flags & ROUTE_ORIGIN) != 0) {
        allow_origin(x);
        if (is_preflight(x)) {
            answer_preflight(x);
            return;
        }
    }
    if (r == NULL) {
        answer_text(x, 405, "Invalid method");
        return;
    }
    *c = (struct call_context){.gateway = g, .x = x, .id = id};
    problem = params_read(x, &c->params);
    bool elsewhere = (r->flags & (ROUTE_REGION | ROUTE_ORIGIN)) != 0 &&
                     c->params.region[0] != '\0' && strcmp(c->params.region, g->region) != 0;
    if (problem != NULL && (r->flags & ROUTE_REGION) != 0)
        answer_text(x, 400, "%s", problem);
    else if (elsewhere && exchange_is_relayed(x))
        answer_text(x, 500, "No path to region");
    else if (elsewhere)
        forward_to_region(g->forward, x, c->params.region,
                          c->params.index > 0 ? c->params.wait_ms : 0);
    else
        r->handle(c);
}
