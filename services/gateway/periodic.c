/* Periodic jobs: a launch that somebody asks for, and when the next one is. */
#include "periodic.h"
#include "answer.h"
#include "nouns.h"
#include "sched/periodic.h"
#include "wire/json.h"
#include "write.h"

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
    const Pb__Outcome *o = write_applied(c, r, 500);
    if (o != NULL)
        write_answer(c, o->index,
                     json_pack("{sI,so,sI}", "EvalCreateIndex", (json_int_t)o->index, "EvalID",
                               json_id_of(o->eval_id), "Index", (json_int_t)o->index));
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
    write_command(c, &command, on_launched);
}
