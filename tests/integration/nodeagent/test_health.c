/* What an agent says of the health of allocations that a deployment watches. */
#include "base/id.h"
#include "fake_gateway.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <signal.h>

#define COMPLETE   PB__ALLOC__CLIENT_STATUS__COMPLETE
#define FAILED     PB__ALLOC__CLIENT_STATUS__FAILED
#define RUNNING    PB__ALLOC__CLIENT_STATUS__RUNNING
#define SH(script) "{\"command\": \"/bin/sh\", \"args\": [\"-c\", \"" script "\"]}"
#define MS         1000000ll
#define WAIT_MS    30000

static struct fake *f;

static ProtobufCBinaryData a_deployment(void)
{
    struct id id = id_new();
    return wire_id(f->arena, id.bytes);
}

static void begin(void)
{
    f = fake_new();
    f->deployment = a_deployment();
    fake_start_agent(f);
}
static void end(void)
{
    fake_free(f);
}

TestSuite(nodeagent_health, .init = begin, .fini = end, .timeout = 120);

static Pb__Job *a_service(const char *config, int64_t min_ns, int64_t deadline_ns)
{
    Pb__Job *job = fake_job(f, "service", "raw_exec", config);
    Pb__UpdateStrategy *u = arena_alloc(f->arena, sizeof *u);
    pb__update_strategy__init(u);
    u->has_min_healthy_time_ns = u->has_healthy_deadline_ns = true;
    u->min_healthy_time_ns = min_ns;
    u->healthy_deadline_ns = deadline_ns;
    job->task_groups[0]->update = u;
    return job;
}

static bool is_judged(struct fake *w)
{
    return w->allocs[0].said != NULL && w->allocs[0].said->has_healthy;
}

Test(nodeagent_health, what_runs_on_is_healthy_once_for_each_deployment)
{
    int i = fake_place(f, a_service(SH("while :; do sleep 1; done"), 200 * MS, 100000 * MS));
    cr_assert(fake_until(f, is_judged, WAIT_MS));
    cr_assert(f->allocs[i].said->healthy);
    cr_assert(f->allocs[i].said->healthy_at >= fake_task(f, i, "t")->started_at + 200 * MS);
    f->allocs[i].alloc->deployment_id = a_deployment();
    f->allocs[i].said->has_healthy = false;
    fake_tell(f, i);
    cr_assert(fake_until(f, is_judged, WAIT_MS));
    cr_assert(f->allocs[i].said->healthy);
    cr_assert_eq(f->allocs[i].said->deployment_id.len, 16);
    cr_assert_arr_eq(f->allocs[i].said->deployment_id.data, f->allocs[i].alloc->deployment_id.data,
                     16);
    fake_stop(f, i);
    cr_assert(fake_await(f, i, COMPLETE, WAIT_MS));
    cr_assert_not(f->allocs[i].said->has_healthy, "said once");
}

Test(nodeagent_health, what_fails_for_good_is_unhealthy)
{
    fake_place(f, a_service(SH("exit 1"), 50000 * MS, 100000 * MS));
    cr_assert(fake_until(f, is_judged, WAIT_MS));
    cr_assert(fake_is(f, 0, FAILED));
    cr_assert_not(f->allocs[0].said->healthy);
}

Test(nodeagent_health, what_comes_too_late_is_unhealthy)
{
    fake_place(f, a_service(SH("while :; do sleep 1; done"), 50000 * MS, 300 * MS));
    cr_assert(fake_until(f, is_judged, WAIT_MS));
    cr_assert(fake_is(f, 0, RUNNING));
    cr_assert_not(f->allocs[0].said->healthy);
}

static bool is_refused(struct fake *w)
{
    return w->heartbeats >= 2;
}

/* An agent that was killed before the servers knew says it after its return. */
Test(nodeagent_health, a_verdict_outlives_the_agent_until_it_is_heard)
{
    int i = fake_place(f, a_service(SH("while :; do sleep 1; done"), 10 * MS, 100000 * MS));
    cr_assert(fake_await(f, i, RUNNING, WAIT_MS));
    f->refuse_updates = true;
    f->allocs[i].said->has_healthy = false;
    f->allocs[i].alloc->deployment_id = a_deployment();
    fake_tell(f, i);
    f->heartbeats = 0;
    fake_until(f, is_refused, WAIT_MS);
    fake_kill_agent(f, SIGKILL);
    f->refuse_updates = false;
    fake_start_agent(f);
    cr_assert(fake_until(f, is_judged, WAIT_MS));
    cr_assert(f->allocs[i].said->healthy);
}
