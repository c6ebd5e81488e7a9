#include "write.h"
#include "answer.h"

void write_command(struct call_context *c, const Pb__Command *command, response_fn *done)
{
    exchange_drop_body(c->x);
    c->gateway->counted.writes++;
    gateway_apply(c->gateway, command, done, c);
}

const Pb__Outcome *write_applied(struct call_context *c, const struct response *r, unsigned missing)
{
    const Pb__Outcome *o = (const Pb__Outcome *)r->body;
    if (r->code != PB__REPLY__CODE__OK || o == NULL) {
        answer_failure(c->x, r);
        return NULL;
    }
    if (o->code == PB__OUTCOME__CODE__APPLIED)
        return o;
    c->gateway->counted.refused++;
    answer_text(c->x, o->code == PB__OUTCOME__CODE__NOT_FOUND ? missing : 500, "%s",
                o->reason == NULL ? "refused" : o->reason);
    return NULL;
}

void write_answer(struct call_context *c, uint64_t index, json_t *tree)
{
    answer_index(c->x, index);
    answer_json(c->x, tree, c->params.pretty);
}
