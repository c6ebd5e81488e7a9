/* Placing what a group wants: the candidates, the best of them one after the other, and what is
 * replaced where there is no room beside the old one. */
#include "sched/affinity.h"
#include "sched/credit.h"
#include "sched/fit.h"
#include "sched/planner.h"
#include "sched/preempt.h"
#include "sched/rows.h"
#include "wire/wire.h"
#include <string.h>

/* What one allocation takes of that candidate: the group's sum, and the MHz of its cores. */
static Pb__Amount *amount_at(struct planner *p, const struct rank *r, uint32_t i)
{
    if (r->cores_cpu == NULL || r->cores_cpu[i] == 0)
        return r->ask->amount;
    Pb__Amount *amount = arena_copy(p->arena, r->ask->amount, sizeof(*amount));
    amount->cpu += (uint32_t)r->cores_cpu[i];
    return amount;
}

static Pb__Placement *add_placement(struct planner *p, const Pb__TaskGroup *group,
                                    const struct wanted *w, const struct rank *r, uint32_t i)
{
    Pb__Placement *n = arena_array(p->arena, Pb__Placement, 1);
    pb__placement__init(n);
    n->task_group = group->name;
    n->has_name_index = 1;
    n->name_index = w->name_index;
    n->has_node_id = 1;
    n->node_id = wire_id(p->arena, p->fleet->ids[r->slots[i]].bytes);
    n->resources = amount_at(p, r, i);
    if (w->previous != NULL) {
        n->has_previous_alloc = 1;
        n->previous_alloc = w->previous->id;
    }
    n->reschedule_tracker = w->tracker;
    n->has_canary = n->canary = w->canary;
    n->has_deployed = n->deployed = p->deployed;
    if (w->older != NULL) {
        n->has_job_version = 1;
        n->job_version = w->older->version;
    }
    /* A number an allocation, of which a cluster has millions: kept for those who may ask. */
    n->has_score = group->disconnect != NULL;
    n->score = n->has_score ? rank_score(r, i) : 0;
    p->plan->placements[p->plan->n_placements++] = n;
    return n;
}

/* ---- placing one group */

/* The cores of the next allocation are taken off the cpu in advance: what they are in MHz differs
 * from node to node. */
static void look_for_pieces(struct planner *p, struct rank *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        uint32_t slot = r->slots[i];
        r->cores_cpu[i] = pieces_cpu(r->ask->pieces, p->fleet, slot);
        r->cpu[i] -= r->cores_cpu[i];
        if (p->at_node != NULL)
            r->given[i] = p->at_node[slot].given;
        rank_look(r, p->fleet, i);
    }
}

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
    const Pb__Amount *ask = n->resources;
    r->cpu[i] -= (int32_t)ask->cpu;
    r->memory[i] -= (int32_t)ask->memory_mb;
    r->disk[i] -= (int32_t)ask->disk_mb;
    r->collisions[i]++;
    r->others[i]++;
    uint32_t ports = 0;
    for (size_t k = 0; k < n->n_ports; k++)
        ports += is_dynamic(n->ports[k]->value);
    r->dynamic_ports[i] -= ports < r->dynamic_ports[i] ? ports : r->dynamic_ports[i];
    if (r->ask->pieces != NULL)
        rank_look(r, p->fleet, i);
    rank_placed(r, p->fleet, i);
    if (p->at_node == NULL)
        return;
    struct at_node *at = &p->at_node[r->slots[i]];
    at->cpu += (int64_t)ask->cpu;
    at->memory += ask->memory_mb;
    at->disk += ask->disk_mb;
    at->dynamic_ports += ports;
    at->taken = r->taken[i];
    if (r->given != NULL)
        at->given = r->given[i];
    at->of_job++;
}

/* Where the data are that a sticky disk takes over; NULL: nowhere. */
static const uint8_t *home_of(const Pb__TaskGroup *group, const struct wanted *w)
{
    bool sticky = group->ephemeral_disk != NULL && group->ephemeral_disk->sticky;
    return sticky && w->previous != NULL && w->node_id == NULL ? w->previous->node_id.data : NULL;
}

/* UINT32_MAX: no node has room, or not the one that is wanted. */
static uint32_t choose(const struct planner *p, const Pb__TaskGroup *group, const struct rank *r,
                       const struct wanted *w)
{
    const uint8_t *id = w->node_id != NULL ? w->node_id : home_of(group, w);
    uint32_t i = id == NULL ? UINT32_MAX : rank_find(r, p->fleet, id);
    if (i != UINT32_MAX && rank_score(r, i) > KEY_NONE)
        return i;
    return w->node_id == NULL ? rank_best(r) : UINT32_MAX;
}

