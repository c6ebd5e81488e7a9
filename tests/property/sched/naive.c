#include "naive.h"
#include "naive_pieces.h"
#include "sched/reconcile.h"
#include <criterion/criterion.h>
#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct at {
    int64_t cpu, memory, disk; /* taken by the plan */
    uint32_t of_job, of_group;
    uint32_t port; /* a static one taken by the plan */
    struct naive_pieces pieces;
};

struct follower {
    struct onejob *c;
    const Pb__Job *job;
    const Pb__TaskGroup *group;
    const char *label;
    bool penalized[ONEJOB_NODES];
    struct at at[ONEJOB_NODES];
};

static const char *pair_value(Pb__KeyValue *const *pairs, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(pairs[i]->key, key) == 0)
            return pairs[i]->value;
    return NULL;
}

static const char *attribute(const Pb__Node *n, const char *target)
{
    char key[128];
    if (sscanf(target, "${attr.%100[^}]}", key) == 1)
        return pair_value(n->attributes, n->n_attributes, key);
    if (strcmp(target, "${node.unique.name}") == 0)
        return n->name;
    if (strcmp(target, "${node.datacenter}") == 0)
        return n->datacenter;
    return target;
}

static bool regexp_matches(const char *text, const char *pattern)
{
    regex_t r;
    cr_assert_eq(regcomp(&r, pattern, REG_EXTENDED | REG_NOSUB), 0);
    bool matches = regexec(&r, text, 0, NULL, 0) == 0;
    regfree(&r);
    return matches;
}

static uint32_t number(const char *text)
{
    return (uint32_t)strtoul(text, NULL, 10);
}

static bool compares(const char *left, const char *operand, const char *right)
{
    if (strcmp(operand, "=") == 0)
        return strcmp(left, right) == 0;
    if (strcmp(operand, ">=") == 0)
        return number(left) >= number(right);
    return regexp_matches(left, right); /* no other is asked for */
}

static bool holds(const Pb__Node *n, const char *left, const char *operand, const char *right)
{
    const char *l = attribute(n, left), *r = attribute(n, right);
    if (strcmp(operand, "is_set") == 0 || strcmp(operand, "distinct_property") == 0)
        return l != NULL;
    if (strcmp(operand, "!=") == 0)
        return l == NULL || strcmp(l, r) != 0;
    return l != NULL && compares(l, operand, r);
}

static bool all_hold(const Pb__Node *n, Pb__Constraint *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i]->operand, "distinct_hosts") != 0 &&
            !holds(n, list[i]->l_target, list[i]->operand, list[i]->r_target))
            return false;
    return true;
}

/* "dc*" and the like. */
static bool names(const char *pattern, const char *name)
{
    if (*pattern == '*')
        return names(pattern + 1, name) || (*name != '\0' && names(pattern, name + 1));
    if (*pattern == '\0' || *name == '\0')
        return *pattern == *name;
    return (*pattern == '?' || *pattern == *name) && names(pattern + 1, name + 1);
}

static bool is_in_its_place(const Pb__Job *job, const Pb__Node *n)
{
    const char *wanted = job->node_pool != NULL ? job->node_pool : "default";
    const char *pool = n->node_pool != NULL ? n->node_pool : "default";
    bool named = false;
    for (size_t i = 0; i < job->n_datacenters; i++)
        named |= names(job->datacenters[i], n->datacenter);
    return named && (strcmp(wanted, "all") == 0 || strcmp(wanted, pool) == 0);
}

static bool has_volume(const Pb__Node *n, const Pb__VolumeRequest *v)
{
    for (size_t i = 0; i < n->n_host_volumes; i++)
        if (strcmp(n->host_volumes[i]->name, v->source) == 0)
            return v->read_only || !n->host_volumes[i]->read_only;
    return false;
}

static bool has_volumes(const Pb__Node *n, const Pb__TaskGroup *g)
{
    for (size_t i = 0; i < g->n_volumes; i++)
        if (!has_volume(n, g->volumes[i]))
            return false;
    return true;
}

