/* How deployments go on: see apply_deployment.h. */
#include "apply_deployment.h"
#include "base/map.h"
#include "sched/deployment.h"
#include "sched/specification.h"
#include <stdlib.h>

#define SCRATCH_CAP (16u << 20)

/* ---- ends */

static void set_status(struct view *v, Pb__Deployment *d, Pb__Deployment__Status status,
                       const char *words)
{
    d->has_status = true;
    d->status = status;
    d->status_description = text(words);
    state_put_deployment(v, d);
}

void deployment_end(struct view *v, Pb__Deployment *d, Pb__Deployment__Status status,
                    const char *words)
{
    if (deployment_is_active(d))
        set_status(v, d, status, words);
}

void deployment_cancel(struct view *v, const char *ns, const char *job_id, const char *words)
{
    struct arena *a = state_command_arena(v);
    struct walk w;
    const uint8_t *id;
    Pb__Deployment *active = NULL;
    walk_open(&w, v, PB__TABLE__NAME__DEPLOYMENTS, PB__LIST__BY__JOB, ns, job_id, NULL, NULL);
    while (active == NULL && (id = walk_next(&w)) != NULL) {
        Pb__Deployment *d = state_deployment(v, a, id);
        active = d != NULL && deployment_is_active(d) ? d : NULL;
    }
    walk_close(&w);
    if (active != NULL)
        deployment_end(v, active, PB__DEPLOYMENT__STATUS__CANCELLED, words);
}

/* The version to go back to; NULL: none, and *words says why. A job that has moved on since is left
 * alone: somebody wants that newer version. */
static Pb__Job *rollback_target(struct view *v, const Pb__Deployment *d, const Pb__Job *job,
                                const char **words)
{
    struct arena *a = state_command_arena(v);
    if (job == NULL || job->stop || job->create_index != d->job_create_index ||
        job->version != d->job_version)
        return NULL;
    Pb__Job *stable = state_stable_job(v, a, d->namespace_, d->job_id);
    if (stable == NULL) {
        *words = arena_printf(a, "%s - no stable job version to auto revert to", *words);
        return NULL;
    }
    unsigned long long version = stable->version;
    /* Else two versions that both fail would take turns for ever. */
    if (stable->version == job->version || job_is_unchanged(job, stable)) {
        *words = arena_printf(a,
                              "%s - not rolling back to stable job version %llu as current job has "
                              "same specification",
                              *words, version);
        return NULL;
    }
    const char *circle = stable->n_depends_on > 0 ? state_dependency_mistake(v, stable) : NULL;
    if (circle != NULL) { /* all of them would wait for ever */
        *words = arena_printf(a, "%s - not rolling back to stable job version %llu: %s", *words,
                              version, circle);
        return NULL;
    }
    *words = arena_printf(a, "%s - rolling back to job version %llu", *words, version);
    return stable;
}

struct fallback deployment_fail(struct view *v, Pb__Deployment *d, const char *words, bool rollback)
{
    struct fallback back = {0};
    if (!deployment_is_active(d))
        return back;
    if (rollback) {
        Pb__Job *job = state_job(v, state_command_arena(v), d->namespace_, d->job_id);
        back.target = rollback_target(v, d, job, &words);
        if (back.target != NULL)
            back.job = job_register_again(v, job, back.target);
    }
    set_status(v, d, PB__DEPLOYMENT__STATUS__FAILED, words);
    return back;
}

static void succeed(struct view *v, Pb__Deployment *d)
{
    const Pb__Job *job = state_job(v, state_command_arena(v), d->namespace_, d->job_id);
    set_status(v, d, PB__DEPLOYMENT__STATUS__SUCCESSFUL, "Deployment completed successfully");
    if (job != NULL && job->create_index == d->job_create_index)
        state_set_stable(v, d->namespace_, d->job_id, d->job_version, true);
}

/* ---- what follows from the counts */

/* A group that goes back by itself, or is given no time, fails with its first unhealthy one. */
static bool fails_at_once(const Pb__Deployment *d, bool *rollback)
{
    bool fails = false;
    for (size_t i = 0; i < d->n_task_groups; i++) {
        const Pb__DeploymentGroup *g = d->task_groups[i];
        if (g->unhealthy_allocs == 0 || (!g->auto_revert && g->progress_deadline_ns != 0))
            continue;
        fails = true;
        *rollback |= g->auto_revert;
    }
    return fails;
}

