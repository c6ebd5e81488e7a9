#include "sched/sched.h"
#include "sched/affinity.h"
#include "sched/ask.h"
#include "sched/feasible.h"
#include "sched/fit.h"
#include "sched/metrics.h"
#include "sched/rank.h"
#include "sched/reconcile.h"
#include "sched/rows.h"
#include "wire/wire.h"
#include <stdlib.h>
#include <string.h>

/* What this plan and the job's other allocations already mean for a node. */
struct at_node {
    uint32_t cpu, memory, disk, dynamic_ports; /* taken by this plan */
    uint32_t of_job, of_group;                 /* allocations that are there to stay */
    struct taken_port *taken;
};

struct planner {
    struct arena *arena;
    const struct fleet *fleet;
    const Pb__JobView *view;
    const Pb__Job *job;
    const Pb__Eval *eval;
    uint64_t seed, given; /* given: allocations that got ports so far */
    struct sched_options options;
    Pb__Plan *plan;
    struct changes changes;
    struct feasible *feasible; /* by group; only for groups that something is wanted of */
    bool *feasible_known;
    struct at_node *at_node; /* by slot; NULL: nothing is there */
    size_t budget;           /* changes that the plan may still hold */
    bool more;               /* the budget did not suffice */
    uint32_t failed;         /* placements that found no place */
    uint32_t *failed_of_group;
};

static const struct feasible *feasible_for(struct planner *p, size_t group)
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
        feasible_node(feasible_for(p, group), f, slot) != NULL)
        return NODE_UNSUITABLE;
    return NODE_GOOD;
}

/* ---- writing the plan down */

static bool spend(struct planner *p, size_t changes)
{
    if (p->budget < changes) {
        p->more = true;
        return false;
    }
    p->budget -= changes;
    return true;
}

static void add_stop(struct planner *p, const Pb__Alloc *alloc, const char *description, bool lost)
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

static Pb__Placement *add_placement(struct planner *p, const Pb__TaskGroup *group,
                                    const struct wanted *w, const struct ask *ask, uint32_t slot)
{
    Pb__Placement *n = arena_array(p->arena, Pb__Placement, 1);
    pb__placement__init(n);
    n->task_group = group->name;
    n->has_name_index = 1;
    n->name_index = w->name_index;
    n->has_node_id = 1;
    n->node_id = wire_id(p->arena, p->fleet->ids[slot].bytes);
    n->resources = ask->amount;
    if (w->previous != NULL) {
        n->has_previous_alloc = 1;
        n->previous_alloc = w->previous->id;
    }
    p->plan->placements[p->plan->n_placements++] = n;
    return n;
}

/* ---- placing one group */

static void add_candidate(struct planner *p, struct rank *r, uint32_t slot)
{
    const struct fleet *f = p->fleet;
    uint32_t i = r->count++;
    r->slots[i] = slot;
    r->cpu[i] = f->free_cpu[slot];
    r->memory[i] = f->free_memory[slot];
    r->disk[i] = f->free_disk[slot];
    r->cpu_total[i] = f->cpu[slot];
    r->memory_total[i] = f->memory[slot];
    if (r->ask->dynamic_count > 0) {
        uint32_t used = fleet_dynamic_ports_used(f, slot),
                 all = DYNAMIC_PORT_MAX - DYNAMIC_PORT_MIN + 1;
        r->dynamic_ports[i] = all > used ? all - used : 0;
    }
    if (p->at_node == NULL)
        return;
    const struct at_node *n = &p->at_node[slot];
    r->cpu[i] -= (int32_t)n->cpu;
    r->memory[i] -= (int32_t)n->memory;
    r->disk[i] -= (int32_t)n->disk;
    r->dynamic_ports[i] -=
        n->dynamic_ports < r->dynamic_ports[i] ? n->dynamic_ports : r->dynamic_ports[i];
    r->taken[i] = n->taken;
    r->collisions[i] = n->of_group;
}

