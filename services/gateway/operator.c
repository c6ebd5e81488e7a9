/* What operators ask of the consensus group: its members, autopilot. */
#include "answer.h"
#include "base/duration.h"
#include "base/id.h"
#include "leader.h"
#include "nouns.h"
#include "wire/wire.h"
#include <string.h>
#include <time.h>

#define OPERATOR_MS 8000u

/* To the leader's jobstore, or with ?stale to our own. The answer goes to done, with c. */
static void ask(struct call_context *c, bool stale, const struct call_options *o)
{
    struct call_options whole = *o;
    whole.budget_ms = OPERATOR_MS;
    whole.owner = c;
    if (stale)
        client_call(c->gateway->jobstore_client, &whole);
    else
        leader_call(c->gateway->leader, PB__SERVICE__NAME__JOBSTORE, &whole);
}

static const char *or_empty(const char *s)
{
    return s != NULL ? s : "";
}

/* "10.0.0.1:4649" of "tls+tcp://10.0.0.1:4649". */
static const char *without_scheme(const char *address)
{
    const char *at = strstr(or_empty(address), "://");
    return at != NULL ? at + 3 : or_empty(address);
}

static const char *address_of(const Pb__RaftPeer *p)
{
    return or_empty(p->rpc_address)[0] != '\0' ? without_scheme(p->rpc_address)
                                               : without_scheme(p->address);
}

static const char *id_of(struct call_context *c, const Pb__RaftPeer *p)
{
    char *text = arena_alloc(exchange_arena(c->x), ID_TEXT_SIZE);
    if (p->has_id)
        id_format(p->id.data, text);
    else
        text = arena_printf(exchange_arena(c->x), "%016llx", (unsigned long long)p->raft_id);
    return text;
}

/* ---- raft */

static void on_status(void *owner, const struct response *r)
{
    struct call_context *c = owner;
    const Pb__JobstoreStatus *s = (const Pb__JobstoreStatus *)r->body;
    if (r->code != PB__REPLY__CODE__OK) {
        answer_failure(c->x, r);
        return;
    }
    if (!c->params.stale && !s->leading) {
        answer_text(c->x, 500, "No cluster leader");
        return;
    }
    json_t *servers = json_array();
    for (size_t i = 0; i < s->n_members; i++) {
        const Pb__RaftPeer *p = s->members[i];
        json_array_append_new(servers, json_pack("{ss,ss,sb,ss,ss,sb}", "Address", address_of(p),
                                                 "ID", id_of(c, p), "Leader", (int)p->leader,
                                                 "Node", or_empty(p->name), "RaftProtocol", "3",
                                                 "Voter", (int)p->voter));
    }
    answer_json(c->x, json_pack("{si,so}", "Index", 0, "Servers", servers), c->params.pretty);
}

void operator_raft_configuration(struct call_context *c)
{
    ask(c, c->params.stale,
        &(struct call_options){.method = PB__JOBSTORE__METHOD__STATUS,
                               .reply = &pb__jobstore_status__descriptor,
                               .retry = true,
                               .done = on_status});
}

static void on_changed(void *owner, const struct response *r)
{
    struct call_context *c = owner;
    if (r->code == PB__REPLY__CODE__OK)
        answer_nothing(c->x, 200);
    else if (r->code == PB__REPLY__CODE__NOT_FOUND || r->code == PB__REPLY__CODE__INVALID)
        answer_text(c->x, 500, "%s", r->reason);
    else
        answer_failure(c->x, r);
}

/* The answer may be overtaken by the news of who leads: then the new leader is asked again, and
 * `from` tells it that nothing is left to do. */
static bool member_key(struct call_context *c, Pb__MemberKey *key)
{
    pb__member_key__init(key);
    key->id = (char *)(uintptr_t)exchange_arg(c->x, "id");
    key->address = (char *)(uintptr_t)exchange_arg(c->x, "address");
    key->from = leader_raft_id(c->gateway->leader);
    key->has_from = key->from != 0;
    return or_empty(key->id)[0] != '\0' || or_empty(key->address)[0] != '\0';
}

