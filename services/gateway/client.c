/* /v1/client/: what a node's agent answers in one piece: orders to tasks, statistics, metadata,
 * collection. Files and logs are in fs.c. */
#include "answer.h"
#include "base/id.h"
#include "body.h"
#include "forward.h"
#include "names.h"
#include "nouns.h"
#include "objects.h"
#include "usage_json.h"
#include <stdlib.h>
#include <string.h>

struct question;
typedef void answer_fn(struct question *q, const Pb__AgentResult *result);

struct question {
    struct call_context *context;
    answer_fn *answer;
    Pb__AgentRequest request; /* what it points to lies in the exchange's arena */
    uint8_t alloc_id[ID_SIZE], node_id[ID_SIZE];
    struct ask *ask; /* NULL: over, or not yet asked */
};

/* ---- the way to the agent */

static void on_gone(void *owner)
{
    struct question *q = owner;
    if (q->ask != NULL)
        agents_cancel(q->ask);
    answer_nothing(q->context->x, 200); /* still owed an answer, which nobody reads */
}

static void on_result(void *owner, const Pb__AgentResult *result)
{
    struct question *q = owner;
    const Pb__AgentError *error = result->error;
    q->ask = NULL;
    exchange_on_gone(q->context->x, NULL, NULL);
    if (error != NULL)
        answer_text(q->context->x, error->http_status != 0 ? error->http_status : 500, "%s",
                    error->reason == NULL ? "" : error->reason);
    else
        q->answer(q, result);
}

static void ask_agent(struct question *q)
{
    exchange_on_gone(q->context->x, on_gone, q);
    q->ask = agents_ask(q->context->gateway->agents, q->node_id, &q->request, on_result, q);
}

/* When no server has the node's agent ours says so, or waits for it. */
static void on_decided(void *owner, bool taken)
{
    if (!taken)
        ask_agent(owner);
}

static void go_to_node(struct question *q)
{
    struct gateway *g = q->context->gateway;
    if (agents_is_connected(g->agents, q->node_id) || exchange_is_relayed(q->context->x))
        ask_agent(q);
    else
        forward_to_node(g->forward, q->context->x, q->node_id, on_decided, q);
}

static void on_alloc(void *owner, const struct response *response)
{
    struct question *q = owner;
    const Pb__Object *o = (const Pb__Object *)response->body;
    if (response->code == PB__REPLY__CODE__NOT_FOUND) {
        answer_text(q->context->x, 404, "Unknown allocation \"%s\"", q->context->id);
    } else if (response->code != PB__REPLY__CODE__OK || object_alloc(o) == NULL ||
               object_alloc(o)->node_id.len != ID_SIZE) {
        answer_failure(q->context->x, response);
    } else {
        memcpy(q->node_id, object_alloc(o)->node_id.data, ID_SIZE);
        go_to_node(q);
    }
}

static void on_node(void *owner, const struct response *response)
{
    struct question *q = owner;
    const Pb__Object *o = (const Pb__Object *)response->body;
    if (response->code == PB__REPLY__CODE__NOT_FOUND)
        answer_text(q->context->x, 404, "Unknown node %s", q->context->id);
    else if (response->code != PB__REPLY__CODE__OK || object_node(o) == NULL)
        answer_failure(q->context->x, response);
    else
        go_to_node(q);
}

static void find(struct question *q, Pb__Table__Name table, uint8_t id[ID_SIZE], response_fn *found)
{
    struct call_context *c = q->context;
    Pb__Key key = PB__KEY__INIT;
    key.has_table = key.has_id = true;
    key.table = table;
    key.id = (ProtobufCBinaryData){.len = ID_SIZE, .data = id};
    gateway_get(c->gateway, c->params.stale, &key, found, q);
}

static struct question *question_new(struct call_context *c, Pb__AgentRequest__Kind kind,
                                     answer_fn *answer)
{
    struct question *q = arena_alloc(exchange_arena(c->x), sizeof *q);
    q->context = c;
    q->answer = answer;
    pb__agent_request__init(&q->request);
    q->request.has_kind = true;
    q->request.kind = kind;
    return q;
}

static void ask_of_alloc(struct question *q)
{
    const char *problem = id_problem(q->context->id);
    if (problem != NULL) {
        answer_text(q->context->x, 500, "alloc lookup failed: %s", problem);
        return;
    }
    must(id_parse(q->context->id, q->alloc_id));
    q->request.has_alloc_id = true;
    q->request.alloc_id = (ProtobufCBinaryData){.len = ID_SIZE, .data = q->alloc_id};
    find(q, PB__TABLE__NAME__ALLOCS, q->alloc_id, on_alloc);
}

/* Without a name it is the node of the agent that speaks to this gateway, if there is only one. */
static void ask_of_node(struct question *q, const char *id)
{
    struct call_context *c = q->context;
    c->id = id;
    if (id == NULL || id[0] == '\0') {
        if (agents_only_node(c->gateway->agents, q->node_id))
            ask_agent(q);
        else
            answer_text(c->x, 400, "No local Node and node_id not provided");
        return;
    }
    const char *problem = id_problem(id);
    if (problem != NULL) {
        answer_text(c->x, 500, "node lookup failed: %s", problem);
        return;
    }
    must(id_parse(id, q->node_id));
    find(q, PB__TABLE__NAME__NODES, q->node_id, on_node);
}

