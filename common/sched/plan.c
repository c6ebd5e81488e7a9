#include "sched/sched.h"
#include "sched/planner.h"
#include "sched/preempt.h"
#include "sched/rows.h"
#include "sched/together.h"
#include "wire/wire.h"
#include <stdlib.h>
#include <string.h>

const struct feasible *planner_feasible(struct planner *p, size_t group)
{
    if (!p->feasible_known[group]) {
        feasible_init(&p->feasible[group], p->arena, p->fleet, p->job, p->job->task_groups[group]);
        p->feasible_known[group] = true;
    }
    return &p->feasible[group];
}

static enum node_state on_node_state(void *owner, const Pb__Alloc *alloc, size_t group)
{
    struct planner *p = owner;
    const struct fleet *f = p->fleet;
    /* A view older than the allocation need not know its node, or may know it as it was before. */
    if (alloc->create_index > fleet_index(f))
        return NODE_GOOD;
    uint32_t slot = fleet_slot(f, alloc->node_id.data);
    if (slot == SLOT_NONE || (f->flags[slot] & ROW_KNOWN) == 0 || fleet_node_is_down(f, slot))
        return NODE_LOST;
    if (group < SIZE_MAX && p->job != NULL && alloc->job_version != p->job->version &&
        feasible_node(planner_feasible(p, group), f, slot) != NULL)
        return NODE_UNSUITABLE;
    return NODE_GOOD;
}

/* ---- writing the plan down */

bool planner_spend(struct planner *p, size_t changes)
{
    if (p->budget < changes) {
        p->more = true;
        return false;
    }
    p->budget -= changes;
    return true;
}

void planner_stop(struct planner *p, const Pb__Alloc *alloc, const char *description, bool lost)
{
    Pb__Stop *s = arena_array(p->arena, Pb__Stop, 1);
    pb__stop__init(s);
    s->has_alloc_id = 1;
    s->alloc_id = alloc->id;
    s->description = arena_strdup(p->arena, description);
    if (lost) {
        s->has_client_status = 1;
        s->client_status = PB__ALLOC__CLIENT_STATUS__LOST;
    }
    p->plan->stops[p->plan->n_stops++] = s;
}

static bool group_is_deployed(const struct planner *p, const char *group)
{
    size_t place;
    return find_group(p->job, group, &place) != NULL && p->changes.groups[place].deployed;
}

static void add_in_place(struct planner *p, const Pb__Alloc *alloc)
{
    Pb__InPlace *u = arena_array(p->arena, Pb__InPlace, 1);
    pb__in_place__init(u);
    u->has_alloc_id = 1;
    u->alloc_id = alloc->id;
    u->has_job_version = 1;
    u->job_version = p->job->version;
    u->has_deployed = u->deployed = group_is_deployed(p, alloc->task_group);
    p->plan->in_place[p->plan->n_in_place++] = u;
}
/* ---- */

static Pb__Plan *new_plan(struct planner *p)
{
    Pb__Plan *plan = arena_array(p->arena, Pb__Plan, 1);
    pb__plan__init(plan);
    plan->has_eval_id = 1;
    plan->eval_id = p->eval->id;
    plan->has_eval_plans = 1;
    plan->eval_plans = p->eval->plans;
    plan->has_snapshot_index = 1;
    plan->snapshot_index = fleet_index(p->fleet);
    plan->namespace_ = p->eval->namespace_;
    plan->job_id = p->eval->job_id;
    if (p->job != NULL) {
        plan->has_job_version = plan->has_job_create_index = plan->has_all_at_once = 1;
        plan->job_version = p->job->version;
        plan->job_create_index = p->job->create_index;
        plan->all_at_once = job_is_together(p->job);
    }
    return plan;
}

/* The nodes where a system job's group is to be. */
static void list_nodes(struct planner *p, size_t group, struct group_nodes *nodes)
{
    const struct fleet *f = p->fleet;
    const struct feasible *x = planner_feasible(p, group);
    nodes->ids = arena_array(p->arena, const uint8_t *, f->count + 1);
    for (uint32_t i = 0; i < f->count; i++) {
        uint32_t slot = f->by_id[i];
        if (fleet_node_is_ready(f, slot) && feasible_node(x, f, slot) == NULL)
            nodes->ids[nodes->count++] = f->ids[slot].bytes;
    }
}

