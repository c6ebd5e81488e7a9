#include "served.h"
#include "base/id.h"
#include "base/map.h"
#include "gateway.pb-c.h"
#include <stdlib.h>
#include <string.h>

#define IDLE_MS 30000u /* an answer that nobody reads on is thrown away */
#define WAIT_MS 10000u /* for the next piece */

struct stream {
    struct served *served;
    uint8_t id[ID_SIZE];
    struct relayed *relayed;
    struct request *req;   /* waits for a piece; NULL: the reader is not asking now */
    struct timer timer;    /* of the request's wait, or of the idle stream */
    struct request *input; /* waits for room for what it brings; NULL: none */
};

struct served {
    struct loop *loop;
    struct http *web;
    size_t most;
    struct map *streams; /* id -> struct stream */
};

static const char no_stream[] = "there is no such answer any more";

static void stream_free(struct stream *t)
{
    timer_cancel(t->served->loop, &t->timer);
    map_remove(t->served->streams, t->id, ID_SIZE);
    if (t->input != NULL)
        request_fail(t->input, PB__REPLY__CODE__NOT_FOUND, no_stream);
    if (t->relayed != NULL)
        relayed_close(t->relayed);
    free(t);
}

static void on_idle(void *owner)
{
    stream_free(owner);
}

static void on_reader_gone(void *owner, struct request *req)
{
    stream_free(owner);
}

static void reply(struct stream *t, const struct relayed_piece *piece)
{
    struct request *req = t->req;
    struct arena *a = request_arena(req);
    Pb__HttpReply out = PB__HTTP_REPLY__INIT;
    out.has_status = out.has_data = out.has_last = out.has_stream_id = true;
    out.status = piece->status;
    out.data = (ProtobufCBinaryData){.len = piece->len, .data = (uint8_t *)(uintptr_t)piece->data};
    out.last = piece->last;
    out.stream_id = (ProtobufCBinaryData){.len = ID_SIZE, .data = t->id};
    out.headers = arena_array(a, Pb__KeyValue *, piece->header_count + 1);
    for (size_t i = 0; i < piece->header_count; i++) {
        Pb__KeyValue *kv = arena_array(a, Pb__KeyValue, 1);
        pb__key_value__init(kv);
        kv->key = (char *)(uintptr_t)piece->headers[2 * i];
        kv->value = (char *)(uintptr_t)piece->headers[2 * i + 1];
        out.headers[out.n_headers++] = kv;
    }
    t->req = NULL;
    request_reply(req, &out.base, 0);
    if (piece->last)
        stream_free(t);
    else
        timer_arm(t->served->loop, &t->timer, IDLE_MS, on_idle, t);
}

static void on_wait_over(void *owner)
{
    reply(owner, &(struct relayed_piece){0});
}

/* Its sender goes on once there is room for more. */
static void hand_over_input(struct stream *t)
{
    struct request *req = t->input;
    const Pb__HttpInput *input = (const Pb__HttpInput *)request_body(req);
    if (!relayed_input(t->relayed, input->data.data, input->data.len))
        return;
    t->input = NULL;
    request_reply(req, NULL, 0);
}

static void on_news(void *owner)
{
    struct stream *t = owner;
    struct relayed_piece piece;
    if (t->input != NULL)
        hand_over_input(t);
    if (t->req != NULL && relayed_read(t->relayed, SERVED_PIECE, &piece))
        reply(t, &piece);
}

/* The first answer may take as long as its reader's budget; it knows how long that is. */
static void wait_for_piece(struct stream *t, struct request *req, bool first)
{
    t->req = req;
    request_park(req, on_reader_gone, t);
    if (first)
        timer_cancel(t->served->loop, &t->timer);
    else
        timer_arm(t->served->loop, &t->timer, WAIT_MS, on_wait_over, t);
    on_news(t);
}

static const char *problem_of(const Pb__HttpRequest *q)
{
    if (q->method == NULL || q->path == NULL || q->path[0] != '/')
        return "a request needs a method and a path";
    for (size_t i = 0; i < q->n_args; i++)
        if (q->args[i]->key == NULL)
            return "an argument without a name";
    return NULL;
}

/* An agent asks for the disk of an allocation that one here is to take over, and for nothing else:
 * it has no token. */
static bool is_for_agents(const Pb__HttpRequest *q)
{
    static const char before[] = "/v1/client/allocation/", after[] = "/snapshot";
    const char *id = q->path + sizeof before - 1;
    return strcmp(q->method, "GET") == 0 && strncmp(q->path, before, sizeof before - 1) == 0 &&
           strcspn(id, "/") == ID_TEXT_SIZE - 1 && strcmp(id + ID_TEXT_SIZE - 1, after) == 0;
}

