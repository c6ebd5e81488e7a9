/* People and programs that use the cluster: each has some jobs, which it registers, scales, stops
 * and purges through any gateway. What was acknowledged is remembered. */
#include "base/err.h"
#include "command.pb-c.h"
#include "gateway/gateway.h"
#include "jobfile/jobfile.h"
#include "world.h"
#include <stdio.h>
#include <string.h>

#define JOBS 12
#define LATE_US                                                                                    \
    60000000 /* after so long an operation without an answer is not executed any more              \
              */
#define PATIENCE_US 15000000

enum kind { REGISTER, STOP, PURGE };

struct operation {
    struct client_job *job;
    enum kind kind;
    uint32_t count;
    unsigned number; /* the job's */
};

struct client_job {
    char name[16];
    const char *type;
    uint32_t cpu, memory_mb, port;
    uint32_t max_parallel; /* of its updates; 0: all at once */
    uint32_t config;       /* of the task: another one is another task */
    bool dynamic_port;
    unsigned number; /* of the operation under way or last */
    bool busy;
    uint64_t acked_index; /* of the last acknowledged register or stop; 0: none */
    uint32_t acked_count; /* what it was set to; of a stop: 0 */
    bool acked_purge, acked_stop;
    uint64_t acked_us;
    uint64_t purge_until_us; /* a purge without an answer may yet happen */
    uint64_t change_until_us;
};
static struct client_job jobs[JOBS];
static struct arena *arena;

static void next_later(struct client_job *j);

static Pb__Job *job_of(const struct client_job *j, uint32_t count)
{
    struct reason why;
    Pb__Job *job;
    char ports[200] = "";
    if (j->port != 0)
        snprintf(ports, sizeof(ports),
                 ",\"Networks\":[{\"ReservedPorts\":[{\"Label\":\"a\",\"Value\":%u}]}]", j->port);
    else if (j->dynamic_port)
        snprintf(ports, sizeof(ports), ",\"Networks\":[{\"DynamicPorts\":[{\"Label\":\"a\"}]}]");
    const char *update = "null";
    if (strcmp(j->type, "service") == 0)
        update = arena_printf(arena,
                              "{\"MaxParallel\":%u,\"MinHealthyTime\":0,\"HealthyDeadline\":"
                              "3600000000000,\"ProgressDeadline\":7200000000000}",
                              j->max_parallel);
    const char *text = arena_printf(
        arena,
        "{\"ID\":\"%s\",\"Name\":\"%s\",\"Type\":\"%s\",\"Datacenters\":[\"dc1\"],\"Update\":%s,"
        "\"TaskGroups\":[{\"Name\":\"g\",\"Count\":%u%s,\"EphemeralDisk\":{\"SizeMB\":100},"
        "\"ReschedulePolicy\":{\"Attempts\":0,\"Unlimited\":true,\"Delay\":5000000000,"
        "\"DelayFunction\":\"constant\",\"MaxDelay\":0,\"Interval\":0},"
        "\"Tasks\":[{\"Name\":\"t\",\"Driver\":\"raw_exec\",\"Config\":{\"command\":\"/bin/"
        "true\",\"args\":[\"%u\"]},"
        "\"Resources\":{\"CPU\":%u,\"MemoryMB\":%u}}]}]}",
        j->name, j->name, j->type, update, count, ports, j->config, j->cpu, j->memory_mb);
    if (jobfile_parse(arena, JOBFILE_JSON, "sim", text, strlen(text), &job, &why) != OK) {
        fprintf(stderr, "%s\n", why.text);
        must(!"the simulator's job is wrong");
    }
    job_canonicalize(arena, job);
    return job;
}

/* ---- an operation and its answer */

static void acknowledge(struct operation *o, const Pb__Outcome *out)
{
    struct client_job *j = o->job;
    world->verdict.acknowledged++;
    trace_note("acknowledged %s %s index=%llu", j->name,
               o->kind == REGISTER ? "register"
               : o->kind == STOP   ? "stop"
                                   : "purge",
               (unsigned long long)out->index);
    bool exists;
    uint64_t index;
    uint32_t count;
    invariants_job(j->name, &exists, &index, &count);
    j->acked_purge = o->kind == PURGE;
    j->acked_stop = o->kind == STOP;
    /* To stop what is stopped, or not there, changes nothing. */
    j->acked_index = o->kind == REGISTER ? out->job_modify_index : exists ? index : 0;
    j->acked_count = o->count;
    j->acked_us = sim->now_us;
    if (o->kind == REGISTER && (!exists || index < j->acked_index))
        world_fail(2, "%s was registered at %llu and is not there", j->name,
                   (unsigned long long)j->acked_index);
    if (o->kind == PURGE && exists && index <= out->index)
        world_fail(2, "%s was purged at %llu and is there", j->name,
                   (unsigned long long)out->index);
}

