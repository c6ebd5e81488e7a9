/* Random updates of a service, step by step: however its new allocations fare, there are never
 * fewer than count less max_parallel that are old or healthy, nothing old goes before the canaries
 * are promoted, planning again changes nothing, and in the end all is new. The seed is in each
 * message. */
#include "onejob.h"
#include "base/id.h"
#include "sched/reconcile.h"
#include "sched/sched.h"
#include <criterion/criterion.h>
#include <string.h>

#define SEEDS  100
#define STEPS  600
#define SECOND 1000000000ll

struct update {
    struct onejob c;
    struct prng random;
    unsigned seed;
    uint32_t count, parallel, canaries;
    bool failures;
};

static Pb__TaskGroup *group_of(struct update *u)
{
    return u->c.view.job->task_groups[0];
}

static void set_up(struct update *u, unsigned seed)
{
    *u = (struct update){.seed = seed};
    prng_seed(&u->random, seed);
    u->count = 1 + (uint32_t)prng_below(&u->random, 10);
    u->parallel = 1 + (uint32_t)prng_below(&u->random, 4);
    u->canaries = prng_below(&u->random, 2) == 0 ? 0 : 1 + (uint32_t)prng_below(&u->random, 3);
    u->failures = prng_below(&u->random, 2) == 0;
    onejob_init(&u->c);
    for (int i = 0; i < 12; i++)
        onejob_add_node(&u->c, 4000, 4000, 40000);
    onejob_set_job(&u->c, "service", u->count, 100, 100);
    Pb__TaskGroup *g = group_of(u);
    g->update = arena_array(u->c.arena, Pb__UpdateStrategy, 1);
    pb__update_strategy__init(g->update);
    g->update->has_max_parallel = g->update->has_canary = 1; /* a version is copied over the wire */
    g->update->max_parallel = u->parallel;
    g->update->canary = u->canaries;
    g->reschedule_policy = arena_array(u->c.arena, Pb__ReschedulePolicy, 1);
    pb__reschedule_policy__init(g->reschedule_policy);
    g->reschedule_policy->has_unlimited = g->reschedule_policy->has_delay_ns = 1;
    g->reschedule_policy->unlimited = 1;
    g->reschedule_policy->delay_ns = 5 * SECOND;
}

static bool is_wanted(const Pb__Alloc *x)
{
    return x->desired == PB__ALLOC__DESIRED__RUN && !alloc_is_terminal(x);
}

static bool is_new(const struct update *u, const Pb__Alloc *x)
{
    return x->job_version == u->c.view.job->version;
}

static bool is_healthy(const Pb__Alloc *x)
{
    return x->deployment_status != NULL && x->deployment_status->healthy;
}

static bool is_canary(const Pb__Alloc *x)
{
    return x->deployment_status != NULL && x->deployment_status->canary;
}

/* Old and healthy all along, or new and healthy. */
static uint32_t available(const struct update *u)
{
    uint32_t n = 0;
    for (size_t i = 0; i < u->c.view.n_allocs; i++) {
        const Pb__Alloc *x = u->c.view.allocs[i];
        n += is_wanted(x) && (!is_new(u, x) || is_healthy(x));
    }
    return n;
}

static bool awaits_promotion(const struct update *u)
{
    const Pb__Deployment *d = u->c.view.deployment;
    return d != NULL && d->job_version == u->c.view.job->version &&
           d->task_groups[0]->desired_canaries > 0 && !d->task_groups[0]->promoted;
}

