/* /v1/client/allocation/ID/exec: a command in a running task, its streams and its terminal over a
 * websocket. What the client says goes to the agent piece by piece, what the command writes comes
 * back the same way; neither is read ahead of the other's end. */
#include "answer.h"
#include "base/id.h"
#include "forward.h"
#include "nouns.h"
#include "objects.h"
#include "urls.h"
#include "websocket.h"
#include "wire/execjson.h"
#include "wire/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX   (256u << 10) /* of the client */
#define MESSAGE_ARENA (2u << 20)
#define UNSENT_MAX    (128u << 10)
#define UNTOLD_MAX    (128u << 10)
#define HANDSHAKE_MS  10000u
#define WORDS_MAX     1024u

struct session {
    struct call_context *context;
    Pb__AgentRequest request;
    uint8_t alloc_id[ID_SIZE], node_id[ID_SIZE];
    struct websocket *socket; /* NULL: not yet */
    struct ask *ask;          /* NULL: not yet */
    bool greeted;             /* the client has said, where it must, what it speaks */
    bool wanting;             /* the agent waits for agents_more */
    struct timer greeting;
};

static void session_end(struct session *s)
{
    timer_cancel(s->context->gateway->loop, &s->greeting);
    if (s->ask != NULL)
        agents_cancel(s->ask);
    free(s);
}

static void say_goodbye(struct session *s, unsigned code, const char *why)
{
    struct websocket *socket = s->socket;
    session_end(s);
    websocket_close(socket, code, why);
}

/* ---- from the agent */

static void say(struct session *s, const struct exec_message *m)
{
    struct strbuf text = STRBUF_INIT;
    exec_message_write(&text, m);
    websocket_send(s->socket, true, text.data, text.len);
    strbuf_free(&text);
}

static void say_end(struct session *s, int32_t exit_code)
{
    if (!s->request.tty)
        say(s, &(struct exec_message){.error.close = true});
    say(s, &(struct exec_message){.output.close = true});
    say(s, &(struct exec_message){.exited = true, .exit_code = exit_code});
    say_goodbye(s, WEBSOCKET_DONE, "");
}

static void on_result(void *owner, const Pb__AgentResult *r)
{
    struct session *s = owner;
    const struct exec_stream data = {.data = r->data};
    bool is_error = r->stream != NULL && strcmp(r->stream, "stderr") == 0;
    if (r->last)
        s->ask = NULL;
    if (r->error != NULL) {
        unsigned status = r->error->http_status;
        say_goodbye(s, status >= 400 && status < 500 ? WEBSOCKET_REFUSED : WEBSOCKET_FAILED,
                    r->error->reason == NULL ? "" : r->error->reason);
        return;
    }
    if (r->data.len > 0 && is_error)
        say(s, &(struct exec_message){.error = data});
    else if (r->data.len > 0)
        say(s, &(struct exec_message){.output = data});
    if (r->last)
        say_end(s, r->exit_code);
    else if (websocket_unsent(s->socket) < UNSENT_MAX)
        agents_more(s->ask);
    else
        s->wanting = true;
}

static void on_taken(void *owner)
{
    struct session *s = owner;
    if (agents_untold(s->ask) < UNTOLD_MAX / 2)
        websocket_want(s->socket, true);
}

static void ask_agent(struct session *s)
{
    s->greeted = true;
    timer_cancel(s->context->gateway->loop, &s->greeting);
    s->ask = agents_ask(s->context->gateway->agents, s->node_id, &s->request, on_result, s);
    agents_on_taken(s->ask, on_taken);
}

/* ---- from the client */

static void greet(struct session *s, const struct exec_message *m)
{
    char text[80];
    if (m->version == 1) {
        ask_agent(s);
        return;
    }
    snprintf(text, sizeof text, "unexpected handshake value: %lld", (long long)m->version);
    say_goodbye(s, WEBSOCKET_REFUSED, text);
}

static void tell_agent(struct session *s, const struct exec_message *m)
{
    Pb__AgentInput input = PB__AGENT_INPUT__INIT;
    input.has_data = m->input.data.len > 0;
    input.data = m->input.data;
    input.has_close = input.close = m->input.close;
    input.has_rows = input.has_columns = m->rows > 0 && m->columns > 0;
    input.rows = input.has_rows ? m->rows : 0;
    input.columns = m->columns;
    if (!input.has_data && !input.close && !input.has_rows)
        return; /* only shows that the client is there */
    agents_tell(s->ask, &input);
    if (agents_untold(s->ask) > UNTOLD_MAX)
        websocket_want(s->socket, false);
}

static void on_message(void *owner, bool text, const void *data, size_t len)
{
    struct session *s = owner;
    struct arena *a = arena_new(MESSAGE_ARENA);
    struct exec_message m;
    struct reason why;
    if (exec_message_read(a, data, len, &m, &why) != OK)
        say_goodbye(s, WEBSOCKET_MALFORMED, why.text);
    else if (!s->greeted)
        greet(s, &m);
    else
        tell_agent(s, &m);
    arena_free(a);
}

static void on_room(void *owner)
{
    struct session *s = owner;
    if (!s->wanting || s->ask == NULL)
        return;
    s->wanting = false;
    agents_more(s->ask);
}

static void on_gone(void *owner)
{
    say_goodbye(owner, WEBSOCKET_DONE, "");
}

static void on_no_greeting(void *owner)
{
    say_goodbye(owner, WEBSOCKET_REFUSED, "the handshake's first message did not come in time");
}

/* ---- the beginning */

