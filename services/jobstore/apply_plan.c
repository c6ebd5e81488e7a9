/* A plan, whole in one entry: stops, updates in place, placements, the evaluation's new status, and
 * the blocked evaluation for what found no room. Whatever planqueue believed, room and ports are
 * looked at again here, so that no over-commitment can ever be committed. */
#include "apply_internal.h"
#include "wire/held.h"
#include "apply_preempt.h"
#include "apply_rollout.h"
#include "base/fault.h"
#include "base/map.h"
#include "sched/fit.h"
#include "wire/grant.h"

struct planning {
    struct view *view;
    struct arena *arena;
    const Pb__Plan *plan;
    const char *ns;
    const char *job_id;
    uint64_t job_created;
    const Pb__Job *job; /* NULL: gone */
    Pb__Eval *eval;
    Pb__Outcome *out;
    bool *accepted;       /* by placement */
    struct map *refusals; /* node id -> Pb__Refusal */
    struct map *nodes;    /* node id -> why nothing may be placed there, or "" */
    size_t refused;
    uint32_t priority; /* of the job */
    struct preempting preempting;
    struct job_set *evicted_jobs;
    struct rollout rollout;
};

static const char *set_if_null(const char *s, const char *fallback)
{
    return s == NULL || s[0] == '\0' ? fallback : s;
}

/* ---- is the plan still about what is there? */

/* A broker hands out one evaluation of a job at a time, but a worker that it has given up may yet
 * come with its plan, as may one of a broker that leads no more. A plan must have seen the job and
 * what was planned for it last, or both place the same, or the older undoes the newer. */
static bool is_overtaken(struct planning *p, const Pb__Job *job)
{
    uint64_t seen = p->plan->snapshot_index;
    if (!p->plan->has_snapshot_index || MUTANT("plans-overtaken"))
        return false;
    return (job != NULL && job->job_modify_index > seen) ||
           state_planned_index(p->view, p->ns, p->job_id) > seen;
}

static bool plan_is_current(struct planning *p)
{
    struct view *v = p->view;
    const Pb__Plan *plan = p->plan;
    Pb__Eval *e = p->eval;
    bool open = e->status == PB__EVAL__STATUS__PENDING || e->status == PB__EVAL__STATUS__BLOCKED;
    bool moved_on = e->plans != plan->eval_plans && !MUTANT("plans-uncounted");
    if (!open || eval_is_held(e) || moved_on) {
        refuse(v, p->out, PB__OUTCOME__CODE__STALE, "the evaluation has moved on");
        return false;
    }
    if (strcmp(set_if_null(plan->job_id, e->job_id), e->job_id) != 0 ||
        strcmp(namespace_or_default(plan->namespace_), p->ns) != 0) {
        refuse(v, p->out, PB__OUTCOME__CODE__INVALID, "the plan is for another job");
        return false;
    }
    Pb__Job *job = state_job(v, p->arena, p->ns, p->job_id);
    p->job = job;
    p->job_created = job != NULL ? job->create_index : 0;
    bool adds = plan->n_placements > 0 || plan->n_in_place > 0;
    /* A job that is gone leaves allocations that may be stopped; nothing may be added for it. */
    if (job == NULL ? adds : p->job_created != plan->job_create_index) {
        refuse(v, p->out, PB__OUTCOME__CODE__STALE, "the job is another one now");
        return false;
    }
    if (adds && (plan->job_version > job->version ||
                 state_job_version(v, p->arena, p->ns, p->job_id, plan->job_version) == NULL)) {
        refuse(v, p->out, PB__OUTCOME__CODE__STALE, "the job's version is gone");
        return false;
    }
    if (is_overtaken(p, job)) {
        refuse(v, p->out, PB__OUTCOME__CODE__STALE,
               "the job has changed, or was planned for since");
        return false;
    }
    return true;
}