static void on_done(void *owner, const struct response *r)
{
    struct operation *o = owner;
    struct client_job *j = o->job;
    const Pb__Outcome *out = (const Pb__Outcome *)r->body;
    if (o->number != j->number || !j->busy)
        return; /* too late: given up */
    if (r->code == PB__REPLY__CODE__OK && out != NULL && out->code == PB__OUTCOME__CODE__APPLIED) {
        j->busy = false;
        acknowledge(o, out);
        next_later(j);
    } else {
        trace_note("refused %s: %s", j->name,
                   out != NULL && out->reason != NULL ? out->reason : r->reason);
    }
}

/* Not heard of: it may happen yet. */
static void on_given_up(void *arg)
{
    struct operation *o = arg;
    struct client_job *j = o->job;
    if (o->number != j->number || !j->busy)
        return;
    j->busy = false;
    j->change_until_us = sim->now_us + LATE_US;
    if (o->kind == PURGE)
        j->purge_until_us = sim->now_us + LATE_US;
    next_later(j);
}

static void on_arrival(void *arg)
{
    struct operation *o = arg;
    struct gateway *g = sim->current->self;
    Pb__Command command = PB__COMMAND__INIT;
    Pb__JobRegister reg = PB__JOB_REGISTER__INIT;
    Pb__JobDeregister dereg = PB__JOB_DEREGISTER__INIT;
    if (o->kind == REGISTER) {
        reg.job = job_of(o->job, o->count);
        command.body_case = PB__COMMAND__BODY_JOB_REGISTER;
        command.job_register = &reg;
    } else {
        dereg.job_id = o->job->name;
        dereg.has_purge = 1;
        dereg.purge = o->kind == PURGE;
        command.body_case = PB__COMMAND__BODY_JOB_DEREGISTER;
        command.job_deregister = &dereg;
    }
    gateway_apply(g, &command, on_done, o);
}

static void on_next(void *arg)
{
    struct client_job *j = arg;
    if (world->peace)
        return;
    struct process *g = world->gateway[sim_below(world->options.servers)];
    struct operation *o = arena_array(arena, struct operation, 1);
    uint64_t dice = sim_below(10);
    *o = (struct operation){.job = j, .number = ++j->number};
    o->kind = dice < 7 || (j->acked_index == 0 && !j->acked_purge) ? REGISTER
              : dice < 9                                           ? STOP
                                                                   : PURGE;
    o->count = o->kind == REGISTER ? (uint32_t)sim_between(1, 6) : 0;
    if (o->kind == REGISTER && sim_chance(0.4))
        j->config++;
    j->busy = true;
    sim_after(sim_about(2000), g, on_arrival, o, NULL);
    sim_after(PATIENCE_US, NULL, on_given_up, o, NULL);
}

static void next_later(struct client_job *j)
{
    sim_after(sim_about(15000000), NULL, on_next, j, NULL);
}

void clients_begin(void)
{
    arena = arena_new((size_t)1 << 30);
    for (unsigned i = 0; i < JOBS; i++) {
        struct client_job *j = &jobs[i];
        *j = (struct client_job){.cpu = (uint32_t)sim_between(1, 8) * 100,
                                 .memory_mb = (uint32_t)sim_between(1, 8) * 100};
        snprintf(j->name, sizeof(j->name), "j%u", i + 1);
        j->type = sim_chance(0.25) ? "batch" : "service";
        j->max_parallel = sim_chance(0.3) ? 0 : (uint32_t)sim_between(1, 3);
        j->dynamic_port = sim_chance(0.3);
        j->port = sim_chance(0.2) ? (uint32_t)sim_between(8000, 8003) : 0;
        sim_after(sim_below(10000000), NULL, on_next, j, NULL);
    }
}

void clients_free(void)
{
    arena_free(arena);
}

void clients_check_end(void)
{
    for (unsigned i = 0; i < JOBS; i++) {
        const struct client_job *j = &jobs[i];
        bool exists;
        uint64_t index;
        uint32_t count;
        if (invariants_asked(j->name) > j->number)
            world_fail(2, "%s was asked %u times to change and did %u times", j->name, j->number,
                       invariants_asked(j->name));
        if (j->acked_index == 0)
            continue;
        invariants_job(j->name, &exists, &index, &count);
        bool may_be_gone = j->acked_purge || j->purge_until_us > j->acked_us;
        bool may_differ = j->change_until_us > j->acked_us || j->busy;
        if (!exists && !may_be_gone)
            world_fail(2, "%s was acknowledged at %llu and is gone", j->name,
                       (unsigned long long)j->acked_index);
        else if (exists && !j->acked_purge && index < j->acked_index)
            world_fail(2, "%s was acknowledged at %llu and is as of %llu", j->name,
                       (unsigned long long)j->acked_index, (unsigned long long)index);
        else if (exists && !may_differ && !j->acked_purge && !j->acked_stop &&
                 count != j->acked_count)
            world_fail(2, "%s was set to %u and is %u", j->name, j->acked_count, count);
    }
}
