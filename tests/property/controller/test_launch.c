/* Controllers that come and go, beside each other at times, on the real apply: a simulated clock,
 * answers that are lost or late, commands that arrive late or twice. No launch is lost, none is
 * made twice. */
#include "base/prng.h"
#include "cluster.h"
#include "controller/launch.h"
#include "sched/periodic.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define SECOND      INT64_C(1000000000)
#define CONTROLLERS 3
#define PENDING     16
#define STEPS       400
#define SEEDS       40

/* A proposal that has not yet arrived. */
struct message {
    int from; /* the life of the controller that waits for the answer */
    bool answered;
    struct launch launch;
    char id[16];
};

struct world {
    struct cluster *c;
    struct prng chance;
    uint64_t seed;
    int64_t now, began;
    struct launches *controllers[CONTROLLERS]; /* NULL: dead */
    int lives[CONTROLLERS], next_life;
    struct message messages[PENDING];
    size_t message_count;
    Pb__Periodic periodic[3];
};

static const char *const jobs[] = {"often", "minutes", "both"};

static uint32_t below(struct world *w, uint32_t n)
{
    return (uint32_t)prng_below(&w->chance, n);
}

static void register_jobs(struct world *w)
{
    static char *more[] = {(char *)(uintptr_t) "*/7 * * * * * *"};
    for (size_t i = 0; i < COUNT_OF(jobs); i++) {
        Pb__Job *job = a_job(w->c, jobs[i], 1);
        pb__periodic__init(&w->periodic[i]);
        w->periodic[i].has_enabled = w->periodic[i].enabled = true;
        w->periodic[i].spec = (char *)(uintptr_t)(i == 0 ? "* * * * * * *" : "* * * * *");
        w->periodic[i].n_specs = i == 2;
        w->periodic[i].specs = more;
        job->periodic = &w->periodic[i];
        register_job(w->c, job);
    }
}

/* All jobs as they are now, as after a listing or by the feed. */
static void tell(struct world *w, struct launches *l)
{
    struct reason why;
    for (size_t i = 0; i < COUNT_OF(jobs); i++)
        cr_assert_eq(launches_put(l, get_job(w->c, jobs[i]), &why), OK, "%s", why.text);
    launches_check(l);
}

static void step_life(struct world *w)
{
    uint32_t i = below(w, CONTROLLERS);
    if (w->controllers[i] != NULL) {
        launches_free(w->controllers[i]);
        w->controllers[i] = NULL;
        return;
    }
    w->controllers[i] = launches_new();
    w->lives[i] = ++w->next_life;
    tell(w, w->controllers[i]);
}

static void step_propose(struct world *w)
{
    struct launch launch;
    uint32_t i = below(w, CONTROLLERS);
    struct launches *l = w->controllers[i];
    if (l == NULL || w->message_count == PENDING || !launches_take(l, w->now, &launch))
        return;
    struct message *m = &w->messages[w->message_count++];
    *m = (struct message){.from = w->lives[i], .launch = launch};
    snprintf(m->id, sizeof m->id, "%s", launch.id);
    launches_check(l);
}

static void answer(struct world *w, const struct message *m, bool lost)
{
    for (size_t i = 0; i < CONTROLLERS; i++) {
        struct launches *l = w->controllers[i];
        if (l == NULL || w->lives[i] != m->from || m->answered)
            continue;
        if (lost)
            launches_failed(l, "default", m->id, w->now + 1);
        else
            launches_done(l, "default", m->id, m->launch.time);
        launches_check(l);
    }
}

static void arrive(struct world *w, const struct message *m)
{
    Pb__PeriodicLaunch body = PB__PERIODIC_LAUNCH__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.job_id = (char *)(uintptr_t)m->id;
    body.has_launch_time = body.has_job_modify_index = true;
    body.launch_time = m->launch.time * SECOND;
    body.job_modify_index = m->launch.job_modify_index;
    cmd.body_case = PB__COMMAND__BODY_PERIODIC_LAUNCH;
    cmd.periodic_launch = &body;
    cluster_apply(w->c, &cmd, 0);
}

/* Any of those on their way, so a late one may come after what was proposed later by others. */
static void step_arrive(struct world *w)
{
    if (w->message_count == 0)
        return;
    uint32_t i = below(w, (uint32_t)w->message_count), fate = below(w, 10);
    struct message *m = &w->messages[i];
    if (fate > 0) /* else it never comes */
        arrive(w, m);
    answer(w, m, fate < 2);
    m->answered = true;
    if (fate != 2) /* else it comes once more */
        *m = w->messages[--w->message_count];
}

static void step_time(struct world *w, uint32_t most)
{
    w->now += below(w, most + 1);
    w->c->time = w->now * SECOND;
}

static void step(struct world *w, uint32_t longest)
{
    switch (below(w, 8)) {
    case 0:
        step_time(w, below(w, 20) == 0 ? longest : 2);
        break;
    case 1:
        if (below(w, 4) == 0)
            step_life(w);
        break;
    case 2:
        for (size_t i = 0; i < CONTROLLERS; i++)
            if (w->controllers[i] != NULL && below(w, 2) == 0)
                tell(w, w->controllers[i]);
        break;
    case 3:
    case 4:
        step_propose(w);
        break;
    default:
        step_arrive(w);
    }
}