/* Groups with canaries go together, since they are of one version. */
static bool promotes_itself(struct view *v, const Pb__Deployment *d)
{
    bool any = false;
    for (size_t i = 0; i < d->n_task_groups; i++) {
        const Pb__DeploymentGroup *g = d->task_groups[i];
        if (!group_needs_promotion(g))
            continue;
        if (!g->auto_promote || deployment_healthy_canaries(v, g) < g->desired_canaries)
            return false;
        any = true;
    }
    return any;
}

/* Counts say how many have become healthy. Some of those may have gone since, with a drained node
 * for instance, and those in their place not be healthy yet. */
static bool healthy_ones_stand(struct view *v, const Pb__Deployment *d)
{
    struct arena *a = arena_new(SCRATCH_CAP);
    uint32_t *standing = xcalloc(d->n_task_groups, sizeof *standing);
    struct walk w;
    const uint8_t *id;
    bool all = true;
    walk_open(&w, v, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, d->namespace_, d->job_id, NULL,
              NULL);
    while ((id = walk_next(&w)) != NULL) {
        const Pb__Alloc *alloc = state_alloc(v, a, id);
        if (alloc_is_wanted(alloc) && has_id(alloc->has_deployment_id, alloc->deployment_id) &&
            id_equal(alloc->deployment_id.data, d->id.data) && alloc->deployment_status != NULL &&
            alloc->deployment_status->healthy)
            for (size_t i = 0; i < d->n_task_groups; i++)
                standing[i] += d->task_groups[i] == deployment_group(d, alloc->task_group);
        arena_reset(a);
    }
    walk_close(&w);
    for (size_t i = 0; i < d->n_task_groups; i++)
        all &= standing[i] >= d->task_groups[i]->desired_total;
    free(standing);
    arena_free(a);
    return all;
}

struct fallback deployment_settle(struct view *v, Pb__Deployment *d)
{
    bool rollback = false;
    if (d->status == PB__DEPLOYMENT__STATUS__RUNNING && fails_at_once(d, &rollback))
        return deployment_fail(v, d, "Failed due to unhealthy allocations", rollback);
    if (d->status == PB__DEPLOYMENT__STATUS__RUNNING && promotes_itself(v, d))
        for (size_t i = 0; i < d->n_task_groups; i++)
            deployment_promote_group(v, d, d->task_groups[i]);
    if (d->status == PB__DEPLOYMENT__STATUS__RUNNING && deployment_is_complete(d) &&
        healthy_ones_stand(v, d))
        succeed(v, d);
    else
        state_put_deployment(v, d);
    return (struct fallback){0};
}

const Pb__Eval *deployment_evaluate(struct view *v, const Pb__Deployment *d, const Pb__Job *job)
{
    if (job == NULL)
        job = state_job(v, state_command_arena(v), d->namespace_, d->job_id);
    Pb__Eval *e = eval_new(v, d->namespace_, d->job_id, job, "deployment-watcher");
    e->has_deployment_id = true;
    e->deployment_id = d->id;
    state_put_eval(v, e);
    return e;
}

/* ---- canaries */

uint32_t deployment_healthy_canaries(struct view *v, const Pb__DeploymentGroup *g)
{
    uint32_t healthy = 0;
    for (size_t i = 0; i < g->n_placed_canaries; i++) {
        const Pb__Alloc *a =
            has_id(true, g->placed_canaries[i])
                ? state_alloc(v, state_command_arena(v), g->placed_canaries[i].data)
                : NULL;
        healthy += a != NULL && alloc_is_wanted(a) && a->deployment_status != NULL &&
                   a->deployment_status->healthy;
    }
    return healthy;
}

static void unmark_canary(struct view *v, ProtobufCBinaryData id)
{
    struct arena *a = state_command_arena(v);
    Pb__Alloc *old = has_id(true, id) ? state_alloc(v, a, id.data) : NULL;
    if (old == NULL || old->deployment_status == NULL || !old->deployment_status->canary)
        return;
    Pb__Alloc *next = arena_copy(a, old, sizeof *next);
    next->deployment_status = arena_copy(a, old->deployment_status, sizeof *old->deployment_status);
    next->deployment_status->canary = false;
    next->deployment_status->has_modify_index = true;
    next->deployment_status->modify_index = state_command_index(v);
    state_change_alloc(v, old, next, false);
}

void deployment_promote_group(struct view *v, Pb__Deployment *d, Pb__DeploymentGroup *g)
{
    if (!g->promoted && g->progress_deadline_ns > 0 && g->require_progress_by != 0)
        g->require_progress_by = state_command_time(v) + g->progress_deadline_ns;
    g->has_promoted = g->promoted = true;
    for (size_t i = 0; i < g->n_placed_canaries; i++)
        unmark_canary(v, g->placed_canaries[i]);
    if (d->status == PB__DEPLOYMENT__STATUS__RUNNING && !deployment_needs_promotion(d))
        d->status_description = text("Deployment is running");
}