static void open_socket(struct session *s)
{
    exchange_on_gone(s->context->x, NULL, NULL);
    s->socket =
        websocket_open(s->context->x, MESSAGE_MAX,
                       &(struct websocket_handlers){
                           .message = on_message, .room = on_room, .gone = on_gone, .owner = s});
}

static void refuse(struct session *s, const char *why)
{
    open_socket(s);
    say_goodbye(s, WEBSOCKET_REFUSED, why);
}

/* A browser can send no header with its token: with ws_handshake its first message has it. */
static void begin(struct session *s)
{
    bool handshake = false;
    const char *text = exchange_arg(s->context->x, "ws_handshake");
    open_socket(s);
    if (text != NULL && parse_bool(text, &handshake) && handshake)
        timer_arm(s->context->gateway->loop, &s->greeting, HANDSHAKE_MS, on_no_greeting, s);
    else
        ask_agent(s);
}

static void on_decided(void *owner, bool taken)
{
    if (taken)
        session_end(owner);
    else
        begin(owner);
}

static void on_gone_early(void *owner)
{
    struct session *s = owner;
    answer_nothing(s->context->x, 200); /* still owed, and read by nobody */
    s->context = NULL;
}

static void on_alloc(void *owner, const struct response *response)
{
    struct session *s = owner;
    char text[128];
    if (s->context == NULL) {
        free(s);
        return;
    }
    struct call_context *c = s->context;
    const Pb__Object *o = (const Pb__Object *)response->body;
    if (response->code == PB__REPLY__CODE__NOT_FOUND) {
        snprintf(text, sizeof text, "Unknown allocation \"%s\"", c->id);
        refuse(s, text);
        return;
    }
    if (response->code != PB__REPLY__CODE__OK || object_alloc(o) == NULL ||
        object_alloc(o)->node_id.len != ID_SIZE) {
        exchange_on_gone(c->x, NULL, NULL);
        answer_failure(c->x, response);
        session_end(s);
        return;
    }
    memcpy(s->node_id, object_alloc(o)->node_id.data, ID_SIZE);
    if (agents_is_connected(c->gateway->agents, s->node_id) || exchange_is_relayed(c->x))
        begin(s);
    else
        forward_to_node(c->gateway->forward, c->x, s->node_id, on_decided, s);
}

static void find_alloc(struct session *s)
{
    struct call_context *c = s->context;
    Pb__Key key = PB__KEY__INIT;
    must(id_parse(c->id, s->alloc_id));
    s->request.has_alloc_id = s->request.has_kind = true;
    s->request.kind = PB__AGENT_REQUEST__KIND__EXEC;
    s->request.alloc_id = (ProtobufCBinaryData){.len = ID_SIZE, .data = s->alloc_id};
    key.has_table = key.has_id = true;
    key.table = PB__TABLE__NAME__ALLOCS;
    key.id = s->request.alloc_id;
    exchange_on_gone(c->x, on_gone_early, s);
    gateway_get(c->gateway, c->params.stale, &key, on_alloc, s);
}

/* NULL, or what is wrong. */
static const char *take_words(struct session *s, const json_t *list)
{
    struct arena *a = exchange_arena(s->context->x);
    size_t i;
    json_t *word;
    if (!json_is_array(list))
        return "command is no list";
    if (json_array_size(list) > WORDS_MAX)
        return "command has more than 1024 words";
    s->request.command = arena_array(a, char *, json_array_size(list) + 1);
    json_array_foreach((json_t *)(uintptr_t)list, i, word)
    {
        if (!json_is_string(word))
            return "command is no list of texts";
        s->request.command[s->request.n_command++] = arena_strdup(a, json_string_value(word));
    }
    return NULL;
}

static const char *read_command(struct session *s)
{
    struct reason why;
    const char *text = exchange_arg(s->context->x, "command"), *problem;
    json_t *list = json_text_parse(text == NULL ? "" : text, text == NULL ? 0 : strlen(text), &why);
    if (list != NULL)
        problem = take_words(s, list);
    else if (strstr(why.text, "EOF") != NULL) /* worded for a stream; this one had all its bytes */
        problem = "unexpected end of JSON input";
    else
        problem = arena_strdup(exchange_arena(s->context->x), why.text);
    json_decref(list);
    return problem;
}

static bool read_parameters(struct session *s)
{
    struct call_context *c = s->context;
    const char *tty = exchange_arg(c->x, "tty");
    bool is_tty = false;
    const char *problem = read_command(s);
    if (problem != NULL) {
        answer_text(c->x, 500, "failed to marshal command into json: %s", problem);
        return false;
    }
    if (tty != NULL && tty[0] != '\0' && !parse_bool(tty, &is_tty)) {
        answer_text(c->x, 500,
                    "tty value is not a boolean: strconv.ParseBool: parsing \"%s\": "
                    "invalid syntax",
                    tty);
        return false;
    }
    s->request.has_tty = true;
    s->request.tty = is_tty;
    s->request.task = (char *)(uintptr_t)exchange_arg(c->x, "task");
    return websocket_is_asked_for(c->x);
}

void allocation_exec(struct call_context *c)
{
    struct session *s = xcalloc(1, sizeof(*s));
    s->context = c;
    pb__agent_request__init(&s->request);
    if (!read_parameters(s)) {
        free(s);
        return;
    }
    if (s->request.task == NULL || s->request.task[0] == '\0')
        refuse(s, "must provide task name");
    else if (s->request.n_command == 0)
        refuse(s, "command is not present");
    else if (id_problem(c->id) != NULL)
        refuse(s, arena_printf(exchange_arena(c->x), "alloc lookup failed: %s", id_problem(c->id)));
    else
        find_alloc(s);
}
