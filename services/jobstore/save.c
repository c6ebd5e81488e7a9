/* SAVE: the whole state of one moment, read in pieces by whoever keeps it in a file. One at a time:
 * each holds a copy on the disk. */
#include "jobstore.h"
#include "base/crc32c.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE_BYTES (512u << 10)
#define IDLE_MS     60000u

struct save {
    struct jobstore *js;
    struct id id;
    struct replica_copy copy;
    bool has_copy;
    int fd;
    struct request *first; /* waits for the copy */
    struct timer idle;
    uint8_t piece[PIECE_BYTES];
};

static void save_end(struct save *s)
{
    struct jobstore *js = s->js;
    timer_cancel(js->loop, &s->idle);
    if (s->has_copy)
        replica_copy_release(js->replica);
    if (s->fd >= 0)
        close(s->fd);
    js->save = NULL;
    free(s);
}

static void on_idle(void *owner)
{
    struct save *s = owner;
    if (s->has_copy)
        save_end(s);
    else /* the copy is still being made, and will tell */
        timer_arm(s->js->loop, &s->idle, IDLE_MS, on_idle, s);
}

static void answer(struct save *s, struct request *req, uint64_t offset)
{
    Pb__SaveData out = PB__SAVE_DATA__INIT;
    uint64_t left = s->copy.size - offset;
    size_t len = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
    if (pread(s->fd, s->piece, len, (off_t)offset) != (ssize_t)len) {
        request_fail(req, PB__REPLY__CODE__UNAVAILABLE, "the copy of the state cannot be read");
        return;
    }
    out.has_save_id = out.has_index = out.has_term = out.has_size = out.has_data = out.has_crc =
        true;
    out.save_id = (ProtobufCBinaryData){.len = ID_SIZE, .data = s->id.bytes};
    out.index = s->copy.index;
    out.term = s->copy.term;
    out.size = s->copy.size;
    out.data = (ProtobufCBinaryData){.len = len, .data = s->piece};
    out.crc = crc32c(0, s->piece, len);
    const uint8_t *cluster = replica_cluster_id(s->js->replica);
    out.has_cluster_id = cluster != NULL;
    out.cluster_id = (ProtobufCBinaryData){.len = cluster != NULL ? ID_SIZE : 0,
                                           .data = (uint8_t *)(uintptr_t)cluster};
    request_reply(req, &out.base, s->copy.index);
    timer_arm(s->js->loop, &s->idle, IDLE_MS, on_idle, s);
}

static void on_copy(void *owner, const struct replica_copy *c, const char *why)
{
    struct save *s = owner;
    struct request *req = s->first;
    s->first = NULL;
    if (c != NULL) {
        s->copy = *c;
        s->has_copy = true;
        s->fd = open(c->path, O_RDONLY | O_CLOEXEC);
    }
    if (s->fd >= 0 && req != NULL) {
        answer(s, req, 0);
        return;
    }
    if (req != NULL)
        request_fail(req, PB__REPLY__CODE__UNAVAILABLE, "no copy of the state: %s",
                     c == NULL ? why : "it is gone");
    save_end(s);
}

static void on_first_gone(void *owner, struct request *req)
{
    struct save *s = owner;
    s->first = NULL;
}

static void begin(struct jobstore *js, struct request *req)
{
    if (js->save != NULL) {
        request_fail(req, PB__REPLY__CODE__BUSY, "the state is being saved already: try again");
        return;
    }
    struct save *s = xcalloc(1, sizeof *s);
    s->js = js;
    s->id = id_new();
    s->fd = -1;
    s->first = req;
    js->save = s;
    request_park(req, on_first_gone, s);
    timer_arm(js->loop, &s->idle, IDLE_MS, on_idle, s);
    replica_copy(js->replica, on_copy, s);
}

void save_read(struct jobstore *js, struct request *req)
{
    const Pb__SaveRead *q = (const Pb__SaveRead *)request_body(req);
    struct save *s = js->save;
    if (!q->has_save_id) {
        begin(js, req);
        return;
    }
    if (s == NULL || !s->has_copy || memcmp(s->id.bytes, q->save_id.data, ID_SIZE) != 0) {
        request_fail(req, PB__REPLY__CODE__NOT_FOUND, "that save is over: begin again");
        return;
    }
    if (q->done) {
        save_end(s);
        request_reply(req, NULL, 0);
        return;
    }
    if (q->offset >= s->copy.size) {
        request_fail(req, PB__REPLY__CODE__INVALID, "the state has %llu bytes",
                     (unsigned long long)s->copy.size);
        return;
    }
    answer(s, req, q->offset);
}

void save_close(struct jobstore *js)
{
    if (js->save != NULL)
        save_end(js->save);
}
