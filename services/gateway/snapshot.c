/* The whole state as a file: out, piece by piece as jobstore gives it, and in. A file that comes in
 * may be larger than a request: it then comes in parts, each with its offset in the file. */
#include "answer.h"
#include "base/crc32c.h"
#include "leader.h"
#include "nouns.h"
#include "wire/savefile.h"
#include "wire/wire.h"
#include <stdlib.h>
#include <string.h>

#define PIECE_MS    30000u
#define MOST_UNSENT (1u << 20) /* before we ask for more */
#define RESTORE_MS  300000u

/* ---- out */

struct save {
    struct gateway *gateway;
    struct exchange *x;
    bool stale, begun, asking, gone;
    uint8_t id[ID_SIZE];
    uint64_t size, offset;
    uint32_t crc;
};

static void save_end(struct save *s)
{
    exchange_end(s->x);
    free(s);
}

static void save_ask(struct save *s);

static void on_room(void *owner)
{
    struct save *s = owner;
    if (!s->asking && exchange_unsent(s->x) < MOST_UNSENT)
        save_ask(s);
}

static void on_gone(void *owner)
{
    struct save *s = owner;
    s->gone = true;
    if (!s->asking)
        save_end(s);
}

static void write_head(struct save *s, const Pb__SaveData *d)
{
    struct savefile f = {.index = d->index,
                         .term = d->term,
                         .size = d->size,
                         .created = loop_wall_ns(s->gateway->loop)};
    uint8_t head[SAVEFILE_HEAD];
    if (d->has_cluster_id)
        memcpy(f.cluster_id, d->cluster_id.data, ID_SIZE);
    savefile_encode(&f, head);
    exchange_stream(s->x, 200, "application/octet-stream", on_room, on_gone, s);
    exchange_write(s->x, head, sizeof head);
    s->begun = true;
    s->size = d->size;
    memcpy(s->id, d->save_id.data, ID_SIZE);
}

static bool is_sound(const struct save *s, const Pb__SaveData *d)
{
    return d->has_save_id && d->data.len > 0 && crc32c(0, d->data.data, d->data.len) == d->crc &&
           (!s->begun || d->size == s->size) && s->offset + d->data.len <= d->size;
}

static void on_piece(void *owner, const struct response *r)
{
    struct save *s = owner;
    const Pb__SaveData *d = (const Pb__SaveData *)r->body;
    s->asking = false;
    if (!s->begun && r->code != PB__REPLY__CODE__OK) {
        answer_failure(s->x, r);
        free(s);
        return;
    }
    /* A stream that breaks off lacks its sum: whoever reads the file will know. */
    if (s->gone || r->code != PB__REPLY__CODE__OK || !is_sound(s, d)) {
        save_end(s);
        return;
    }
    if (!s->begun)
        write_head(s, d);
    exchange_write(s->x, d->data.data, d->data.len);
    s->crc = crc32c(s->crc, d->data.data, d->data.len);
    s->offset += d->data.len;
    if (s->offset == s->size) {
        exchange_write(s->x, &s->crc, sizeof s->crc);
        save_end(s);
    } else if (exchange_unsent(s->x) < MOST_UNSENT) {
        save_ask(s);
    }
}

static void save_ask(struct save *s)
{
    Pb__SaveRead q = PB__SAVE_READ__INIT;
    q.has_save_id = s->begun;
    q.save_id = (ProtobufCBinaryData){.len = s->begun ? ID_SIZE : 0, .data = s->id};
    q.has_offset = true;
    q.offset = s->offset;
    struct call_options o = {.method = PB__JOBSTORE__METHOD__SAVE,
                             .body = &q.base,
                             .reply = &pb__save_data__descriptor,
                             .budget_ms = PIECE_MS,
                             .done = on_piece,
                             .owner = s};
    s->asking = true;
    if (s->stale)
        client_call(s->gateway->jobstore_client, &o);
    else
        leader_call(s->gateway->leader, PB__SERVICE__NAME__JOBSTORE, &o);
}