static bool plan_is_sound(struct planning *p)
{
    const Pb__Plan *plan = p->plan;
    const char *mistake = NULL;
    for (size_t i = 0; i < plan->n_placements && mistake == NULL; i++) {
        const Pb__Placement *at = plan->placements[i];
        if (!has_id(at->has_node_id, at->node_id) || at->task_group == NULL)
            mistake = "a placement needs a node and a group";
        if (at->has_job_version &&
            state_job_version(p->view, p->arena, p->ns, p->job_id, at->job_version) == NULL)
            mistake = "a placement is of a version that is gone";
        for (size_t k = 0; k < at->n_ports; k++)
            if (at->ports[k]->value == 0 || at->ports[k]->value > 65535)
                mistake = "a placement has a port that is none";
        if (mistake == NULL)
            mistake = grants_mistake(at->grants, at->n_grants);
    }
    for (size_t i = 0; i < plan->n_stops && mistake == NULL; i++)
        if (!has_id(plan->stops[i]->has_alloc_id, plan->stops[i]->alloc_id))
            mistake = "a stop needs an allocation";
    for (size_t i = 0; i < plan->n_in_place && mistake == NULL; i++)
        if (!has_id(plan->in_place[i]->has_alloc_id, plan->in_place[i]->alloc_id))
            mistake = "an update in place needs an allocation";
    if (mistake != NULL)
        refuse(p->view, p->out, PB__OUTCOME__CODE__INVALID, "%s", mistake);
    return mistake == NULL;
}

/* ---- placements */

static const char *node_refuses(struct planning *p, const uint8_t *id)
{
    char *why = map_get_id(p->nodes, id);
    if (why != NULL)
        return why;
    Pb__Node *n = state_node(p->view, p->arena, id);
    if (n == NULL)
        why = text("the node is not known");
    else if (n->status != PB__NODE__STATUS__READY)
        why = text("the node is not ready");
    else if (n->drain || n->eligibility == PB__NODE__ELIGIBILITY__INELIGIBLE)
        why = text("the node takes no new work");
    else
        why = text("");
    map_put(p->nodes, id, ID_SIZE, why);
    return why;
}

static void note_refusal(struct planning *p, const Pb__Placement *at, const char *why)
{
    p->refused++;
    Pb__Refusal *r = map_get_id(p->refusals, at->node_id.data);
    if (r == NULL) {
        r = arena_alloc(p->arena, sizeof *r);
        pb__refusal__init(r);
        r->has_node_id = r->has_placements = true;
        r->node_id = at->node_id;
        r->reason = text(why);
        map_put(p->refusals, at->node_id.data, ID_SIZE, r);
        if (p->out->refusals == NULL)
            p->out->refusals = arena_array(p->arena, Pb__Refusal *, p->plan->n_placements);
        p->out->refusals[p->out->n_refusals++] = r;
    }
    r->placements++;
}

static enum fit room_for(struct planning *p, const Pb__NodeUsage *u, const Pb__Placement *at)
{
    enum fit f = usage_fits(u, at->resources, at->ports, at->n_ports);
    if (f != FIT || at->n_grants == 0)
        return f;
    const Pb__Node *node = state_node(p->view, p->arena, at->node_id.data);
    return node == NULL ? FIT : grants_fit(u, node, at->grants, at->n_grants);
}

static void try_placement(struct planning *p, size_t i)
{
    const Pb__Placement *at = p->plan->placements[i];
    const char *why = node_refuses(p, at->node_id.data), *stays = NULL;
    if (why[0] == '\0' && (stays = preempting_try(&p->preempting, at)) != NULL)
        why = stays;
    if (why[0] == '\0') {
        Pb__NodeUsage *u = state_node_usage(p->view, p->arena, at->node_id.data);
        if (u == NULL)
            return; /* the store failed: commit will say so */
        enum fit f = room_for(p, u, at);
        if (f == FIT || MUTANT("room-unchecked")) {
            p->accepted[i] = true;
            usage_add(p->view, at->node_id.data, placement_load(at));
            return;
        }
        preempting_undo(&p->preempting, at);
        why = fit_name(f);
    }
    note_refusal(p, at, why);
}