static void plan_and_check(struct update *u, bool first)
{
    struct arena *a = arena_new(1 << 26);
    Pb__Plan *plan = onejob_plan(&u->c, a);
    cr_assert_eq(plan->n_failed_groups, 0, "seed %u: no room", u->seed);
    onejob_apply(&u->c, plan);
    if (!first)
        cr_assert_geq(available(u) + u->parallel, u->count, "seed %u: %u of %u, %u at once",
                      u->seed, available(u), u->count, u->parallel);
    for (size_t i = 0; awaits_promotion(u) && i < plan->n_stops; i++)
        cr_assert_str_eq(plan->stops[i]->description, DESCRIBE_FAILED,
                         "seed %u: stopped before the promotion", u->seed);
    plan = onejob_plan(&u->c, a);
    cr_assert_eq(plan->n_placements + plan->n_stops + plan->n_in_place + plan->n_follow_ups +
                     (plan->deployment != NULL),
                 0, "seed %u: planning again changes something", u->seed);
    arena_free(a);
}

/* ---- what happens in between */

static void fail(struct update *u, Pb__Alloc *x)
{
    x->deployment_status->has_healthy = 1;
    x->deployment_status->healthy = 0;
    x->ended_at = u->c.view.time;
    onejob_end_alloc(&u->c, x, PB__ALLOC__CLIENT_STATUS__FAILED);
}

static void advance(struct update *u, Pb__Alloc *x)
{
    if (x->desired == PB__ALLOC__DESIRED__STOP && !alloc_is_terminal(x)) {
        onejob_end_alloc(&u->c, x, PB__ALLOC__CLIENT_STATUS__COMPLETE);
        return;
    }
    if (!is_wanted(x) || !is_new(u, x) || is_healthy(x) || x->deployment_status == NULL)
        return;
    x->client_status = PB__ALLOC__CLIENT_STATUS__RUNNING;
    if (u->failures && prng_below(&u->random, 4) == 0) {
        fail(u, x);
    } else {
        x->deployment_status->has_healthy = 1;
        x->deployment_status->healthy = 1;
    }
}

static void promote(struct update *u)
{
    uint32_t ready = 0;
    for (size_t i = 0; i < u->c.view.n_allocs; i++)
        ready += is_wanted(u->c.view.allocs[i]) && is_canary(u->c.view.allocs[i]) &&
                 is_healthy(u->c.view.allocs[i]);
    if (!awaits_promotion(u) || ready < u->c.view.deployment->task_groups[0]->desired_canaries)
        return;
    cr_assert_eq(ready, u->canaries, "seed %u: canaries", u->seed);
    u->c.view.deployment->task_groups[0]->promoted = 1;
    for (size_t i = 0; i < u->c.view.n_allocs; i++)
        if (u->c.view.allocs[i]->deployment_status != NULL)
            u->c.view.allocs[i]->deployment_status->canary = 0;
}

static bool is_over(const struct update *u)
{
    uint32_t done = 0;
    for (size_t i = 0; i < u->c.view.n_allocs; i++) {
        const Pb__Alloc *x = u->c.view.allocs[i];
        if (is_wanted(x) && (!is_new(u, x) || is_canary(x)))
            return false;
        done += is_wanted(x) && is_healthy(x);
    }
    return done == u->count;
}

static void deploy_version(struct update *u, bool first)
{
    plan_and_check(u, first);
    for (int step = 0; !is_over(u); step++) {
        cr_assert_lt(step, STEPS, "seed %u: the update does not end", u->seed);
        u->c.view.time += (int64_t)prng_below(&u->random, 4) * SECOND;
        advance(u, u->c.view.allocs[prng_below(&u->random, u->c.view.n_allocs)]);
        promote(u);
        plan_and_check(u, first);
    }
    u->c.view.deployment->status = PB__DEPLOYMENT__STATUS__SUCCESSFUL;
}

Test(rollout_property, an_update_keeps_what_max_parallel_promises, .timeout = 240)
{
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct update u;
        set_up(&u, seed);
        deploy_version(&u, true);
        for (int version = 0; version < 2; version++) {
            onejob_next_version(&u.c);
            group_of(&u)->tasks[0]->user =
                arena_printf(u.c.arena, "user%d", version); /* destructive */
            deploy_version(&u, false);
        }
        onejob_fini(&u.c);
    }
}
