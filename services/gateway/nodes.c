/* Reads of nodes. */
#include "answer.h"
#include "node_json.h"
#include "nouns.h"
#include "objects.h"
#include "query.h"
#include "sched/fleet.h"
#include "urls.h"
#include "wire/wire.h"
#include <string.h>

static json_t *show(struct query *q, const Pb__Object *o)
{
    const Pb__Node *n = object_node(o);
    const char *pool = q->context->state; /* NULL: of all */
    const char *text = exchange_arg(q->x, "resources");
    bool resources = false;
    if (n == NULL || (pool != NULL && strcmp(pool, "all") != 0 &&
                      strcmp(pool, pool_or_default(n->node_pool)) != 0))
        return NULL;
    if (text != NULL)
        parse_bool(text, &resources);
    return node_stub_json(n, resources);
}

static void read_all(struct query *q)
{
    Pb__List l = PB__LIST__INIT;
    l.has_table = 1;
    l.table = PB__TABLE__NAME__NODES;
    if (q->params.prefix[0] != '\0')
        l.prefix = (char *)(uintptr_t)q->params.prefix;
    query_objects(q, &l, show);
}

void nodes_list(struct call_context *c)
{
    char buffer[128];
    const char *problem = id_prefix_problem(c->params.prefix, buffer);
    struct watch_on on = {.tables = FEED_TABLE(NODES)};
    if (problem != NULL) {
        answer_text(c->x, 500, "node lookup failed: %s", problem);
        return;
    }
    on.has_id = c->params.prefix[0] != '\0' && id_prefix_range(c->params.prefix, on.low, on.high);
    query_start(c, &on, read_all);
}

static void on_node(void *owner, const struct response *r)
{
    struct query *q = owner;
    const Pb__Object *o = (const Pb__Object *)r->body;
    if (r->code == PB__REPLY__CODE__NOT_FOUND)
        query_missing(q, r->index, "node not found");
    else if (r->code != PB__REPLY__CODE__OK || object_node(o) == NULL)
        query_failed(q, r);
    else
        query_found(q, object_node(o)->modify_index, node_full_json(object_node(o)));
}

static void read_node(struct query *q)
{
    Pb__Key key = PB__KEY__INIT;
    key.has_table = key.has_id = 1;
    key.table = PB__TABLE__NAME__NODES;
    key.id = (ProtobufCBinaryData){.len = ID_SIZE, .data = q->context->state};
    gateway_get(q->gateway, q->params.stale, &key, on_node, q);
}

void node_pool_nodes(struct call_context *c)
{
    c->state = (void *)(uintptr_t)c->id;
    nodes_list(c);
}

void node_get(struct call_context *c)
{
    struct watch_on on = {.tables = FEED_TABLE(NODES), .has_id = true};
    const char *problem = id_problem(c->id);
    if (c->id[0] == '\0') {
        answer_text(c->x, 500, "missing node ID");
        return;
    }
    if (problem != NULL) {
        answer_text(c->x, 500, "node lookup failed: %s", problem);
        return;
    }
    c->state = arena_alloc(exchange_arena(c->x), ID_SIZE);
    must(id_parse(c->id, c->state));
    memcpy(on.low, c->state, ID_SIZE);
    memcpy(on.high, c->state, ID_SIZE);
    query_start(c, &on, read_node);
}
