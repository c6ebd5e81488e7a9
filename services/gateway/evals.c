/* Reads of evaluations. */
#include "answer.h"
#include "nouns.h"
#include "objects.h"
#include "query.h"
#include "wire/json.h"
#include "wire/wire.h"
#include <string.h>

static json_t *show(struct query *q, const Pb__Object *o)
{
    const Pb__Eval *e = object_eval(o);
    if (e == NULL ||
        strcmp(e->namespace_ == NULL ? "default" : e->namespace_, q->params.namespace) != 0)
        return NULL;
    return wire_to_json(&e->base);
}

static void read_all(struct query *q)
{
    Pb__List l = PB__LIST__INIT;
    l.has_table = l.has_by = 1;
    l.table = PB__TABLE__NAME__EVALS;
    l.by = PB__LIST__BY__ALL;
    if (q->params.prefix[0] != '\0')
        l.prefix = (char *)(uintptr_t)q->params.prefix;
    query_objects(q, &l, show);
}

static void read_of_job(struct query *q)
{
    Pb__List l = PB__LIST__INIT;
    l.has_table = l.has_by = 1;
    l.table = PB__TABLE__NAME__EVALS;
    l.by = PB__LIST__BY__JOB;
    l.namespace_ = (char *)(uintptr_t)q->params.namespace;
    l.name = (char *)(uintptr_t)q->context->id;
    query_objects(q, &l, show);
}

void evaluations_list(struct call_context *c)
{
    char buffer[128];
    const char *problem = id_prefix_problem(c->params.prefix, buffer);
    struct watch_on on = {.tables = FEED_TABLE(EVALS), .namespace = c->params.namespace};
    if (problem != NULL) {
        answer_text(c->x, 500, "eval lookup failed: %s", problem);
        return;
    }
    on.has_id = c->params.prefix[0] != '\0' && id_prefix_range(c->params.prefix, on.low, on.high);
    query_start(c, &on, read_all);
}

void job_evaluations(struct call_context *c)
{
    struct watch_on on = {
        .tables = FEED_TABLE(EVALS), .namespace = c->params.namespace, .job = c->id};
    query_start(c, &on, read_of_job);
}

static void on_eval(void *owner, const struct response *r)
{
    struct query *q = owner;
    const Pb__Object *o = (const Pb__Object *)r->body;
    if (r->code == PB__REPLY__CODE__NOT_FOUND)
        query_missing(q, r->index, "eval not found");
    else if (r->code != PB__REPLY__CODE__OK || object_eval(o) == NULL)
        query_failed(q, r);
    else
        query_found(q, object_eval(o)->modify_index, wire_to_json(&object_eval(o)->base));
}

static void read_eval(struct query *q)
{
    Pb__Key key = PB__KEY__INIT;
    key.has_table = key.has_id = 1;
    key.table = PB__TABLE__NAME__EVALS;
    key.id = (ProtobufCBinaryData){.len = ID_SIZE, .data = q->context->state};
    gateway_get(q->gateway, q->params.stale, &key, on_eval, q);
}

void evaluation_get(struct call_context *c)
{
    struct watch_on on = {.tables = FEED_TABLE(EVALS), .has_id = true};
    const char *problem = id_problem(c->id);
    if (problem != NULL) {
        answer_text(c->x, 500, "eval lookup failed: %s", problem);
        return;
    }
    c->state = arena_alloc(exchange_arena(c->x), ID_SIZE);
    must(id_parse(c->id, c->state));
    memcpy(on.low, c->state, ID_SIZE);
    memcpy(on.high, c->state, ID_SIZE);
    query_start(c, &on, read_eval);
}