/* NULL: its cores, its devices or its ports could not be given out. */
static Pb__Placement *place_at(struct planner *p, const Pb__TaskGroup *group, struct rank *r,
                               const struct wanted *w, uint32_t i)
{
    Pb__Port **ports = NULL;
    size_t port_count = 0;
    struct given *given = NULL;
    if (r->ask->pieces != NULL &&
        (given = pieces_give(r->ask->pieces, p->arena, p->fleet, r->slots[i], r->given[i])) == NULL)
        return NULL;
    if (r->ask->fixed_count + r->ask->dynamic_count > 0 &&
        !ask_give_ports(r->ask, p->arena, p->fleet, r->slots[i], &r->taken[i],
                        p->seed + 0x9e3779b97f4a7c15u * ++p->given, &ports, &port_count)) {
        r->dynamic_ports[i] = 0; /* the count of what is left was too high */
        rank_update(r, p->fleet, i);
        return NULL;
    }
    Pb__Placement *n = add_placement(p, group, w, r, i);
    n->ports = ports;
    n->n_ports = port_count;
    if (given != NULL) {
        n->grants = (Pb__TaskGrant **)(uintptr_t)given->grants;
        n->n_grants = given->count;
        r->given[i] = given;
    }
    if (p->options.memory_over)
        pieces_allow_memory_max(p->arena, group, n);
    note_placed(p, r, i, n);
    return n;
}

/* False: there is no room. */
static bool place_one(struct planner *p, const Pb__TaskGroup *group, struct rank *r,
                      const struct wanted *w)
{
    for (uint32_t i; (i = choose(p, group, r, w)) != UINT32_MAX;)
        if (place_at(p, group, r, w, i) != NULL)
            return true;
    return false;
}

/* Room is made by displacing others. False: not even so. */
static bool displace_for(struct planner *p, struct contest *c, const struct wanted *w)
{
    struct displacing d;
    uint32_t only = UINT32_MAX;
    if (w->node_id != NULL && (only = rank_find(&c->rank, p->fleet, w->node_id)) == UINT32_MAX)
        return false;
    if (!preempt_find(p, c, only, &d))
        return false;
    preempt_make_room(p, c, &d, true);
    Pb__Placement *n = place_at(p, c->group, &c->rank, w, d.candidate);
    if (n == NULL) {
        preempt_make_room(p, c, &d, false);
        return false;
    }
    preempt_write_down(p, &d, n);
    planner_spend(p, p->budget < 1 + d.count ? p->budget : 1 + d.count);
    return true;
}

/* The node where what it follows has failed is the last choice, and so are those where the ones
 * before that did, also if one was lost in between: else two bad nodes would take turns while a
 * good one stands by. */
static void penalize(struct planner *p, struct rank *r, const struct wanted *w)
{
    uint32_t at[RANK_PENALIZED], n = 0;
    const Pb__Alloc *previous = w->previous;
    bool failed = previous != NULL && previous->client_status == PB__ALLOC__CLIENT_STATUS__FAILED;
    if (failed)
        at[n++] = rank_find(r, p->fleet, previous->node_id.data);
    if (previous != NULL && (failed || w->tracker != NULL)) {
        const Pb__RescheduleTracker *t = previous->reschedule_tracker;
        for (size_t i = t != NULL ? t->n_events : 0; i > 0 && n < RANK_PENALIZED; i--)
            if (t->events[i - 1]->prev_node_id.len == ID_SIZE)
                at[n++] = rank_find(r, p->fleet, t->events[i - 1]->prev_node_id.data);
    }
    if (n > 0 || r->n_penalized > 0)
        rank_penalize(r, p->fleet, at, n);
}

static const char *why_replaced(const struct wanted *w)
{
    return w->rescheduled ? DESCRIBE_FAILED : w->migrates ? DESCRIBE_MIGRATING : DESCRIBE_UPDATING;
}

/* What it replaces still has its room. */
static bool replaces_running(const struct wanted *w)
{
    return w->replaces && !w->rescheduled;
}

/* Whether one more placement may still go into the plan. The first always may, whatever has to be
 * displaced for it, or there would be no progress. */
static bool plan_has_room(const struct planner *p, const struct wanted *w)
{
    size_t most = w->replaces ? 2 : 1;
    if (!replaces_running(w) && p->victim_count > 0 && p->plan->n_placements > 0)
        most += PREEMPT_MOST;
    return p->budget >= most;
}

static void stop_previous(struct planner *p, const struct wanted *w)
{
    planner_stop(p, w->previous, why_replaced(w), false);
}

/* What was to be replaced found no place beside the old one: that is stopped now, if it must go or
 * the new one will find room on its node, and the new one is placed when the node reports the end
 * or there is room. If not, the old one goes on. */
static void stop_first(struct planner *p, const struct rank *r, struct credits *credits,
                       const struct wanted *w)
{
    if (!credits_take(credits, p, r, w->previous) && !w->previous->stop_wanted)
        return;
    planner_spend(p, 1);
    stop_previous(p, w);
}

/* The data of a sticky disk are where there will be room once their owner has ended: rather that
 * than another node without them. */