static void find_changes(struct planner *p)
{
    const Pb__Job *job = p->job;
    /* An evaluation is not handed out before its time: that has come, whatever the state's is. */
    struct occasion at = {
        .now = p->eval->wait_until > p->view->time ? p->eval->wait_until : p->view->time,
        .eval_id = p->eval->id.len == ID_SIZE ? p->eval->id.data : NULL,
        .rolling =
            p->eval->triggered_by != NULL && strcmp(p->eval->triggered_by, TRIGGER_ROLLING) == 0,
    };
    if (job == NULL || !job_is_system(job)) {
        reconcile(p->arena, p->view, &at, on_node_state, p, &p->changes);
        return;
    }
    struct group_nodes *nodes = arena_array(p->arena, struct group_nodes, job->n_task_groups + 1);
    for (size_t i = 0; i < job->n_task_groups && !job->stop; i++)
        list_nodes(p, i, &nodes[i]);
    reconcile_system(p->arena, p->view, &at, nodes, on_node_state, p, &p->changes);
}

static void take_room(struct planner *p)
{
    Pb__Plan *plan = p->plan;
    size_t groups = p->job != NULL ? p->job->n_task_groups : 0, wanted = 0;
    for (size_t i = 0; i < groups; i++)
        wanted += p->changes.groups[i].wanted_count + p->changes.groups[i].older_count;
    bool whole = wanted < p->budget || job_is_together(p->job);
    size_t placements = whole ? wanted : p->budget;
    plan->stops = arena_array(p->arena, Pb__Stop *, p->changes.stop_count + placements + 1);
    plan->in_place = arena_array(p->arena, Pb__InPlace *, p->changes.in_place_count + 1);
    plan->unreachable = arena_array(p->arena, Pb__Unreachable *, p->changes.unreachable_count + 1);
    plan->placements = arena_array(p->arena, Pb__Placement *, placements + 1);
    size_t contests = groups; /* one for each group, and for each that an older version places */
    for (size_t i = 0; i < groups; i++)
        contests += p->changes.groups[i].older_count;
    plan->placed_groups = arena_array(p->arena, Pb__PlacementMetrics *, contests + 1);
    plan->failed_groups = arena_array(p->arena, Pb__PlacementMetrics *, contests + 1);
}

/* Only a job that already has something somewhere, or several groups to place, needs it. */
static void note_other_allocs(struct planner *p)
{
    size_t staying = 0, groups = 0;
    for (size_t i = 0; i < p->job->n_task_groups; i++) {
        const struct group_changes *g = &p->changes.groups[i];
        staying += g->staying_count;
        groups += (g->wanted_count > 0) + (g->older_count > 0);
    }
    bool needed = groups > 0 && (staying > 0 || groups > 1);
    if (!needed && p->why == NULL)
        return;
    p->at_node = arena_array(p->arena, struct at_node, p->fleet->count + 1);
    for (size_t i = 0; i < p->job->n_task_groups; i++)
        for (size_t k = 0; k < p->changes.groups[i].staying_count; k++) {
            uint32_t slot = fleet_slot(p->fleet, p->changes.groups[i].staying[k]->node_id.data);
            if (slot != SLOT_NONE)
                p->at_node[slot].of_job++;
        }
}

/* ---- what is planned for later, and of the deployment */

#define FOLLOW_UP_WINDOW_NS 5000000000 /* failures within it are looked at again together */

static int compare_awaiting(const void *a, const void *b)
{
    const struct awaiting *x = a, *y = b;
    int c = strcmp(x->trigger, y->trigger);
    return c != 0 ? c : (x->at > y->at) - (x->at < y->at);
}

static Pb__FollowUp *new_follow_up(struct planner *p, const struct awaiting *w, size_t room)
{
    Pb__FollowUp *f = arena_array(p->arena, Pb__FollowUp, 1);
    pb__follow_up__init(f);
    f->has_wait_until = 1;
    f->wait_until = w->at;
    f->triggered_by = arena_strdup(p->arena, w->trigger);
    f->alloc_ids = arena_array(p->arena, ProtobufCBinaryData, room);
    p->plan->follow_ups[p->plan->n_follow_ups++] = f;
    return f;
}

static void add_follow_ups(struct planner *p)
{
    struct changes *c = &p->changes;
    Pb__FollowUp *f = NULL;
    int64_t first = 0;
    p->plan->follow_ups = arena_array(p->arena, Pb__FollowUp *, c->awaiting_count + 1);
    if (c->awaiting_count > 1)
        qsort(c->awaiting, c->awaiting_count, sizeof(*c->awaiting), compare_awaiting);
    for (size_t i = 0; i < c->awaiting_count; i++) {
        const struct awaiting *w = &c->awaiting[i];
        if (f == NULL || strcmp(f->triggered_by, w->trigger) != 0 ||
            w->at - first > FOLLOW_UP_WINDOW_NS) {
            f = new_follow_up(p, w, c->awaiting_count - i);
            first = w->at;
        }
        f->wait_until = w->at;
        if (w->alloc != NULL)
            f->alloc_ids[f->n_alloc_ids++] = w->alloc->id;
    }
}