void operator_snapshot_get(struct call_context *c)
{
    struct save *s = xcalloc(1, sizeof *s);
    s->gateway = c->gateway;
    s->x = c->x;
    s->stale = c->params.stale;
    save_ask(s);
}

/* ---- in */

/* One request's part of the file; its bytes are in the body. */
struct restore {
    struct call_context *context;
    struct savefile_part part;
    size_t sent;
};

static void restore_next(struct restore *p);

static void on_part(void *owner, const struct response *r)
{
    struct restore *p = owner;
    struct exchange *x = p->context->x;
    const Pb__Outcome *out = (const Pb__Outcome *)r->body;
    if (r->code != PB__REPLY__CODE__OK) {
        answer_failure(x, r);
    } else if (out->code != PB__OUTCOME__CODE__APPLIED) {
        answer_text(x, 500, "failed to restore from snapshot: %s",
                    out->reason != NULL ? out->reason : "refused");
    } else if (p->sent < p->part.len || p->part.last) {
        restore_next(p);
    } else {
        answer_nothing(x, 200);
    }
}

static void on_ended(void *owner, const struct response *r)
{
    struct restore *p = owner;
    p->part.last = false;
    p->sent = p->part.len;
    on_part(p, r);
}

static void restore_next(struct restore *p)
{
    Pb__Command cmd = PB__COMMAND__INIT;
    Pb__RestorePart part = PB__RESTORE_PART__INIT;
    bool end = p->sent == p->part.len;
    size_t left = p->part.len - p->sent, n = left < SAVEFILE_PIECE ? left : SAVEFILE_PIECE;
    part.has_offset = true;
    part.offset = p->part.offset + p->sent;
    part.has_data = !end;
    part.data =
        (ProtobufCBinaryData){.len = n, .data = (uint8_t *)(uintptr_t)p->part.data + p->sent};
    part.has_end = part.end = part.has_size = part.has_crc = end;
    part.size = p->part.size;
    part.crc = p->part.crc;
    p->sent += n;
    cmd.body_case = PB__COMMAND__BODY_RESTORE_PART;
    cmd.restore_part = &part;
    leader_call(p->context->gateway->leader, PB__SERVICE__NAME__JOBSTORE,
                &(struct call_options){.method = PB__JOBSTORE__METHOD__APPLY,
                                       .body = &cmd.base,
                                       .reply = &pb__outcome__descriptor,
                                       .budget_ms = end ? RESTORE_MS : PIECE_MS,
                                       .retry = true,
                                       .done = end ? on_ended : on_part,
                                       .owner = p});
}

/* Where in the file the body begins, and how long the file is. False: answered. */
static bool read_place(struct call_context *c, uint64_t *offset)
{
    const char *text = exchange_arg(c->x, "offset");
    char *end;
    *offset = 0;
    if (text == NULL)
        return true;
    *offset = strtoull(text, &end, 10);
    if (text[0] != '\0' && text[0] != '-' && *end == '\0')
        return true;
    answer_text(c->x, 400, "a bad offset: %s", text);
    return false;
}

void operator_snapshot_put(struct call_context *c)
{
    size_t len;
    uint64_t at;
    struct reason why;
    struct savefile_part part;
    const uint8_t *body = (const uint8_t *)exchange_body(c->x, &len);
    const char *size = exchange_arg(c->x, "size");
    if (!read_place(c, &at))
        return;
    if (savefile_part_read(&part, body, len, at, size != NULL ? strtoull(size, NULL, 10) : 0,
                           &why) != OK) {
        answer_text(c->x, 500, "failed to restore from snapshot: %s", why.text);
        return;
    }
    struct restore *p = arena_alloc(exchange_arena(c->x), sizeof *p);
    *p = (struct restore){.context = c, .part = part};
    restore_next(p);
}