static void collect_candidates(struct planner *p, const struct feasible *x, struct rank *r,
                               struct tally *t)
{
    const struct fleet *f = p->fleet;
    for (uint32_t i = 0; i < f->count; i++) {
        uint32_t slot = f->by_id[i];
        if ((f->flags[slot] & ROW_CANDIDATE) != ROW_CANDIDATE)
            continue;
        uint32_t kind = f->kind_of[slot];
        t->ready_of_kind[kind]++;
        if (x->elsewhere[kind] || x->verdicts[kind] != NULL)
            continue;
        if (x->unique_count > 0) {
            const char *wrong = feasible_node(x, f, slot);
            if (wrong != NULL) {
                tally_unique(t, kind, wrong);
                continue;
            }
        }
        add_candidate(p, r, slot);
        if (p->at_node != NULL && r->distinct_hosts)
            r->others[r->count - 1] =
                x->distinct_hosts_of_job ? p->at_node[slot].of_job : p->at_node[slot].of_group;
    }
}

static bool is_dynamic(uint32_t port)
{
    return port >= DYNAMIC_PORT_MIN && port <= DYNAMIC_PORT_MAX;
}

static void note_placed(struct planner *p, struct rank *r, uint32_t i, const Pb__Placement *n)
{
    const Pb__Amount *ask = r->ask->amount;
    r->cpu[i] -= (int32_t)ask->cpu;
    r->memory[i] -= (int32_t)ask->memory_mb;
    r->disk[i] -= (int32_t)ask->disk_mb;
    r->collisions[i]++;
    r->others[i]++;
    uint32_t ports = 0;
    for (size_t k = 0; k < n->n_ports; k++)
        ports += is_dynamic(n->ports[k]->value);
    r->dynamic_ports[i] -= ports < r->dynamic_ports[i] ? ports : r->dynamic_ports[i];
    rank_placed(r, p->fleet, i);
    if (p->at_node == NULL)
        return;
    struct at_node *at = &p->at_node[r->slots[i]];
    at->cpu += ask->cpu;
    at->memory += ask->memory_mb;
    at->disk += ask->disk_mb;
    at->dynamic_ports += ports;
    at->taken = r->taken[i];
    at->of_job++;
}

