/* Scenarios, and that the simulator itself is worth its name: it repeats itself exactly, and it
 * finds what is wrong. A failing run tells how nsim replays it. */
#include "command.pb-c.h"
#include "gateway/gateway.h"
#include "world.h"
#include <criterion/criterion.h>
#include <stdio.h>

#define SHAPE .minutes = 5, .servers = 1, .workers = 2, .nodes = 5

Test(cluster, one_seed_gives_one_trace)
{
    struct verdict a, b;
    struct world_options o = {SHAPE, .seed = 7};
    world_run(&o, &a);
    world_run(&o, &b);
    cr_assert_eq(a.invariant, 0u, "%s", a.text);
    cr_assert_eq(a.trace, b.trace);
    cr_assert_eq(a.events, b.events);
    cr_assert_gt(a.faults, 10u, "a run without faults says little");
    cr_assert_gt(a.acknowledged, 50u, "a run without load says little");
}

Test(cluster, another_seed_gives_another_trace)
{
    struct verdict a, b;
    world_run(&(struct world_options){SHAPE, .seed = 8}, &a);
    world_run(&(struct world_options){SHAPE, .seed = 9}, &b);
    cr_assert_neq(a.trace, b.trace);
}

/* ---- what was found, as small as it can be told */

static void on_jobstore_back(void *arg)
{
    struct process *p = arg;
    p->wanted = true;
    process_start(p);
}

static void jobstore_comes_late(void)
{
    world->jobstore[0]->wanted = false;
    process_kill(world->jobstore[0]);
    sim_after(60000000, NULL, on_jobstore_back, world->jobstore[0], NULL);
}

Test(cluster, workers_may_wait_at_a_broker_that_has_never_heard_of_jobstore)
{
    struct verdict v;
    struct world_options o = {SHAPE, .seed = 203, .calm = true, .script = jobstore_comes_late};
    cr_assert(world_check(&o, &v), "%s", v.text);
}

static void on_asked(void *owner, const struct response *r) {}

/* Several requests at once through one gateway. */
static void on_crowd(void *arg)
{
    Pb__Command command = PB__COMMAND__INIT;
    Pb__JobDeregister stop = PB__JOB_DEREGISTER__INIT;
    stop.job_id = (char *)"none";
    command.body_case = PB__COMMAND__BODY_JOB_DEREGISTER;
    command.job_deregister = &stop;
    for (int i = 0; i < 4; i++)
        gateway_apply(sim->current->self, &command, on_asked, NULL);
}

/* The leader's jobstore dies; its gateway asks the others, which have no leader yet. */
static void on_silence(void *arg)
{
    unsigned i = 0;
    while (i < world->options.servers - 1 && world->server[i] != operators_leader())
        i++;
    world->jobstore[i]->wanted = false;
    process_kill(world->jobstore[i]);
    for (uint64_t ms = 0; ms < 2000; ms += 25)
        sim_after(ms * 1000, world->gateway[i], on_crowd, NULL, NULL);
    sim_after(2500000, NULL, on_jobstore_back, world->jobstore[i], NULL);
}

static void a_jobstore_is_silent_again_and_again(void)
{
    for (uint64_t s = 10; s < 40; s += 10)
        sim_after(s * 1000000, NULL, on_silence, NULL, NULL);
}

Test(cluster, calls_at_a_door_go_with_it_when_another_server_is_guessed)
{
    struct verdict v;
    struct world_options o = {SHAPE, .seed = 1, .calm = true};
    o.minutes = 1;
    o.servers = 3;
    o.script = a_jobstore_is_silent_again_and_again;
    cr_assert(world_check(&o, &v), "%s", v.text);
}

/* ---- launches */

Test(cluster, launches_are_neither_lost_nor_made_twice_while_leaders_come_and_go)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct verdict v;
        struct world_options o = {SHAPE, .seed = seed, .calm = true, .script = world_launches};
        o.minutes = 2;
        o.servers = 3;
        cr_assert(world_check(&o, &v), "%s", v.text);
    }
}

/* ---- many workers on a cluster that is nearly full: their plans conflict */

/* Its evaluations for each thing that clients asked for; that no node is over-committed is the
 * first invariant. */
static double evals_per_request(unsigned workers)
{
    uint64_t evals = 0, requests = 0;
    struct world_options o = {SHAPE, .calm = true};
    o.workers = workers;
    o.nodes = 2;
    for (o.seed = 1; o.seed <= 4; o.seed++) {
        struct verdict v;
        cr_assert(world_check(&o, &v), "%s", v.text);
        evals += v.evals;
        requests += v.acknowledged;
    }
    cr_assert_gt(requests, 100u, "a run without load says little");
    return (double)evals / (double)requests;
}

Test(cluster, eight_workers_make_at_most_twice_the_evaluations_of_one)
{
    double one = evals_per_request(1), eight = evals_per_request(8);
    cr_log_info("evaluations for each request: one worker %.2f, eight %.2f", one, eight);
    cr_assert_leq(eight, 2 * one, "one worker: %.2f for each request, eight: %.2f", one, eight);
}

/* ---- deliberate faults (docs/simulator.md). Those here are found by most seeds; which ones may
 * change with anything that moves a message. */

#define SEEDS_MOST 12

static bool is_found(const char *mutant)
{
    struct world_options o = {SHAPE, .mutant = mutant};
    for (o.seed = 1; o.seed <= SEEDS_MOST; o.seed++) {
        struct verdict v;
        world_run(&o, &v);
        if (v.invariant != 0)
            return true;
    }
    return false;
}

Test(cluster, deliberate_faults_are_found)
{
    static const char *const mutants[] = {"room-unchecked",     "usage-kept",
                                          "report-not-retried", "blocked-never-woken",
                                          "applied-twice",      "ack-timer-forgotten"};
    for (size_t i = 0; i < COUNT_OF(mutants); i++)
        cr_expect(is_found(mutants[i]), "%s was not found by %d seeds", mutants[i], SEEDS_MOST);
}
