/* How jobs are scheduled, as operators set it for the whole region. */
#include "answer.h"
#include "jobstore.pb-c.h"
#include "leader.h"
#include "nouns.h"
#include "wire/json.h"
#include <string.h>

#define SCHEDULER_MS 5000

static void on_config(void *owner, const struct response *r)
{
    struct call_context *c = owner;
    const Pb__SchedulerConfig *s = (const Pb__SchedulerConfig *)r->body;
    if (r->code != PB__REPLY__CODE__OK || s == NULL) {
        answer_failure(c->x, r);
        return;
    }
    answer_read_index(c->x, s->modify_index, (struct freshness){.known_leader = true});
    answer_json(c->x,
                json_pack("{sI,sb,si,so}", "Index", (json_int_t)s->modify_index, "KnownLeader", 1,
                          "LastContact", 0, "SchedulerConfig", wire_to_json(&s->base)),
                c->params.pretty);
}

void operator_scheduler_get(struct call_context *c)
{
    leader_call(c->gateway->leader, PB__SERVICE__NAME__JOBSTORE,
                &(struct call_options){.method = PB__JOBSTORE__METHOD__SCHEDULER,
                                       .reply = &pb__scheduler_config__descriptor,
                                       .budget_ms = SCHEDULER_MS,
                                       .retry = true,
                                       .done = on_config,
                                       .owner = c});
}

static void on_set(void *owner, const struct response *r)
{
    struct call_context *c = owner;
    const Pb__Outcome *o = (const Pb__Outcome *)r->body;
    bool done = o != NULL && o->code == PB__OUTCOME__CODE__APPLIED;
    if (r->code != PB__REPLY__CODE__OK || o == NULL) {
        answer_failure(c->x, r);
    } else if (!done && o->code != PB__OUTCOME__CODE__STALE) {
        answer_text(c->x, 500, "%s", o->reason != NULL ? o->reason : "refused");
    } else {
        answer_index(c->x, o->index);
        answer_json(c->x, json_pack("{sI,sb}", "Index", (json_int_t)o->index, "Updated", (int)done),
                    c->params.pretty);
    }
}

static bool read_config(struct call_context *c, Pb__SchedulerConfig **out)
{
    size_t len;
    const char *text = exchange_body(c->x, &len);
    struct reason why = {{0}};
    ProtobufCMessage *config = NULL;
    json_t *body = len > 0 ? json_text_parse(text, len, &why) : NULL;
    enum err e = body == NULL
                     ? ERR_INVALID
                     : wire_from_json(exchange_arena(c->x), &pb__scheduler_config__descriptor, body,
                                      "SchedulerConfiguration", 1 << 16, &config, &why);
    json_decref(body);
    if (e != OK) {
        answer_text(c->x, 400, "Error parsing scheduler config: %s", len == 0 ? "EOF" : why.text);
        return false;
    }
    *out = (Pb__SchedulerConfig *)config;
    return true;
}

void operator_scheduler_put(struct call_context *c)
{
    Pb__SchedulerSet set = PB__SCHEDULER_SET__INIT;
    struct cas cas;
    static Pb__PreemptionConfig none = PB__PREEMPTION_CONFIG__INIT;
    if (!read_config(c, &set.config) || !route_cas(c, &cas))
        return;
    set.has_check_index = set.has_modify_index = set.check_index = cas.given;
    set.modify_index = cas.index;
    Pb__SchedulerConfig *s = set.config;
    const char *algorithm = s->scheduler_algorithm != NULL ? s->scheduler_algorithm : "";
    if (algorithm[0] != '\0' && strcmp(algorithm, "binpack") != 0 &&
        strcmp(algorithm, "spread") != 0) {
        answer_text(c->x, 400, "invalid scheduler algorithm: %s", algorithm);
        return;
    }
    if (s->preemption_config == NULL)
        s->preemption_config = &none; /* what is not said is off, as in Nomad */
    Pb__Command command = PB__COMMAND__INIT;
    command.body_case = PB__COMMAND__BODY_SCHEDULER_SET;
    command.scheduler_set = &set;
    gateway_apply(c->gateway, &command, on_set, c);
}