static bool may_be_on(const struct follower *w, const Pb__Node *n)
{
    return n->status == PB__NODE__STATUS__READY && !n->drain &&
           n->eligibility == PB__NODE__ELIGIBILITY__ELIGIBLE && is_in_its_place(w->job, n) &&
           n->drivers[0]->healthy && all_hold(n, w->job->constraints, w->job->n_constraints) &&
           all_hold(n, w->group->constraints, w->group->n_constraints) && has_volumes(n, w->group);
}

static uint32_t fixed_port(const Pb__TaskGroup *g)
{
    return g->n_networks > 0 && g->networks[0]->n_reserved_ports > 0
               ? g->networks[0]->reserved_ports[0]->value
               : 0;
}

static bool port_is_free(const struct follower *w, size_t node, uint32_t port)
{
    const Pb__NodeUsage *u = w->c->usages[node];
    for (size_t i = 0; i < u->n_ports; i++)
        if (u->ports[i] == port)
            return false;
    return w->at[node].port != port;
}

static bool has_room(const struct follower *w, size_t node)
{
    const Pb__NodeUsage *u = w->c->usages[node];
    const struct at *at = &w->at[node];
    const Pb__Resources *ask = w->group->tasks[0]->resources;
    uint32_t port = fixed_port(w->group);
    uint32_t cpu = ask->cpu + naive_cores_cpu(&at->pieces, ask);
    return naive_pieces_fit(&at->pieces, ask) && at->cpu + u->used->cpu + cpu <= u->capacity->cpu &&
           at->memory + u->used->memory_mb + ask->memory_mb <= u->capacity->memory_mb &&
           at->disk + u->used->disk_mb + ask->disk_mb <= u->capacity->disk_mb &&
           (port == 0 || port_is_free(w, node, port));
}

/* How many allocations of the group, or of the whole job, are where the attribute has this value.
 */
static uint32_t count_with(const struct follower *w, const char *target, const char *value,
                           bool of_job)
{
    uint32_t n = 0;
    for (size_t i = 0; i < w->c->node_count; i++) {
        const char *own = attribute(w->c->nodes[i], target);
        if (own != NULL && strcmp(own, value) == 0)
            n += of_job ? w->at[i].of_job : w->at[i].of_group;
    }
    return n;
}

static bool distinct_allows(const struct follower *w, size_t node, Pb__Constraint *const *list,
                            size_t count, bool of_job)
{
    for (size_t i = 0; i < count; i++) {
        const Pb__Constraint *k = list[i];
        const struct at *at = &w->at[node];
        if (strcmp(k->operand, "distinct_hosts") == 0 && (of_job ? at->of_job : at->of_group) > 0)
            return false;
        if (strcmp(k->operand, "distinct_property") == 0 &&
            count_with(w, k->l_target, attribute(w->c->nodes[node], k->l_target), of_job) >=
                number(k->r_target))
            return false;
    }
    return true;
}

static bool is_open(const struct follower *w, size_t node)
{
    return may_be_on(w, w->c->nodes[node]) && has_room(w, node) &&
           distinct_allows(w, node, w->job->constraints, w->job->n_constraints, true) &&
           distinct_allows(w, node, w->group->constraints, w->group->n_constraints, false);
}

/* ---- the score */

/* By how much the node's value is short of its share; false: it has none. A share of an even spread
 * is 0: then the one that has least is shortest. */