/* One controller that lives, and a bus that loses nothing. */
static void settle(struct world *w)
{
    for (size_t i = 0; i < CONTROLLERS; i++) {
        launches_free(w->controllers[i]);
        w->controllers[i] = NULL;
    }
    struct launches *l = launches_new();
    struct launch launch;
    tell(w, l);
    while (launches_take(l, w->now, &launch)) {
        struct message m = {.launch = launch};
        snprintf(m.id, sizeof m.id, "%s", launch.id);
        arrive(w, &m);
        launches_done(l, "default", m.id, launch.time);
        tell(w, l);
    }
    launches_free(l);
}

static bool has_child(struct world *w, const char *job, int64_t t)
{
    char id[64];
    snprintf(id, sizeof id, "%s/periodic-%lld", job, (long long)t);
    return get_job(w->c, id) != NULL;
}

static struct world *world_new(uint64_t seed)
{
    struct world *w = xcalloc(1, sizeof *w);
    w->seed = seed;
    w->c = cluster_new();
    w->c->unchecked = true;
    w->now = w->began = 1795426916;
    w->c->time = w->now * SECOND;
    prng_seed(&w->chance, seed);
    register_jobs(w);
    return w;
}

static void world_free(struct world *w)
{
    for (size_t i = 0; i < CONTROLLERS; i++)
        launches_free(w->controllers[i]);
    cluster_free(w->c);
    free(w);
}

static void check_launches(struct world *w, int64_t from)
{
    for (size_t i = 0; i < COUNT_OF(jobs); i++) {
        struct periodic *p = NULL;
        struct reason why;
        uint32_t made = 0;
        cr_assert_eq(periodic_new(&p, &w->periodic[i], &why), OK);
        for (int64_t t = periodic_next(p, from); t <= w->now; t = periodic_next(p, t)) {
            cr_assert(has_child(w, jobs[i], t),
                      "seed %d: %s at %lld was lost (now %lld, last %lld)", (int)w->seed, jobs[i],
                      (long long)t, (long long)w->now,
                      (long long)get_job(w->c, jobs[i])->last_launch / SECOND);
            made++;
        }
        periodic_free(p);
        Pb__ChildrenSummary *children = get_summary(w->c, jobs[i])->children;
        uint32_t there = children != NULL ? children->pending : 0;
        if (from == w->began) /* a child a launch, and no more */
            cr_assert_eq(there, made, "seed %d: %s has %u children, not %u", (int)w->seed, jobs[i],
                         there, made);
    }
}

Test(launch, none_is_lost_and_none_made_twice_however_controllers_come_and_go)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world *w = world_new(seed);
        for (int i = 0; i < STEPS && w->now < w->began + LAUNCH_LATE_S - 8; i++)
            step(w, 8);
        settle(w);
        check_launches(w, w->began);
        world_free(w);
    }
}

Test(launch, of_a_long_outage_the_last_minute_is_made_up_for)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world *w = world_new(seed);
        for (int i = 0; i < 100; i++)
            step(w, 4000);
        step_time(w, 90000);
        settle(w);
        check_launches(w, w->now - LAUNCH_LATE_S - 1);
        world_free(w);
    }
}

Test(launch, of_older_ones_the_latest_is_made_up_for)
{
    static Pb__Periodic nightly = PB__PERIODIC__INIT;
    Pb__Job job = PB__JOB__INIT;
    struct reason why;
    struct launch launch;
    struct launches *l = launches_new();
    nightly.has_enabled = nightly.enabled = true;
    nightly.spec = (char *)(uintptr_t) "0 0 * * *";
    job.id = (char *)(uintptr_t) "night";
    job.periodic = &nightly;
    job.submit_time = 1795426916 * SECOND; /* 23 November, 9:41 */
    cr_assert_eq(launches_put(l, &job, &why), OK);
    cr_assert_eq(launches_next_due(l), 1795478400);
    cr_assert_not(launches_take(l, 1795478399, &launch));
    cr_assert(launches_take(l, 1795478400 + 3 * 86400 + 5000, &launch));
    cr_assert_eq(launch.time, 1795478400 + 3 * 86400);
    cr_assert_eq(launches_next_due(l), LAUNCH_NEVER); /* one at a time */
    launches_done(l, "default", "night", launch.time);
    cr_assert_eq(launches_next_due(l), 1795478400 + 4 * 86400);
    job.stop = true;
    cr_assert_eq(launches_put(l, &job, &why), OK);
    cr_assert_eq(launches_count(l), 0);
    nightly.time_zone = (char *)(uintptr_t) "Mars/Base";
    job.stop = false;
    cr_assert_neq(launches_put(l, &job, &why), OK);
    cr_assert_not_null(strstr(why.text, "unknown time zone Mars/Base"));
    launches_free(l);
}
