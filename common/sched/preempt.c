#include "sched/preempt.h"
#include "base/id.h"
#include "sched/rows.h"
#include "sched/stock.h"
#include "wire/wire.h"
#include <stdlib.h>
#include <string.h>

#define MOST_EXACT 48 /* allocations of one node, up to which sets of three are looked for */

struct need {
    int64_t cpu, memory, disk, cores; /* above 0: missing */
    int64_t instances;                /* below 0: so many of devices are freed */
};

/* ---- who may be displaced */

static int by_slot(const void *a, const void *b)
{
    const struct victim *x = a, *y = b;
    if (x->slot != y->slot)
        return x->slot < y->slot ? -1 : 1;
    if (x->priority != y->priority)
        return x->priority < y->priority ? -1 : 1;
    return memcmp(x->alloc->id.data, y->alloc->id.data, ID_SIZE);
}

static bool is_own(const struct planner *p, const Pb__Alloc *alloc)
{
    const char *a = alloc->namespace_ != NULL ? alloc->namespace_ : "default",
               *b = p->job->namespace_ != NULL ? p->job->namespace_ : "default";
    return strcmp(alloc->job_id, p->job->id) == 0 && strcmp(a, b) == 0;
}

static bool may_go(const struct planner *p, const Pb__Alloc *alloc)
{
    return alloc->desired == PB__ALLOC__DESIRED__RUN && alloc_is_live(alloc) && !is_own(p, alloc) &&
           alloc_priority(alloc) + PREEMPT_GAP <= p->job->priority;
}

static struct victim victim_of(const Pb__Alloc *alloc, uint32_t slot)
{
    struct victim v = {.alloc = alloc, .slot = slot, .priority = alloc_priority(alloc)};
    for (size_t i = 0; i < alloc->n_grants; i++) {
        const Pb__TaskGrant *g = alloc->grants[i];
        v.cores += (uint32_t)g->n_cores;
        for (size_t k = 0; k < g->n_devices; k++)
            v.instances += (uint32_t)g->devices[k]->n_device_ids;
    }
    return v;
}

void preempt_prepare(struct planner *p)
{
    const struct sched_options *o = &p->options;
    if (o->other_count == 0 || p->job == NULL)
        return;
    p->victims = arena_array(p->arena, struct victim, o->other_count);
    for (size_t i = 0; i < o->other_count; i++) {
        uint32_t slot = fleet_slot(p->fleet, o->others[i]->node_id.data);
        if (slot != SLOT_NONE && may_go(p, o->others[i]))
            p->victims[p->victim_count++] = victim_of(o->others[i], slot);
    }
    qsort(p->victims, p->victim_count, sizeof(*p->victims), by_slot);
}