/* ---- orders */

static void answer_done(struct question *q, const Pb__AgentResult *result)
{
    answer_json(q->context->x, json_pack("{si}", "Index", 0), q->context->params.pretty);
}

static void answer_empty(struct question *q, const Pb__AgentResult *result)
{
    answer_nothing(q->context->x, 200);
}

/* A text of the body, or NULL. False: answered. */
static bool read_text(struct call_context *c, const json_t *body, const char *name, char **out)
{
    const json_t *v = body_member(body, name);
    *out = NULL;
    if (v != NULL && !json_is_string(v)) {
        answer_text(c->x, 400, "%s is %s, must be a text", name, body_kind(v));
        return false;
    }
    if (v != NULL)
        *out = arena_strdup(exchange_arena(c->x), json_string_value(v));
    return true;
}

void alloc_restart_put(struct call_context *c)
{
    struct question *q = question_new(c, PB__AGENT_REQUEST__KIND__RESTART, answer_done);
    size_t len;
    exchange_body(c->x, &len);
    json_t *body = len == 0 ? json_object() : body_object(c, 400);
    if (body == NULL)
        return;
    if (read_text(c, body, "TaskName", &q->request.task))
        ask_of_alloc(q);
    json_decref(body);
}

void alloc_signal_put(struct call_context *c)
{
    struct question *q = question_new(c, PB__AGENT_REQUEST__KIND__SIGNAL, answer_done);
    json_t *body = body_object(c, 400);
    if (body == NULL)
        return;
    if (read_text(c, body, "Task", &q->request.task) &&
        read_text(c, body, "Signal", &q->request.signal))
        ask_of_alloc(q);
    json_decref(body);
}

void alloc_collect(struct call_context *c)
{
    ask_of_alloc(question_new(c, PB__AGENT_REQUEST__KIND__COLLECT, answer_empty));
}

void client_collect(struct call_context *c)
{
    ask_of_node(question_new(c, PB__AGENT_REQUEST__KIND__COLLECT, answer_empty),
                exchange_arg(c->x, "node_id"));
}

/* Of the paths that are left: an action that is none, or one by another method. */
void alloc_no_action(struct call_context *c)
{
    const char *action = strrchr(c->id, '/');
    if (action != NULL && (strcmp(action, "/restart") == 0 || strcmp(action, "/signal") == 0))
        answer_text(c->x, 405, "Invalid method");
    else
        answer_text(c->x, 404, "resource not found");
}

/* ---- statistics */

static void answer_usage(struct question *q, const Pb__AgentResult *result)
{
    answer_json(q->context->x, usage_json(result, exchange_arg(q->context->x, "task")),
                q->context->params.pretty);
}

void alloc_stats_get(struct call_context *c)
{
    ask_of_alloc(question_new(c, PB__AGENT_REQUEST__KIND__STATS, answer_usage));
}

static void answer_agents_json(struct question *q, const Pb__AgentResult *result)
{
    json_t *tree = result->json == NULL ? NULL : json_loads(result->json, 0, NULL);
    if (tree == NULL)
        answer_text(q->context->x, 500, "the node's agent answered what is no JSON");
    else
        answer_json(q->context->x, tree, q->context->params.pretty);
}

void client_stats_get(struct call_context *c)
{
    ask_of_node(question_new(c, PB__AGENT_REQUEST__KIND__HOST_STATS, answer_agents_json),
                exchange_arg(c->x, "node_id"));
}

/* ---- metadata */

void client_metadata_get(struct call_context *c)
{
    ask_of_node(question_new(c, PB__AGENT_REQUEST__KIND__META_READ, answer_agents_json),
                exchange_arg(c->x, "node_id"));
}

/* {"Meta": {key: text, or null to take it away}} */
static bool read_meta(struct question *q, const json_t *body)
{
    struct arena *a = exchange_arena(q->context->x);
    json_t *meta = body_member(body, "Meta"), *value;
    const char *key;
    if (!json_is_object(meta) || json_object_size(meta) == 0) {
        answer_text(q->context->x, 400, "Meta is missing: {\"Meta\": {\"key\": \"value\"}}");
        return false;
    }
    q->request.meta = arena_array(a, Pb__KeyValue *, json_object_size(meta));
    json_object_foreach(meta, key, value)
    {
        if (!json_is_string(value) && !json_is_null(value)) {
            answer_text(q->context->x, 400, "Meta.%s is %s, must be a text or null", key,
                        body_kind(value));
            return false;
        }
        Pb__KeyValue *pair = arena_alloc(a, sizeof *pair);
        pb__key_value__init(pair);
        pair->key = arena_strdup(a, key);
        if (json_is_string(value))
            pair->value = arena_strdup(a, json_string_value(value));
        q->request.meta[q->request.n_meta++] = pair;
    }
    return true;
}

void client_metadata_put(struct call_context *c)
{
    struct question *q = question_new(c, PB__AGENT_REQUEST__KIND__META_SET, answer_agents_json);
    json_t *body = body_object(c, 400);
    if (body == NULL)
        return;
    char *id;
    if (read_meta(q, body) && read_text(c, body, "NodeID", &id))
        ask_of_node(q, id != NULL ? id : exchange_arg(c->x, "node_id"));
    json_decref(body);
}
