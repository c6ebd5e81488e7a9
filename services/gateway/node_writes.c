/* What operators do with a node beside drains: have its jobs looked at again, or forget it. */
#include "answer.h"
#include "base/id.h"
#include "nouns.h"
#include "status.h"
#include "wire/json.h"
#include "wire/wire.h"
#include "write.h"

/* False: answered. */
static bool read_node_id(struct call_context *c, ProtobufCBinaryData *out)
{
    uint8_t id[ID_SIZE];
    const char *problem = id_problem(c->id);
    if (problem != NULL)
        answer_text(c->x, 500, "node lookup failed: %s", problem);
    else {
        must(id_parse(c->id, id));
        *out = wire_id(exchange_arena(c->x), id);
    }
    return problem == NULL;
}

/* As Nomad answers agents, too: hence the keys that only they read. servers: takes it. */
static json_t *update_json(const Pb__Outcome *o, bool purged, const char *leader, json_t *servers)
{
    json_int_t index = (json_int_t)o->index;
    json_t *ids = o->n_eval_ids == 0 ? json_null() : json_array();
    for (size_t i = 0; i < o->n_eval_ids; i++)
        json_array_append_new(ids, json_id_of(o->eval_ids[i]));
    return json_pack("{sI,so,si,si,sI,sb,si,ss,sI,si,so}", "EvalCreateIndex",
                     o->n_eval_ids > 0 ? index : 0, "EvalIDs", ids, "Features", 0, "HeartbeatTTL",
                     0, "Index", index, "KnownLeader", 0, "LastContact", 0, "LeaderRPCAddr", leader,
                     "NodeModifyIndex", purged ? index : 0, "NumNodes", 0, "Servers", servers);
}

static void on_evaluated(void *owner, const struct response *r)
{
    struct call_context *c = owner;
    char leader[256] = "";
    const Pb__Outcome *o = write_applied(c, r, 500);
    if (o == NULL)
        return;
    status_leader_address(c->gateway, leader);
    write_answer(c, o->index, update_json(o, false, leader, status_servers(c->gateway)));
}

static void on_purged(void *owner, const struct response *r)
{
    struct call_context *c = owner;
    const Pb__Outcome *o = write_applied(c, r, 500);
    if (o != NULL)
        write_answer(c, o->index, update_json(o, true, "", json_null()));
}

void node_evaluate_put(struct call_context *c)
{
    Pb__NodeEvaluate body = PB__NODE_EVALUATE__INIT;
    Pb__Command command = PB__COMMAND__INIT;
    if (!read_node_id(c, &body.node_id))
        return;
    body.has_node_id = 1;
    command.body_case = PB__COMMAND__BODY_NODE_EVALUATE;
    command.node_evaluate = &body;
    write_command(c, &command, on_evaluated);
}

void node_purge_put(struct call_context *c)
{
    Pb__NodePurge body = PB__NODE_PURGE__INIT;
    Pb__Command command = PB__COMMAND__INIT;
    if (!read_node_id(c, &body.node_id))
        return;
    body.has_node_id = 1;
    command.body_case = PB__COMMAND__BODY_NODE_PURGE;
    command.node_purge = &body;
    write_command(c, &command, on_purged);
}