void operator_raft_peer(struct call_context *c)
{
    Pb__MemberKey key;
    if (!member_key(c, &key)) {
        answer_text(c->x, 400,
                    "Must specify either ?id with the server's ID or ?address with IP:port of "
                    "peer to remove");
        return;
    }
    if (key.id != NULL && key.address != NULL) {
        answer_text(c->x, 400, "Must specify only one of ?id or ?address");
        return;
    }
    ask(c, false,
        &(struct call_options){.method = PB__JOBSTORE__METHOD__REMOVE,
                               .body = &key.base,
                               .retry = key.has_from,
                               .done = on_changed});
}

/* To a member, or, if none is named, to the one that lacks least. */
void operator_raft_transfer(struct call_context *c)
{
    Pb__MemberKey key;
    member_key(c, &key);
    ask(c, false,
        &(struct call_options){.method = PB__JOBSTORE__METHOD__TRANSFER,
                               .body = &key.base,
                               .retry = key.has_from,
                               .done = on_changed});
}

/* ---- autopilot */

static const char *duration_text(struct call_context *c, int64_t ns)
{
    char *text = arena_alloc(exchange_arena(c->x), 32);
    duration_format(ns, text);
    return text;
}

static json_t *config_json(struct call_context *c, const Pb__Autopilot *a)
{
    return json_pack("{ss,ss,sb,sI,sI,sb,sb,sb,sI,sI}", "LastContactThreshold",
                     duration_text(c, a->last_contact_threshold_ns), "ServerStabilizationTime",
                     duration_text(c, a->server_stabilization_time_ns), "CleanupDeadServers",
                     (int)a->cleanup_dead_servers, "MaxTrailingLogs",
                     (json_int_t)a->max_trailing_logs, "MinQuorum", (json_int_t)a->min_quorum,
                     "EnableRedundancyZones", 0, "DisableUpgradeMigration", 0,
                     "EnableCustomUpgrades", 0, "CreateIndex", (json_int_t)a->create_index,
                     "ModifyIndex", (json_int_t)a->modify_index);
}

static void on_config(void *owner, const struct response *r)
{
    struct call_context *c = owner;
    if (r->code != PB__REPLY__CODE__OK)
        answer_failure(c->x, r);
    else
        answer_json(c->x, config_json(c, ((const Pb__AutopilotHealth *)r->body)->config),
                    c->params.pretty);
}

static void ask_autopilot(struct call_context *c, response_fn *done)
{
    ask(c, false,
        &(struct call_options){.method = PB__JOBSTORE__METHOD__AUTOPILOT,
                               .reply = &pb__autopilot_health__descriptor,
                               .retry = true,
                               .done = done});
}

void operator_autopilot_get(struct call_context *c)
{
    ask_autopilot(c, on_config);
}

static void on_set(void *owner, const struct response *r)
{
    struct call_context *c = owner;
    const Pb__Outcome *out = (const Pb__Outcome *)r->body;
    if (r->code != PB__REPLY__CODE__OK)
        answer_failure(c->x, r);
    else
        answer_json(c->x, json_boolean(out->code == PB__OUTCOME__CODE__APPLIED), c->params.pretty);
}

/* False: answered 400. */
static bool read_duration(struct call_context *c, const json_t *body, const char *name,
                          int64_t *out)
{
    const json_t *v = json_object_get(body, name);
    const char *text = json_string_value(v);
    if (v == NULL || json_is_null(v))
        return true;
    if (text != NULL && duration_parse(text, out) && *out >= 0)
        return true;
    answer_text(c->x, 400, "Error parsing autopilot config: time: invalid duration \"%s\"",
                text != NULL ? text : "?");
    return false;
}