/* ---- counting */

struct judged {
    Pb__Deployment *deployment;
    bool counted;
    bool unwell; /* one was found to be unhealthy */
    struct judged *next;
};

struct verdicts {
    struct view *view;
    struct map *by_id;
    struct judged *first, **last;
};

struct verdicts *verdicts_new(struct view *v)
{
    struct verdicts *r = arena_alloc(state_command_arena(v), sizeof *r);
    *r = (struct verdicts){.view = v, .last = &r->first};
    return r;
}

static struct judged *find(struct verdicts *r, const uint8_t *id)
{
    struct arena *a = state_command_arena(r->view);
    struct judged *w = r->by_id != NULL ? map_get_id(r->by_id, id) : NULL;
    if (w != NULL)
        return w;
    Pb__Deployment *d = state_deployment(r->view, a, id);
    if (d == NULL)
        return NULL;
    w = arena_alloc(a, sizeof *w);
    *w = (struct judged){.deployment = d};
    if (r->by_id == NULL)
        r->by_id = map_new();
    map_put(r->by_id, d->id.data, ID_SIZE, w);
    *r->last = w;
    r->last = &w->next;
    return w;
}

Pb__Deployment *verdicts_deployment(struct verdicts *r, const uint8_t *id)
{
    struct judged *w = find(r, id);
    return w != NULL ? w->deployment : NULL;
}

static void count(struct view *v, Pb__DeploymentGroup *g, const Pb__DeploymentStatus *was,
                  bool healthy)
{
    if (was != NULL && was->has_healthy && was->healthy)
        g->healthy_allocs--;
    else if (was != NULL && was->has_healthy)
        g->unhealthy_allocs--;
    g->has_healthy_allocs = g->has_unhealthy_allocs = true;
    g->healthy_allocs += healthy;
    g->unhealthy_allocs += !healthy;
    int64_t by = state_command_time(v) + g->progress_deadline_ns;
    if (healthy && g->progress_deadline_ns > 0 && by > g->require_progress_by) {
        g->has_require_progress_by = true;
        g->require_progress_by = by;
    }
}

void verdicts_add(struct verdicts *r, Pb__Alloc *next, bool healthy, int64_t at)
{
    struct arena *a = state_command_arena(r->view);
    const Pb__DeploymentStatus *was = next->deployment_status;
    struct judged *w = has_id(next->has_deployment_id, next->deployment_id)
                           ? find(r, next->deployment_id.data)
                           : NULL;
    if (w == NULL || (was != NULL && was->has_healthy && was->healthy == healthy))
        return;
    Pb__DeploymentGroup *g = deployment_group(w->deployment, next->task_group);
    if (deployment_is_active(w->deployment) && g != NULL) {
        count(r->view, g, was, healthy);
        w->counted = true;
        w->unwell |= !healthy;
    }
    Pb__DeploymentStatus *s = arena_alloc(a, sizeof *s);
    if (was != NULL)
        *s = *was;
    else
        pb__deployment_status__init(s);
    s->has_healthy = s->has_timestamp = s->has_modify_index = true;
    s->healthy = healthy;
    s->timestamp = at;
    s->modify_index = state_command_index(r->view);
    next->deployment_status = s;
}

/* A first version is placed all at once: one more that is well lets nothing else begin. For a job
 * of many allocations that saves as many evaluations of all of them. */
static bool has_consequences(const struct judged *w)
{
    const Pb__Deployment *d = w->deployment;
    if (d->status == PB__DEPLOYMENT__STATUS__PAUSED)
        return false;
    if (d->status != PB__DEPLOYMENT__STATUS__RUNNING || w->unwell || d->job_version > 0)
        return true;
    for (size_t i = 0; i < d->n_task_groups; i++)
        if (d->task_groups[i]->desired_canaries > 0 ||
            d->task_groups[i]->placed_allocs < d->task_groups[i]->desired_total)
            return true;
    return false;
}

void verdicts_settle(struct verdicts *r)
{
    for (struct judged *w = r->first; w != NULL; w = w->next) {
        if (!w->counted)
            continue;
        struct fallback back = deployment_settle(r->view, w->deployment);
        if (has_consequences(w))
            deployment_evaluate(r->view, w->deployment, back.job);
    }
}

void verdicts_free(struct verdicts *r)
{
    map_free(r->by_id);
}