static bool shortage(const struct follower *w, const Pb__Spread *s, size_t node, double *out)
{
    const char *value = attribute(w->c->nodes[node], s->attribute);
    if (value == NULL)
        return false;
    *out = -(double)count_with(w, s->attribute, value, false);
    if (s->n_spread_target == 0)
        return true;
    uint32_t sum = 0;
    for (size_t i = 0; i < s->n_spread_target; i++)
        sum += s->spread_target[i]->percent;
    double named = 0, all = 0;
    for (size_t i = 0; i < s->n_spread_target; i++) {
        named += count_with(w, s->attribute, s->spread_target[i]->value, false);
        if (strcmp(s->spread_target[i]->value, value) == 0) {
            *out += s->spread_target[i]->percent * (double)w->group->count / 100;
            return true;
        }
    }
    for (size_t i = 0; i < w->c->node_count; i++)
        if (attribute(w->c->nodes[i], s->attribute) != NULL)
            all += w->at[i].of_group;
    *out = (100 - sum) * (double)w->group->count / 100 - (all - named);
    return sum < 100;
}

static double spread_part(const struct follower *w, const Pb__Spread *s, size_t node)
{
    double own, best = -INFINITY, other;
    for (size_t i = 0; i < w->c->node_count; i++)
        if (is_open(w, i) && shortage(w, s, i, &other))
            best = fmax(best, other);
    return shortage(w, s, node, &own) && own > best - 1e-9 ? 1 : -1;
}

static double affinity_part(const struct follower *w, size_t node, double *weights)
{
    const Pb__TaskGroup *g = w->group;
    double sum = 0;
    *weights = 0;
    for (size_t i = 0; i < w->job->n_affinities + g->n_affinities; i++) {
        const Pb__Affinity *f = i < w->job->n_affinities ? w->job->affinities[i]
                                                         : g->affinities[i - w->job->n_affinities];
        *weights += abs(f->weight);
        if (holds(w->c->nodes[node], f->l_target, f->operand, f->r_target))
            sum += f->weight;
    }
    return sum;
}

static double score(const struct follower *w, size_t node)
{
    const Pb__NodeUsage *u = w->c->usages[node];
    const struct at *at = &w->at[node];
    const Pb__TaskGroup *g = w->group;
    const Pb__Resources *ask = g->tasks[0]->resources;
    double cpu = (double)u->capacity->cpu - u->used->cpu - (double)at->cpu - ask->cpu -
                 naive_cores_cpu(&at->pieces, ask);
    double memory =
        (double)u->capacity->memory_mb - u->used->memory_mb - (double)at->memory - ask->memory_mb;
    double full =
        (20 - pow(10, cpu / u->capacity->cpu) - pow(10, memory / u->capacity->memory_mb)) / 18;
    bool empty_first =
        w->job->scheduler_algorithm != NULL && strcmp(w->job->scheduler_algorithm, "spread") == 0;
    double sum = empty_first ? 1 - full : full, parts = 1, weights;
    if (at->of_group > 0)
        sum -= (at->of_group + 1.0) / g->count, parts++;
    if (w->penalized[node])
        sum -= 1, parts++;
    double affinity = affinity_part(w, node, &weights);
    if (weights > 0)
        sum += affinity / weights, parts++;
    double devices = naive_device_affinity(&at->pieces, ask, &weights);
    if (weights > 0)
        sum += devices / weights, parts++;
    size_t spreads = w->job->n_spreads + g->n_spreads;
    if (spreads == 0)
        return sum / parts;
    double spread = 0;
    weights = 0;
    for (size_t i = 0; i < spreads; i++) {
        const Pb__Spread *s = i < g->n_spreads ? g->spreads[i] : w->job->spreads[i - g->n_spreads];
        spread += s->weight * spread_part(w, s, node);
        weights += s->weight;
    }
    return (sum / parts + spread / weights) / 2;
}

/* ---- following a plan */

static size_t node_of(const struct follower *w, ProtobufCBinaryData id)
{
    for (size_t i = 0; i < w->c->node_count; i++)
        if (id_equal(w->c->nodes[i]->id.data, id.data))
            return i;
    cr_assert_fail("%s: placed on a node that is not there", w->label);
    return 0;
}

static const Pb__Alloc *alloc_of(const struct onejob *c, ProtobufCBinaryData id)
{
    for (size_t i = 0; i < c->view.n_allocs; i++)
        if (id_equal(c->view.allocs[i]->id.data, id.data))
            return c->view.allocs[i];
    return NULL;
}

