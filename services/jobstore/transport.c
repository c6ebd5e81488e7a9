#include "transport.h"
#include "base/log.h"
#include "raftwire.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_BYTES    (1u << 20)
#define BATCH_MESSAGES 512u
#define QUEUE_BYTES    (16u << 20)
#define SEND_MS        1000u /* for one batch; a server that hangs loses it */
#define MOST_PEERS     256u

/* Messages that go together, in an arena of their own. */
struct batch {
    struct link link;
    struct arena *arena;
    Pb__RaftMessage *messages[BATCH_MESSAGES];
    size_t count, bytes;
};

struct peer {
    struct link link;
    struct transport *transport;
    uint64_t raft_id;
    char *address;
    struct client *client;
    struct link queue;    /* struct batch */
    struct batch *newest; /* the last of the queue; NULL: it is empty */
    size_t queued_bytes;
    struct call *out;
    char refused[512]; /* what it last refused us for, so that it is logged once */
};

struct transport {
    struct loop *loop;
    struct transport_options options;
    struct server *server;
    struct link all; /* struct peer */
    size_t count;
    struct arena *spare;
    struct transport_counts counts;
    char refused[512]; /* why we last refused somebody */
};

/* ---- who is where */

static struct peer *peer_of(const struct transport *p, uint64_t raft_id)
{
    struct peer *peer;
    list_each(&p->all, struct peer, link, peer)
    {
        if (peer->raft_id == raft_id)
            return peer;
    }
    return NULL;
}

static void batch_free(struct transport *p, struct batch *b)
{
    arena_reset(b->arena);
    if (p->spare == NULL)
        p->spare = b->arena;
    else
        arena_free(b->arena);
    free(b);
}

static void drop_queue(struct peer *peer)
{
    struct batch *b;
    while ((b = list_first(&peer->queue, struct batch, link)) != NULL) {
        list_remove(&b->link);
        peer->transport->counts.dropped += b->count;
        batch_free(peer->transport, b);
    }
    peer->queued_bytes = 0;
    peer->newest = NULL;
}

static void disconnect(struct peer *peer)
{
    drop_queue(peer);
    client_close(peer->client); /* with its calls */
    peer->client = NULL;
    peer->out = NULL;
}

static void peer_free(struct peer *peer)
{
    disconnect(peer);
    list_remove(&peer->link);
    peer->transport->count--;
    free(peer->address);
    free(peer);
}

static void connect_to(struct peer *peer)
{
    struct reason why;
    if (client_open(&peer->client, peer->transport->loop, peer->address, &why) != OK)
        log_error("bad_peer_address", "peer=%016llx address=%s reason=%s",
                  (unsigned long long)peer->raft_id, log_quote(peer->address), log_quote(why.text));
}

void transport_learn(struct transport *p, uint64_t raft_id, const char *address)
{
    struct peer *peer = peer_of(p, raft_id);
    if (raft_id == p->options.raft_id || raft_id == 0 || address == NULL || address[0] == '\0')
        return;
    if (peer != NULL && strcmp(peer->address, address) == 0)
        return;
    if (peer == NULL && p->count >= MOST_PEERS)
        return;
    if (peer == NULL) {
        peer = xcalloc(1, sizeof *peer);
        peer->transport = p;
        peer->raft_id = raft_id;
        list_init(&peer->queue);
        list_push_back(&p->all, &peer->link);
        p->count++;
    }
    disconnect(peer);
    free(peer->address);
    peer->address = xstrdup(address);
    connect_to(peer);
}

void transport_forget(struct transport *p, uint64_t raft_id)
{
    struct peer *peer = peer_of(p, raft_id);
    if (peer != NULL)
        peer_free(peer);
}

const char *transport_address(const struct transport *p, uint64_t raft_id)
{
    const struct peer *peer = peer_of(p, raft_id);
    if (raft_id == p->options.raft_id)
        return p->options.address;
    return peer != NULL ? peer->address : NULL;
}

/* ---- out */

static void send_next(struct peer *peer);

