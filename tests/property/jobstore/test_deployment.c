/* Random deployments of two jobs. state_check counts their allocations again after each command;
 * here is what must hold of all of them at any time, and that what has ended stays as it ended. */
#include "base/err.h"
#include "base/map.h"
#include "deploying.h"
#include "rescaling.h"
#include "sched/deployment.h"
#include <criterion/criterion.h>
#include <string.h>

#define SEEDS       25
#define STEPS       250
#define RUNNING     PB__DEPLOYMENT__STATUS__RUNNING
#define DEPLOYMENTS PB__TABLE__NAME__DEPLOYMENTS

static const char *const names[] = {"a", "web"};

struct world {
    struct cluster *c;
    struct prng chance;
    uint64_t seed;
    struct map *ended; /* id -> Pb__Deployment as it ended */
    size_t successes, failures, rollbacks, promotions;
};

static uint32_t below(struct world *w, uint32_t n)
{
    return (uint32_t)prng_below(&w->chance, n);
}

static const char *some_job(struct world *w)
{
    return names[below(w, COUNT_OF(names))];
}

static void step_plan(struct world *w)
{
    static const ProtobufCBinaryData none;
    const char *name = some_job(w);
    ProtobufCBinaryData ids[512];
    size_t n = ids_by(w->c, PB__TABLE__NAME__EVALS, PB__LIST__BY__JOB, name, none, ids, 512);
    if (n == 0)
        return;
    Pb__Plan *p = a_plan(w->c, ids[(n > 512 ? 512 : n) - 1]);
    for (uint32_t k = below(w, 4); k > 0; k--)
        plan_place(w->c, p, id_of(w->c, "node", below(w, 3)), 1, 1, 0);
    deploying_plan(w->c, &w->chance, p);
    n = ids_by(w->c, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, name, none, ids, 512);
    for (size_t i = 0; i < n && i < 512; i++)
        if (below(w, 8) == 0)
            plan_stop(w->c, p, ids[i], below(w, 4) == 0);
    apply_a_plan(w->c, p);
}

static void step(struct world *w)
{
    switch (below(w, 15)) {
    case 0:
    case 1:
        register_job(w->c, a_job(w->c, some_job(w), 1 + below(w, 3)));
        break;
    case 2:
        if (below(w, 4) == 0)
            deregister_job(w->c, some_job(w), below(w, 3) == 0);
        break;
    case 3:
        w->c->time += (int64_t)below(w, 20) * 1000000;
        break;
    case 4:
    case 5:
    case 6:
        step_plan(w);
        break;
    case 7:
        deploying_command(w->c, &w->chance);
        break;
    case 8:
        rescaling_command(w->c, &w->chance, some_job(w));
        break;
    default:
        deploying_report(w->c, &w->chance);
    }
}

/* ---- what must hold */

static uint32_t healthy_canaries(struct view *v, struct world *w, const Pb__DeploymentGroup *g)
{
    uint32_t healthy = 0;
    for (size_t i = 0; i < g->n_placed_canaries; i++) {
        const Pb__Alloc *a = state_alloc(v, w->c->arena, g->placed_canaries[i].data);
        healthy += alloc_is_wanted(a) && a->deployment_status->healthy;
    }
    return healthy;
}

/* As many of it as it wants are healthy, and are to run. */
static bool all_stand(struct view *v, struct world *w, const Pb__Deployment *d)
{
    ProtobufCBinaryData ids[512];
    uint32_t standing = 0;
    size_t n = ids_by(w->c, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, d->job_id,
                      (ProtobufCBinaryData){0}, ids, COUNT_OF(ids));
    for (size_t i = 0; i < n; i++) {
        const Pb__Alloc *a = state_alloc(v, w->c->arena, ids[i].data);
        standing += a->deployment_id.len == ID_SIZE &&
                    id_equal(a->deployment_id.data, d->id.data) && alloc_is_wanted(a) &&
                    a->deployment_status != NULL && a->deployment_status->healthy;
    }
    return standing >= d->task_groups[0]->desired_total;
}

