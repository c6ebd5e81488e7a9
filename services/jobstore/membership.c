#include "membership.h"
#include "apply.h"
#include "autopilot.h"
#include "jobstore.h"
#include <stdlib.h>
#include <string.h>

#define LOOK_MS     500u
#define ALIVE_MS    5000u /* one that answered so long ago is taken for alive */
#define TRANSFER_MS 3000u
#define REMOVE_MS   5000u

/* An operator's request that waits for its effect. */
struct wish {
    struct link link;
    struct membership *membership;
    struct request *req;
    struct timer timer;
    uint64_t raft_id;
    bool transfer; /* else: removal */
};

struct membership {
    struct jobstore *js;
    struct autopilot *autopilot;
    struct timer look;
    struct link wishes;
    bool led;
};

/* ---- what is known of a member */

static const Pb__Server *record_of(const Pb__Cluster *c, uint64_t raft_id)
{
    for (size_t i = 0; i < c->n_servers; i++)
        if (c->servers[i]->raft_id == raft_id)
            return c->servers[i];
    return NULL;
}

/* Text that is only read, where protobuf-c wants it mutable. */
static char *text_of(const char *s)
{
    return (char *)(uintptr_t)s;
}

static const char *first_text(const char *a, const char *b)
{
    return a != NULL && a[0] != '\0' ? a : b;
}

Pb__RaftPeer *member_describe(struct jobstore *js, struct arena *a, const struct raft_peer *p,
                              const Pb__Cluster *c, uint64_t leader)
{
    const Pb__Server *s = record_of(c, p->id);
    const struct seen *seen = js->discover != NULL ? discover_find(js->discover, p->id) : NULL;
    bool self = p->id == replica_raft_id(js->replica);
    Pb__RaftPeer *out = arena_alloc(a, sizeof *out);
    pb__raft_peer__init(out);
    out->has_raft_id = out->has_voter = out->has_leader = out->has_match_index = true;
    out->has_last_contact_ms = out->has_taking_snapshot = true;
    out->raft_id = p->id;
    out->voter = p->voter;
    out->leader = p->id == leader;
    out->match_index = p->match;
    out->last_contact_ms = out->leader ? 0 : replica_ticks_ms(js->replica, p->silent_ticks);
    out->taking_snapshot = p->flow == RAFT_SNAPSHOT_SENT;
    out->name =
        text_of(first_text(self ? js->name : NULL, first_text(s != NULL ? s->name : NULL,
                                                              seen != NULL ? seen->name : NULL)));
    out->address =
        text_of(first_text(js->transport != NULL ? transport_address(js->transport, p->id) : NULL,
                           s != NULL ? s->address : NULL));
    out->rpc_address = text_of(
        first_text(seen != NULL ? seen->rpc_address : NULL, s != NULL ? s->rpc_address : NULL));
    /* What the state has not yet been told the server itself has said. */
    const uint8_t *id = s != NULL && s->has_id ? s->id.data : NULL;
    if (self)
        id = replica_server_id(js->replica);
    else if (id == NULL && seen != NULL)
        id = seen->who->server_id.data;
    out->has_id = id != NULL;
    if (id != NULL)
        out->id = wire_id(a, id);
    return out;
}

static Pb__Cluster *cluster_of(struct jobstore *js, struct arena *a)
{
    struct view *v = state_read(replica_state(js->replica));
    Pb__Cluster *c = state_cluster(v, a);
    view_abort(v);
    if (c->autopilot == NULL) {
        c->autopilot = arena_alloc(a, sizeof *c->autopilot);
        autopilot_defaults(c->autopilot);
    }
    return c;
}

/* ---- the members' names in the state */

