/* Readers of a node's files and logs: what they ask is handed to the agent in the answer to its
 * poll, and the agent streams the results by requests of its own. Each result is answered when the
 * reader wants the next: that is the flow control. */
#include "agents_parts.h"
#include <stdlib.h>
#include <string.h>

#define SEND_AGAIN_MS 2000 /* the answer that carried it may have been lost */

#define ASK_ARENA (1u << 20)

static void ask_free(struct ask *ask)
{
    struct agents *a = ask->agents;
    timer_cancel(a->loop, &ask->timer);
    inputs_end(ask);
    list_remove(&ask->of_node);
    map_remove(a->asks, ask->request->id.data, ID_SIZE);
    arena_free(ask->arena); /* ask lives in it */
}

/* Tells the reader the end; the ask is dead. */
static void ask_fail(struct ask *ask, uint32_t http_status, const char *why)
{
    Pb__AgentError error = PB__AGENT_ERROR__INIT;
    Pb__AgentResult result = PB__AGENT_RESULT__INIT;
    error.has_http_status = 1;
    error.http_status = http_status;
    error.reason = (char *)why;
    result.error = &error;
    result.has_last = result.last = 1;
    agents_result_fn *on_result = ask->on_result;
    void *owner = ask->owner;
    if (ask->held != NULL)
        request_fail(ask->held, PB__REPLY__CODE__NOT_FOUND, "the reader has gone");
    ask_free(ask);
    on_result(owner, &result);
}

static void on_no_node(void *owner)
{
    ask_fail(owner, 404, "No path to node");
}

static void on_silence(void *owner)
{
    ask_fail(owner, 504, "the node did not answer in time");
}

static void await_agent(struct ask *ask)
{
    timer_arm(ask->agents->loop, &ask->timer, ask->agents->options.ask_timeout_ms, on_silence, ask);
}

struct ask *agents_ask(struct agents *a, const uint8_t node_id[16], const Pb__AgentRequest *request,
                       agents_result_fn *on_result, void *owner)
{
    struct arena *arena = arena_new(ASK_ARENA);
    struct ask *ask = arena_array(arena, struct ask, 1);
    struct id id = id_new();
    ask->agents = a;
    ask->arena = arena;
    list_init(&ask->inputs);
    ask->request = (Pb__AgentRequest *)wire_clone(arena, &request->base);
    ask->request->has_id = 1;
    ask->request->id = wire_id(arena, id.bytes);
    ask->on_result = on_result;
    ask->owner = owner;
    map_put(a->asks, id.bytes, ID_SIZE, ask);
    ask->node = map_get_id(a->nodes, node_id);
    if (ask->node == NULL || !agents_is_connected(a, node_id)) {
        timer_arm(a->loop, &ask->timer, 0, on_no_node, ask);
        return ask;
    }
    list_push_back(&ask->node->asks, &ask->of_node);
    await_agent(ask);
    node_has_news(ask->node, 0);
    return ask;
}

void agents_more(struct ask *ask)
{
    struct request *held = ask->held;
    if (held == NULL)
        return;
    ask->held = NULL;
    await_agent(ask);
    request_reply(held, NULL, 0);
}

void agents_cancel(struct ask *ask)
{
    if (ask->held != NULL)
        request_fail(ask->held, PB__REPLY__CODE__NOT_FOUND, "the reader has gone");
    ask_free(ask);
}

static bool is_due(const struct ask *ask)
{
    return ask->expected == 0 &&
           (ask->sent_ms == 0 || loop_now_ms(ask->agents->loop) - ask->sent_ms > SEND_AGAIN_MS);
}

bool asks_are_waiting(const struct node *n)
{
    struct ask *ask;
    list_each(&n->asks, struct ask, of_node, ask) if (is_due(ask)) return true;
    return false;
}

Pb__AgentRequest **asks_to_send(struct node *n, struct arena *arena, size_t *count)
{
    size_t due = 0;
    struct ask *ask;
    list_each(&n->asks, struct ask, of_node, ask) due += is_due(ask);
    Pb__AgentRequest **requests = arena_array(arena, Pb__AgentRequest *, due + 1);
    *count = 0;
    list_each(&n->asks, struct ask, of_node, ask) if (is_due(ask))
    {
        ask->sent_ms = loop_now_ms(n->agents->loop);
        requests[(*count)++] = ask->request;
    }
    return requests;
}

/* The agent's connection ended while it waited: it sends the result again on a new one. */
static void on_held_gone(void *owner, struct request *req)
{
    struct ask *ask = owner;
    ask->held = NULL;
    await_agent(ask); /* or it has died */
}

/* A copy of a result that was delivered already. */
static void on_repeated(struct ask *ask, struct request *req, uint32_t sequence)
{
    if (ask->held == NULL || sequence + 1 != ask->expected) {
        request_reply(req, NULL, 0);
        return;
    }
    request_reply(ask->held, NULL, 0); /* nobody waits for this one any more */
    ask->held = req;
    request_park(req, on_held_gone, ask);
}

static void agent_result(struct node *n, struct request *req)
{
    struct agents *a = n->agents;
    const Pb__AgentResult *result = (const Pb__AgentResult *)request_body(req);
    struct ask *ask =
        result->request_id.len == ID_SIZE ? map_get_id(a->asks, result->request_id.data) : NULL;
    if (ask == NULL || ask->node != n) {
        request_fail(req, PB__REPLY__CODE__NOT_FOUND, "the reader has gone");
    } else if (result->sequence < ask->expected) {
        on_repeated(ask, req, result->sequence);
    } else if (result->sequence > ask->expected) {
        request_fail(req, PB__REPLY__CODE__INVALID, "result %u, expected %u", result->sequence,
                     ask->expected);
    } else if (result->last) {
        agents_result_fn *on_result = ask->on_result;
        void *owner = ask->owner;
        ask_free(ask);
        on_result(owner, result);
        request_reply(req, NULL, 0);
    } else {
        ask->expected++;
        ask->held = req;
        timer_cancel(a->loop, &ask->timer);
        request_park(req, on_held_gone, ask);
        ask->on_result(ask->owner, result);
    }
}

void on_agent_result(void *self, struct request *req)
{
    const Pb__AgentResult *result = (const Pb__AgentResult *)request_body(req);
    agents_admit(self, req, SPEAKER(result), agent_result);
}

void asks_lose_node(struct node *n)
{
    struct ask *ask;
    list_each(&n->asks, struct ask, of_node, ask) if (ask->sent_ms == 0)
        timer_arm(n->agents->loop, &ask->timer, 0, on_no_node, ask);
}

void asks_close(struct agents *a)
{
    size_t i = 0;
    void *ask;
    while (map_next(a->asks, &i, NULL, NULL, &ask)) {
        ask_fail(ask, 500, "the gateway is stopping");
        i = 0; /* the reader may have cancelled others */
    }
}