static void on_sent(void *owner, const struct response *r)
{
    struct peer *peer = owner;
    peer->out = NULL;
    if (r->code == PB__REPLY__CODE__DENIED || r->code == PB__REPLY__CODE__INVALID) {
        if (strncmp(peer->refused, r->reason, sizeof peer->refused - 1) != 0)
            log_warn("peer_refuses", "peer=%016llx address=%s reason=%s",
                     (unsigned long long)peer->raft_id, log_quote(peer->address),
                     log_quote(r->reason));
        snprintf(peer->refused, sizeof peer->refused, "%s", r->reason);
    } else if (r->code == PB__REPLY__CODE__OK) {
        peer->refused[0] = '\0';
    }
    send_next(peer);
}

static void send_next(struct peer *peer)
{
    struct transport *p = peer->transport;
    const uint8_t *cluster = p->options.cluster_id(p->options.self);
    struct batch *b = list_first(&peer->queue, struct batch, link);
    if (b == NULL || peer->out != NULL || cluster == NULL)
        return;
    Pb__RaftMessages all = PB__RAFT_MESSAGES__INIT;
    all.has_version = all.has_cluster_id = all.has_from = all.has_to = true;
    all.version = PB__RAFT__VERSION__NOW;
    all.cluster_id = wire_id(b->arena, cluster);
    all.from = p->options.raft_id;
    all.to = peer->raft_id;
    all.n_messages = b->count;
    all.messages = b->messages;
    all.address = arena_strdup(b->arena, p->options.address);
    struct call_options o = {.method = PB__RAFT__METHOD__MESSAGES,
                             .body = &all.base,
                             .budget_ms = SEND_MS,
                             .done = on_sent,
                             .owner = peer};
    peer->out = client_call(peer->client, &o);
    p->counts.batches++;
    p->counts.sent += b->count;
    peer->queued_bytes -= b->bytes;
    list_remove(&b->link);
    if (peer->newest == b)
        peer->newest = NULL;
    batch_free(p, b);
}

/* The batch that m goes into; NULL: there is no room. */
static struct batch *gather_into(struct peer *peer, size_t size)
{
    struct transport *p = peer->transport;
    struct batch *b = peer->newest;
    if (b != NULL && b->count < BATCH_MESSAGES && b->bytes + size <= BATCH_BYTES)
        return b;
    if (peer->queued_bytes > 0 && peer->queued_bytes + size > QUEUE_BYTES)
        return NULL;
    b = xcalloc(1, sizeof *b);
    b->arena = p->spare != NULL ? p->spare : arena_new(WIRE_MAX_UNPACKED);
    p->spare = NULL;
    list_push_back(&peer->queue, &b->link);
    peer->newest = b;
    return b;
}

void transport_send(struct transport *p, const struct raft_message *m)
{
    struct peer *peer = peer_of(p, m->to);
    size_t size = raftwire_size(m);
    struct batch *b = NULL;
    /* To one out of reach old messages would only be in the way when it is back. */
    if (peer != NULL && peer->client != NULL && client_is_connected(peer->client))
        b = gather_into(peer, size);
    if (b == NULL) {
        p->counts.dropped++;
        return;
    }
    b->messages[b->count++] = raftwire_encode(b->arena, m);
    b->bytes += size;
    peer->queued_bytes += size;
    send_next(peer);
}

/* ---- in */

static void refuse_sender(struct transport *p, struct request *req, const struct reason *why)
{
    const Pb__RaftMessages *b = (const Pb__RaftMessages *)request_body(req);
    p->counts.refused++;
    if (strncmp(p->refused, why->text, sizeof p->refused - 1) != 0)
        log_warn("peer_refused", "peer=%016llx address=%s reason=%s", (unsigned long long)b->from,
                 log_quote(b->address != NULL ? b->address : "?"), log_quote(why->text));
    snprintf(p->refused, sizeof p->refused, "%s", why->text);
    request_fail(req, PB__REPLY__CODE__DENIED, "%s", why->text);
}

