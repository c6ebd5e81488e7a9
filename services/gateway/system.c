/* The region as a whole: collection now, and summaries. */
#include "answer.h"
#include "controller.pb-c.h"
#include "leader.h"
#include "nouns.h"

#define GC_MS 5000

static void on_begun(void *owner, const struct response *r)
{
    struct call_context *c = owner;
    if (r->code != PB__REPLY__CODE__OK)
        answer_failure(c->x, r);
    else
        answer_nothing(c->x, 200);
}

/* Answered when it has begun, as in Nomad: looking through a large state takes its time. */
void system_gc(struct call_context *c)
{
    Pb__Empty empty = PB__EMPTY__INIT;
    leader_call(c->gateway->leader, PB__SERVICE__NAME__CONTROLLER,
                &(struct call_options){.method = PB__CONTROLLER__METHOD__COLLECT,
                                       .body = &empty.base,
                                       .reply = &pb__empty__descriptor,
                                       .budget_ms = GC_MS,
                                       .retry = true,
                                       .done = on_begun,
                                       .owner = c});
}

/* Summaries change in the command that changes what they count, and never differ from it. */
void system_reconcile_summaries(struct call_context *c)
{
    answer_nothing(c->x, 200);
}
