#include "snapshots.h"
#include "base/crc32c.h"
#include "base/fault.h"
#include "base/log.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE_BYTES   (512u << 10)
#define PIECE_MS      10000u
#define LAST_PIECE_MS 900000u /* it is answered when the whole is checked, synced and installed */
#define BUSY_MS       1000u
#define MOST_RESTARTS 3u

/* A state on its way to one server. */
struct stream {
    struct link link;
    struct snapshots *snapshots;
    uint64_t peer;
    struct replica_copy copy;
    bool has_copy;
    int fd;
    struct id id;
    uint64_t offset; /* of the piece that is out */
    uint32_t crc;    /* of what was acknowledged */
    uint32_t next_crc;
    size_t piece;
    unsigned restarts;
    uint64_t began_ms;
    struct client *client; /* its own: a big piece does not keep raft's messages waiting */
    struct timer end, again;
};

/* One on its way to us. */
struct incoming {
    bool active, installing;
    int fd;
    uint8_t id[ID_SIZE];
    uint64_t index, log_term, size, offset;
    uint32_t crc;
    struct request *last; /* waits for the installation */
    uint64_t began_ms;
};

struct snapshots {
    struct loop *loop;
    struct replica *replica;
    struct transport *transport;
    struct link streams, ended; /* struct stream */
    struct incoming in;
    uint8_t *buffer;
    struct snapshots_counts counts;
};

/* ---- out */

static void stream_free(void *owner)
{
    struct stream *st = owner;
    timer_cancel(st->snapshots->loop, &st->end);
    timer_cancel(st->snapshots->loop, &st->again);
    client_close(st->client);
    if (st->fd >= 0)
        close(st->fd);
    list_remove(&st->link);
    free(st);
}

/* Freed when the loop is back: we may be inside a callback of its client's. */
static void stream_end(struct stream *st, bool good)
{
    struct snapshots *s = st->snapshots;
    if (timer_is_armed(&st->end))
        return;
    timer_arm(s->loop, &st->end, 0, stream_free, st);
    list_remove(&st->link); /* the same peer may be offered another at once */
    list_push_back(&s->ended, &st->link);
    if (good)
        replica_copy_sent(s->replica, st->peer, st->copy.index);
    else
        replica_copy_failed(s->replica, st->peer);
    s->counts.sent += good;
    if (st->has_copy)
        replica_copy_release(s->replica);
}

static void stream_failed(struct stream *st, const char *why)
{
    log_warn("state_not_sent", "peer=%016llx offset=%llu reason=%s", (unsigned long long)st->peer,
             (unsigned long long)st->offset, log_quote(why));
    stream_end(st, false);
}

static void send_piece(struct stream *st);

static void stream_sent(struct stream *st)
{
    log_info("state_sent", "peer=%016llx index=%llu bytes=%llu ms=%llu",
             (unsigned long long)st->peer, (unsigned long long)st->copy.index,
             (unsigned long long)st->copy.size,
             (unsigned long long)(loop_now_ms(st->snapshots->loop) - st->began_ms));
    stream_end(st, true);
}

static void on_again(void *owner)
{
    send_piece(owner);
}

static void on_piece(void *owner, const struct response *r)
{
    struct stream *st = owner;
    const Pb__SnapshotTaken *taken = (const Pb__SnapshotTaken *)r->body;
    if (r->code == PB__REPLY__CODE__BUSY && st->offset == 0) { /* it installs what came before */
        timer_arm(st->snapshots->loop, &st->again, BUSY_MS, on_again, st);
        return;
    }
    if (r->code != PB__REPLY__CODE__OK) {
        stream_failed(st, r->reason);
        return;
    }
    if (taken->outcome == PB__SNAPSHOT_TAKEN__OUTCOME__DONE) {
        stream_sent(st);
        return;
    }
    bool next = taken->outcome == PB__SNAPSHOT_TAKEN__OUTCOME__NEXT &&
                taken->offset == st->offset + st->piece && taken->offset < st->copy.size;
    if (next) {
        st->offset = taken->offset;
        st->crc = st->next_crc;
    } else if (++st->restarts > MOST_RESTARTS) {
        stream_failed(st,
                      taken->reason != NULL ? taken->reason : "it was asked for again and again");
        return;
    } else {
        log_warn("state_sent_again", "peer=%016llx reason=%s", (unsigned long long)st->peer,
                 log_quote(taken->reason != NULL ? taken->reason : "?"));
        st->offset = 0;
        st->crc = 0;
        st->id = id_new();
    }
    send_piece(st);
}

