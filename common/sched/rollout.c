/* How fast a new version takes the place of the old one: max_parallel at a time, each when the ones
 * before it are healthy, and canaries first. */
#include "base/id.h"
#include "sched/deployment.h"
#include "sched/reconciler.h"
#include <string.h>

const Pb__Deployment *rollout_deployment(const Pb__JobView *view)
{
    const Pb__Deployment *d = view->deployment;
    const Pb__Job *job = view->job;
    bool present = d != NULL && job != NULL && d->job_create_index == job->create_index &&
                   d->job_version == job->version;
    return present ? d : NULL;
}

static const Pb__UpdateStrategy *strategy_of(const struct reconciler *r, const Pb__TaskGroup *group)
{
    bool service = r->job->type == NULL || strcmp(r->job->type, "service") == 0;
    return service && group->update != NULL && group->update->max_parallel > 0 ? group->update
                                                                               : NULL;
}

static bool is_active(const Pb__Deployment *d)
{
    return d != NULL && deployment_is_active(d);
}

static bool is_of(const Pb__Alloc *alloc, const Pb__Deployment *d)
{
    return d != NULL && alloc->deployment_id.len == ID_SIZE &&
           id_equal(alloc->deployment_id.data, d->id.data);
}

static bool is_marked_canary(const Pb__Alloc *alloc)
{
    return alloc->deployment_status != NULL && alloc->deployment_status->canary;
}

/* ---- canaries */

bool rollout_awaits_promotion(const struct reconciler *r, const Pb__TaskGroup *group)
{
    const Pb__DeploymentGroup *g =
        is_active(r->deployment) ? deployment_group(r->deployment, group->name) : NULL;
    return g != NULL && group_needs_promotion(g);
}

bool rollout_is_canary(const struct reconciler *r, const Pb__Alloc *alloc)
{
    if (!is_marked_canary(alloc) || !is_of(alloc, r->deployment) || !is_active(r->deployment))
        return false;
    const Pb__DeploymentGroup *g = deployment_group(r->deployment, alloc->task_group);
    return g != NULL && !g->promoted;
}

void rollout_judge_canary(struct reconciler *r, struct judged *j, const Pb__TaskGroup *group,
                          size_t place)
{
    const Pb__Alloc *alloc = j->alloc;
    if (!rollout_is_canary(r, alloc) || !is_wanted(alloc)) {
        j->verdict = judge_unneeded(r, alloc, place);
    } else if (alloc->client_status == PB__ALLOC__CLIENT_STATUS__FAILED) {
        j->rescheduling = reschedule_of(group->reschedule_policy, alloc, r->now, r->eval_id);
        j->verdict = j->rescheduling.when == RESCHEDULE_NOW ? CANARY_ANEW : CANARY;
        if (j->rescheduling.when == RESCHEDULE_LATER)
            follow_up(r, alloc, j->rescheduling.at, TRIGGER_FAILURE);
    } else if (alloc_is_terminal(alloc)) {
        j->verdict = FREE;
    } else if (r->node_state(r->owner, alloc, place) == NODE_LOST) {
        j->verdict = LOST;
    } else {
        j->verdict = alloc->migrate || alloc->stop_wanted ? CANARY_ANEW : CANARY;
    }
}

/* The lowest name of an allocation that waits to be replaced, from at on; then those behind all. */
static uint32_t next_name(const struct judged *j, size_t count, size_t *at, uint32_t *behind)
{
    for (; *at < count; ++*at) {
        if (j[*at].verdict != HELD)
            continue;
        uint32_t name = j[*at].alloc->name_index;
        bool taken = false;
        for (size_t i = 0; i < count; i++)
            taken |= (j[i].verdict == CANARY || j[i].verdict == CANARY_ANEW) &&
                     j[i].alloc->name_index == name;
        if (!taken) {
            ++*at;
            return name;
        }
    }
    return (*behind)++;
}

void rollout_want_canaries(const struct rollout *o, struct reconciler *r, const struct judged *j,
                           size_t count, struct group_changes *g)
{
    size_t have = 0, at = 0;
    uint32_t behind = 0;
    for (size_t i = 0; i < count; i++) {
        have += j[i].verdict == CANARY || j[i].verdict == CANARY_ANEW;
        if (j[i].verdict != FREE && j[i].alloc->name_index >= behind)
            behind = j[i].alloc->name_index + 1;
    }
    if (!o->canarying || o->halted)
        return;
    for (; have < o->canaries; have++) {
        uint32_t name = next_name(j, count, &at, &behind);
        g->wanted[g->wanted_count++] = (struct wanted){.name_index = name, .canary = true};
    }
}

/* ---- how many at once */

/* 0 where one of the new ones is not well: more of the same would not be better. */
static size_t limit_of(const struct rollout *o, const struct reconciler *r, const struct judged *j,
                       size_t count, size_t gaps)
{
    size_t busy = gaps;
    if (o->strategy == NULL)
        return SIZE_MAX;
    if (o->halted || o->canarying)
        return 0;
    for (size_t i = 0; i < count; i++) {
        const Pb__DeploymentStatus *s = j[i].alloc->deployment_status;
        if (!is_of(j[i].alloc, r->deployment) || !takes_name(j[i].verdict))
            continue;
        bool known = s != NULL && s->has_healthy && j[i].verdict != RESCHEDULE;
        if (known && !s->healthy)
            return 0;
        busy += !known;
    }
    return o->strategy->max_parallel > busy ? o->strategy->max_parallel - busy : 0;
}