static bool is_refused(struct request *req, const Pb__HttpRequest *q)
{
    const char *problem = problem_of(q);
    bool of_agent = q->of_agent || request_peer_kind(req) == PEER_CLIENT;
    if (problem != NULL)
        request_fail(req, PB__REPLY__CODE__INVALID, "%s", problem);
    else if (of_agent && !is_for_agents(q))
        request_fail(req, PB__REPLY__CODE__DENIED, "agents may ask for snapshots alone");
    else
        return false;
    return true;
}

void served_on_http(struct served *s, struct request *req)
{
    const Pb__HttpRequest *q = (const Pb__HttpRequest *)request_body(req);
    if (is_refused(req, q))
        return;
    if (map_count(s->streams) >= s->most) {
        request_fail(req, PB__REPLY__CODE__BUSY, "%zu requests of other gateways are open here",
                     s->most);
        return;
    }
    const char **args = arena_array(request_arena(req), const char *, 2 * q->n_args + 1);
    for (size_t i = 0; i < q->n_args; i++) {
        args[2 * i] = q->args[i]->key;
        args[2 * i + 1] = q->args[i]->value != NULL ? q->args[i]->value : "";
    }
    struct stream *t = xcalloc(1, sizeof(*t));
    t->served = s;
    memcpy(t->id, id_new().bytes, ID_SIZE);
    map_put(s->streams, t->id, ID_SIZE, t);
    t->relayed = relayed_open(s->web,
                              &(struct relayed_request){.method = q->method,
                                                        .path = q->path,
                                                        .token = q->token,
                                                        .args = args,
                                                        .arg_count = q->n_args,
                                                        .body = q->data.data,
                                                        .body_len = q->data.len,
                                                        .may_go_on = q->of_agent},
                              on_news, t);
    if (t->relayed == NULL) {
        stream_free(t);
        request_fail(req, PB__REPLY__CODE__INVALID, "the request is too large for this gateway");
        return;
    }
    wait_for_piece(t, req, true);
}

static struct stream *find_stream(struct served *s, ProtobufCBinaryData id)
{
    return id.len == ID_SIZE ? map_get_id(s->streams, id.data) : NULL;
}

void served_on_more(struct served *s, struct request *req)
{
    const Pb__HttpMore *more = (const Pb__HttpMore *)request_body(req);
    struct stream *t = find_stream(s, more->stream_id);
    if (t == NULL)
        request_fail(req, PB__REPLY__CODE__NOT_FOUND, no_stream);
    else if (t->req != NULL)
        request_fail(req, PB__REPLY__CODE__BUSY, "the next piece is being waited for already");
    else
        wait_for_piece(t, req, false);
}

/* Of a stream whose reader waits for a piece, that request tells when the reader is lost; else the
 * time without one. */
static void on_input_gone(void *owner, struct request *req)
{
    struct stream *t = owner;
    t->input = NULL;
}

void served_on_input(struct served *s, struct request *req)
{
    const Pb__HttpInput *input = (const Pb__HttpInput *)request_body(req);
    struct stream *t = find_stream(s, input->stream_id);
    if (t == NULL) {
        request_fail(req, PB__REPLY__CODE__NOT_FOUND, no_stream);
    } else if (t->input != NULL) {
        request_fail(req, PB__REPLY__CODE__BUSY, "what came before waits for room still");
    } else if (input->gone) {
        if (t->req != NULL)
            request_fail(t->req, PB__REPLY__CODE__NOT_FOUND, no_stream);
        stream_free(t);
        request_reply(req, NULL, 0);
    } else {
        t->input = req;
        request_park(req, on_input_gone, t);
        if (t->req == NULL) /* slow to read, but there */
            timer_arm(s->loop, &t->timer, IDLE_MS, on_idle, t);
        hand_over_input(t);
    }
}

struct served *served_new(struct loop *l, struct http *web, size_t most)
{
    struct served *s = xcalloc(1, sizeof(*s));
    s->loop = l;
    s->web = web;
    s->most = most;
    s->streams = map_new();
    return s;
}

void served_free(struct served *s)
{
    if (s == NULL)
        return;
    size_t i = 0;
    void *t;
    while (map_next(s->streams, &i, NULL, NULL, &t))
        stream_free(t); /* the server fails the request */
    map_free(s->streams);
    free(s);
}
