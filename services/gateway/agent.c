/* /v1/agent/: what this server says of itself and of those it knows. */
#include "agent_config.h"
#include "answer.h"
#include "member.h"
#include "nouns.h"
#include "peers.h"
#include "roster.h"
#include "status.h"
#include "wire/json.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static const char *text_or(const char *text, const char *otherwise)
{
    return text == NULL || text[0] == '\0' ? otherwise : text;
}

static const char *status_name(const Pb__Member *m)
{
    switch (m->status) {
    case PB__MEMBER__STATUS__FAILED:
        return "failed";
    case PB__MEMBER__STATUS__LEFT:
        return "left";
    default:
        return "alive";
    }
}

/* Name and tags as Nomad's server has them in serf; build is our own version. */
static json_t *member_json(const struct gateway *g, const Pb__Member *m)
{
    char port[16], expect[16];
    const char *region = text_or(m->region, g->region);
    struct place rpc = member_rpc(m), gossip = member_gossip(m);
    snprintf(port, sizeof(port), "%u", rpc.port);
    snprintf(expect, sizeof(expect), "%u", m->bootstrap_expect == 0 ? 1 : m->bootstrap_expect);
    json_t *tags =
        json_pack("{ss,ss,ss,ss,ss,ss,so,ss,ss,ss,so}", "build", text_or(m->version, NORN_VERSION),
                  "dc", text_or(m->datacenter, g->datacenter), "expect", expect, "mvn", "1", "port",
                  port, "raft_vsn", "3", "id", json_id_of(m->id), "region", region, "role", "nomad",
                  "rpc_addr", rpc.host, "vsn", json_text("1"));
    if (m->bootstrap_expect <= 1)
        json_put(tags, "bootstrap", json_text("1"));
    if (m->non_voting)
        json_put(tags, "nonvoter", json_text("1"));
    return json_pack("{so,si,si,si,so,si,si,si,si,ss,so}", "Addr", json_text(gossip.host),
                     "DelegateCur", 4, "DelegateMax", 5, "DelegateMin", 2, "Name",
                     json_text(m->name), "Port", (int)gossip.port, "ProtocolCur", 2, "ProtocolMax",
                     5, "ProtocolMin", 1, "Status", status_name(m), "Tags", tags);
}

/* Who we are when gossip does not answer. */
static Pb__Member own_member(const struct gateway *g)
{
    Pb__Member m = PB__MEMBER__INIT;
    m.name = (char *)(uintptr_t)g->name;
    m.region = (char *)(uintptr_t)g->region;
    m.datacenter = (char *)(uintptr_t)g->datacenter;
    return m;
}

static void on_members(void *owner, const Pb__Members *members)
{
    struct call_context *c = owner;
    const struct gateway *g = c->gateway;
    json_t *list = json_array();
    if (members == NULL) {
        Pb__Member own = own_member(g);
        json_array_append_new(list, member_json(g, &own));
    }
    for (size_t i = 0; members != NULL && i < members->n_members; i++)
        json_array_append_new(list, member_json(g, members->members[i]));
    answer_json(c->x,
                json_pack("{so,ss,ss,ss}", "Members", list, "ServerDC", g->datacenter, "ServerName",
                          g->name, "ServerRegion", g->region),
                c->params.pretty);
}

void agent_members(struct call_context *c)
{
    peers_members(c->gateway, on_members, c);
}

static void on_servers(void *owner, const Pb__Members *members)
{
    struct call_context *c = owner;
    struct place own = member_rpc(members_self(members));
    answer_json(c->x, json_pack("[o]", json_sprintf("%s:%u", own.host, own.port)),
                c->params.pretty);
}

void agent_servers(struct call_context *c)
{
    peers_members(c->gateway, on_servers, c);
}

/* ---- health */

static void on_health(void *owner, const Pb__JobstoreStatus *status)
{
    struct call_context *c = owner;
    const char *type = exchange_arg(c->x, "type");
    struct agents_stats agents;
    bool server = type == NULL || type[0] == '\0' || strcmp(type, "server") == 0;
    bool client = type == NULL || type[0] == '\0' || strcmp(type, "client") == 0;
    bool ok = status != NULL, refuses = ok && text_or(status->write_refused, NULL) != NULL;
    json_t *tree = json_object();
    agents_stats(c->gateway->agents, &agents);
    if (client && agents.connected > 0)
        json_put(tree, "client", json_pack("{ss,sb}", "message", "ok", "ok", 1));
    if (server)
        json_put(tree, "server",
                 json_pack("{ss,sb}", "message",
                           !ok       ? "No cluster leader"
                           : refuses ? status->write_refused
                                     : "ok",
                           "ok", ok && !refuses));
    answer_json_status(c->x, server && (!ok || refuses) ? 500 : 200, tree, c->params.pretty);
}

void agent_health(struct call_context *c)
{
    peers_status(c->gateway, on_health, c);
}

/* ---- self */

static void put_number(json_t *tree, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, value);
    json_put(tree, key, json_string_nocheck(text));
}

static const char *role_name(const Pb__JobstoreStatus *s)
{
    static const char *const names[] = {"Follower", "Candidate", "Leader"};
    return s != NULL && (unsigned)s->role < 3 ? names[s->role] : "Unknown";
}

static uint64_t other_voters(const Pb__JobstoreStatus *s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s->n_members; i++)
        n += s->members[i]->voter && s->members[i]->raft_id != s->raft_id;
    return n;
}