static void fill_piece(struct stream *st, Pb__SnapshotChunk *c, uint64_t term)
{
    struct snapshots *s = st->snapshots;
    pb__snapshot_chunk__init(c);
    c->has_version = c->has_cluster_id = c->has_from = c->has_to = c->has_term = true;
    c->has_index = c->has_log_term = c->has_transfer_id = c->has_size = c->has_offset = true;
    c->has_crc = c->has_data = true;
    c->version = PB__RAFT__VERSION__NOW;
    c->cluster_id = (ProtobufCBinaryData){
        .len = ID_SIZE, .data = (uint8_t *)(uintptr_t)replica_cluster_id(s->replica)};
    c->from = replica_raft_id(s->replica);
    c->to = st->peer;
    c->term = term;
    c->index = st->copy.index;
    c->log_term = st->copy.term;
    c->transfer_id = (ProtobufCBinaryData){.len = ID_SIZE, .data = st->id.bytes};
    c->size = st->copy.size;
    c->offset = st->offset;
    c->data = (ProtobufCBinaryData){.len = st->piece, .data = s->buffer};
    c->crc = crc32c(0, s->buffer, st->piece);
    c->has_whole_crc = st->offset + st->piece == st->copy.size;
    c->whole_crc = st->next_crc;
}

static void send_piece(struct stream *st)
{
    struct snapshots *s = st->snapshots;
    struct replica_status status;
    Pb__SnapshotChunk c;
    replica_status(s->replica, &status);
    if (status.raft.role != RAFT_LEADER) {
        stream_failed(st, "this server leads no more");
        return;
    }
    uint64_t left = st->copy.size - st->offset;
    st->piece = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
    if (pread(st->fd, s->buffer, st->piece, (off_t)st->offset) != (ssize_t)st->piece) {
        stream_failed(st, "the copy cannot be read");
        return;
    }
    st->next_crc = crc32c(st->crc, s->buffer, st->piece);
    fill_piece(st, &c, status.raft.term);
    if (st->restarts == 0 && FAULT_POINT("snapshot.damage"))
        s->buffer[st->piece / 2] ^= 1;
    s->counts.bytes_sent += st->piece;
    client_call(st->client, &(struct call_options){
                                .method = PB__RAFT__METHOD__SNAPSHOT,
                                .body = &c.base,
                                .reply = &pb__snapshot_taken__descriptor,
                                .budget_ms = c.has_whole_crc ? LAST_PIECE_MS : PIECE_MS,
                                .retry = true,
                                .done = on_piece,
                                .owner = st,
                            });
}

static void on_copy(void *owner, const struct replica_copy *c, const char *why)
{
    struct stream *st = owner;
    struct reason bad;
    if (c == NULL) {
        stream_failed(st, why);
        return;
    }
    st->copy = *c;
    st->has_copy = true;
    const char *address = transport_address(st->snapshots->transport, st->peer);
    st->fd = open(c->path, O_RDONLY | O_CLOEXEC);
    if (st->fd < 0 || address == NULL) {
        stream_failed(st, address == NULL ? "its address is not known" : "the copy is gone");
        return;
    }
    if (client_open(&st->client, st->snapshots->loop, address, &bad) != OK) {
        stream_failed(st, bad.text);
        return;
    }
    log_info("state_offered", "peer=%016llx index=%llu bytes=%llu", (unsigned long long)st->peer,
             (unsigned long long)c->index, (unsigned long long)c->size);
    send_piece(st);
}