static void add_unreachable(struct planner *p, const Pb__Alloc *alloc)
{
    Pb__Unreachable *u = arena_array(p->arena, Pb__Unreachable, 1);
    pb__unreachable__init(u);
    u->has_alloc_id = 1;
    u->alloc_id = alloc->id;
    p->plan->unreachable[p->plan->n_unreachable++] = u;
}

static void add_deployment(struct planner *p)
{
    const struct changes *c = &p->changes;
    p->plan->deployment = c->deployment;
    if (c->deployment_update == NULL)
        return;
    p->plan->deployment_updates = arena_array(p->arena, Pb__DeploymentUpdate *, 1);
    p->plan->deployment_updates[p->plan->n_deployment_updates++] = c->deployment_update;
}

/* ---- */

/* What is wanted as an older version has it: the job is taken to be that one meanwhile. */
static void place_older(struct planner *p, size_t place)
{
    struct group_changes *g = &p->changes.groups[place];
    const char *name = p->job->task_groups[place]->name;
    for (size_t i = 0; i < g->older_count; i++) {
        struct planner q = *p;
        size_t at;
        q.job = g->older[i].older;
        if (find_group(q.job, name, &at) == NULL)
            continue;
        size_t groups = q.job->n_task_groups + 1;
        q.changes.groups = arena_array(p->arena, struct group_changes, groups);
        q.changes.groups[at] = (struct group_changes){.wanted = &g->older[i],
                                                      .wanted_count = 1,
                                                      .staying = g->staying,
                                                      .staying_count = g->staying_count};
        q.feasible = arena_array(p->arena, struct feasible, groups);
        q.feasible_known = arena_array(p->arena, bool, groups);
        q.failed_of_group = arena_array(p->arena, uint32_t, groups);
        q.why = NULL;
        planner_place_group(&q, at);
        p->budget = q.budget;
        p->given = q.given;
        p->more |= q.more;
        p->displaced = q.displaced;
        p->failed += q.failed_of_group[at];
        p->failed_of_group[place] += q.failed_of_group[at];
        planner_feasible(p, place); /* what a blocked evaluation tells of classes */
    }
}

static void carry_out(struct planner *p)
{
    const struct changes *c = &p->changes;
    for (size_t i = 0; i < c->stop_count && planner_spend(p, 1); i++)
        planner_stop(p, c->stops[i].alloc, c->stops[i].description, c->stops[i].lost);
    for (size_t i = 0; i < c->in_place_count && planner_spend(p, 1); i++)
        add_in_place(p, c->in_place[i]);
    for (size_t i = 0; i < c->unreachable_count && planner_spend(p, 1); i++)
        add_unreachable(p, c->unreachable[i]);
    add_follow_ups(p);
    add_deployment(p);
    if (p->job == NULL || p->job->stop || !together_begin(p))
        return;
    note_other_allocs(p);
    for (size_t i = 0; i < p->job->n_task_groups; i++)
        planner_place_group(p, i);
    for (size_t i = 0; i < p->job->n_task_groups; i++)
        place_older(p, i);
    together_end(p);
}

void planner_init(struct planner *p, struct arena *a, const struct fleet *f,
                  const Pb__JobView *view, const Pb__Eval *eval, uint64_t seed,
                  const struct sched_options *o)
{
    size_t groups = view->job != NULL ? view->job->n_task_groups : 0;
    *p = (struct planner){
        .arena = a,
        .fleet = f,
        .view = view,
        .job = view->job,
        .eval = eval,
        .seed = seed,
        .options = o != NULL ? *o : (struct sched_options){0},
        .feasible = arena_array(a, struct feasible, groups + 1),
        .feasible_known = arena_array(a, bool, groups + 1),
        .failed_of_group = arena_array(a, uint32_t, groups + 1),
    };
    p->budget = p->options.max_changes > 0 ? p->options.max_changes : SCHED_MAX_CHANGES;
    if (p->budget < 2)
        p->budget = 2; /* a replacement is two changes: with less there would be no progress */
    p->plan = new_plan(p);
}

void planner_run(struct planner *p)
{
    find_changes(p);
    preempt_prepare(p);
    take_room(p);
    carry_out(p);
    planner_conclude(p);
}

Pb__Plan *sched_plan(struct arena *a, const struct fleet *f, const Pb__JobView *view,
                     const Pb__Eval *eval, uint64_t seed, const struct sched_options *o)
{
    struct planner p;
    planner_init(&p, a, f, view, eval, seed, o);
    planner_run(&p);
    return p.plan;
}
