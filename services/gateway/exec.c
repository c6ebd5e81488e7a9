/* /v1/client/allocation/ID/exec: a command in a running task, its streams and its terminal. */
#include "answer.h"
#include "nouns.h"
#include "talk.h"
#include "urls.h"
#include "wire/execjson.h"
#include "wire/json.h"
#include <stdio.h>
#include <string.h>

#define MESSAGE_MAX   (256u << 10)
#define MESSAGE_ARENA (2u << 20)
#define HANDSHAKE_MS  10000u
#define WORDS_MAX     1024u

/* ---- to the client */

static void say(struct talk *t, const struct exec_message *m)
{
    struct strbuf text = STRBUF_INIT;
    exec_message_write(&text, m);
    talk_say(t, true, text.data, text.len);
    strbuf_free(&text);
}

static void on_result(struct talk *t, const Pb__AgentResult *r)
{
    const struct exec_stream data = {.data = r->data};
    if (r->stream != NULL && strcmp(r->stream, "stderr") == 0)
        say(t, &(struct exec_message){.error = data});
    else
        say(t, &(struct exec_message){.output = data});
}

static void on_ended(struct talk *t, const Pb__AgentResult *r)
{
    if (!t->request.tty)
        say(t, &(struct exec_message){.error.close = true});
    say(t, &(struct exec_message){.output.close = true});
    say(t, &(struct exec_message){.exited = true, .exit_code = r->exit_code});
}

/* ---- from the client */

static void on_no_greeting(void *owner)
{
    talk_end(owner, WEBSOCKET_REFUSED, "the handshake's first message did not come in time");
}

/* A browser can send no header with its token: with ws_handshake its first message has it. */
static void on_opened(struct talk *t)
{
    bool handshake = false;
    const char *text = exchange_arg(t->context->x, "ws_handshake");
    if (text != NULL && parse_bool(text, &handshake) && handshake)
        timer_arm(t->context->gateway->loop, &t->timer, HANDSHAKE_MS, on_no_greeting, t);
    else
        talk_ask(t);
}

static void greet(struct talk *t, const struct exec_message *m)
{
    char text[80];
    if (m->version == 1) {
        talk_ask(t);
        return;
    }
    snprintf(text, sizeof(text), "unexpected handshake value: %lld", (long long)m->version);
    talk_end(t, WEBSOCKET_REFUSED, text);
}

static void tell_agent(struct talk *t, const struct exec_message *m)
{
    Pb__AgentInput input = PB__AGENT_INPUT__INIT;
    input.has_data = m->input.data.len > 0;
    input.data = m->input.data;
    input.has_close = input.close = m->input.close;
    input.has_rows = input.has_columns = m->rows > 0 && m->columns > 0;
    input.rows = input.has_rows ? m->rows : 0;
    input.columns = m->columns;
    if (input.has_data || input.close || input.has_rows) /* else it only shows that it is there */
        talk_tell(t, &input);
}

static void on_message(struct talk *t, bool text, const void *data, size_t len)
{
    struct arena *a = arena_new(MESSAGE_ARENA);
    struct exec_message m;
    struct reason why;
    if (exec_message_read(a, data, len, &m, &why) != OK)
        talk_end(t, WEBSOCKET_MALFORMED, why.text);
    else if (!talk_has_asked(t))
        greet(t, &m);
    else
        tell_agent(t, &m);
    arena_free(a);
}

static const struct talk_kind exec_kind = {
    .longest = MESSAGE_MAX,
    .opened = on_opened,
    .message = on_message,
    .result = on_result,
    .ended = on_ended,
};

/* ---- the beginning */

/* NULL, or what is wrong. */
static const char *take_words(struct talk *t, json_t *list)
{
    struct arena *a = exchange_arena(t->context->x);
    size_t i;
    json_t *word;
    if (!json_is_array(list))
        return "command is no list";
    if (json_array_size(list) > WORDS_MAX)
        return "command has more than 1024 words";
    t->request.command = arena_array(a, char *, json_array_size(list) + 1);
    json_array_foreach(list, i, word)
    {
        if (!json_is_string(word))
            return "command is no list of texts";
        t->request.command[t->request.n_command++] = arena_strdup(a, json_string_value(word));
    }
    return NULL;
}

static const char *read_command(struct talk *t)
{
    struct reason why;
    const char *text = exchange_arg(t->context->x, "command"), *problem;
    json_t *list = json_text_parse(text == NULL ? "" : text, text == NULL ? 0 : strlen(text), &why);
    if (list != NULL)
        problem = take_words(t, list);
    else if (strstr(why.text, "EOF") != NULL) /* worded for a stream; this one had all its bytes */
        problem = "unexpected end of JSON input";
    else
        problem = arena_strdup(exchange_arena(t->context->x), why.text);
    json_decref(list);
    return problem;
}

static bool read_parameters(struct talk *t)
{
    struct call_context *c = t->context;
    const char *tty = exchange_arg(c->x, "tty");
    bool is_tty = false;
    const char *problem = read_command(t);
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
    t->request.has_kind = t->request.has_tty = true;
    t->request.kind = PB__AGENT_REQUEST__KIND__EXEC;
    t->request.tty = is_tty;
    t->request.task = (char *)(uintptr_t)exchange_arg(c->x, "task");
    return websocket_is_asked_for(c->x);
}

void allocation_exec(struct call_context *c)
{
    struct talk *t = talk_new(&exec_kind, c);
    if (!read_parameters(t))
        talk_free(t);
    else if (t->request.task == NULL || t->request.task[0] == '\0')
        talk_refuse(t, "must provide task name");
    else if (t->request.n_command == 0)
        talk_refuse(t, "command is not present");
    else
        talk_begin(t);
}