static void check_running(struct view *v, struct world *w, const Pb__Deployment *d)
{
    const Pb__DeploymentGroup *g = d->task_groups[0];
    int seed = (int)w->seed;
    cr_assert_not(deployment_is_complete(d) && all_stand(v, w, d), "seed %d: nobody ends it", seed);
    cr_assert(g->unhealthy_allocs == 0 || (!g->auto_revert && g->progress_deadline_ns != 0),
              "seed %d: it goes on with an unhealthy one", seed);
    if (group_needs_promotion(g) && g->auto_promote)
        cr_assert_lt(healthy_canaries(v, w, g), g->desired_canaries, "seed %d: not promoted", seed);
}

static bool has_words(const Pb__Deployment *d, const char *words)
{
    return d->status_description != NULL && strstr(d->status_description, words) != NULL;
}

static void note_end(struct view *v, struct world *w, Pb__Deployment *d)
{
    Pb__Deployment *was = map_get_id(w->ended, d->id.data);
    if (was != NULL) {
        cr_assert(was->status == d->status && was->modify_index == d->modify_index,
                  "seed %d: what has ended moves", (int)w->seed);
        return;
    }
    map_put(w->ended, d->id.data, ID_SIZE, d);
    w->successes += d->status == PB__DEPLOYMENT__STATUS__SUCCESSFUL;
    w->failures += d->status == PB__DEPLOYMENT__STATUS__FAILED;
    w->rollbacks += has_words(d, " - rolling back to");
    w->promotions += d->task_groups[0]->promoted;
    if (d->status != PB__DEPLOYMENT__STATUS__SUCCESSFUL)
        return;
    cr_assert(deployment_is_complete(d) && all_stand(v, w, d), "seed %d: too early", (int)w->seed);
    Pb__Job *job = get_job(w->c, d->job_id);
    cr_assert(job == NULL || job->create_index != d->job_create_index ||
                  job->version != d->job_version || job->stable,
              "seed %d", (int)w->seed);
}

static void check(struct world *w)
{
    struct scan s;
    size_t active[COUNT_OF(names)] = {0};
    struct view *v = state_read(w->c->state);
    scan_open(&s, v, DEPLOYMENTS, NULL, NULL, NULL);
    while (scan_next(&s)) {
        Pb__Deployment *d = state_deployment(v, w->c->arena, scan_key(&s, w->c->arena)->id.data);
        if (!deployment_is_active(d)) {
            note_end(v, w, d);
            continue;
        }
        active[strcmp(d->job_id, names[0]) != 0]++;
        if (d->status == RUNNING)
            check_running(v, w, d);
    }
    scan_close(&s);
    view_abort(v);
    cr_assert(active[0] <= 1 && active[1] <= 1, "seed %d: two of a job go on", (int)w->seed);
}

static void run(uint64_t seed, struct world *sum)
{
    struct world w = {.c = cluster_new(), .seed = seed, .ended = map_new()};
    prng_seed(&w.chance, seed);
    for (uint32_t i = 0; i < 3; i++)
        register_node(w.c, a_node(w.c, i, 4000, 4000));
    for (int i = 0; i < STEPS; i++) {
        step(&w);
        check(&w);
    }
    struct cluster *replica = cluster_new();
    cluster_replay(replica, w.c, 1 + below(&w, 9));
    cr_assert_eq(digest_of(replica), digest_of(w.c), "seed %d: replicas differ", (int)seed);
    cluster_free(replica);
    sum->successes += w.successes;
    sum->failures += w.failures;
    sum->rollbacks += w.rollbacks;
    sum->promotions += w.promotions;
    map_free(w.ended);
    cluster_free(w.c);
}

Test(deployment_property, holds_whatever_is_said_and_reported, .timeout = 120)
{
    struct world sum = {0};
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(seed, &sum);
    cr_assert(sum.successes > SEEDS && sum.failures > SEEDS && sum.rollbacks > 0 &&
                  sum.promotions > 0,
              "they are too much alike: %zu successes, %zu failures, %zu rollbacks, %zu promoted",
              sum.successes, sum.failures, sum.rollbacks, sum.promotions);
}
