/* What jobstore has when the region has more servers than this one: the way to them, and who they
 * are. */
#include "jobstore.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- for the transport */

static const uint8_t *on_cluster_id(void *self)
{
    return replica_cluster_id(((struct jobstore *)self)->replica);
}

/* A server that forms the first cluster of its own accord is in one from the beginning. */
static bool on_join(void *self, const uint8_t cluster_id[16], struct reason *why)
{
    struct jobstore *js = self;
    char text[ID_TEXT_SIZE];
    if (replica_adopt_cluster(js->replica, cluster_id, why) != OK)
        return false;
    id_format(cluster_id, text);
    log_info("cluster_joined", "cluster=%s", text);
    return true;
}

static void on_message(void *self, const struct raft_message *m)
{
    replica_step(((struct jobstore *)self)->replica, m);
}

static void on_snapshot(void *self, struct request *req)
{
    snapshots_take(((struct jobstore *)self)->snapshots, req);
}

static void on_who(void *self, struct request *req)
{
    struct jobstore *js = self;
    Pb__RaftWho who;
    discover_who(js->discover, &who);
    request_reply(req, &who.base, 0);
}

static void on_form(void *self, struct request *req)
{
    discover_form(((struct jobstore *)self)->discover, req);
}

/* ---- for the replica */

void servers_send(void *self, const struct raft_message *m)
{
    struct jobstore *js = self;
    if (js->transport != NULL)
        transport_send(js->transport, m);
}

void servers_offer(void *self, uint64_t peer)
{
    struct jobstore *js = self;
    if (js->snapshots != NULL)
        snapshots_offer(js->snapshots, peer);
}

/* ---- identity */

/* Another process has our identity. Whoever the cluster knows at its address stays; where it knows
 * neither yet, the one that was there first. */
static void on_impostor(void *self, bool younger, const char *why)
{
    struct jobstore *js = self;
    struct arena *a = arena_new(WIRE_MAX_UNPACKED);
    bool known = false, stays = !younger;
    struct view *v = state_read(replica_state(js->replica));
    const Pb__Cluster *c = state_cluster(v, a);
    view_abort(v);
    for (size_t i = 0; i < c->n_servers && !known; i++) {
        const Pb__Server *s = c->servers[i];
        known = s->raft_id == replica_raft_id(js->replica) && s->address != NULL;
        if (known)
            stays = strcmp(s->address, js->address) == 0;
    }
    arena_free(a);
    log_error(stays ? "copied_server" : "refused", "reason=%s", log_quote(why));
    if (!stays)
        daemon_end(1);
}

static void name_self(struct jobstore *js)
{
    char host[HOST_NAME_MAX + 1] = "server", *name = NULL;
    gethostname(host, sizeof host - 1);
    int n =
        asprintf(&name, "%s.%s", js->server_name[0] != '\0' ? js->server_name : host, js->region);
    must(n > 0);
    js->name = name;
}

/* The directory belongs to the name it was first used under. Only where there can be others: alone,
 * a host may change its name. */
static enum err check_name(struct jobstore *js, struct reason *why)
{
    char was[256];
    if (js->listen_raft[0] == '\0')
        return OK;
    replica_name(js->replica, was, sizeof was);
    if (was[0] == '\0')
        return replica_set_name(js->replica, js->name, why);
    if (strcmp(was, js->name) == 0)
        return OK;
    return reason_set(why, ERR_INVALID,
                      "%s belongs to the server %s and this one is called %s: if it was copied, "
                      "empty it; if the server has a new name, give it its old one as server_name",
                      js->data_dir, was, js->name);
}

static enum err check_settings(struct jobstore *js, struct reason *why)
{
    if (js->listen_raft[0] == '\0' && js->bootstrap_expect != 1)
        return reason_set(why, ERR_INVALID,
                          "bootstrap_expect is %llu but listen_raft is not set: other servers "
                          "could not reach this one",
                          (unsigned long long)js->bootstrap_expect);
    if (js->bootstrap_expect > 16)
        return reason_set(why, ERR_INVALID, "bootstrap_expect is %llu: at most 16 are possible",
                          (unsigned long long)js->bootstrap_expect);
    if (js->tick_ms == 0 || js->election_ms < 4 * js->tick_ms)
        return reason_set(why, ERR_INVALID,
                          "election_ms must be at least 4 times tick_ms, and that not 0");
    return OK;
}

/* Alone and new: a cluster of one. */
static enum err found_alone(struct jobstore *js, struct reason *why)
{
    struct raft_member self = {.id = replica_raft_id(js->replica), .voter = true};
    struct id id = id_new();
    if (replica_cluster_id(js->replica) == NULL) {
        enum err e = replica_adopt_cluster(js->replica, id.bytes, why);
        if (e != OK)
            return e;
    }
    return replica_found(js->replica, &self, 1, why);
}

/* ---- life */

enum err servers_open(struct jobstore *js, struct reason *why)
{
    name_self(js);
    js->address = xstrdup(js->advertise_raft[0] != '\0' ? js->advertise_raft : js->listen_raft);
    enum err e = check_settings(js, why);
    if (e == OK)
        e = check_name(js, why);
    if (e != OK || js->listen_raft[0] == '\0')
        return e == OK ? found_alone(js, why) : e;
    struct transport_options o = {.listen = js->listen_raft,
                                  .address = js->address,
                                  .raft_id = replica_raft_id(js->replica),
                                  .self = js,
                                  .cluster_id = on_cluster_id,
                                  .join = on_join,
                                  .message = on_message,
                                  .snapshot = on_snapshot,
                                  .who = on_who,
                                  .form = on_form};
    e = transport_open(&js->transport, js->loop, &o, why);
    if (e == OK)
        snapshots_open(&js->snapshots, js->loop, js->replica, js->transport);
    return e;
}

void servers_start(struct jobstore *js)
{
    struct arena *a = arena_new(WIRE_MAX_UNPACKED);
    if (js->transport == NULL) {
        arena_free(a);
        return;
    }
    struct view *v = state_read(replica_state(js->replica));
    const Pb__Cluster *c = state_cluster(v, a);
    view_abort(v);
    for (size_t i = 0; i < c->n_servers; i++)
        transport_learn(js->transport, c->servers[i]->raft_id, c->servers[i]->address);
    struct discover_options o = {.gossip = js->gossip,
                                 .peers = js->peers,
                                 .address = js->address,
                                 .name = js->name,
                                 .expect = js->bootstrap_expect,
                                 .non_voting = js->non_voting,
                                 .replica = js->replica,
                                 .transport = js->transport,
                                 .self = js,
                                 .impostor = on_impostor};
    discover_open(&js->discover, js->loop, &o);
    arena_free(a);
}

void servers_close(struct jobstore *js)
{
    discover_close(js->discover);
    snapshots_close(js->snapshots);
    transport_close(js->transport);
    js->discover = NULL;
    js->snapshots = NULL;
    js->transport = NULL;
    free(js->name);
    free(js->address);
}
