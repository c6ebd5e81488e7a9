#include "sched/sched.h"
#include "sched/planner.h"
#include "sched/preempt.h"
#include "sched/rows.h"
#include "wire/wire.h"
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

static void add_in_place(struct planner *p, const Pb__Alloc *alloc)
{
    Pb__InPlace *u = arena_array(p->arena, Pb__InPlace, 1);
    pb__in_place__init(u);
    u->has_alloc_id = 1;
    u->alloc_id = alloc->id;
    u->has_job_version = 1;
    u->job_version = p->job->version;
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
        plan->all_at_once = p->job->all_at_once;
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
    if (job == NULL || !job_is_system(job)) {
        reconcile(p->arena, p->view, on_node_state, p, &p->changes);
        return;
    }
    struct group_nodes *nodes = arena_array(p->arena, struct group_nodes, job->n_task_groups + 1);
    for (size_t i = 0; i < job->n_task_groups && !job->stop; i++)
        list_nodes(p, i, &nodes[i]);
    reconcile_system(p->arena, p->view, nodes, on_node_state, p, &p->changes);
}

static void take_room(struct planner *p)
{
    Pb__Plan *plan = p->plan;
    size_t groups = p->job != NULL ? p->job->n_task_groups : 0, wanted = 0;
    for (size_t i = 0; i < groups; i++)
        wanted += p->changes.groups[i].wanted_count;
    size_t placements = wanted < p->budget ? wanted : p->budget;
    plan->stops = arena_array(p->arena, Pb__Stop *, p->changes.stop_count + placements + 1);
    plan->in_place = arena_array(p->arena, Pb__InPlace *, p->changes.in_place_count + 1);
    plan->placements = arena_array(p->arena, Pb__Placement *, placements + 1);
    plan->placed_groups = arena_array(p->arena, Pb__PlacementMetrics *, groups + 1);
    plan->failed_groups = arena_array(p->arena, Pb__PlacementMetrics *, groups + 1);
}

/* Only a job that already has something somewhere, or several groups to place, needs it. */
static void note_other_allocs(struct planner *p)
{
    size_t staying = 0, groups = 0;
    for (size_t i = 0; i < p->job->n_task_groups; i++) {
        staying += p->changes.groups[i].staying_count;
        groups += p->changes.groups[i].wanted_count > 0;
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

static void carry_out(struct planner *p)
{
    const struct changes *c = &p->changes;
    for (size_t i = 0; i < c->stop_count && planner_spend(p, 1); i++)
        planner_stop(p, c->stops[i].alloc, c->stops[i].description, c->stops[i].lost);
    for (size_t i = 0; i < c->in_place_count && planner_spend(p, 1); i++)
        add_in_place(p, c->in_place[i]);
    if (p->job == NULL || p->job->stop)
        return;
    note_other_allocs(p);
    for (size_t i = 0; i < p->job->n_task_groups; i++)
        planner_place_group(p, i);
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