static bool waits_for_home(struct planner *p, const struct contest *c, struct credits *credits,
                           const struct wanted *w)
{
    const uint8_t *home = home_of(c->group, w);
    if (home == NULL || alloc_is_terminal(w->previous))
        return false;
    uint32_t i = rank_find(&c->rank, p->fleet, home);
    if (i == UINT32_MAX || rank_score(&c->rank, i) > KEY_NONE ||
        !credits_take(credits, p, &c->rank, w->previous))
        return false;
    if (w->replaces) {
        planner_spend(p, 1);
        stop_previous(p, w);
    }
    return true;
}

static void place_wanted(struct planner *p, const struct group_changes *g, struct contest *c,
                         uint32_t *failed)
{
    struct rank *r = &c->rank;
    struct credits credits;
    credits_init(&credits, p->arena, g->wanted_count);
    bool full = false, stuck = false; /* identical asks: what one did not find, the next will not */
    for (size_t i = 0; i < g->wanted_count; i++) {
        const struct wanted *w = &g->wanted[i];
        if (!plan_has_room(p, w)) {
            p->more = true;
            return;
        }
        penalize(p, r, w);
        if (waits_for_home(p, c, &credits, w)) {
            ++*failed;
            continue;
        }
        bool placed = !full && place_one(p, c->group, r, w);
        full = !placed && w->node_id == NULL;
        if (placed) {
            planner_spend(p, w->replaces ? 2 : 1);
            if (w->replaces)
                stop_previous(p, w);
            continue;
        }
        if (!replaces_running(w) && !stuck && displace_for(p, c, w)) {
            full = false; /* more may have become free than was needed */
            if (w->replaces)
                stop_previous(p, w);
            continue;
        }
        stuck = w->node_id == NULL;
        ++*failed;
        if (replaces_running(w))
            stop_first(p, r, &credits, w);
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

uint32_t planner_scores(const struct planner *p)
{
    return p->options.scores > 0 ? p->options.scores : SCHED_SCORES;
}

/* What the job says; else its pool; else the region. */
static bool spreads_load(const struct planner *p)
{
    const char *algorithm = p->job->scheduler_algorithm;
    if (algorithm == NULL)
        algorithm = fleet_pool_algorithm(p->fleet, p->job->node_pool);
    return algorithm != NULL ? strcmp(algorithm, "spread") == 0 : p->options.spreads_load;
}

void contest_open(struct contest *c, struct planner *p, size_t place)
{
    const struct group_changes *g = &p->changes.groups[place];
    *c = (struct contest){
        .group = p->job->task_groups[place],
        .feasible = planner_feasible(p, place),
    };
    struct rank *r = &c->rank;
    ask_init(&c->ask, p->arena, c->group, c->feasible->pieces);
    rank_init(r, p->arena, &c->ask, p->fleet->count);
    r->group_count = c->group->count;
    r->distinct_hosts = c->feasible->distinct_hosts_of_job || c->feasible->distinct_hosts_of_group;
    r->spreads_load = spreads_load(p);
    tally_init(&c->tally, p->arena, p->fleet, c->feasible);
    if (p->at_node != NULL)
        mark_group(p, g, true);
    collect_candidates(p, c->feasible, r, &c->tally);
    if (c->ask.pieces != NULL)
        look_for_pieces(p, r);
    r->affinity = affinity_scores(p->arena, p->fleet, p->job, c->group, r->slots, r->count);
    prepare_cells(p, r, c->group);
    if (p->at_node != NULL)
        mark_group(p, g, false);
    rank_build(r, p->arena, p->fleet);
}

Pb__PlacementMetrics *contest_metrics(const struct contest *c, struct planner *p, uint32_t scores)
{
    return metrics_new(p->arena, p->fleet, c->group, c->feasible, &c->tally, &c->rank, scores);
}

static void note_failed(struct planner *p, Pb__PlacementMetrics *m, uint32_t failed)
{
    m->has_coalesced_failures = 1;
    m->coalesced_failures = failed - 1;
    p->plan->failed_groups[p->plan->n_failed_groups++] = m;
}

void planner_place_group(struct planner *p, size_t place)
{
    const struct group_changes *g = &p->changes.groups[place];
    if (g->wanted_count == 0 && p->why == NULL)
        return;
    if (p->budget == 0) {
        p->more = true;
        return;
    }
    struct contest c;
    p->deployed = g->deployed;
    contest_open(&c, p, place);
    if (g->wanted_count > 0)
        penalize(p, &c.rank, &g->wanted[0]);
    Pb__PlacementMetrics *before = contest_metrics(&c, p, planner_scores(p));
    size_t placed = p->plan->n_placements;
    uint32_t failed = 0;
    place_wanted(p, g, &c, &failed);
    bool any = p->plan->n_placements > placed;
    if (any)
        p->plan->placed_groups[p->plan->n_placed_groups++] = before;
    if (failed > 0)
        preempt_list_nodes(p, &c);
    if (failed > 0)
        note_failed(p, any ? contest_metrics(&c, p, 0) : before, failed);
    if (p->why != NULL)
        p->why[place] =
            explain_group(p, &c, place, (uint32_t)(p->plan->n_placements - placed), failed);
    p->failed_of_group[place] = failed;
    p->failed += failed;
}