static bool is_present(const struct reconciler *r, const Pb__Alloc *alloc)
{
    return alloc->job_version == r->job->version && alloc->job_create_index == r->job->create_index;
}

void rollout_init(struct rollout *o, struct reconciler *r, const struct judged *j, size_t count,
                  size_t place, size_t gaps)
{
    const Pb__TaskGroup *group = r->job->task_groups[place];
    size_t replaced = 0, changed = 0, present = 0;
    *o = (struct rollout){.strategy = strategy_of(r, group)};
    for (size_t i = 0; i < count; i++) {
        replaced += j[i].verdict == REPLACE;
        changed += j[i].verdict == REPLACE || j[i].verdict == IN_PLACE;
        present += is_present(r, j[i].alloc);
    }
    if (o->strategy != NULL && group->count > 0) {
        o->group = r->deployment == NULL ? NULL : deployment_group(r->deployment, group->name);
        o->canaries = o->group != NULL                         ? o->group->desired_canaries
                      : r->deployment != NULL || replaced == 0 ? 0
                                                               : o->strategy->canary;
        r->canaries[place] = o->canaries;
        r->deploys |= r->deployment == NULL && (changed > 0 || present == 0);
        enum _Pb__Deployment__Status status =
            r->deployment != NULL ? r->deployment->status : PB__DEPLOYMENT__STATUS__RUNNING;
        o->halted =
            status == PB__DEPLOYMENT__STATUS__PAUSED || status == PB__DEPLOYMENT__STATUS__FAILED;
        o->canarying = o->canaries > 0 && (o->group == NULL || !o->group->promoted) &&
                       (r->deployment == NULL || is_active(r->deployment));
    }
    o->limit = limit_of(o, r, j, count, gaps);
}

size_t hold_back(struct judged *j, size_t count, size_t left)
{
    for (size_t i = 0; i < count; i++)
        if (j[i].verdict == REPLACE) {
            if (left == 0)
                j[i].verdict = HELD;
            else
                left--;
        }
    return left;
}

/* ---- the deployments themselves */

static void end(struct reconciler *r, const char *description)
{
    const Pb__Deployment *d = r->view->deployment;
    if (!is_active(d))
        return;
    Pb__DeploymentUpdate *u = arena_array(r->arena, Pb__DeploymentUpdate, 1);
    pb__deployment_update__init(u);
    u->has_deployment_id = u->has_status = 1;
    u->deployment_id = d->id;
    u->status = PB__DEPLOYMENT__STATUS__CANCELLED;
    u->status_description = arena_strdup(r->arena, description);
    r->out->deployment_update = u;
}

static Pb__DeploymentGroup *new_group(struct arena *a, const Pb__TaskGroup *group,
                                      uint32_t canaries)
{
    const Pb__UpdateStrategy *u = group->update;
    Pb__DeploymentGroup *g = arena_array(a, Pb__DeploymentGroup, 1);
    pb__deployment_group__init(g);
    g->name = group->name;
    g->has_desired_total = g->has_desired_canaries = g->has_progress_deadline_ns = 1;
    g->has_auto_promote = g->has_auto_revert = 1;
    g->desired_total = group->count;
    g->desired_canaries = canaries;
    g->auto_promote = u->auto_promote;
    g->auto_revert = u->auto_revert;
    g->progress_deadline_ns = u->progress_deadline_ns;
    return g;
}

static bool promotes_itself(const Pb__Deployment *d)
{
    for (size_t i = 0; i < d->n_task_groups; i++)
        if (d->task_groups[i]->desired_canaries > 0 && !d->task_groups[i]->auto_promote)
            return false;
    return true;
}

static void begin(struct reconciler *r)
{
    const Pb__Job *job = r->job;
    Pb__Deployment *d = arena_array(r->arena, Pb__Deployment, 1);
    pb__deployment__init(d);
    d->has_status = 1;
    d->status = PB__DEPLOYMENT__STATUS__RUNNING;
    d->task_groups = arena_array(r->arena, Pb__DeploymentGroup *, job->n_task_groups + 1);
    for (size_t i = 0; i < job->n_task_groups; i++)
        if (strategy_of(r, job->task_groups[i]) != NULL && job->task_groups[i]->count > 0)
            d->task_groups[d->n_task_groups++] =
                new_group(r->arena, job->task_groups[i], r->canaries[i]);
    const char *words = !deployment_needs_promotion(d) ? "Deployment is running"
                        : promotes_itself(d)
                            ? "Deployment is running pending automatic promotion"
                            : "Deployment is running but requires manual promotion";
    d->status_description = arena_strdup(r->arena, words);
    r->out->deployment = d;
}

void rollout_finish(struct reconciler *r)
{
    const Pb__Job *job = r->job;
    if (job == NULL || job->stop) {
        end(r, "Cancelled because job is stopped");
        return;
    }
    if (r->deployment == NULL)
        end(r, "Cancelled due to newer version of job");
    if (r->deploys)
        begin(r);
    if (r->deploys || is_active(r->deployment))
        for (size_t i = 0; i < job->n_task_groups; i++)
            r->out->groups[i].deployed =
                strategy_of(r, job->task_groups[i]) != NULL && job->task_groups[i]->count > 0;
}
