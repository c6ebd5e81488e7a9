/* What stands between a group and its next allocation: for every node of the job's datacenters all
 * that it lacks, and how many lack the same. */
#include "base/id.h"
#include "sched/planner.h"
#include "sched/rows.h"
#include "wire/wire.h"
#include <stdlib.h>
#include <string.h>

#define MOST_OTHERS 16 /* things that one node lacks, beside room */
#define MOST_KINDS  64 /* different lacks that are told apart */
#define MOST_SHOWN  8

/* What one node lacks. */
struct lacking {
    uint32_t cpu, memory, disk;
    const char *others[MOST_OTHERS];
    size_t other_count;
    double cost; /* how far it is from having room, to find the nearest */
};

struct explainer {
    struct planner *planner;
    const struct contest *contest;
    struct {
        struct lacking lacking; /* of the nearest */
        uint32_t nodes, nearest;
    } found[MOST_KINDS];
    size_t found_count;
    uint32_t unready;
};

static uint32_t short_of(int64_t left, uint32_t ask)
{
    int64_t n = (int64_t)ask - left;
    return ask > 0 && n > 0 ? (uint32_t)(n > UINT32_MAX ? UINT32_MAX : n) : 0;
}

static double share(uint32_t lack, uint32_t ask)
{
    return ask > 0 ? (double)lack / ask : 0;
}

static void add_other(struct lacking *l, const char *text)
{
    size_t at = l->other_count;
    if (at == MOST_OTHERS)
        return;
    for (; at > 0 && strcmp(l->others[at - 1], text) > 0; at--)
        l->others[at] = l->others[at - 1];
    l->others[at] = text;
    l->other_count++;
}

static bool is_taken(const struct taken_port *t, uint32_t port)
{
    for (; t != NULL; t = t->next)
        if (t->port == port)
            return true;
    return false;
}

static void look_at_ports(const struct explainer *e, uint32_t slot, struct lacking *l)
{
    const struct ask *k = &e->contest->ask;
    struct planner *p = e->planner;
    if (k->conflicting)
        add_other(l, "network: static port asked for twice");
    for (size_t i = 0; i < k->fixed_count; i++) {
        uint32_t port = k->fixed[i]->value;
        if (!fleet_port_is_free(p->fleet, slot, port) || is_taken(p->at_node[slot].taken, port))
            add_other(l, arena_printf(p->arena, "network: port %u taken", port));
    }
}

static void look_at_pieces(const struct explainer *e, uint32_t slot, struct lacking *l)
{
    const struct pieces *k = e->contest->ask.pieces;
    struct planner *p = e->planner;
    struct pieces_room room = pieces_look(k, p->fleet, slot, p->at_node[slot].given);
    if (room.cores < pieces_cores(k))
        add_other(l, "cores");
    /* Where the kind of node has no such devices at all, that is said already. */
    if (!room.devices && pieces_judge(k, p->fleet, p->fleet->kind_of[slot]) == NULL)
        add_other(l, pieces_missing(k, p->arena, p->fleet, slot, p->at_node[slot].given));
}

/* What only the contest knows: the job's own allocations stand in the way. */
static void look_at_candidate(const struct explainer *e, uint32_t candidate, struct lacking *l)
{
    const struct rank *r = &e->contest->rank;
    if (r->distinct_hosts && r->others[candidate] > 0)
        add_other(l, "distinct_hosts");
    const char *closed = r->cells != NULL ? cells_closed_by(r->cells, candidate) : NULL;
    if (closed != NULL)
        add_other(l, closed);
    if (r->ask->dynamic_count > r->dynamic_ports[candidate])
        add_other(l, "network: dynamic port selection failed");
}