static uint32_t find_candidate(const struct rank *r, const struct fleet *f, const uint8_t *node_id)
{
    uint32_t low = 0, high = r->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int c = memcmp(f->ids[r->slots[middle]].bytes, node_id, ID_SIZE);
        if (c == 0)
            return middle;
        if (c < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return UINT32_MAX;
}

/* UINT32_MAX: no node has room, or not the one that is wanted. */
static uint32_t choose(const struct planner *p, const struct rank *r, const struct wanted *w)
{
    if (w->node_id == NULL)
        return rank_best(r);
    uint32_t i = find_candidate(r, p->fleet, w->node_id);
    return i != UINT32_MAX && rank_score(r, i) > KEY_NONE ? i : UINT32_MAX;
}

/* False: there is no room. */
static bool place_one(struct planner *p, const Pb__TaskGroup *group, struct rank *r,
                      const struct wanted *w)
{
    for (uint32_t i; (i = choose(p, r, w)) != UINT32_MAX;) {
        Pb__Port **ports = NULL;
        size_t port_count = 0;
        if (r->ask->fixed_count + r->ask->dynamic_count > 0 &&
            !ask_give_ports(r->ask, p->arena, p->fleet, r->slots[i], &r->taken[i],
                            p->seed + 0x9e3779b97f4a7c15u * ++p->given, &ports, &port_count)) {
            r->dynamic_ports[i] = 0; /* the count of what is left was too high */
            rank_update(r, p->fleet, i);
            continue;
        }
        Pb__Placement *n = add_placement(p, group, w, r->ask, r->slots[i]);
        n->ports = ports;
        n->n_ports = port_count;
        note_placed(p, r, i, n);
        return true;
    }
    return false;
}

/* ---- replacing where there is no room beside the old one */

/* Room that the old allocations of one node will leave, less what the new ones will take of it. */
struct credit {
    uint32_t slot;
    int64_t cpu, memory, disk;
};

static struct credit *credit_for(struct credit *credits, size_t *count, uint32_t slot,
                                 const struct rank *r, uint32_t candidate)
{
    for (size_t i = 0; i < *count; i++)
        if (credits[i].slot == slot)
            return &credits[i];
    credits[*count] =
        (struct credit){slot, r->cpu[candidate], r->memory[candidate], r->disk[candidate]};
    return &credits[(*count)++];
}

/* The node where what it follows has failed is the last choice. */
static void penalize(struct planner *p, struct rank *r, const struct wanted *w)
{
    bool failed =
        w->previous != NULL && w->previous->client_status == PB__ALLOC__CLIENT_STATUS__FAILED;
    if (failed || r->penalized != UINT32_MAX)
        rank_penalize(r, p->fleet,
                      failed ? find_candidate(r, p->fleet, w->previous->node_id.data) : UINT32_MAX);
}

static bool has_port(const Pb__Alloc *alloc, uint32_t port)
{
    for (size_t i = 0; i < alloc->n_ports; i++)
        if (alloc->ports[i]->value == port)
            return true;
    return false;
}

static bool statics_free_without(const struct planner *p, const struct rank *r, uint32_t i,
                                 const Pb__Alloc *old)
{
    for (size_t k = 0; k < r->ask->fixed_count; k++) {
        uint32_t port = r->ask->fixed[k]->value;
        for (const struct taken_port *t = r->taken[i]; t != NULL; t = t->next)
            if (t->port == port)
                return false;
        if (!fleet_port_is_free(p->fleet, r->slots[i], port) && !has_port(old, port))
            return false;
    }
    return !r->ask->conflicting;
}

/* Whether the new one will find room on the node of the old one once that has ended. If so the old
 * one is stopped now, and the new one is placed when the node reports the end: until then its
 * resources are in use. If not, the old one goes on. */
static bool room_after_stop(const struct planner *p, const struct rank *r, struct credit *credits,
                            size_t *credit_count, const Pb__Alloc *old)
{
    uint32_t i = find_candidate(r, p->fleet, old->node_id.data);
    if (i == UINT32_MAX || !statics_free_without(p, r, i, old))
        return false;
    static const Pb__Amount nothing = PB__AMOUNT__INIT;
    const Pb__Amount *was = old->resources != NULL ? old->resources : &nothing,
                     *ask = r->ask->amount;
    struct credit *c = credit_for(credits, credit_count, r->slots[i], r, i);
    int64_t cpu = c->cpu + was->cpu, memory = c->memory + was->memory_mb,
            disk = c->disk + was->disk_mb;
    if (cpu < (int64_t)ask->cpu || memory < (int64_t)ask->memory_mb || disk < (int64_t)ask->disk_mb)
        return false;
    *c = (struct credit){c->slot, cpu - ask->cpu, memory - ask->memory_mb, disk - ask->disk_mb};
    return true;
}

static void place_wanted(struct planner *p, const Pb__TaskGroup *group,
                         const struct group_changes *g, struct rank *r, uint32_t *failed)
{
    struct credit *credits = NULL;
    size_t credit_count = 0;
    bool full = false; /* identical asks: what one did not find, the next will not */
    for (size_t i = 0; i < g->wanted_count; i++) {
        const struct wanted *w = &g->wanted[i];
        if (p->budget < (w->replaces ? 2u : 1u)) {
            p->more = true;
            return;
        }
        penalize(p, r, w);
        bool placed = !full && place_one(p, group, r, w);
        full = !placed && w->node_id == NULL;
        if (placed) {
            spend(p, w->replaces ? 2 : 1);
            if (w->replaces)
                add_stop(p, w->previous, DESCRIBE_UPDATING, false);
            continue;
        }
        ++*failed;
        if (!w->replaces)
            continue;
        if (credits == NULL)
            credits = arena_array(p->arena, struct credit, g->wanted_count);
        if (room_after_stop(p, r, credits, &credit_count, w->previous)) {
            spend(p, 1);
            add_stop(p, w->previous, DESCRIBE_UPDATING, false);
        }
    }
}

/* What is spread, or must be distinct, counts the allocations that are there already. */
static void prepare_cells(struct planner *p, struct rank *r, const Pb__TaskGroup *group)
{
    r->cells = cells_new(p->arena, p->fleet, p->job, group);
    if (r->cells == NULL || p->at_node == NULL)
        return;
    for (uint32_t i = 0; i < p->fleet->count; i++)
        if (p->at_node[i].of_job > 0)
            cells_count(r->cells, i, p->at_node[i].of_job, p->at_node[i].of_group);
}

/* Marks where the group's other allocations are, or takes the marks away again. */
static void mark_group(struct planner *p, const struct group_changes *g, bool mark)
{
    for (size_t i = 0; i < g->staying_count; i++) {
        uint32_t slot = fleet_slot(p->fleet, g->staying[i]->node_id.data);
        if (slot == SLOT_NONE)
            continue;
        if (mark)
            p->at_node[slot].of_group++;
        else
            p->at_node[slot].of_group = 0;
    }
}

static uint32_t score_count(const struct planner *p)
{
    return p->options.scores > 0 ? p->options.scores : SCHED_SCORES;
}

static void place_group(struct planner *p, size_t place)
{
    const Pb__TaskGroup *group = p->job->task_groups[place];
    const struct group_changes *g = &p->changes.groups[place];
    if (g->wanted_count == 0)
        return;
    if (p->budget == 0) {
        p->more = true;
        return;
    }
    const struct feasible *x = feasible_for(p, place);
    struct ask ask;
    struct rank rank;
    struct tally tally;
    ask_init(&ask, p->arena, group);
    rank_init(&rank, p->arena, &ask, p->fleet->count);
    rank.group_count = group->count;
    rank.distinct_hosts = x->distinct_hosts_of_job || x->distinct_hosts_of_group;
    rank.spreads_load =
        p->job->scheduler_algorithm != NULL && strcmp(p->job->scheduler_algorithm, "spread") == 0;
    tally_init(&tally, p->arena, p->fleet, x);
    if (p->at_node != NULL)
        mark_group(p, g, true);
    collect_candidates(p, x, &rank, &tally);
    rank.affinity = affinity_scores(p->arena, p->fleet, p->job, group, rank.slots, rank.count);
    prepare_cells(p, &rank, group);
    if (p->at_node != NULL)
        mark_group(p, g, false);
    rank_build(&rank, p->arena, p->fleet);
    penalize(p, &rank, &g->wanted[0]);

    Pb__PlacementMetrics *before =
        metrics_new(p->arena, p->fleet, group, x, &tally, &rank, score_count(p));
    size_t placed = p->plan->n_placements;
    uint32_t failed = 0;
    place_wanted(p, group, g, &rank, &failed);
    if (p->plan->n_placements > placed)
        p->plan->placed_groups[p->plan->n_placed_groups++] = before;
    if (failed > 0) {
        Pb__PlacementMetrics *after =
            p->plan->n_placements > placed
                ? metrics_new(p->arena, p->fleet, group, x, &tally, &rank, 0)
                : before;
        after->has_coalesced_failures = 1;
        after->coalesced_failures = failed - 1;
        p->plan->failed_groups[p->plan->n_failed_groups++] = after;
    }
    p->failed_of_group[place] = failed;
    p->failed += failed;
}

/* ---- the evaluation afterwards */

static bool any_kind_of_class_suits(const struct planner *p, const char *class)
{
    const struct fleet *f = p->fleet;
    for (size_t g = 0; g < p->job->n_task_groups; g++) {
        if (p->failed_of_group[g] == 0)
            continue;
        for (uint32_t i = 0; i < f->kind_count; i++)
            if (f->kinds[i].nodes > 0 && strcmp(f->kinds[i].computed_class, class) == 0 &&
                !p->feasible[g].elsewhere[i] && p->feasible[g].verdicts[i] == NULL)
                return true;
    }
    return false;
}

static bool class_is_listed(const Pb__Plan *plan, const char *class)
{
    for (size_t i = 0; i < plan->n_classes; i++)
        if (strcmp(plan->classes[i]->class_, class) == 0)
            return true;
    return false;
}

static int compare_classes(const void *a, const void *b)
{
    return strcmp((*(Pb__ClassEligible *const *)a)->class_,
                  (*(Pb__ClassEligible *const *)b)->class_);
}

static void list_classes(struct planner *p)
{
    const struct fleet *f = p->fleet;
    Pb__Plan *plan = p->plan;
    plan->classes = arena_array(p->arena, Pb__ClassEligible *, f->kind_count + 1);
    for (uint32_t i = 0; i < f->kind_count; i++) {
        const char *class = f->kinds[i].computed_class;
        if (f->kinds[i].nodes == 0 || class[0] == '\0' || class_is_listed(plan, class))
            continue;
        Pb__ClassEligible *c = arena_array(p->arena, Pb__ClassEligible, 1);
        pb__class_eligible__init(c);
        c->class_ = arena_strdup(p->arena, class);
        c->has_eligible = 1;
        c->eligible = any_kind_of_class_suits(p, class);
        plan->classes[plan->n_classes++] = c;
    }
    qsort(plan->classes, plan->n_classes, sizeof(*plan->classes), compare_classes);
    plan->has_escaped_class = 1;
    for (size_t g = 0; g < p->job->n_task_groups; g++)
        if (p->failed_of_group[g] > 0 && p->feasible[g].unique_count > 0)
            plan->escaped_class = 1;
}

static void list_queued(struct planner *p)
{
    Pb__Plan *plan = p->plan;
    size_t groups = p->job != NULL ? p->job->n_task_groups : 0;
    plan->queued = arena_array(p->arena, Pb__CountOf *, groups + 1);
    for (size_t i = 0; i < groups; i++) {
        Pb__CountOf *c = arena_array(p->arena, Pb__CountOf, 1);
        pb__count_of__init(c);
        c->name = p->job->task_groups[i]->name;
        c->has_count = 1;
        c->count = p->failed_of_group[i];
        plan->queued[plan->n_queued++] = c;
    }
}

static void conclude(struct planner *p)
{
    Pb__Plan *plan = p->plan;
    if (p->more)
        return;
    list_queued(p);
    plan->has_status = 1;
    plan->status = PB__EVAL__STATUS__COMPLETE;
    if (p->failed == 0)
        return;
    list_classes(p);
    if (p->eval->status == PB__EVAL__STATUS__BLOCKED) {
        plan->status = PB__EVAL__STATUS__BLOCKED;
        plan->status_description = arena_strdup(p->arena, DESCRIBE_BLOCKED);
    } else {
        plan->has_create_blocked = 1;
        plan->create_blocked = 1;
    }
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
    const struct feasible *x = feasible_for(p, group);
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
    if (groups == 0 || (staying == 0 && groups == 1))
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
    for (size_t i = 0; i < c->stop_count && spend(p, 1); i++)
        add_stop(p, c->stops[i].alloc, c->stops[i].description, c->stops[i].lost);
    for (size_t i = 0; i < c->in_place_count && spend(p, 1); i++)
        add_in_place(p, c->in_place[i]);
    if (p->job == NULL || p->job->stop)
        return;
    note_other_allocs(p);
    for (size_t i = 0; i < p->job->n_task_groups; i++)
        place_group(p, i);
}

Pb__Plan *sched_plan(struct arena *a, const struct fleet *f, const Pb__JobView *view,
                     const Pb__Eval *eval, uint64_t seed, const struct sched_options *o)
{
    size_t groups = view->job != NULL ? view->job->n_task_groups : 0;
    struct planner p = {
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
    p.budget = p.options.max_changes > 0 ? p.options.max_changes : SCHED_MAX_CHANGES;
    if (p.budget < 2)
        p.budget = 2; /* a replacement is two changes: with less there would be no progress */
    p.plan = new_plan(&p);
    find_changes(&p);
    take_room(&p);
    carry_out(&p);
    conclude(&p);
    return p.plan;
}
