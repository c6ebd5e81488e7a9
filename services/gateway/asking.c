#include "asking.h"
#include "answer.h"
#include "evalbroker.pb-c.h"
#include "leader.h"
#include "wire/json.h"

#define ASK_MS 15000

void ask_scheduler(struct gateway *g, const Pb__Question *q, response_fn *done, void *owner)
{
    leader_call(g->leader, PB__SERVICE__NAME__EVALBROKER,
                &(struct call_options){.method = PB__EVALBROKER__METHOD__ASK,
                                       .body = &q->base,
                                       .reply = &pb__answer__descriptor,
                                       .budget_ms = ASK_MS,
                                       .retry = true, /* nothing is changed by it */
                                       .done = done,
                                       .owner = owner});
}

void ask_failed(struct exchange *x, const struct response *r)
{
    switch (r->code) {
    case PB__REPLY__CODE__INVALID:
        answer_text(x, 400, "%s", r->reason);
        break;
    case PB__REPLY__CODE__NOT_FOUND:
        answer_text(x, 404, "%s", r->reason);
        break;
    case PB__REPLY__CODE__UNAVAILABLE:
    case PB__REPLY__CODE__BUSY:
    case PB__REPLY__CODE__TIMEOUT:
        answer_text(x, 503, "%s", r->reason);
        break;
    default:
        answer_failure(x, r);
    }
}

json_t *metrics_by_group(Pb__PlacementMetrics **groups, size_t count)
{
    Pb__Eval e = PB__EVAL__INIT;
    e.failed_groups = groups;
    e.n_failed_groups = count;
    json_t *tree = wire_to_json(&e.base),
           *all = json_incref(json_object_get(tree, "FailedTGAllocs"));
    json_decref(tree);
    return all != NULL ? all : json_null();
}