void snapshots_offer(struct snapshots *s, uint64_t peer)
{
    struct stream *st;
    list_each(&s->streams, struct stream, link, st)
    {
        if (st->peer == peer)
            return;
    }
    st = xcalloc(1, sizeof *st);
    st->snapshots = s;
    st->peer = peer;
    st->fd = -1;
    st->id = id_new();
    st->began_ms = loop_now_ms(s->loop);
    list_push_back(&s->streams, &st->link);
    replica_copy(s->replica, on_copy, st);
}

/* ---- in */

static void taken(struct request *req, Pb__SnapshotTaken__Outcome outcome, uint64_t offset,
                  const char *why)
{
    Pb__SnapshotTaken out = PB__SNAPSHOT_TAKEN__INIT;
    out.has_outcome = out.has_offset = true;
    out.outcome = outcome;
    out.offset = offset;
    out.reason = (char *)(uintptr_t)why;
    request_reply(req, &out.base, 0);
}

static void incoming_end(struct snapshots *s)
{
    if (s->in.active && s->in.fd >= 0)
        close(s->in.fd);
    s->in.active = s->in.installing = false;
    s->in.fd = -1;
}

static void again(struct snapshots *s, struct request *req, const char *why)
{
    log_warn("state_refused", "offset=%llu reason=%s", (unsigned long long)s->in.offset,
             log_quote(why));
    s->counts.refused++;
    incoming_end(s);
    taken(req, PB__SNAPSHOT_TAKEN__OUTCOME__RESTART, 0, why);
}

static bool begin(struct snapshots *s, struct request *req, const Pb__SnapshotChunk *c)
{
    char path[PATH_MAX];
    struct reason why;
    incoming_end(s);
    if (!replica_wants_copy(s->replica, c->index)) {
        taken(req, PB__SNAPSHOT_TAKEN__OUTCOME__DONE, 0, "");
        return false;
    }
    s->in.fd = -1;
    if (replica_incoming(s->replica, path, sizeof path, &why) == OK)
        s->in.fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0640);
    if (s->in.fd < 0) {
        request_fail(req, PB__REPLY__CODE__UNAVAILABLE, "no file for the state: %s", why.text);
        return false;
    }
    memcpy(s->in.id, c->transfer_id.data, ID_SIZE);
    s->in.active = true;
    s->in.index = c->index;
    s->in.log_term = c->log_term;
    s->in.size = c->size;
    s->in.offset = 0;
    s->in.crc = 0;
    s->in.began_ms = loop_now_ms(s->loop);
    log_info("state_comes", "from=%016llx index=%llu bytes=%llu", (unsigned long long)c->from,
             (unsigned long long)c->index, (unsigned long long)c->size);
    return true;
}

static void on_last_gone(void *owner, struct request *req)
{
    struct snapshots *s = owner;
    s->in.last = NULL;
}

static void on_installed(void *owner, enum err e, const char *why)
{
    struct snapshots *s = owner;
    struct request *req = s->in.last;
    s->in.last = NULL;
    log_info("state_came", "index=%llu bytes=%llu ms=%llu good=%d", (unsigned long long)s->in.index,
             (unsigned long long)s->in.size,
             (unsigned long long)(loop_now_ms(s->loop) - s->in.began_ms), e == OK);
    s->counts.received += e == OK;
    incoming_end(s);
    if (req == NULL)
        return;
    if (e == OK)
        taken(req, PB__SNAPSHOT_TAKEN__OUTCOME__DONE, 0, "");
    else
        taken(req, PB__SNAPSHOT_TAKEN__OUTCOME__RESTART, 0, why);
}