static bool read_config(struct call_context *c, const json_t *body, Pb__Autopilot *out)
{
    pb__autopilot__init(out);
    out->has_last_contact_threshold_ns = out->has_server_stabilization_time_ns = true;
    out->has_cleanup_dead_servers = out->has_max_trailing_logs = out->has_min_quorum = true;
    out->cleanup_dead_servers = json_is_true(json_object_get(body, "CleanupDeadServers"));
    json_int_t logs = json_integer_value(json_object_get(body, "MaxTrailingLogs"));
    json_int_t quorum = json_integer_value(json_object_get(body, "MinQuorum"));
    if (logs < 0 || quorum < 0 || quorum > 32) {
        answer_text(c->x, 400,
                    "Error parsing autopilot config: MaxTrailingLogs and MinQuorum must not be "
                    "negative, MinQuorum at most 32");
        return false;
    }
    out->max_trailing_logs = (uint64_t)logs;
    out->min_quorum = (uint32_t)quorum;
    return read_duration(c, body, "LastContactThreshold", &out->last_contact_threshold_ns) &&
           read_duration(c, body, "ServerStabilizationTime", &out->server_stabilization_time_ns);
}

void operator_autopilot_put(struct call_context *c)
{
    size_t len;
    const char *text = exchange_body(c->x, &len);
    Pb__Command cmd = PB__COMMAND__INIT;
    Pb__AutopilotSet set = PB__AUTOPILOT_SET__INIT;
    struct cas cas;
    Pb__Autopilot config;
    json_error_t error;
    json_t *body = json_loadb(text, len, JSON_DISABLE_EOF_CHECK, &error);
    if (!json_is_object(body))
        answer_text(c->x, 400, "Error parsing autopilot config: %s", len == 0 ? "EOF" : error.text);
    else if (route_cas(c, &cas) && read_config(c, body, &config)) {
        set.autopilot = &config;
        set.has_check_index = set.has_modify_index = set.check_index = cas.given;
        set.modify_index = cas.index;
        cmd.body_case = PB__COMMAND__BODY_AUTOPILOT_SET;
        cmd.autopilot_set = &set;
        gateway_apply(c->gateway, &cmd, on_set, c);
    }
    json_decref(body);
}

static const char *time_text(struct call_context *c, int64_t ns)
{
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm tm;
    char *text = arena_alloc(exchange_arena(c->x), 32);
    gmtime_r(&seconds, &tm);
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return text;
}

static json_t *server_json(struct call_context *c, const Pb__ServerHealth *h)
{
    const Pb__RaftPeer *p = h->peer;
    return json_pack("{ss,ss,ss,ss,ss,ss,sb,sI,sI,sb,sb,ss}", "LastContact",
                     duration_text(c, (int64_t)p->last_contact_ms * 1000000), "ID", id_of(c, p),
                     "Name", or_empty(p->name), "Address", address_of(p), "SerfStatus",
                     h->alive ? "alive" : "failed", "Version", NORN_VERSION, "Leader",
                     (int)p->leader, "LastTerm", (json_int_t)h->last_term, "LastIndex",
                     (json_int_t)p->match_index, "Healthy", (int)h->healthy, "Voter", (int)p->voter,
                     "StableSince", time_text(c, h->stable_since));
}

static void on_health(void *owner, const struct response *r)
{
    struct call_context *c = owner;
    const Pb__AutopilotHealth *h = (const Pb__AutopilotHealth *)r->body;
    if (r->code != PB__REPLY__CODE__OK) {
        answer_failure(c->x, r);
        return;
    }
    json_t *servers = json_array();
    for (size_t i = 0; i < h->n_servers; i++)
        json_array_append_new(servers, server_json(c, h->servers[i]));
    answer_json_status(c->x, h->healthy ? 200 : 429,
                       json_pack("{sI,sb,so}", "FailureTolerance", (json_int_t)h->failure_tolerance,
                                 "Healthy", (int)h->healthy, "Servers", servers),
                       c->params.pretty);
}

void operator_autopilot_health(struct call_context *c)
{
    ask_autopilot(c, on_health);
}