static bool is_own(const struct planning *p, const Pb__Alloc *a)
{
    return strcmp(a->job_id, p->job_id) == 0 &&
           strcmp(namespace_or_default(a->namespace_), p->ns) == 0;
}

/* Of a stop that ends the allocation at once (its node is gone): its room is free for this very
 * plan. */
static void try_stop(struct planning *p, const Pb__Stop *s)
{
    if (s->client_status != PB__ALLOC__CLIENT_STATUS__LOST)
        return;
    Pb__Alloc *a = state_alloc(p->view, p->arena, s->alloc_id.data);
    if (a != NULL && is_own(p, a) && alloc_uses_node(a))
        usage_remove(p->view, a->node_id.data, alloc_load(a));
}

/* Tries all on the usage as it will be, then takes that back: the effects repeat it one by one. A
 * placement is looked at in the order of the plan. An allocation named by two stops would be
 * counted twice here, so such a plan is unsound. */
static bool stops_are_distinct(struct planning *p)
{
    struct map *seen = map_new();
    bool distinct = true;
    for (size_t i = 0; i < p->plan->n_stops; i++)
        if (map_put(seen, p->plan->stops[i]->alloc_id.data, ID_SIZE, p) != NULL)
            distinct = false;
    map_free(seen);
    if (!distinct)
        refuse(p->view, p->out, PB__OUTCOME__CODE__INVALID, "an allocation is stopped twice");
    return distinct;
}

static void try_all(struct planning *p)
{
    for (size_t i = 0; i < p->plan->n_stops; i++)
        try_stop(p, p->plan->stops[i]);
    for (size_t i = 0; i < p->plan->n_placements; i++)
        try_placement(p, i);
    state_command_reset(p->view);
}

static void place(struct planning *p, const Pb__Placement *at)
{
    Pb__Alloc alloc = PB__ALLOC__INIT;
    alloc.has_id = alloc.has_node_id = alloc.has_eval_id = true;
    alloc.id = state_fresh_id(p->view);
    alloc.node_id = at->node_id;
    alloc.eval_id = p->eval->id;
    if (strcmp(p->ns, "default") != 0)
        alloc.namespace_ = text(p->ns);
    alloc.job_id = text(p->job_id);
    alloc.has_job_version = alloc.has_job_create_index = true;
    alloc.job_version = at->has_job_version ? at->job_version : p->plan->job_version;
    alloc.job_create_index = p->job_created;
    alloc.task_group = at->task_group;
    alloc.has_name_index = true;
    alloc.name_index = at->name_index;
    alloc.resources = at->resources;
    alloc.n_ports = at->n_ports;
    alloc.ports = at->ports;
    alloc.n_grants = at->n_grants;
    alloc.grants = at->grants;
    alloc.has_score = at->has_score;
    alloc.score = at->score;
    alloc.has_desired = alloc.has_client_status = true;
    alloc.desired = PB__ALLOC__DESIRED__RUN;
    alloc.client_status = PB__ALLOC__CLIENT_STATUS__PENDING;
    Pb__Alloc *previous = NULL;
    if (has_id(at->has_previous_alloc, at->previous_alloc)) {
        alloc.has_previous_alloc = true;
        alloc.previous_alloc = at->previous_alloc;
        previous = state_alloc(p->view, p->arena, at->previous_alloc.data);
    }
    if (p->priority != 0 && p->priority != DEFAULT_PRIORITY) {
        alloc.has_priority = true;
        alloc.priority = p->priority;
    }
    alloc.preempted_allocs = arena_array(p->arena, ProtobufCBinaryData, at->n_preempts + 1);
    for (size_t i = 0; i < at->n_preempts; i++)
        alloc.preempted_allocs[alloc.n_preempted_allocs++] = at->preempts[i]->alloc_id;
    alloc.reschedule_tracker = at->reschedule_tracker;
    if (at->deployed)
        apply_rollout_place(&p->rollout, &alloc, at->canary);
    preempting_evict(&p->preempting, at, alloc.id.data, p->evicted_jobs);
    state_add_alloc(p->view, &alloc);
    if (previous == NULL || !is_own(p, previous))
        return;
    Pb__Alloc replaced = *previous;
    replaced.has_next_alloc = true;
    replaced.next_alloc = alloc.id;
    state_change_alloc(p->view, previous, &replaced, false);
}