static void look_at_node(const struct explainer *e, uint32_t slot, uint32_t candidate,
                         struct lacking *l)
{
    const struct planner *p = e->planner;
    const struct fleet *f = p->fleet;
    const struct at_node *at = &p->at_node[slot];
    const Pb__Amount *ask = e->contest->ask.amount;
    const struct pieces *pieces = e->contest->ask.pieces;
    uint32_t cpu = ask->cpu + (pieces != NULL ? (uint32_t)pieces_cpu(pieces, f, slot) : 0);
    *l = (struct lacking){
        .cpu = short_of(f->free_cpu[slot] - at->cpu, cpu),
        .memory = short_of(f->free_memory[slot] - at->memory, ask->memory_mb),
        .disk = short_of(f->free_disk[slot] - at->disk, ask->disk_mb),
    };
    l->cost = share(l->cpu, cpu) + share(l->memory, ask->memory_mb) + share(l->disk, ask->disk_mb);
    const char *wrongs[MOST_OTHERS];
    size_t n = feasible_wrongs(e->contest->feasible, p->arena, f, slot, e->contest->group, wrongs,
                               MOST_OTHERS);
    for (size_t i = 0; i < n; i++)
        add_other(l, wrongs[i]);
    look_at_ports(e, slot, l);
    if (e->contest->ask.pieces != NULL)
        look_at_pieces(e, slot, l);
    if (candidate != UINT32_MAX)
        look_at_candidate(e, candidate, l);
}

static bool same_lack(const struct lacking *a, const struct lacking *b)
{
    if ((a->cpu > 0) != (b->cpu > 0) || (a->memory > 0) != (b->memory > 0) ||
        (a->disk > 0) != (b->disk > 0) || a->other_count != b->other_count)
        return false;
    for (size_t i = 0; i < a->other_count; i++)
        if (strcmp(a->others[i], b->others[i]) != 0)
            return false;
    return true;
}

static void count_lacking(struct explainer *e, uint32_t slot, const struct lacking *l)
{
    size_t i = 0;
    while (i < e->found_count && !same_lack(&e->found[i].lacking, l))
        i++;
    if (i == MOST_KINDS)
        return;
    bool nearer = i == e->found_count || l->cost < e->found[i].lacking.cost;
    if (i == e->found_count)
        e->found[e->found_count++].nodes = 0;
    e->found[i].nodes++;
    if (nearer) {
        e->found[i].nearest = slot;
        e->found[i].lacking = *l;
    }
}

static bool lacks_anything(const struct lacking *l)
{
    return l->cpu > 0 || l->memory > 0 || l->disk > 0 || l->other_count > 0;
}

static void look_at_all(struct explainer *e)
{
    const struct fleet *f = e->planner->fleet;
    const struct rank *r = &e->contest->rank;
    uint32_t next = 0; /* candidates are in the same order */
    for (uint32_t i = 0; i < f->count; i++) {
        uint32_t slot = f->by_id[i];
        if ((f->flags[slot] & ROW_KNOWN) == 0 || e->contest->feasible->elsewhere[f->kind_of[slot]])
            continue;
        if (!fleet_node_is_ready(f, slot)) {
            e->unready++;
            continue;
        }
        bool candidate = next < r->count && r->slots[next] == slot;
        struct lacking l;
        look_at_node(e, slot, candidate ? next : UINT32_MAX, &l);
        next += candidate;
        if (lacks_anything(&l))
            count_lacking(e, slot, &l);
    }
}

/* ---- as a message */

static size_t things(const Pb__Lack *l)
{
    return (l->short_of->cpu > 0) + (l->short_of->memory_mb > 0) + (l->short_of->disk_mb > 0) +
           l->n_others;
}

/* What takes the fewest changes first, then what helps the most nodes. */
static int compare_lacks(const void *a, const void *b)
{
    const Pb__Lack *x = *(Pb__Lack *const *)a, *y = *(Pb__Lack *const *)b;
    if (things(x) != things(y))
        return things(x) < things(y) ? -1 : 1;
    if (x->nodes != y->nodes)
        return x->nodes > y->nodes ? -1 : 1;
    return memcmp(x->nearest_id.data, y->nearest_id.data, ID_SIZE);
}