/* Those of an older version that go on only because there is no room for their successors do not
 * count: they are not what the job wants. */
static bool stays(const struct onejob *c, const Pb__Plan *plan, const Pb__Alloc *alloc)
{
    bool current = alloc->job_version == c->view.job->version;
    for (size_t i = 0; i < plan->n_in_place; i++)
        current |= id_equal(plan->in_place[i]->alloc_id.data, alloc->id.data);
    for (size_t i = 0; i < plan->n_stops; i++)
        current &= !id_equal(plan->stops[i]->alloc_id.data, alloc->id.data);
    return current && alloc->desired == PB__ALLOC__DESIRED__RUN && !alloc_is_terminal(alloc);
}

static void start(struct follower *w, struct onejob *c, const Pb__Plan *plan, const char *label)
{
    *w = (struct follower){.c = c, .job = c->view.job, .label = label};
    for (size_t i = 0; i < c->node_count; i++)
        w->at[i].pieces = (struct naive_pieces){.node = c->nodes[i], .usage = c->usages[i]};
    for (size_t i = 0; i < c->view.n_allocs; i++)
        if (stays(c, plan, c->view.allocs[i]))
            w->at[node_of(w, c->view.allocs[i]->node_id)].of_job++;
}

static void begin_group(struct follower *w, const Pb__TaskGroup *g, const Pb__Plan *plan)
{
    w->group = g;
    for (size_t i = 0; i < w->c->node_count; i++)
        w->at[i].of_group = 0;
    for (size_t i = 0; i < w->c->view.n_allocs; i++) {
        const Pb__Alloc *alloc = w->c->view.allocs[i];
        if (stays(w->c, plan, alloc) && strcmp(alloc->task_group, g->name) == 0)
            w->at[node_of(w, alloc->node_id)].of_group++;
    }
}

static bool is_sticky(const Pb__TaskGroup *g)
{
    return g->ephemeral_disk != NULL && g->ephemeral_disk->sticky;
}

/* No better node; and of a sticky group no other than that of the data, if that can be. */
static void judge(const struct follower *w, size_t n, const Pb__Alloc *previous)
{
    double own = score(w, n);
    if (is_sticky(w->group) && previous != NULL && is_open(w, node_of(w, previous->node_id))) {
        cr_assert_eq(n, node_of(w, previous->node_id), "%s: away from its data", w->label);
        return;
    }
    for (size_t i = 0; i < w->c->node_count; i++)
        if (is_open(w, i))
            cr_assert(score(w, i) <= own + 1e-7, "%s: %f passed over for %f", w->label, score(w, i),
                      own);
}

/* Where it has failed, and where those that it followed have, if their failures count on. */
static void penalize(struct follower *w, const Pb__Placement *p, const Pb__Alloc *previous)
{
    memset(w->penalized, 0, sizeof w->penalized);
    bool failed = previous != NULL && previous->client_status == PB__ALLOC__CLIENT_STATUS__FAILED;
    if (previous == NULL || (!failed && p->reschedule_tracker == NULL))
        return;
    w->penalized[node_of(w, previous->node_id)] = failed;
    const Pb__RescheduleTracker *t = previous->reschedule_tracker;
    for (size_t i = 0; t != NULL && i < t->n_events; i++)
        w->penalized[node_of(w, t->events[i]->prev_node_id)] = true;
}

static void follow(struct follower *w, const Pb__Placement *p, bool judged)
{
    size_t n = node_of(w, p->node_id);
    const Pb__Alloc *previous =
        p->previous_alloc.len > 0 ? alloc_of(w->c, p->previous_alloc) : NULL;
    penalize(w, p, previous);
    cr_assert(is_open(w, n), "%s: on a node where it may not be, or that is full", w->label);
    if (judged)
        judge(w, n, previous);
    const Pb__Resources *ask = w->group->tasks[0]->resources;
    naive_pieces_take(&w->at[n].pieces, ask, p, w->label);
    w->at[n].cpu += ask->cpu + naive_cores_cpu(&w->at[n].pieces, ask);
    w->at[n].memory += ask->memory_mb;
    w->at[n].disk += ask->disk_mb;
    w->at[n].of_job++;
    w->at[n].of_group++;
    if (fixed_port(w->group) > 0)
        w->at[n].port = fixed_port(w->group);
}

