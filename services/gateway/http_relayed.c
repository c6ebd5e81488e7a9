/* Exchanges that come in by another door than HTTP's. The handlers do not know the difference. */
#include "http_parts.h"
#include <stdlib.h>
#include <string.h>

struct relayed {
    struct exchange *x; /* NULL: its reader has gone, or it is complete and read */
    struct loop *loop;
    void (*news)(void *owner);
    void *owner;
    struct step step;
    const char *headers[2 * (HEADERS_MAX + 1)];
    struct strbuf piece;
    bool may_go_on;
};

static void tell(void *owner)
{
    struct relayed *r = owner;
    r->news(r->owner);
}

void relayed_wake(struct exchange *x)
{
    struct relayed *r = x->relayed;
    if (r->x != NULL)
        step_mark(r->loop, &r->step, tell, r);
}

bool exchange_is_relayed(const struct exchange *x)
{
    return x->relayed != NULL;
}

bool exchange_must_stay(const struct exchange *x)
{
    return x->relayed != NULL && !x->relayed->may_go_on;
}

/* Nobody reads the answer: the record of the reader goes with it. */
static void discard(struct exchange *x)
{
    free(x->relayed);
    exchange_free(x);
}

void relayed_reply(struct exchange *x, const char *type, struct strbuf *body)
{
    x->http->stats.requests++;
    if (x->relayed->x == NULL) {
        strbuf_free(body);
        discard(x);
        return;
    }
    if (type != NULL)
        exchange_set(x, "Content-Type", type);
    x->unsent = (struct unsent){.bytes = *body};
    *body = (struct strbuf)STRBUF_INIT;
    x->ended = true;
    x->phase = ANSWERED;
    relayed_wake(x);
}

static void tell_gone(void *owner)
{
    struct exchange *x = owner;
    void (*gone)(void *) = x->gone;
    x->gone = NULL;
    if (gone != NULL)
        gone(x->owner);
}

/* Its reader has gone, the handler has yet to end it. */
static void orphan(struct exchange *x)
{
    x->phase = ORPHANED;
    x->wants_room = false;
    unsent_clear(&x->unsent);
    free(x->relayed);
    x->relayed = NULL;
}

void relayed_stream(struct exchange *x, const char *type)
{
    x->http->stats.requests++;
    if (x->relayed->x == NULL) {
        orphan(x);
        step_mark(x->http->loop, &x->room_step, tell_gone, x);
        return;
    }
    if (type != NULL)
        exchange_set(x, "Content-Type", type);
    x->phase = STREAMING;
    relayed_wake(x);
}

static bool set_request(struct exchange *x, const struct relayed_request *q)
{
    const struct http_options *o = &x->http->o;
    if (q->body_len > o->max_body || x->http->held + q->body_len > o->max_bodies ||
        q->arg_count > ARGS_MAX)
        return false;
    x->method = method_of(q->method);
    x->path = arena_strdup(x->arena, q->path);
    x->token = q->token != NULL ? arena_strdup(x->arena, q->token) : NULL;
    for (; x->arg_count < q->arg_count; x->arg_count++)
        x->args[x->arg_count] =
            (struct argument){arena_strdup(x->arena, q->args[2 * x->arg_count]),
                              arena_strdup(x->arena, q->args[2 * x->arg_count + 1])};
    strbuf_add(&x->body, q->body, q->body_len);
    x->http->held += q->body_len;
    return true;
}

struct relayed *relayed_open(struct http *h, const struct relayed_request *q,
                             void (*news)(void *owner), void *owner)
{
    struct exchange *x = xcalloc(1, sizeof(*x));
    struct relayed *r = xcalloc(1, sizeof(*r));
    *r = (struct relayed){
        .x = x, .loop = h->loop, .news = news, .owner = owner, .may_go_on = q->may_go_on};
    x->http = h;
    x->relayed = r;
    x->arena = arena_new(REQUEST_ARENA);
    x->started_ms = loop_now_ms(h->loop);
    x->phase = HANDLING;
    if (!set_request(x, q)) {
        discard(x);
        return NULL;
    }
    list_push_back(&h->open, &x->link);
    h->o.handle(h->o.self, x);
    return r;
}

bool relayed_wants_input(const struct relayed *r)
{
    const struct exchange *x = r->x;
    return x->duplex != NULL && !x->ended && !x->duplex->unwanted;
}

bool relayed_input(struct relayed *r, const void *data, size_t len)
{
    struct exchange *x = r->x;
    if (!relayed_wants_input(r))
        return false;
    x->http->stats.bytes_in += len;
    x->input(x->owner, data, len);
    return true;
}

static void put_headers(struct relayed *r, struct relayed_piece *out)
{
    const struct exchange *x = r->x;
    for (size_t i = 0; i < x->header_count; i++) {
        r->headers[2 * i] = x->headers[i].name;
        r->headers[2 * i + 1] = x->headers[i].value;
    }
    out->headers = r->headers;
    out->header_count = x->header_count;
}

bool relayed_read(struct relayed *r, size_t max, struct relayed_piece *out)
{
    struct exchange *x = r->x;
    if (x->phase == HANDLING)
        return false;
    size_t left = unsent_len(&x->unsent), n = left < max ? left : max;
    *out = (struct relayed_piece){.status = x->status};
    if (n == 0 && !x->ended && x->phase == SENT)
        return false;
    put_headers(r, out);
    x->phase = SENT; /* its head, at least */
    strbuf_clear(&r->piece);
    strbuf_add(&r->piece, unsent_data(&x->unsent), n);
    unsent_take(&x->unsent, n);
    x->http->stats.bytes_out += n;
    if (left - n < STREAM_LOW && !x->ended) {
        x->wants_room = true;
        step_mark(r->loop, &x->room_step, exchange_call_room, x);
    }
    out->data = r->piece.data;
    out->len = n;
    out->last = x->ended && n == left;
    return true;
}

void relayed_close(struct relayed *r)
{
    struct exchange *x = r->x;
    step_cancel(&r->step);
    strbuf_free(&r->piece);
    if (x->ended) {
        discard(x);
        return;
    }
    /* The handler has yet to end it: into the void. */
    r->x = NULL;
    if (x->room != NULL)
        orphan(x);
    tell_gone(x);
}