static void complete(struct snapshots *s, struct request *req, const Pb__SnapshotChunk *c)
{
    if (c->whole_crc != s->in.crc) {
        again(s, req, "the state is damaged: its sum is wrong");
        return;
    }
    close(s->in.fd);
    s->in.fd = -1;
    s->in.installing = true;
    s->in.last = req;
    request_park(req, on_last_gone, s);
    replica_install(s->replica, s->in.index, s->in.log_term, on_installed, s);
}

static bool is_next(const struct snapshots *s, const Pb__SnapshotChunk *c)
{
    return s->in.active && !s->in.installing && c->has_transfer_id &&
           memcmp(s->in.id, c->transfer_id.data, ID_SIZE) == 0 && c->offset == s->in.offset &&
           c->index == s->in.index && c->size == s->in.size;
}

static void store_piece(struct snapshots *s, struct request *req, const Pb__SnapshotChunk *c)
{
    if (crc32c(0, c->data.data, c->data.len) != c->crc) {
        again(s, req, "a piece of the state is damaged");
        return;
    }
    if (pwrite(s->in.fd, c->data.data, c->data.len, (off_t)c->offset) != (ssize_t)c->data.len) {
        again(s, req, "the state cannot be written: is the disk full?");
        return;
    }
    s->in.crc = crc32c(s->in.crc, c->data.data, c->data.len);
    s->in.offset += c->data.len;
    if (s->in.offset == s->in.size)
        complete(s, req, c);
    else
        taken(req, PB__SNAPSHOT_TAKEN__OUTCOME__NEXT, s->in.offset, "");
}

static bool is_sound(const struct snapshots *s, const Pb__SnapshotChunk *c)
{
    const uint8_t *cluster = replica_cluster_id(s->replica);
    return c->version == PB__RAFT__VERSION__NOW && c->has_cluster_id && cluster != NULL &&
           memcmp(cluster, c->cluster_id.data, ID_SIZE) == 0 &&
           c->to == replica_raft_id(s->replica) && c->has_transfer_id && c->data.len > 0 &&
           c->data.len <= PIECE_BYTES && c->offset < c->size && c->data.len <= c->size - c->offset;
}

void snapshots_take(struct snapshots *s, struct request *req)
{
    const Pb__SnapshotChunk *c = (const Pb__SnapshotChunk *)request_body(req);
    if (!is_sound(s, c)) {
        request_fail(req, PB__REPLY__CODE__DENIED,
                     "a piece of a state for another server, cluster or version");
        return;
    }
    if (s->in.installing) {
        request_fail(req, PB__REPLY__CODE__BUSY, "a state is being installed");
        return;
    }
    if (c->offset == 0 && !begin(s, req, c))
        return;
    if (is_next(s, c))
        store_piece(s, req, c);
    else if (s->in.active && memcmp(s->in.id, c->transfer_id.data, ID_SIZE) == 0 &&
             c->offset < s->in.offset)
        taken(req, PB__SNAPSHOT_TAKEN__OUTCOME__NEXT, c->offset + c->data.len, "");
    else
        again(s, req, "a piece out of order");
}

/* ---- life */

void snapshots_open(struct snapshots **out, struct loop *l, struct replica *r, struct transport *t)
{
    struct snapshots *s = xcalloc(1, sizeof *s);
    s->loop = l;
    s->replica = r;
    s->transport = t;
    s->in.fd = -1;
    s->buffer = xmalloc(PIECE_BYTES);
    list_init(&s->streams);
    list_init(&s->ended);
    *out = s;
}

void snapshots_close(struct snapshots *s)
{
    struct stream *st;
    if (s == NULL)
        return;
    while ((st = list_first(&s->streams, struct stream, link)) != NULL)
        stream_free(st);
    while ((st = list_first(&s->ended, struct stream, link)) != NULL)
        stream_free(st);
    incoming_end(s);
    free(s->buffer);
    free(s);
}

void snapshots_counts(const struct snapshots *s, struct snapshots_counts *out)
{
    *out = s->counts;
}
