/* A past evaluation, planned again from what its scheduler kept of it. */
#include "answer.h"
#include "asking.h"
#include "base/id.h"
#include "nouns.h"
#include "objects.h"
#include "wire/json.h"
#include "wire/wire.h"

struct asked_again {
    struct call_context *context;
    uint8_t id[ID_SIZE];
};

static json_t *differences_json(const Pb__Answer *a)
{
    json_t *all = json_array();
    for (size_t i = 0; i < a->n_differences; i++)
        json_array_append_new(all, json_text(a->differences[i]));
    return all;
}

static json_t *stops_json(const Pb__Plan *plan)
{
    json_t *all = json_array();
    for (size_t i = 0; i < plan->n_stops; i++)
        json_array_append_new(all,
                              json_pack("{so,so}", "AllocID", json_id_of(plan->stops[i]->alloc_id),
                                        "Description", json_text(plan->stops[i]->description)));
    return all;
}

static json_t *replay_json(struct gateway *g, const Pb__Answer *a)
{
    return json_pack(
        "{so,so,so,so,so,sI,sI,sb,so,so}", "Annotations",
        json_pack("{so}", "DesiredTGUpdates", plan_updates_json(a)), "Differences",
        differences_json(a), "Evaluation", wire_to_json(&a->eval->base), "FailedTGAllocs",
        metrics_by_group(a->plan->failed_groups, a->plan->n_failed_groups), "JobID",
        json_text(a->eval->job_id), "Index", (json_int_t)a->index, "Plans", (json_int_t)a->plans,
        "Same", (int)a->same, "Stops", stops_json(a->plan), "Where", plan_where_json(g, a->plan));
}

static void on_answer(void *owner, const struct response *r)
{
    const struct asked_again *k = owner;
    struct call_context *c = k->context;
    const Pb__Answer *a = (const Pb__Answer *)r->body;
    if (r->code != PB__REPLY__CODE__OK || a == NULL || a->plan == NULL || a->eval == NULL) {
        ask_failed(c->x, r);
        return;
    }
    answer_index(c->x, a->index);
    answer_json(c->x, replay_json(c->gateway, a), c->params.pretty);
}

/* Its type says which schedulers may have planned it. */
static void on_eval(void *owner, const struct response *r)
{
    struct asked_again *k = owner;
    const Pb__Eval *e = object_eval((const Pb__Object *)r->body);
    if (r->code == PB__REPLY__CODE__NOT_FOUND) {
        answer_text(k->context->x, 404, "eval not found");
        return;
    }
    if (r->code != PB__REPLY__CODE__OK || e == NULL) {
        answer_failure(k->context->x, r);
        return;
    }
    Pb__Question q = PB__QUESTION__INIT;
    q.has_kind = q.has_eval_id = 1;
    q.kind = PB__QUESTION__KIND__REPLAY;
    q.type = e->type;
    q.namespace_ = e->namespace_;
    q.job_id = e->job_id;
    q.eval_id = e->id;
    ask_scheduler(k->context->gateway, &q, on_answer, k);
}

void evaluation_replay(struct call_context *c)
{
    struct asked_again *k = arena_alloc(exchange_arena(c->x), sizeof(*k));
    *k = (struct asked_again){.context = c};
    if (!id_parse(c->id, k->id)) {
        answer_text(c->x, 400, "eval lookup failed: \"%s\" is no whole id", c->id);
        return;
    }
    Pb__Key key = PB__KEY__INIT;
    key.has_table = key.has_id = 1;
    key.table = PB__TABLE__NAME__EVALS;
    key.id = (ProtobufCBinaryData){ID_SIZE, k->id};
    gateway_get(c->gateway, false, &key, on_eval, k);
}
