#include "talk.h"
#include "answer.h"
#include "forward.h"
#include "objects.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNSENT_MAX (128u << 10)
#define UNTOLD_MAX (128u << 10)

struct talk *talk_new(const struct talk_kind *kind, struct call_context *c)
{
    struct talk *t = xcalloc(1, sizeof(*t));
    t->kind = kind;
    t->context = c;
    pb__agent_request__init(&t->request);
    return t;
}

void talk_free(struct talk *t)
{
    timer_cancel(t->context->gateway->loop, &t->timer);
    if (t->ask != NULL)
        agents_cancel(t->ask);
    free(t);
}

void talk_end(struct talk *t, unsigned code, const char *why)
{
    struct websocket *socket = t->socket;
    talk_free(t);
    websocket_close(socket, code, why);
}

/* ---- from the agent */

static void on_result(void *owner, const Pb__AgentResult *r)
{
    struct talk *t = owner;
    if (r->last)
        t->ask = NULL;
    if (r->error != NULL) {
        unsigned status = r->error->http_status;
        talk_end(t, status >= 400 && status < 500 ? WEBSOCKET_REFUSED : WEBSOCKET_FAILED,
                 r->error->reason == NULL ? "" : r->error->reason);
        return;
    }
    if (r->data.len > 0)
        t->kind->result(t, r);
    if (!r->last && websocket_unsent(t->socket) < UNSENT_MAX) {
        agents_more(t->ask);
    } else if (!r->last) {
        t->wanting = true;
    } else {
        if (t->kind->ended != NULL)
            t->kind->ended(t, r);
        talk_end(t, WEBSOCKET_DONE, "");
    }
}

static void on_taken(void *owner)
{
    struct talk *t = owner;
    if (agents_untold(t->ask) < UNTOLD_MAX / 2)
        websocket_want(t->socket, true);
}

bool talk_has_asked(const struct talk *t)
{
    return t->ask != NULL;
}

void talk_ask(struct talk *t)
{
    timer_cancel(t->context->gateway->loop, &t->timer);
    t->ask = agents_ask(t->context->gateway->agents, t->node_id, &t->request, on_result, t);
    agents_on_taken(t->ask, on_taken);
}

/* ---- from the client */

void talk_tell(struct talk *t, const Pb__AgentInput *input)
{
    agents_tell(t->ask, input);
    if (agents_untold(t->ask) > UNTOLD_MAX)
        websocket_want(t->socket, false);
}

void talk_say(struct talk *t, bool text, const void *data, size_t len)
{
    websocket_send(t->socket, text, data, len);
}

static void on_message(void *owner, bool text, const void *data, size_t len)
{
    struct talk *t = owner;
    t->kind->message(t, text, data, len);
}

static void on_room(void *owner)
{
    struct talk *t = owner;
    if (!t->wanting || t->ask == NULL)
        return;
    t->wanting = false;
    agents_more(t->ask);
}

static void on_gone(void *owner)
{
    talk_end(owner, WEBSOCKET_DONE, "");
}

/* ---- the beginning */

static void open_socket(struct talk *t)
{
    exchange_on_gone(t->context->x, NULL, NULL);
    t->socket =
        websocket_open(t->context->x, t->kind->longest,
                       &(struct websocket_handlers){
                           .message = on_message, .room = on_room, .gone = on_gone, .owner = t});
}

void talk_refuse(struct talk *t, const char *why)
{
    open_socket(t);
    talk_end(t, WEBSOCKET_REFUSED, why);
}

static void begin(struct talk *t)
{
    open_socket(t);
    if (t->kind->opened != NULL)
        t->kind->opened(t);
    else
        talk_ask(t);
}

static void on_decided(void *owner, bool taken)
{
    if (taken)
        talk_free(owner);
    else
        begin(owner);
}

static void on_gone_early(void *owner)
{
    struct talk *t = owner;
    answer_nothing(t->context->x, 200); /* still owed, and read by nobody */
    t->context = NULL;
}

static void on_alloc(void *owner, const struct response *response)
{
    struct talk *t = owner;
    struct call_context *c = t->context;
    char text[128];
    if (c == NULL) {
        free(t);
        return;
    }
    const Pb__Object *o = (const Pb__Object *)response->body;
    if (response->code == PB__REPLY__CODE__NOT_FOUND) {
        snprintf(text, sizeof(text), "Unknown allocation \"%s\"", c->id);
        talk_refuse(t, text);
        return;
    }
    if (response->code != PB__REPLY__CODE__OK || object_alloc(o) == NULL ||
        object_alloc(o)->node_id.len != ID_SIZE) {
        exchange_on_gone(c->x, NULL, NULL);
        answer_failure(c->x, response);
        talk_free(t);
        return;
    }
    memcpy(t->node_id, object_alloc(o)->node_id.data, ID_SIZE);
    if (agents_is_connected(c->gateway->agents, t->node_id) || exchange_is_relayed(c->x))
        begin(t);
    else
        forward_to_node(c->gateway->forward, c->x, t->node_id, on_decided, t);
}

void talk_begin(struct talk *t)
{
    struct call_context *c = t->context;
    const char *problem = id_problem(c->id);
    Pb__Key key = PB__KEY__INIT;
    if (problem != NULL) {
        talk_refuse(t, arena_printf(exchange_arena(c->x), "alloc lookup failed: %s", problem));
        return;
    }
    must(id_parse(c->id, t->alloc_id));
    t->request.has_alloc_id = true;
    t->request.alloc_id = (ProtobufCBinaryData){.len = ID_SIZE, .data = t->alloc_id};
    key.has_table = key.has_id = true;
    key.table = PB__TABLE__NAME__ALLOCS;
    key.id = t->request.alloc_id;
    exchange_on_gone(c->x, on_gone_early, t);
    gateway_get(c->gateway, c->params.stale, &key, on_alloc, t);
}