static enum err admit(struct transport *p, const Pb__RaftMessages *b, struct reason *why)
{
    const uint8_t *cluster = p->options.cluster_id(p->options.self);
    if (b->version != PB__RAFT__VERSION__NOW)
        return reason_set(why, ERR_DENIED,
                          "raft messages of version %u came to a server of version %d: run the "
                          "same version of norn on all servers",
                          b->version, PB__RAFT__VERSION__NOW);
    if (b->to != p->options.raft_id)
        return reason_set(why, ERR_DENIED,
                          "messages for server %016llx came to %016llx: its address is wrong, or "
                          "its data directory was made anew",
                          (unsigned long long)b->to, (unsigned long long)p->options.raft_id);
    if (b->from == p->options.raft_id)
        return reason_set(why, ERR_DENIED,
                          "another server has our identity %016llx: a data directory was copied; "
                          "empty the copy",
                          (unsigned long long)b->from);
    if (!b->has_cluster_id)
        return reason_set(why, ERR_DENIED, "messages of no cluster");
    if (cluster == NULL)
        return p->options.join(p->options.self, b->cluster_id.data, why) ? OK : ERR_DENIED;
    if (memcmp(cluster, b->cluster_id.data, ID_SIZE) != 0)
        return reason_set(why, ERR_DENIED,
                          "a server of another cluster: to make it join this one, stop it and "
                          "empty its data directory");
    return OK;
}

static void on_messages(void *self, struct request *req)
{
    struct transport *p = self;
    struct reason why;
    struct raft_message *messages;
    size_t count;
    const Pb__RaftMessages *b = (const Pb__RaftMessages *)request_body(req);
    if (admit(p, b, &why) != OK) {
        refuse_sender(p, req, &why);
        return;
    }
    if (raftwire_decode(request_arena(req), b, &messages, &count, &why) != OK) {
        p->counts.refused++;
        log_warn("bad_raft_message", "peer=%016llx reason=%s", (unsigned long long)b->from,
                 log_quote(why.text));
        request_fail(req, PB__REPLY__CODE__INVALID, "%s", why.text);
        return;
    }
    if (peer_of(p, b->from) == NULL)
        transport_learn(p, b->from, b->address);
    p->counts.received += count;
    for (size_t i = 0; i < count; i++)
        p->options.message(p->options.self, &messages[i]);
    request_reply(req, NULL, 0);
}

static void on_snapshot(void *self, struct request *req)
{
    struct transport *p = self;
    p->options.snapshot(p->options.self, req);
}

static void on_who(void *self, struct request *req)
{
    struct transport *p = self;
    p->options.who(p->options.self, req);
}

static void on_form(void *self, struct request *req)
{
    struct transport *p = self;
    p->options.form(p->options.self, req);
}

static const struct method methods[] = {
    {PB__RAFT__METHOD__MESSAGES, "messages", &pb__raft_messages__descriptor, on_messages},
    {PB__RAFT__METHOD__SNAPSHOT, "snapshot", &pb__snapshot_chunk__descriptor, on_snapshot},
    {PB__RAFT__METHOD__WHO, "who", &pb__empty__descriptor, on_who},
    {PB__RAFT__METHOD__FORM, "form", &pb__raft_form__descriptor, on_form},
    {0, NULL, NULL, NULL},
};

/* ---- life */

enum err transport_open(struct transport **out, struct loop *l, const struct transport_options *o,
                        struct reason *why)
{
    struct transport *p = xcalloc(1, sizeof *p);
    p->loop = l;
    p->options = *o;
    list_init(&p->all);
    struct server_options so = {.methods = methods, .self = p, .peers = PEER_SERVER};
    enum err e = server_open(&p->server, l, o->listen, &so, why);
    if (e != OK) {
        free(p);
        return reason_add(why, e, "jobstore cannot listen for other servers");
    }
    *out = p;
    return OK;
}

void transport_close(struct transport *p)
{
    struct peer *peer;
    if (p == NULL)
        return;
    while ((peer = list_first(&p->all, struct peer, link)) != NULL)
        peer_free(peer);
    server_close(p->server);
    arena_free(p->spare);
    free(p);
}

void transport_counts(const struct transport *p, struct transport_counts *out)
{
    *out = p->counts;
}