/* A command of our own: nobody waits for it, and what it sets is looked at again. */
static void propose_own(struct jobstore *js, struct arena *a, Pb__Command *cmd)
{
    struct reason why;
    uint64_t index;
    struct id id = id_new();
    cmd->has_request_id = cmd->has_time = true;
    cmd->request_id = wire_id(a, id.bytes);
    cmd->time = replica_time(js->replica);
    ProtobufCBinaryData packed = wire_pack(a, &cmd->base);
    if (replica_propose(js->replica, packed.data, packed.len, &index, &why) != OK)
        log_warn("servers_not_recorded", "reason=%s", log_quote(why.text));
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

static bool same_server(const Pb__Server *a, const Pb__Server *b)
{
    return a != NULL && same_text(a->name, b->name) && same_text(a->address, b->address) &&
           same_text(a->rpc_address, b->rpc_address) && a->non_voting == b->non_voting && a->has_id;
}

static void server_from(Pb__Server *out, const Pb__RaftWho *w, const char *address,
                        const char *rpc_address)
{
    pb__server__init(out);
    out->has_raft_id = out->has_id = out->has_non_voting = true;
    out->raft_id = w->raft_id;
    out->id = w->server_id;
    out->name = w->name;
    out->address = text_of(address);
    out->rpc_address = text_of(rpc_address);
    out->non_voting = w->non_voting;
}

/* At most one a look. */
static void record_servers(struct membership *m, struct arena *a, const Pb__Cluster *c,
                           const struct raft_peer *peers, size_t count)
{
    struct jobstore *js = m->js;
    Pb__Command cmd = PB__COMMAND__INIT;
    Pb__ServerSet set = PB__SERVER_SET__INIT;
    Pb__Server server;
    Pb__RaftWho own;
    cmd.body_case = PB__COMMAND__BODY_SERVER_SET;
    cmd.server_set = &set;
    for (size_t i = 0; i < count; i++) {
        const struct seen *seen = discover_find(js->discover, peers[i].id);
        if (peers[i].id == replica_raft_id(js->replica)) {
            discover_who(js->discover, &own);
            server_from(&server, &own, own.address, "");
        } else if (seen != NULL) {
            server_from(&server, seen->who, seen->address, seen->rpc_address);
        } else {
            continue;
        }
        if (!same_server(record_of(c, peers[i].id), &server)) {
            set.server = &server;
            propose_own(js, a, &cmd);
            return;
        }
    }
    for (size_t k = 0; k < c->n_servers; k++) {
        bool member = false;
        for (size_t i = 0; i < count; i++)
            member |= peers[i].id == c->servers[k]->raft_id;
        if (!member) {
            set.has_forget = true;
            set.forget = c->servers[k]->raft_id;
            propose_own(js, a, &cmd);
            return;
        }
    }
}

/* ---- autopilot */

static bool is_alive(const struct membership *m, const struct seen *s)
{
    return s != NULL && ((s->alive_ms != 0 && s->alive_ms + ALIVE_MS > loop_now_ms(m->js->loop)) ||
                         (s->by_gossip && s->gossip_alive));
}

static bool may_join(const struct membership *m, const Pb__RaftWho *w)
{
    return !w->has_cluster_id ||
           memcmp(w->cluster_id.data, replica_cluster_id(m->js->replica), ID_SIZE) == 0;
}

static struct autopilot_server member_input(struct membership *m, const Pb__Cluster *c,
                                            const struct raft_peer *p)
{
    struct jobstore *js = m->js;
    const Pb__Server *record = record_of(c, p->id);
    const struct seen *seen = discover_find(js->discover, p->id);
    bool self = p->id == replica_raft_id(js->replica);
    return (struct autopilot_server){
        .raft_id = p->id,
        .name = first_text(seen != NULL ? seen->name : NULL,
                           record != NULL && record->name != NULL ? record->name : ""),
        .member = true,
        .voter = p->voter,
        .leader = self,
        .match = p->match,
        .last_contact_ms = self ? 0 : replica_ticks_ms(js->replica, p->silent_ticks),
        .alive = self || is_alive(m, seen),
        .may_join = true,
        .non_voting = seen != NULL ? seen->who->non_voting : record != NULL && record->non_voting};
}

static size_t all_servers(struct membership *m, struct arena *a, const Pb__Cluster *c,
                          const struct raft_peer *peers, size_t count,
                          struct autopilot_server **out)
{
    size_t n = 0, room = count + DISCOVER_MOST;
    *out = arena_array(a, struct autopilot_server, room);
    for (size_t i = 0; i < count; i++)
        (*out)[n++] = member_input(m, c, &peers[i]);
    const struct seen *s = NULL;
    while ((s = discover_next(m->js->discover, s)) != NULL && n < room) {
        bool member = s->who == NULL;
        for (size_t i = 0; i < count && !member; i++)
            member = peers[i].id == s->who->raft_id;
        if (!member)
            (*out)[n++] = (struct autopilot_server){.raft_id = s->who->raft_id,
                                                    .name = s->name,
                                                    .alive = is_alive(m, s) && s->alive_ms != 0,
                                                    .may_join = may_join(m, s->who),
                                                    .non_voting = s->who->non_voting};
    }
    return n;
}

static void carry_out(struct membership *m, const struct autopilot_action *act)
{
    static const enum raft_change changes[] = {[AUTOPILOT_ADD] = RAFT_SET_LEARNER,
                                               [AUTOPILOT_PROMOTE] = RAFT_SET_VOTER,
                                               [AUTOPILOT_REMOVE] = RAFT_REMOVE};
    static const char *const events[] = {[AUTOPILOT_ADD] = "server_added",
                                         [AUTOPILOT_PROMOTE] = "server_promoted",
                                         [AUTOPILOT_REMOVE] = "server_removed"};
    struct reason why;
    if (act->kind == AUTOPILOT_NOTHING)
        return;
    enum err e = replica_change_members(m->js->replica, changes[act->kind], act->raft_id, &why);
    if (e == OK)
        log_info(events[act->kind], "peer=%016llx reason=%s", (unsigned long long)act->raft_id,
                 log_quote(act->why));
    else if (e != ERR_BUSY && e != ERR_NOT_LEADER)
        log_warn("members_not_changed", "peer=%016llx reason=%s", (unsigned long long)act->raft_id,
                 log_quote(why.text));
}

static void drive(struct membership *m)
{
    struct jobstore *js = m->js;
    struct replica_status s;
    struct raft_peer peers[RAFT_MAX_MEMBERS];
    struct arena *a = arena_new(WIRE_MAX_UNPACKED);
    size_t count = replica_peers(js->replica, peers);
    const Pb__Cluster *c = cluster_of(js, a);
    struct autopilot_server *servers;
    replica_status(js->replica, &s);
    size_t n = all_servers(m, a, c, peers, count, &servers);
    struct autopilot_input in = {.now_ms = loop_now_ms(js->loop),
                                 .last_index = s.raft.last,
                                 .change_out = !s.raft.members_committed,
                                 .config = c->autopilot,
                                 .dead_after_ms = js->dead_server_cleanup_ms,
                                 .servers = servers,
                                 .count = n};
    struct autopilot_action act = autopilot_step(m->autopilot, &in);
    carry_out(m, &act);
    if (js->discover != NULL)
        record_servers(m, a, c, peers, count);
    arena_free(a);
}

static bool leads(const struct membership *m)
{
    struct replica_status s;
    replica_status(m->js->replica, &s);
    return s.leading;
}

static void on_look(void *owner)
{
    struct membership *m = owner;
    if (leads(m))
        drive(m);
    timer_arm(m->js->loop, &m->look, LOOK_MS, on_look, m);
}

/* ---- health */

static size_t voters_healthy(struct membership *m, const struct raft_peer *peers, size_t count,
                             size_t *voters)
{
    size_t healthy = 0;
    *voters = 0;
    for (size_t i = 0; i < count; i++) {
        *voters += peers[i].voter;
        healthy += peers[i].voter && autopilot_health(m->autopilot, peers[i].id).healthy;
    }
    return healthy;
}

static Pb__ServerHealth *health_of(struct membership *m, struct arena *a, const Pb__Cluster *c,
                                   const struct raft_peer *p, const struct replica_status *s)
{
    struct jobstore *js = m->js;
    struct autopilot_health h = autopilot_health(m->autopilot, p->id);
    Pb__ServerHealth *out = arena_alloc(a, sizeof *out);
    pb__server_health__init(out);
    out->peer = member_describe(js, a, p, c, s->raft.leader);
    out->has_healthy = out->has_stable_since = out->has_last_term = out->has_alive = true;
    out->healthy = h.healthy;
    out->stable_since =
        loop_wall_ns(js->loop) - (int64_t)(loop_now_ms(js->loop) - h.since_ms) * 1000000;
    out->last_term = s->raft.term;
    out->alive = p->id == s->raft.id || is_alive(m, discover_find(js->discover, p->id));
    return out;
}

void membership_autopilot(struct membership *m, struct request *req)
{
    struct jobstore *js = m->js;
    struct arena *a = request_arena(req);
    struct raft_peer peers[RAFT_MAX_MEMBERS];
    struct replica_status s;
    size_t voters, count = replica_peers(js->replica, peers);
    if (!leads(m)) {
        fail_not_leader(js, req, "only the leader knows");
        return;
    }
    drive(m);
    replica_status(js->replica, &s);
    const Pb__Cluster *c = cluster_of(js, a);
    Pb__AutopilotHealth out = PB__AUTOPILOT_HEALTH__INIT;
    out.config = c->autopilot;
    out.has_healthy = out.has_failure_tolerance = out.healthy = true;
    size_t healthy = voters_healthy(m, peers, count, &voters);
    out.failure_tolerance = healthy > voters / 2 + 1 ? (uint32_t)(healthy - voters / 2 - 1) : 0;
    out.servers = arena_array(a, Pb__ServerHealth *, count + 1);
    for (size_t i = 0; i < count; i++) {
        out.servers[i] = health_of(m, a, c, &peers[i], &s);
        out.healthy &= out.servers[i]->healthy;
    }
    out.n_servers = count;
    request_reply(req, &out.base, s.applied_index);
}

/* ---- an operator's wishes */

static void wish_free(struct wish *w)
{
    timer_cancel(w->membership->js->loop, &w->timer);
    list_remove(&w->link);
    free(w);
}

static void on_wish_gone(void *owner, struct request *req)
{
    wish_free(owner);
}

static void on_wish_over(void *owner)
{
    struct wish *w = owner;
    struct request *req = w->req;
    bool transfer = w->transfer;
    wish_free(w);
    request_fail(req, PB__REPLY__CODE__TIMEOUT, "%s",
                 transfer ? "no other server took over" : "the change was not agreed in time");
}

static bool is_member(struct membership *m, uint64_t raft_id)
{
    struct raft_peer peers[RAFT_MAX_MEMBERS];
    size_t count = replica_peers(m->js->replica, peers);
    for (size_t i = 0; i < count; i++)
        if (peers[i].id == raft_id)
            return true;
    return false;
}

static bool is_fulfilled(struct membership *m, const struct wish *w)
{
    struct replica_status s;
    replica_status(m->js->replica, &s);
    if (w->transfer)
        return s.raft.role != RAFT_LEADER && s.raft.leader != 0 && s.raft.leader != s.raft.id;
    return !is_member(m, w->raft_id) && s.raft.members_committed;
}

static void look_at_wishes(void *owner)
{
    struct membership *m = owner;
    struct wish *w;
    list_each(&m->wishes, struct wish, link, w)
    {
        if (!is_fulfilled(m, w))
            continue;
        struct request *req = w->req;
        wish_free(w);
        request_reply(req, NULL, 0);
    }
}

static void wish_add(struct membership *m, struct request *req, uint64_t raft_id, bool transfer)
{
    struct wish *w = xcalloc(1, sizeof *w);
    w->membership = m;
    w->req = req;
    w->raft_id = raft_id;
    w->transfer = transfer;
    list_push_back(&m->wishes, &w->link);
    request_park(req, on_wish_gone, w);
    timer_arm(m->js->loop, &w->timer, transfer ? TRANSFER_MS : REMOVE_MS, on_wish_over, w);
    look_at_wishes(m);
}

/* host:port, or with how to speak before it. */
static bool same_address(const char *full, const char *asked)
{
    const char *host = full != NULL ? strstr(full, "://") : NULL;
    return full != NULL &&
           (strcmp(full, asked) == 0 || (host != NULL && strcmp(host + 3, asked) == 0));
}

static bool is_asked_for(const Pb__MemberKey *k, const Pb__RaftPeer *p)
{
    char id[ID_TEXT_SIZE] = "";
    if (p->has_id)
        id_format(p->id.data, id);
    return (k->raft_id != 0 && k->raft_id == p->raft_id) ||
           (k->id != NULL && k->id[0] != '\0' && strcmp(k->id, id) == 0) ||
           (k->address != NULL && k->address[0] != '\0' &&
            (same_address(p->address, k->address) || same_address(p->rpc_address, k->address) ||
             same_text(p->rpc_address, k->address))) ||
           (k->name != NULL && k->name[0] != '\0' && same_text(p->name, k->name));
}

/* 0: none. */
static uint64_t member_asked_for(struct membership *m, struct request *req)
{
    const Pb__MemberKey *k = (const Pb__MemberKey *)request_body(req);
    struct raft_peer peers[RAFT_MAX_MEMBERS];
    size_t count = replica_peers(m->js->replica, peers);
    const Pb__Cluster *c = cluster_of(m->js, request_arena(req));
    for (size_t i = 0; i < count; i++)
        if (is_asked_for(k, member_describe(m->js, request_arena(req), &peers[i], c, 0)))
            return peers[i].id;
    return 0;
}

static void fail_unknown_member(struct request *req)
{
    const Pb__MemberKey *k = (const Pb__MemberKey *)request_body(req);
    const char *id = first_text(k->id, first_text(k->name, NULL));
    if (id != NULL)
        request_fail(req, PB__REPLY__CODE__NOT_FOUND,
                     "id \"%s\" was not found in the Raft configuration", id);
    else
        request_fail(req, PB__REPLY__CODE__NOT_FOUND,
                     "address \"%s\" was not found in the Raft configuration",
                     first_text(k->address, ""));
}

static void refuse(struct membership *m, struct request *req, enum err e, const char *why)
{
    if (e == ERR_NOT_LEADER)
        fail_not_leader(m->js, req, why);
    else
        request_fail(req, e == ERR_BUSY ? PB__REPLY__CODE__BUSY : PB__REPLY__CODE__INVALID, "%s",
                     why);
}

void membership_remove(struct membership *m, struct request *req)
{
    const Pb__MemberKey *k = (const Pb__MemberKey *)request_body(req);
    struct reason why;
    if (!leads(m)) {
        fail_not_leader(m->js, req, "this server does not lead");
        return;
    }
    uint64_t id = member_asked_for(m, req);
    if (id == 0 && k->has_from && !is_member(m, k->from)) {
        request_reply(req, NULL, 0); /* a second copy, and the first took the leader itself */
        return;
    }
    if (id == 0) {
        fail_unknown_member(req);
        return;
    }
    enum err e = replica_change_members(m->js->replica, RAFT_REMOVE, id, &why);
    if (e != OK) {
        refuse(m, req, e, why.text);
        return;
    }
    log_info("server_removed", "peer=%016llx reason=%s", (unsigned long long)id,
             log_quote("an operator asked for it"));
    wish_add(m, req, id, false);
}

/* The voter that lacks least. */
static uint64_t best_successor(struct membership *m)
{
    struct raft_peer peers[RAFT_MAX_MEMBERS];
    size_t count = replica_peers(m->js->replica, peers);
    uint64_t best = 0, match = 0;
    for (size_t i = 0; i < count; i++) {
        if (!peers[i].voter || peers[i].id == replica_raft_id(m->js->replica))
            continue;
        if (best == 0 || peers[i].match > match) {
            best = peers[i].id;
            match = peers[i].match;
        }
    }
    return best;
}

void membership_transfer(struct membership *m, struct request *req)
{
    const Pb__MemberKey *k = (const Pb__MemberKey *)request_body(req);
    struct reason why;
    bool any = k->raft_id == 0 && k->id == NULL && k->address == NULL && k->name == NULL;
    if (!leads(m)) {
        fail_not_leader(m->js, req, "this server does not lead");
        return;
    }
    if (any && k->has_from && k->from != replica_raft_id(m->js->replica)) {
        request_reply(req, NULL, 0); /* a second copy, and the first has come about */
        return;
    }
    uint64_t id = any ? best_successor(m) : member_asked_for(m, req);
    if (id == 0 && any)
        request_fail(req, PB__REPLY__CODE__INVALID, "there is no other voter to hand over to");
    else if (id == 0)
        fail_unknown_member(req);
    if (id == 0)
        return;
    if (id == replica_raft_id(m->js->replica)) {
        request_reply(req, NULL, 0);
        return;
    }
    enum err e = replica_transfer(m->js->replica, id, &why);
    if (e != OK)
        refuse(m, req, e, why.text);
    else
        wish_add(m, req, id, true);
}

/* ---- life */

void membership_role_changed(struct membership *m)
{
    bool now = leads(m);
    if (now && !m->led)
        autopilot_reset(m->autopilot);
    m->led = now;
    look_at_wishes(m);
}

void membership_settled(struct membership *m)
{
    if (!list_empty(&m->wishes))
        look_at_wishes(m);
}

void membership_open(struct membership **out, struct jobstore *js)
{
    struct membership *m = xcalloc(1, sizeof *m);
    m->js = js;
    m->autopilot = autopilot_new();
    list_init(&m->wishes);
    timer_arm(js->loop, &m->look, LOOK_MS, on_look, m);
    *out = m;
}

void membership_close(struct membership *m)
{
    struct wish *w;
    if (m == NULL)
        return;
    timer_cancel(m->js->loop, &m->look);
    list_each(&m->wishes, struct wish, link, w)
    {
        wish_free(w); /* the server fails the request */
    }
    autopilot_free(m->autopilot);
    free(m);
}