static json_t *raft_json(const Pb__JobstoreStatus *s)
{
    json_t *tree = json_pack("{ss,ss,ss,ss}", "state", role_name(s), "protocol_version", "3",
                             "protocol_version_min", "0", "protocol_version_max", "3");
    put_number(tree, "num_peers", s == NULL ? 0 : other_voters(s));
    json_put(tree, "last_contact",
             s == NULL || s->last_contact_ms == 0
                 ? json_text("0")
                 : json_sprintf("%" PRIu64 "ms", s->last_contact_ms));
    put_number(tree, "term", s == NULL ? 0 : s->term);
    put_number(tree, "last_log_term", s == NULL ? 0 : s->term);
    put_number(tree, "commit_index", s == NULL ? 0 : s->commit_index);
    put_number(tree, "last_log_index", s == NULL ? 0 : s->commit_index);
    put_number(tree, "applied_index", s == NULL ? 0 : s->applied_index);
    put_number(tree, "last_snapshot_index",
               s == NULL || s->first_log_index == 0 ? 0 : s->first_log_index - 1);
    put_number(tree, "fsm_pending", s == NULL ? 0 : s->commit_index - s->applied_index);
    return tree;
}

static uint64_t members_of(const Pb__Members *all, Pb__Member__Status status)
{
    uint64_t n = 0;
    for (size_t i = 0; i < all->n_members; i++)
        n += all->members[i]->status == status;
    return n;
}

static json_t *stats_json(const struct gateway *g, const Pb__JobstoreStatus *s)
{
    struct utsname machine;
    char leader[256] = "";
    const Pb__Members *members = roster_members(g->roster);
    json_t *regions = regions_known(g, members);
    status_leader_address(g, leader);
    uname(&machine);
    json_t *nomad = json_pack("{ss,ss,so,ss}", "bootstrap",
                              s != NULL && s->bootstrap_expect > 1 ? "false" : "true", "leader",
                              s != NULL && s->leading ? "true" : "false", "leader_addr",
                              json_text(leader), "server", "true");
    put_number(nomad, "known_regions", json_array_size(regions));
    json_decref(regions);
    json_t *serf = json_pack("{ss,ss}", "encrypted", "false", "health_score", "0");
    put_number(serf, "members", members->n_members > 0 ? members->n_members : 1);
    put_number(serf, "failed", members_of(members, PB__MEMBER__STATUS__FAILED));
    put_number(serf, "left", members_of(members, PB__MEMBER__STATUS__LEFT));
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    json_t *runtime = json_pack("{ss,ss,ss}", "arch", machine.machine, "kernel.name", "linux",
                                "version", "norn " NORN_VERSION);
    put_number(runtime, "cpu_count", (uint64_t)cpus);
    put_number(runtime, "max_procs", (uint64_t)cpus);
    return json_pack("{so,so,so,so}", "nomad", nomad, "raft", raft_json(s), "runtime", runtime,
                     "serf", serf);
}

static void set_path(json_t *tree, const char *section, const char *key, json_t *value)
{
    json_t *at = section == NULL ? tree : json_object_get(tree, section);
    if (at == NULL)
        json_decref(value);
    else
        json_put(at, key, value);
}

static json_t *config_json(const struct gateway *g, const Pb__Member *self,
                           const Pb__JobstoreStatus *status)
{
    json_t *tree = json_object();
    for (const struct agent_section *s = agent_sections; s->name != NULL; s++)
        json_put(tree, s->name, json_loads(s->text, JSON_DECODE_ANY, NULL));
    const char *colon = strrchr(g->http, ':');
    json_t *host = json_stringn(g->http, colon == NULL ? 0 : (size_t)(colon - g->http));
    set_path(tree, NULL, "Region", json_text(g->region));
    set_path(tree, NULL, "Datacenter", json_text(g->datacenter));
    set_path(tree, NULL, "NodeName", json_text(g->name));
    set_path(tree, NULL, "LogLevel", json_text("INFO"));
    set_path(tree, NULL, "BindAddr", json_incref(host));
    set_path(tree, "Addresses", "HTTP", host);
    set_path(tree, "AdvertiseAddrs", "HTTP", json_text(g->http));
    set_path(tree, "Ports", "HTTP", json_integer(http_port(g->web)));
    set_path(tree, "Ports", "RPC", json_integer(member_rpc(self).port));
    set_path(tree, "Ports", "Serf", json_integer(member_gossip(self).port));
    set_path(tree, "Server", "Enabled", json_true());
    set_path(tree, "Server", "BootstrapExpect",
             json_integer(
                 status == NULL || status->bootstrap_expect == 0 ? 1 : status->bootstrap_expect));
    set_path(tree, "Version", "Version", json_text(NORN_VERSION));
    return tree;
}

static void on_self_status(void *owner, const Pb__JobstoreStatus *status)
{
    struct call_context *c = owner;
    const struct gateway *g = c->gateway;
    const Pb__Member *self = members_self(roster_members(g->roster));
    Pb__Member own = own_member(g);
    answer_json(c->x,
                json_pack("{so,so,so}", "config", config_json(g, self, status), "member",
                          member_json(g, self == NULL ? &own : self), "stats",
                          stats_json(g, status)),
                c->params.pretty);
}

void agent_self(struct call_context *c)
{
    peers_status(c->gateway, on_self_status, c);
}
