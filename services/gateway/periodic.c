/* Periodic jobs: a launch that somebody asks for, and when the next one is. */
#include "periodic.h"
#include "answer.h"
#include "command.pb-c.h"
#include "nouns.h"
#include "sched/periodic.h"
#include "wire/json.h"

#define SECOND_NS INT64_C(1000000000)

json_t *next_launch_json(const Pb__Job *job, int64_t now_ns)
{
    struct periodic *p = NULL;
    struct reason why;
    char text[ZONE_TIME_SIZE] = "0001-01-01T00:00:00Z"; /* as Nomad says never */
    if (!job_is_launched(job) || periodic_new(&p, job->periodic, &why) != OK)
        return json_null();
    int64_t next = periodic_next(p, now_ns / SECOND_NS);
    if (next != CRON_NEVER)
        zone_format(periodic_zone(p), next, text);
    periodic_free(p);
    return json_text(text);
}

static void on_launched(void *owner, const struct response *r)
{
    struct call_context *c = owner;
    const Pb__Outcome *o = (const Pb__Outcome *)r->body;
    if (r->code != PB__REPLY__CODE__OK || o == NULL) {
        answer_failure(c->x, r);
    } else if (o->code != PB__OUTCOME__CODE__APPLIED) {
        c->gateway->counted.refused++;
        answer_text(c->x, 500, "%s", o->reason == NULL ? "refused" : o->reason);
    } else {
        answer_index(c->x, o->index);
        answer_json(c->x,
                    json_pack("{sI,so,sI}", "EvalCreateIndex", (json_int_t)o->index, "EvalID",
                              json_id_of(o->eval_id), "Index", (json_int_t)o->index),
                    c->params.pretty);
    }
}

void job_periodic_force(struct call_context *c)
{
    Pb__PeriodicLaunch body = PB__PERIODIC_LAUNCH__INIT;
    Pb__Command command = PB__COMMAND__INIT;
    body.namespace_ = (char *)(uintptr_t)c->params.namespace;
    body.job_id = (char *)(uintptr_t)c->id;
    body.has_launch_time = body.has_force = 1;
    body.launch_time = loop_wall_ns(c->gateway->loop) / SECOND_NS * SECOND_NS;
    body.force = 1;
    command.body_case = PB__COMMAND__BODY_PERIODIC_LAUNCH;
    command.periodic_launch = &body;
    c->gateway->counted.writes++;
    gateway_apply(c->gateway, &command, on_launched, c);
}