static size_t first_on(const struct planner *p, uint32_t slot)
{
    size_t low = 0, high = p->victim_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (p->victims[middle].slot < slot)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- sets that suffice */

static const Pb__Amount *size_of(const struct victim *v)
{
    static const Pb__Amount nothing = PB__AMOUNT__INIT;
    return v->alloc->resources != NULL ? v->alloc->resources : &nothing;
}

/* With the MHz of its cores, which are taken off what is left already. */
static int64_t ask_cpu(const struct contest *c, uint32_t i)
{
    const struct rank *r = &c->rank;
    return (int64_t)c->ask.amount->cpu + (r->cores_cpu != NULL ? r->cores_cpu[i] : 0);
}

static uint32_t want_cores(const struct contest *c)
{
    return c->ask.pieces != NULL ? pieces_cores(c->ask.pieces) : 0;
}

static bool lacks_devices(const struct contest *c, uint32_t i)
{
    return c->ask.pieces != NULL && !c->rank.find[i].devices;
}

static struct need need_of(const struct contest *c, uint32_t i)
{
    const Pb__Amount *ask = c->ask.amount;
    const struct rank *r = &c->rank;
    return (struct need){
        ask_cpu(c, i) > 0 ? (int64_t)ask->cpu - r->cpu[i] : 0,
        ask->memory_mb > 0 ? (int64_t)ask->memory_mb - r->memory[i] : 0,
        ask->disk_mb > 0 ? (int64_t)ask->disk_mb - r->disk[i] : 0,
        want_cores(c) > 0 ? (int64_t)want_cores(c) - r->find[i].cores : 0,
        0,
    };
}

static struct need less(struct need n, const struct victim *v)
{
    const Pb__Amount *s = size_of(v);
    return (struct need){n.cpu - s->cpu, n.memory - s->memory_mb, n.disk - s->disk_mb,
                         n.cores - v->cores, n.instances - v->instances};
}

static bool is_met(struct need n)
{
    return n.cpu <= 0 && n.memory <= 0 && n.disk <= 0 && n.cores <= 0;
}

/* A search on one node: those that must go for their ports, then the best of the rest. */
struct search {
    const struct planner *p;
    const struct contest *c;
    uint32_t candidate;
    size_t from, to;   /* the node's victims */
    struct need first; /* with nobody gone */
    bool by_piece;     /* cores or devices are missing: which ones are freed matters */
    struct displacing must, best;
    bool found;
};

static double share(int64_t n, int32_t total)
{
    return n > 0 && total > 0 ? (double)n / total : 0;
}

static bool is_better(const struct displacing *a, const struct displacing *b)
{
    if (a->count != b->count)
        return a->count < b->count;
    if (a->priority != b->priority)
        return a->priority < b->priority;
    if (a->excess != b->excess)
        return a->excess < b->excess;
    return a->candidate < b->candidate;
}

static double excess_of_pieces(const struct stock *s, struct need left)
{
    return s == NULL ? 0
                     : share(-left.cores, (int32_t)s->core_count) +
                           share(-left.instances, (int32_t)s->instance_count);
}

/* left: what is needed when these are gone. */
static void offer(struct search *s, const struct displacing *d, struct need left)
{
    const struct rank *r = &s->c->rank;
    const struct fleet *f = s->p->fleet;
    uint32_t slot = r->slots[s->candidate];
    struct displacing whole = *d;
    whole.excess = share(-left.cpu, r->cpu_total[s->candidate]) +
                   share(-left.memory, r->memory_total[s->candidate]) +
                   share(-left.disk, f->disk[slot]) + excess_of_pieces(f->stock[slot], left);
    if (!s->found || is_better(&whole, &s->best))
        s->best = whole;
    s->found = true;
}

static bool holds(const struct displacing *d, uint32_t victim)
{
    for (size_t i = 0; i < d->count; i++)
        if (d->victims[i] == victim)
            return true;
    return false;
}

static void add(const struct planner *p, struct displacing *d, size_t victim)
{
    d->victims[d->count++] = (uint32_t)victim;
    if (p->victims[victim].priority > d->priority)
        d->priority = p->victims[victim].priority;
}

/* Whether what is left suffices: also one by one, of those cores and devices that these have. */
static bool suffices(const struct search *s, const struct displacing *d, struct need left)
{
    const struct contest *c = s->c;
    struct given backs[PREEMPT_MOST], *all = NULL;
    if (!is_met(left) || !s->by_piece)
        return is_met(left);
    all = c->rank.given[s->candidate];
    for (size_t i = 0; i < d->count; i++) {
        const Pb__Alloc *alloc = s->p->victims[d->victims[i]].alloc;
        backs[i] = (struct given){all, alloc->grants, alloc->n_grants, true};
        all = &backs[i];
    }
    struct pieces_room room =
        pieces_look(c->ask.pieces, s->p->fleet, c->rank.slots[s->candidate], all);
    return room.cores >= want_cores(c) && room.devices;
}

/* Whether it has anything of what was missing: in the smallest set that suffices all have. */
static bool may_help(const struct search *s, const struct victim *v)
{
    const Pb__Amount *size = size_of(v);
    return (s->first.cpu > 0 && size->cpu > 0) || (s->first.memory > 0 && size->memory_mb > 0) ||
           (s->first.disk > 0 && size->disk_mb > 0) || (s->first.cores > 0 && v->cores > 0) ||
           (s->by_piece && v->instances > 0);
}

/* All sets of `more` further ones, the first of them at or behind `at`. */
static void look_for(struct search *s, const struct displacing *d, struct need left, size_t at,
                     int more)
{
    if (more == 0) {
        if (suffices(s, d, left))
            offer(s, d, left);
        return;
    }
    for (size_t i = at; i < s->to; i++) {
        if (s->p->victims[i].gone || holds(d, (uint32_t)i) || !may_help(s, &s->p->victims[i]))
            continue;
        struct displacing with = *d;
        add(s->p, &with, i);
        look_for(s, &with, less(left, &s->p->victims[i]), i + 1, more - 1);
    }
}

static double covers_pieces(const struct search *s, struct need left, const struct victim *v)
{
    double sum = 0;
    if (left.cores > 0)
        sum += (double)(v->cores < left.cores ? v->cores : left.cores) / want_cores(s->c);
    if (lacks_devices(s->c, s->candidate))
        sum += (double)v->instances / pieces_instances(s->c->ask.pieces);
    return sum;
}

static double covers(const struct search *s, struct need left, size_t victim)
{
    const Pb__Amount *v = size_of(&s->p->victims[victim]), *ask = s->c->ask.amount;
    double sum = 0;
    if (left.cpu > 0)
        sum +=
            (double)(v->cpu < left.cpu ? v->cpu : left.cpu) / (double)ask_cpu(s->c, s->candidate);
    if (left.memory > 0)
        sum += (double)(v->memory_mb < left.memory ? v->memory_mb : left.memory) / ask->memory_mb;
    if (left.disk > 0)
        sum += (double)(v->disk_mb < left.disk ? v->disk_mb : left.disk) / ask->disk_mb;
    return s->by_piece ? sum + covers_pieces(s, left, &s->p->victims[victim]) : sum;
}

/* Gives back what the others make unnecessary, the largest priority first; those that must go
 * stay. */
static void give_back(struct search *s, struct displacing *d, struct need *left)
{
    for (size_t i = d->count; i-- > s->must.count;) {
        const struct victim *from = &s->p->victims[d->victims[i]];
        const Pb__Amount *v = size_of(from);
        struct need without = {left->cpu + v->cpu, left->memory + v->memory_mb,
                               left->disk + v->disk_mb, left->cores + from->cores,
                               left->instances + from->instances};
        struct displacing rest = *d;
        memmove(&rest.victims[i], &rest.victims[i + 1],
                (rest.count - i - 1) * sizeof(rest.victims[0]));
        rest.count--;
        if (!suffices(s, &rest, without))
            continue;
        *d = rest;
        *left = without;
    }
    d->priority = 0;
    for (size_t i = 0; i < d->count; i++)
        if (s->p->victims[d->victims[i]].priority > d->priority)
            d->priority = s->p->victims[d->victims[i]].priority;
}

static void take_greedily(struct search *s, struct need left)
{
    struct displacing d = s->must;
    while (!suffices(s, &d, left) && d.count < PREEMPT_MOST) {
        size_t best = SIZE_MAX;
        double most = 0;
        for (size_t i = s->from; i < s->to; i++) {
            double c = s->p->victims[i].gone || holds(&d, (uint32_t)i) ? 0 : covers(s, left, i);
            if (c > most) {
                most = c;
                best = i;
            }
        }
        if (best == SIZE_MAX)
            return;
        add(s->p, &d, best);
        left = less(left, &s->p->victims[best]);
    }
    if (!suffices(s, &d, left))
        return;
    give_back(s, &d, &left);
    offer(s, &d, left);
}

static bool has_port(const Pb__Alloc *alloc, uint32_t port)
{
    for (size_t i = 0; i < alloc->n_ports; i++)
        if (alloc->ports[i]->value == port)
            return true;
    return false;
}

static bool is_taken(const struct taken_port *t, uint32_t port)
{
    for (; t != NULL; t = t->next)
        if (t->port == port)
            return true;
    return false;
}

/* Whoever holds a static port that is asked for must go. False: it cannot. */
static bool clear_ports(struct search *s, struct need *left)
{
    const struct ask *k = &s->c->ask;
    uint32_t slot = s->c->rank.slots[s->candidate];
    for (size_t i = 0; i < k->fixed_count; i++) {
        uint32_t port = k->fixed[i]->value;
        if (is_taken(s->c->rank.taken[s->candidate], port))
            return false;
        if (fleet_port_is_free(s->p->fleet, slot, port))
            continue;
        size_t v = s->from;
        while (v < s->to && (s->p->victims[v].gone || !has_port(s->p->victims[v].alloc, port)))
            v++;
        if (v == s->to || s->must.count == PREEMPT_MOST)
            return false;
        if (holds(&s->must, (uint32_t)v))
            continue;
        add(s->p, &s->must, v);
        *left = less(*left, &s->p->victims[v]);
    }
    return true;
}

static bool only_lacks_room(const struct planner *p, const struct contest *c, uint32_t i)
{
    const struct rank *r = &c->rank;
    size_t lack = rank_exhausted(r, p->fleet, i);
    bool closed = r->cells != NULL && cells_closed_by(r->cells, i) != NULL;
    bool room = lack <= EXHAUSTED_DISK || lack >= EXHAUSTED_STATIC;
    return room && !closed && !(r->distinct_hosts && r->others[i] > 0) && !c->ask.conflicting &&
           r->dynamic_ports[i] >= c->ask.dynamic_count;
}

static void look_at(const struct planner *p, const struct contest *c, uint32_t i,
                    struct displacing *best, bool *found)
{
    struct search s = {.p = p, .c = c, .candidate = i, .must = {.candidate = i}};
    s.from = s.to = first_on(p, c->rank.slots[i]);
    while (s.to < p->victim_count && p->victims[s.to].slot == c->rank.slots[i])
        s.to++;
    struct need left = need_of(c, i);
    s.by_piece = left.cores > 0 || lacks_devices(c, i);
    if (s.from == s.to || !only_lacks_room(p, c, i) || !clear_ports(&s, &left))
        return;
    s.first = left;
    int most = s.to - s.from <= MOST_EXACT ? 3 : 2;
    for (int more = 0; more <= most && !s.found; more++)
        if (s.must.count + (size_t)more <= PREEMPT_MOST)
            look_for(&s, &s.must, left, s.from, more);
    if (!s.found)
        take_greedily(&s, left);
    if (s.found && (!*found || is_better(&s.best, best)))
        *best = s.best;
    *found = *found || s.found;
}

bool preempt_find(const struct planner *p, const struct contest *c, uint32_t only,
                  struct displacing *out)
{
    bool found = false;
    if (p->victim_count == 0)
        return false;
    if (only != UINT32_MAX)
        look_at(p, c, only, out, &found);
    for (uint32_t i = 0; only == UINT32_MAX && i < c->rank.count; i++)
        look_at(p, c, i, out, &found);
    return found;
}

/* ---- carrying it out */

static Pb__Displaced *displaced_message(struct arena *a, const Pb__Alloc *alloc)
{
    Pb__Displaced *d = arena_array(a, Pb__Displaced, 1);
    pb__displaced__init(d);
    d->has_alloc_id = 1;
    d->alloc_id = alloc->id;
    d->resources = alloc->resources;
    d->ports = arena_array(a, uint32_t, alloc->n_ports + 1);
    for (size_t i = 0; i < alloc->n_ports; i++)
        d->ports[d->n_ports++] = alloc->ports[i]->value;
    return d;
}

/* Cores and devices go from hand to hand: those of whoever goes come first among what was given. */
static void hand_over(struct planner *p, struct rank *r, uint32_t i, struct at_node *at,
                      const Pb__Alloc *alloc, bool make)
{
    struct given **head = at != NULL ? &at->given : r->given != NULL ? &r->given[i] : NULL;
    if (head == NULL || alloc->n_grants == 0)
        return;
    if (make) {
        struct given *back = arena_array(p->arena, struct given, 1);
        *back = (struct given){*head, alloc->grants, alloc->n_grants, true};
        *head = back;
    } else
        *head = (*head)->next;
    if (r->given != NULL)
        r->given[i] = *head;
}

void preempt_make_room(struct planner *p, struct contest *c, const struct displacing *d, bool make)
{
    struct rank *r = &c->rank;
    uint32_t i = d->candidate;
    struct at_node *at = p->at_node != NULL ? &p->at_node[r->slots[i]] : NULL;
    int sign = make ? 1 : -1;
    for (size_t k = 0; k < d->count; k++) {
        struct victim *v = &p->victims[d->victims[k]];
        const Pb__Amount *size = size_of(v);
        v->gone = make;
        r->cpu[i] += sign * (int32_t)size->cpu;
        r->memory[i] += sign * (int32_t)size->memory_mb;
        r->disk[i] += sign * (int32_t)size->disk_mb;
        hand_over(p, r, i, at, v->alloc, make);
        if (at == NULL)
            continue;
        at->cpu -= sign * (int64_t)size->cpu;
        at->memory -= sign * (int64_t)size->memory_mb;
        at->disk -= sign * (int64_t)size->disk_mb;
    }
    if (r->ask->pieces != NULL)
        rank_look(r, p->fleet, i);
}

void preempt_write_down(struct planner *p, const struct displacing *d, Pb__Placement *n)
{
    n->preempts = arena_array(p->arena, Pb__Displaced *, d->count + 1);
    for (size_t k = 0; k < d->count; k++)
        n->preempts[n->n_preempts++] = displaced_message(p->arena, p->victims[d->victims[k]].alloc);
    p->displaced += d->count;
}

/* ---- which nodes to ask about */

struct near {
    uint32_t candidate;
    double cost;
};

static int by_cost(const void *a, const void *b)
{
    const struct near *x = a, *y = b;
    if (x->cost != y->cost)
        return x->cost < y->cost ? -1 : 1;
    return x->candidate < y->candidate ? -1 : x->candidate > y->candidate;
}

void preempt_list_nodes(struct planner *p, const struct contest *c)
{
    struct sched_short *out = p->options.short_of_room;
    if (out == NULL || p->job->priority <= PREEMPT_GAP)
        return;
    struct near *all = arena_array(p->arena, struct near, c->rank.count + 1);
    size_t n = 0;
    for (uint32_t i = 0; i < c->rank.count; i++) {
        if (!only_lacks_room(p, c, i))
            continue;
        struct need need = need_of(c, i);
        uint32_t slot = c->rank.slots[i];
        const struct stock *s = p->fleet->stock[slot];
        all[n++] = (struct near){i, share(need.cpu, c->rank.cpu_total[i]) +
                                        share(need.memory, c->rank.memory_total[i]) +
                                        share(need.disk, p->fleet->disk[slot]) +
                                        share(need.cores, s != NULL ? (int32_t)s->core_count : 0) +
                                        (lacks_devices(c, i) ? 1 : 0)};
    }
    qsort(all, n, sizeof(*all), by_cost);
    for (size_t i = out->skip; i < n && out->count < SCHED_SHORT_MOST; i++)
        memcpy(out->ids[out->count++].bytes, p->fleet->ids[c->rank.slots[all[i].candidate]].bytes,
               ID_SIZE);
    out->more = out->more || n > out->skip + SCHED_SHORT_MOST;
}
