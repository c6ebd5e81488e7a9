/* What agents have written of their nodes: who they are, that they leave, that they are back. */
#include "agents_parts.h"
#include <stdlib.h>

#define BUDGET_MS 5000u

struct writing {
    struct agents *agents;
    struct request *req; /* NULL: the agent has gone */
    void (*written)(struct agents *a, struct request *req, uint64_t index);
};

static void on_writer_gone(void *owner, struct request *req)
{
    struct writing *w = owner;
    w->req = NULL;
}

static void on_written(void *owner, const struct response *r)
{
    struct writing w = *(struct writing *)owner;
    const Pb__Outcome *outcome = (const Pb__Outcome *)r->body;
    free(owner);
    if (w.req == NULL)
        return;
    if (r->code != PB__REPLY__CODE__OK || outcome == NULL)
        request_fail(w.req, r->code == PB__REPLY__CODE__OK ? PB__REPLY__CODE__INTERNAL : r->code,
                     "%s", r->reason);
    else if (outcome->code != PB__OUTCOME__CODE__APPLIED)
        request_fail(w.req, PB__REPLY__CODE__DENIED, "%s",
                     outcome->reason != NULL ? outcome->reason : "refused");
    else
        w.written(w.agents, w.req, outcome->index);
}

/* Takes req. */
static void write_node(struct agents *a, struct request *req, const Pb__Command *command,
                       void (*written)(struct agents *a, struct request *req, uint64_t index))
{
    struct writing *w = xcalloc(1, sizeof *w);
    *w = (struct writing){.agents = a, .req = req, .written = written};
    request_park(req, on_writer_gone, w);
    leader_call(a->options.leader, PB__SERVICE__NAME__JOBSTORE,
                &(struct call_options){.method = PB__JOBSTORE__METHOD__APPLY,
                                       .body = &command->base,
                                       .reply = &pb__outcome__descriptor,
                                       .budget_ms = BUDGET_MS,
                                       .retry = true,
                                       .id = request_id(req),
                                       .done = on_written,
                                       .owner = w});
}

/* ---- registration */

static void registered(struct agents *a, struct request *req, uint64_t index)
{
    const Pb__NodeRegister *body = (const Pb__NodeRegister *)request_body(req);
    node_set(a, body->node);
    node_saw(map_get_id(a->nodes, body->node->id.data));
    reply_heartbeat(a, req, index);
}

void on_node_register(void *self, struct request *req)
{
    struct agents *a = self;
    const Pb__NodeRegister *body = (const Pb__NodeRegister *)request_body(req);
    if (body->node == NULL || !body->node->has_id || !body->node->has_secret_id) {
        request_fail(req, PB__REPLY__CODE__INVALID,
                     "a registration needs a node with id and secret_id");
        return;
    }
    if (map_count(a->nodes) >= a->options.max_nodes &&
        map_get_id(a->nodes, body->node->id.data) == NULL) {
        request_fail(req, PB__REPLY__CODE__BUSY,
                     "%zu nodes are registered, no more are taken (max_nodes)",
                     map_count(a->nodes));
        return;
    }
    Pb__NodeRegister inner = *body;
    Pb__Command command = PB__COMMAND__INIT;
    command.body_case = PB__COMMAND__BODY_NODE_REGISTER;
    command.node_register = &inner;
    write_node(a, req, &command, registered);
}

/* ---- its agent ends, or is back */

static void left(struct agents *a, struct request *req, uint64_t index)
{
    request_reply(req, NULL, index);
}

static void leave(struct node *n, struct request *req)
{
    static char key[] = "message", value[] = "the agent is shut down";
    const Pb__NodeLeave *body = (const Pb__NodeLeave *)request_body(req);
    Pb__KeyValue message = PB__KEY_VALUE__INIT, *meta = &message;
    Pb__NodeDrainSet set = PB__NODE_DRAIN_SET__INIT;
    Pb__Command command = PB__COMMAND__INIT;
    message.key = key;
    message.value = value;
    set.has_node_id = set.has_by_agent = set.by_agent = 1;
    set.node_id = body->node_id;
    set.spec = body->spec;
    set.n_meta = body->spec != NULL;
    set.meta = &meta;
    set.has_mark_eligible = set.mark_eligible = body->spec == NULL;
    command.body_case = PB__COMMAND__BODY_NODE_DRAIN;
    command.node_drain = &set;
    write_node(n->agents, req, &command, left);
}

void on_node_leave(void *self, struct request *req)
{
    const Pb__NodeLeave *body = (const Pb__NodeLeave *)request_body(req);
    agents_admit(self, req, SPEAKER(body), leave);
}
