/* Periodic jobs: a script that has one launched all the time while leaders come and go, and what
 * must hold of the launches of any job. */
#include "command.pb-c.h"
#include "gateway/gateway.h"
#include "jobfile/jobfile.h"
#include "sched/periodic.h"
#include "state/state.h"
#include "wire/wire.h"
#include "world.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS INT64_C(1000000000)
#define LATE_S    60 /* what is older need not be made up for */
#define CHILD     "/periodic-"

/* ---- what must hold */

/* The child of that launch, and how many evaluations it was given for it. */
static Pb__Job *child_at(struct view *v, struct arena *a, const Pb__Job *parent, int64_t time)
{
    return state_job(v, a, parent->namespace_,
                     arena_printf(a, "%s" CHILD "%lld", parent->id, (long long)time));
}

static unsigned launches_of(struct view *v, struct arena *a, const Pb__Job *child)
{
    struct walk w;
    const uint8_t *id;
    unsigned n = 0;
    walk_open(&w, v, PB__TABLE__NAME__EVALS, PB__LIST__BY__JOB, child->namespace_, child->id, NULL,
              NULL);
    while ((id = walk_next(&w)) != NULL)
        n += strcmp(state_eval(v, a, id)->triggered_by, "periodic-job") == 0;
    walk_close(&w);
    return n;
}

static unsigned check_parent(struct view *v, const Pb__Job *parent)
{
    struct arena *a = arena_new(64u << 20);
    struct periodic *p = NULL;
    struct reason why;
    int64_t lost = 0, last = parent->last_launch / SECOND_NS;
    unsigned made = 0;
    must(periodic_new(&p, parent->periodic, &why) == OK);
    int64_t t = periodic_next(p, parent->submit_time / SECOND_NS);
    for (; t <= last; t = periodic_next(p, t)) {
        const Pb__Job *child = child_at(v, a, parent, t);
        if (child == NULL) {
            lost = lost == 0 ? t : lost;
            continue;
        }
        made++;
        if (lost != 0 && child->submit_time / SECOND_NS - lost < LATE_S)
            world_fail(6, "%s was not launched at %lld", parent->id, (long long)lost);
        lost = 0;
        if (launches_of(v, a, child) != 1)
            world_fail(6, "%s was launched %u times", child->id, launches_of(v, a, child));
    }
    if (lost != 0 && !parent->periodic->prohibit_overlap)
        world_fail(6, "%s was not launched at %lld", parent->id, (long long)lost);
    trace_note("%s was launched %u times", parent->id, made);
    periodic_free(p);
    arena_free(a);
    return made;
}

void world_check_launches(struct view *v)
{
    struct scan s;
    unsigned made = 0;
    struct arena *a = arena_new(64u << 20);
    scan_open(&s, v, PB__TABLE__NAME__JOBS, NULL, NULL, NULL);
    while (scan_next(&s)) {
        const Pb__Job *job =
            WIRE_UNPACK(a, Pb__Job, pb__job, s.record.message.data, s.record.message.len);
        if (job->periodic != NULL && job_is_launched(job))
            made += check_parent(v, job);
        arena_reset(a);
    }
    scan_close(&s);
    arena_free(a);
    if (world->options.script == world_launches && made < 30 * world->options.minutes)
        world_fail(6, "only %u launches were made", made);
}

/* ---- the script */

static const char periodic_job[] =
    "{\"ID\":\"p\",\"Type\":\"batch\",\"Datacenters\":[\"dc1\"],\"Periodic\":{\"Enabled\":true,"
    "\"SpecType\":\"cron\",\"Spec\":\"* * * * * * *\"},"
    "\"TaskGroups\":[{\"Name\":\"g\",\"Count\":0,\"Tasks\":[{\"Name\":\"t\",\"Driver\":"
    "\"raw_exec\",\"Config\":{\"command\":\"/bin/true\"}}]}]}";

static void on_registered(void *owner, const struct response *r) {}

/* Twice, lest one be lost: the second changes nothing. */
static void on_register(void *arg)
{
    Pb__Command command = PB__COMMAND__INIT;
    Pb__JobRegister reg = PB__JOB_REGISTER__INIT;
    struct arena *a = arena_new(4u << 20);
    struct reason why;
    must(jobfile_parse(a, JOBFILE_JSON, "sim", periodic_job, strlen(periodic_job), &reg.job,
                       &why) == OK);
    job_canonicalize(a, reg.job);
    command.body_case = PB__COMMAND__BODY_JOB_REGISTER;
    command.job_register = &reg;
    gateway_apply(sim->current->self, &command, on_registered, NULL);
    arena_free(a);
}

static void on_back(void *arg)
{
    struct process *p = arg;
    p->wanted = true;
    process_start(p);
}

static void lose(unsigned server)
{
    struct process *p = world->jobstore[server];
    p->wanted = false;
    process_kill(p);
    sim_after(sim_between(500000, 8000000), NULL, on_back, p, NULL);
}

/* The leader hands over, or dies, at times with another one: then nobody leads for some seconds. */
static void on_change(void *arg)
{
    unsigned i = 0;
    if (sim_chance(0.3)) {
        operators_transfer();
        return;
    }
    while (i < world->options.servers - 1 && world->server[i] != operators_leader())
        i++;
    lose(i);
    if (sim_chance(0.5))
        lose((i + 1) % world->options.servers);
}

void world_launches(void)
{
    sim_after(2000000, world->gateway[0], on_register, NULL, NULL);
    sim_after(8000000, world->gateway[0], on_register, NULL, NULL);
    for (uint64_t s = 12; s < world->options.minutes * 60; s += 9)
        sim_after(s * 1000000, NULL, on_change, NULL, NULL);
}