/* ---- stops and updates in place */

static void stop(struct planning *p, const Pb__Stop *s)
{
    Pb__Alloc *old = state_alloc(p->view, p->arena, s->alloc_id.data);
    if (old == NULL || !is_own(p, old))
        return;
    bool lost = s->client_status == PB__ALLOC__CLIENT_STATUS__LOST && !alloc_has_ended(old);
    bool ending =
        old->desired == PB__ALLOC__DESIRED__STOP || old->desired == PB__ALLOC__DESIRED__EVICT;
    if (ending && !lost)
        return;
    Pb__Alloc a = *old;
    a.has_desired = true;
    a.desired = PB__ALLOC__DESIRED__STOP;
    if (s->description != NULL)
        a.desired_description = s->description;
    if (lost) {
        a.has_client_status = true;
        a.client_status = PB__ALLOC__CLIENT_STATUS__LOST;
    }
    state_change_alloc(p->view, old, &a, true);
}

static void update_in_place(struct planning *p, const Pb__InPlace *u)
{
    Pb__Alloc *old = state_alloc(p->view, p->arena, u->alloc_id.data);
    if (old == NULL || !is_own(p, old) || !alloc_is_wanted(old) ||
        old->job_create_index != p->job_created)
        return;
    Pb__Alloc a = *old;
    a.has_job_version = true;
    a.job_version = u->job_version;
    a.eval_id = p->eval->id;
    if (u->deployed)
        apply_rollout_place(&p->rollout, &a, false);
    state_change_alloc(p->view, old, &a, true);
}

/* Its node is not heard of: it may be running. */
static void leave_unheard(struct planning *p, const Pb__Unreachable *u)
{
    Pb__Alloc *old = has_id(u->has_alloc_id, u->alloc_id)
                         ? state_alloc(p->view, p->arena, u->alloc_id.data)
                         : NULL;
    if (old == NULL || !is_own(p, old) || !alloc_is_wanted(old) ||
        old->client_status == PB__ALLOC__CLIENT_STATUS__UNREACHABLE)
        return;
    Pb__Alloc a = *old;
    a.has_client_status = a.has_unreachable_since = true;
    a.client_status = PB__ALLOC__CLIENT_STATUS__UNREACHABLE;
    a.client_description = text("alloc is unknown since its node is disconnected");
    a.unreachable_since = state_command_time(p->view);
    state_change_alloc(p->view, old, &a, true);
}

/* ---- the evaluation afterwards */

static void make_blocked(struct planning *p)
{
    const Pb__Plan *plan = p->plan;
    Pb__Eval *e = p->eval;
    Pb__Job *job = state_job(p->view, p->arena, p->ns, p->job_id);
    Pb__Eval *b = eval_new(p->view, p->ns, p->job_id, job, "queued-allocs");
    b->type = e->type;
    b->priority = e->priority;
    b->status = PB__EVAL__STATUS__BLOCKED;
    b->status_description = text("created to place remaining allocations");
    b->has_previous_eval = true;
    b->previous_eval = e->id;
    b->has_job_modify_index = e->has_job_modify_index;
    b->job_modify_index = e->job_modify_index;
    b->n_failed_groups = plan->n_failed_groups;
    b->failed_groups = plan->failed_groups;
    b->n_classes = plan->n_classes;
    b->classes = plan->classes;
    b->has_escaped_class = plan->has_escaped_class;
    b->escaped_class = plan->escaped_class;
    b->has_snapshot_index = true;
    b->snapshot_index = plan->snapshot_index;
    state_put_eval(p->view, b);
    e->has_blocked_eval = true;
    e->blocked_eval = b->id;
    p->out->has_eval_id = true;
    p->out->eval_id = b->id;
}