static Pb__Lack *lack_message(struct arena *a, const struct fleet *f, const struct lacking *l,
                              uint32_t nodes, uint32_t nearest)
{
    Pb__Lack *m = arena_array(a, Pb__Lack, 1);
    pb__lack__init(m);
    m->has_nodes = m->has_nearest_id = 1;
    m->nodes = nodes;
    m->nearest_id = wire_id(a, f->ids[nearest].bytes);
    const char *name = fleet_value(f, nearest, "node.unique.name");
    m->nearest_name = arena_strdup(a, name != NULL ? name : "");
    m->short_of = arena_array(a, Pb__Amount, 1);
    pb__amount__init(m->short_of);
    m->short_of->has_cpu = m->short_of->has_memory_mb = m->short_of->has_disk_mb = 1;
    m->short_of->cpu = l->cpu;
    m->short_of->memory_mb = l->memory;
    m->short_of->disk_mb = l->disk;
    m->others = arena_array(a, char *, l->other_count + 1);
    for (size_t i = 0; i < l->other_count; i++)
        m->others[m->n_others++] = (char *)(uintptr_t)l->others[i];
    return m;
}

static void list_lacks(const struct explainer *e, Pb__GroupWhy *w)
{
    struct arena *a = e->planner->arena;
    w->lacks = arena_array(a, Pb__Lack *, e->found_count + 1);
    for (size_t i = 0; i < e->found_count; i++)
        w->lacks[w->n_lacks++] = lack_message(a, e->planner->fleet, &e->found[i].lacking,
                                              e->found[i].nodes, e->found[i].nearest);
    if (w->n_lacks > 1)
        qsort(w->lacks, w->n_lacks, sizeof(Pb__Lack *), compare_lacks);
    if (w->n_lacks > MOST_SHOWN)
        w->n_lacks = MOST_SHOWN;
}

static void list_devices(struct arena *a, const Pb__Task *task, Pb__GroupWhy *w)
{
    const Pb__Resources *r = task->resources;
    for (size_t i = 0; r != NULL && i < r->n_devices; i++)
        w->ask_others[w->n_ask_others++] =
            arena_printf(a, "%u %s", r->devices[i]->has_count ? (unsigned)r->devices[i]->count : 1,
                         r->devices[i]->name != NULL ? r->devices[i]->name : "");
}

/* What is no sum: pieces and ports. */
static void list_asked(struct arena *a, const struct contest *c, Pb__GroupWhy *w)
{
    const struct ask *k = &c->ask;
    size_t most = 2 + k->fixed_count;
    for (size_t i = 0; i < c->group->n_tasks; i++)
        most +=
            c->group->tasks[i]->resources != NULL ? c->group->tasks[i]->resources->n_devices : 0;
    w->ask_others = arena_array(a, char *, most);
    uint32_t cores = k->pieces != NULL ? pieces_cores(k->pieces) : 0;
    if (cores > 0)
        w->ask_others[w->n_ask_others++] =
            arena_printf(a, "%u core%s", cores, cores == 1 ? "" : "s");
    for (size_t i = 0; i < c->group->n_tasks; i++)
        list_devices(a, c->group->tasks[i], w);
    for (size_t i = 0; i < k->fixed_count; i++)
        w->ask_others[w->n_ask_others++] = arena_printf(a, "port %u", k->fixed[i]->value);
    if (k->dynamic_count > 0)
        w->ask_others[w->n_ask_others++] = arena_printf(a, "%zu dynamic port%s", k->dynamic_count,
                                                        k->dynamic_count == 1 ? "" : "s");
}

Pb__GroupWhy *explain_group(struct planner *p, const struct contest *c, size_t place,
                            uint32_t placed, uint32_t failed)
{
    struct explainer *e = arena_array(p->arena, struct explainer, 1);
    *e = (struct explainer){.planner = p, .contest = c};
    Pb__GroupWhy *w = arena_array(p->arena, Pb__GroupWhy, 1);
    pb__group_why__init(w);
    w->task_group = c->group->name;
    w->has_count = w->has_staying = w->has_placed = w->has_missing = w->has_nodes_unready =
        w->has_held = 1;
    w->count = c->group->count;
    w->staying = (uint32_t)p->changes.groups[place].staying_count;
    w->held = (uint32_t)p->changes.groups[place].held;
    w->placed = placed;
    w->missing = failed;
    w->ask = c->ask.amount;
    list_asked(p->arena, c, w);
    w->metrics = contest_metrics(c, p, planner_scores(p));
    look_at_all(e);
    w->nodes_unready = e->unready;
    list_lacks(e, w);
    return w;
}