static bool has_failed(const Pb__Plan *plan, const char *group)
{
    for (size_t i = 0; i < plan->n_failed_groups; i++)
        if (strcmp(plan->failed_groups[i]->task_group, group) == 0)
            return true;
    return false;
}

static void follow_group(struct follower *w, const Pb__TaskGroup *g, const Pb__Plan *plan,
                         bool judged)
{
    begin_group(w, g, plan);
    for (size_t i = 0; i < plan->n_placements; i++)
        if (strcmp(plan->placements[i]->task_group, g->name) == 0)
            follow(w, plan->placements[i], judged);
}

/* An allocation of the sticky group is on its way out: another may wait for its place. */
static bool waits_for_home(const struct follower *w, const Pb__Plan *plan)
{
    for (size_t i = 0; is_sticky(w->group) && i < w->c->view.n_allocs; i++) {
        const Pb__Alloc *alloc = w->c->view.allocs[i];
        bool stops = alloc->desired != PB__ALLOC__DESIRED__RUN;
        for (size_t k = 0; k < plan->n_stops; k++)
            stops |= id_equal(plan->stops[k]->alloc_id.data, alloc->id.data);
        if (stops && !alloc_is_terminal(alloc) && strcmp(alloc->task_group, w->group->name) == 0)
            return true;
    }
    return false;
}

static void check_nothing_is_open(const struct follower *w)
{
    for (size_t i = 0; i < w->c->node_count; i++)
        cr_assert(!is_open(w, i), "%s: not placed though there is room", w->label);
}

void naive_check(struct onejob *c, const Pb__Plan *plan, const char *label)
{
    struct follower w;
    start(&w, c, plan, label);
    for (size_t g = 0; g < c->view.job->n_task_groups; g++) {
        follow_group(&w, c->view.job->task_groups[g], plan, true);
        if (has_failed(plan, w.group->name) && !waits_for_home(&w, plan))
            check_nothing_is_open(&w);
    }
}

static void check_even(const struct follower *w, const Pb__Spread *s)
{
    double lowest_open = INFINITY, highest = -INFINITY, own;
    for (size_t i = 0; i < w->c->node_count; i++) {
        if (!shortage(w, s, i, &own))
            continue;
        if (is_open(w, i))
            lowest_open = fmin(lowest_open, -own);
        highest = fmax(highest, -own);
    }
    cr_assert(highest <= lowest_open + 1, "%s: %f and %f though there is room", w->label, highest,
              lowest_open);
}

/* None is short by a whole one though there is a node for it. */
static void check_targets(const struct follower *w, const Pb__Spread *s)
{
    double own;
    for (size_t i = 0; i < w->c->node_count; i++)
        if (shortage(w, s, i, &own) && is_open(w, i))
            cr_assert(own < 1, "%s: %f short of its share", w->label, own);
}

void naive_check_shares(struct onejob *c, const Pb__Plan *plan, const char *label)
{
    struct follower w;
    start(&w, c, plan, label);
    for (size_t g = 0; g < c->view.job->n_task_groups; g++) {
        follow_group(&w, c->view.job->task_groups[g], plan, false);
        if (w.group->n_spreads + c->view.job->n_spreads != 1)
            continue;
        const Pb__Spread *s =
            w.group->n_spreads > 0 ? w.group->spreads[0] : c->view.job->spreads[0];
        if (s->n_spread_target == 0)
            check_even(&w, s);
        else
            check_targets(&w, s);
    }
}