static void close_eval(struct planning *p)
{
    const Pb__Plan *plan = p->plan;
    Pb__Eval *e = p->eval;
    e->status = plan->status;
    e->status_description = plan->status_description;
    e->n_failed_groups = plan->n_failed_groups;
    e->failed_groups = plan->failed_groups;
    e->n_queued = plan->n_queued;
    e->queued = plan->queued;
    e->n_classes = plan->n_classes;
    e->classes = plan->classes;
    e->has_escaped_class = plan->has_escaped_class;
    e->escaped_class = plan->escaped_class;
    state_set_queued(p->view, p->ns, p->job_id, plan->n_queued, plan->queued);
    if (plan->create_blocked)
        make_blocked(p);
}

static void finish_eval(struct planning *p)
{
    const Pb__Plan *plan = p->plan;
    Pb__Eval *e = p->eval;
    e->has_plans = true;
    e->plans++;
    e->has_snapshot_index = true;
    e->snapshot_index = plan->snapshot_index;
    if (plan->n_placed_groups > 0) {
        e->n_placed_groups = plan->n_placed_groups;
        e->placed_groups = plan->placed_groups;
    }
    if (p->rollout.deployment != NULL) {
        e->has_deployment_id = true;
        e->deployment_id = p->rollout.deployment->id;
    }
    if (p->refused == 0 && plan->has_status && plan->status != PB__EVAL__STATUS__UNKNOWN)
        close_eval(p);
    state_put_eval(p->view, e);
}

/* ---- the whole */

static void carry_out(struct planning *p)
{
    const Pb__Plan *plan = p->plan;
    apply_rollout_begin(&p->rollout, p->view, p->job, plan);
    for (size_t i = 0; i < plan->n_unreachable; i++)
        leave_unheard(p, plan->unreachable[i]);
    for (size_t i = 0; i < plan->n_stops; i++)
        stop(p, plan->stops[i]);
    for (size_t i = 0; i < plan->n_in_place; i++)
        update_in_place(p, plan->in_place[i]);
    p->out->has_placed = true;
    for (size_t i = 0; i < plan->n_placements; i++) {
        if (!p->accepted[i])
            continue;
        place(p, plan->placements[i]);
        p->out->placed++;
    }
    apply_rollout_finish(&p->rollout);
    apply_follow_ups(p->view, p->eval, plan);
}

static void plan_apply(struct planning *p)
{
    const Pb__Plan *plan = p->plan;
    if (!plan_is_current(p) || !plan_is_sound(p) || !stops_are_distinct(p))
        return;
    p->accepted = arena_array(p->arena, bool, plan->n_placements + 1);
    p->priority = p->job != NULL ? p->job->priority : 0;
    preempting_init(&p->preempting, p->view, p->ns, p->job);
    p->evicted_jobs = job_set_new(p->view);
    try_all(p);
    if (plan->all_at_once && p->refused > 0)
        refuse(p->view, p->out, PB__OUTCOME__CODE__NO_ROOM, "not all of it fits");
    else
        carry_out(p);
    finish_eval(p);
    job_set_evaluate(p->evicted_jobs, "preemption", true);
    job_set_free(p->evicted_jobs);
    preempting_fini(&p->preempting);
}

void apply_plan(struct view *v, const Pb__Plan *plan, Pb__Outcome *out)
{
    struct planning p = {.view = v, .arena = state_command_arena(v), .plan = plan, .out = out};
    if (plan == NULL || !has_id(plan->has_eval_id, plan->eval_id)) {
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "a plan needs an evaluation");
        return;
    }
    p.eval = state_eval(v, p.arena, plan->eval_id.data);
    if (p.eval == NULL) {
        refuse(v, out, PB__OUTCOME__CODE__NOT_FOUND, "the evaluation is not known");
        return;
    }
    p.ns = namespace_or_default(p.eval->namespace_);
    p.job_id = p.eval->job_id;
    p.refusals = map_new();
    p.nodes = map_new();
    plan_apply(&p);
    map_free(p.refusals);
    map_free(p.nodes);
}
