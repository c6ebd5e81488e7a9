#include "sched/metrics.h"
#include "sched/rows.h"
#include "wire/wire.h"
#include <stdlib.h>
#include <string.h>

void tally_init(struct tally *t, struct arena *a, const struct fleet *f, const struct feasible *x)
{
    *t = (struct tally){
        .ready_of_kind = arena_array(a, uint32_t, f->kind_count + 1),
        .unique_of_kind = arena_array(a, uint32_t, f->kind_count + 1),
        .unique_room = x->unique_count,
        .unique = arena_array(a, struct unique_reason, x->unique_count + 1),
    };
}

void tally_unique(struct tally *t, uint32_t kind, const char *reason)
{
    t->unique_filtered++;
    t->unique_of_kind[kind]++;
    for (size_t i = 0; i < t->unique_count; i++)
        if (strcmp(t->unique[i].text, reason) == 0) {
            t->unique[i].count++;
            return;
        }
    if (t->unique_count < t->unique_room)
        t->unique[t->unique_count++] = (struct unique_reason){reason, 1};
}

/* ---- lists of counts, by name */

struct counts {
    struct arena *arena;
    Pb__CountOf **list;
    size_t count, room;
};

static void add_count(struct counts *c, const char *name, uint32_t by)
{
    if (name == NULL || name[0] == '\0' || by == 0)
        return;
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->list[i]->name, name) == 0) {
            c->list[i]->count += by;
            return;
        }
    if (c->count == c->room) {
        size_t room = c->room * 2 + 4;
        Pb__CountOf **list = arena_array(c->arena, Pb__CountOf *, room);
        if (c->count > 0)
            memcpy(list, c->list, c->count * sizeof(*list));
        c->list = list;
        c->room = room;
    }
    Pb__CountOf *n = arena_array(c->arena, Pb__CountOf, 1);
    pb__count_of__init(n);
    n->name = arena_strdup(c->arena, name);
    n->has_count = 1;
    n->count = by;
    c->list[c->count++] = n;
}

static int compare_counts(const void *a, const void *b)
{
    return strcmp((*(Pb__CountOf *const *)a)->name, (*(Pb__CountOf *const *)b)->name);
}

static Pb__CountOf **sorted(struct counts *c, size_t *count)
{
    if (c->count > 1)
        qsort(c->list, c->count, sizeof(*c->list), compare_counts);
    *count = c->count;
    return c->list;
}

/* ---- */

static void count_filtered(Pb__PlacementMetrics *m, struct arena *a, const struct fleet *f,
                           const struct feasible *x, const struct tally *t)
{
    struct counts available = {.arena = a}, classes = {.arena = a}, reasons = {.arena = a};
    for (uint32_t i = 0; i < f->kind_count; i++) {
        const struct kind *k = &f->kinds[i];
        uint32_t n = t->ready_of_kind[i];
        if (k->nodes == 0 || x->elsewhere[i] || n == 0)
            continue;
        m->nodes_evaluated += n;
        add_count(&available, k->datacenter, n);
        if (x->verdicts[i] != NULL) {
            m->nodes_filtered += n;
            add_count(&classes, k->node_class, n);
            add_count(&reasons, x->verdicts[i], n);
        } else {
            m->nodes_filtered += t->unique_of_kind[i];
            add_count(&classes, k->node_class, t->unique_of_kind[i]);
        }
    }
    for (size_t i = 0; i < t->unique_count; i++)
        add_count(&reasons, t->unique[i].text, t->unique[i].count);
    m->nodes_available = sorted(&available, &m->n_nodes_available);
    m->class_filtered = sorted(&classes, &m->n_class_filtered);
    m->constraint_filtered = sorted(&reasons, &m->n_constraint_filtered);
}

static const char *dimension_name(struct arena *a, const struct ask *k, size_t exhausted)
{
    switch (exhausted) {
    case EXHAUSTED_CORES:
        return "cores";
    case EXHAUSTED_CPU:
        return "cpu";
    case EXHAUSTED_MEMORY:
        return "memory";
    case EXHAUSTED_DISK:
        return "disk";
    case EXHAUSTED_CONFLICT:
        return "network: static port asked for twice";
    case EXHAUSTED_DYNAMIC:
        return "network: dynamic port selection failed";
    default:
        return arena_printf(a, "network: port %u taken",
                            k->fixed[exhausted - EXHAUSTED_STATIC]->value);
    }
}

/* The distinct ones are constraints, though only what was placed decides about them. */
static const char *distinct_reason(const struct rank *r, const struct fleet *f, uint32_t i)
{
    size_t dimension = rank_exhausted(r, f, i);
    if (dimension == EXHAUSTED_HOSTS)
        return "distinct_hosts";
    return dimension == EXHAUSTED_NOT && r->cells != NULL ? cells_closed_by(r->cells, i) : NULL;
}

static void count_exhausted(Pb__PlacementMetrics *m, struct arena *a, const struct fleet *f,
                            const struct rank *r)
{
    uint32_t *by_dimension = arena_array(a, uint32_t, EXHAUSTED_STATIC + r->ask->fixed_count + 1);
    uint32_t *by_kind = arena_array(a, uint32_t, f->kind_count + 1);
    struct counts classes = {.arena = a}, dimensions = {.arena = a};
    struct counts reasons = {.arena = a,
                             .list = m->constraint_filtered,
                             .count = m->n_constraint_filtered,
                             .room = m->n_constraint_filtered};
    for (uint32_t i = 0; i < r->count; i++) {
        if (rank_score(r, i) > KEY_NONE)
            continue;
        const char *distinct = distinct_reason(r, f, i);
        if (distinct != NULL) {
            add_count(&reasons, distinct, 1);
            m->nodes_filtered++;
            continue;
        }
        size_t dimension = rank_exhausted(r, f, i);
        if (dimension == EXHAUSTED_DEVICES)
            add_count(&dimensions, pieces_missing(r->ask->pieces, a, f, r->slots[i], r->given[i]),
                      1);
        else
            by_dimension[dimension]++;
        by_kind[f->kind_of[r->slots[i]]]++;
        m->nodes_exhausted++;
    }
    m->constraint_filtered = sorted(&reasons, &m->n_constraint_filtered);
    for (uint32_t i = 0; i < f->kind_count; i++)
        if (by_kind[i] > 0)
            add_count(&classes, f->kinds[i].node_class, by_kind[i]);
    for (size_t i = EXHAUSTED_CORES; i < EXHAUSTED_STATIC + r->ask->fixed_count; i++)
        if (by_dimension[i] > 0)
            add_count(&dimensions, dimension_name(a, r->ask, i), by_dimension[i]);
    m->class_exhausted = sorted(&classes, &m->n_class_exhausted);
    m->dimension_exhausted = sorted(&dimensions, &m->n_dimension_exhausted);
}

static Pb__ScorePart *new_part(struct arena *a, const char *name, double score)
{
    Pb__ScorePart *p = arena_array(a, Pb__ScorePart, 1);
    pb__score_part__init(p);
    p->name = arena_strdup(a, name);
    p->has_score = 1;
    p->score = score;
    return p;
}

static Pb__NodeScore *new_score(struct arena *a, const struct fleet *f, const struct rank *r,
                                uint32_t candidate)
{
    Pb__NodeScore *s = arena_array(a, Pb__NodeScore, 1);
    pb__node_score__init(s);
    s->has_node_id = 1;
    s->node_id = wire_id(a, f->ids[r->slots[candidate]].bytes);
    s->has_norm_score = 1;
    s->norm_score = rank_score(r, candidate);
    s->parts = arena_array(a, Pb__ScorePart *, 6);
    s->parts[s->n_parts++] = new_part(a, "binpack", rank_binpack(r, candidate));
    s->parts[s->n_parts++] = new_part(a, "job-anti-affinity", rank_anti_affinity(r, candidate));
    s->parts[s->n_parts++] = new_part(a, "node-affinity", rank_affinity(r, candidate));
    s->parts[s->n_parts++] = new_part(a, "node-reschedule-penalty", rank_penalty(r, candidate));
    if (r->likes_devices)
        s->parts[s->n_parts++] = new_part(a, "devices", rank_devices(r, candidate));
    if (r->cells != NULL && cells_has_spread(r->cells))
        s->parts[s->n_parts++] =
            new_part(a, "allocation-spread", cells_spread(r->cells, candidate));
    return s;
}

static void add_best(Pb__PlacementMetrics *m, struct arena *a, const struct fleet *f,
                     const struct rank *r, uint32_t wanted)
{
    uint32_t *best = arena_array(a, uint32_t, (size_t)wanted + 1), count = 0;
    double *scores = arena_array(a, double, (size_t)wanted + 1);
    for (uint32_t i = 0; i < r->count; i++) {
        double score = rank_score(r, i);
        if (score <= KEY_NONE || (count == wanted && score <= scores[count - 1]))
            continue;
        uint32_t at = count < wanted ? count++ : count - 1;
        for (; at > 0 && scores[at - 1] < score; at--) {
            best[at] = best[at - 1];
            scores[at] = scores[at - 1];
        }
        best[at] = i;
        scores[at] = score;
    }
    m->scores = arena_array(a, Pb__NodeScore *, (size_t)count + 1);
    for (uint32_t i = 0; i < count; i++)
        m->scores[m->n_scores++] = new_score(a, f, r, best[i]);
}

Pb__PlacementMetrics *metrics_new(struct arena *a, const struct fleet *f,
                                  const Pb__TaskGroup *group, const struct feasible *x,
                                  const struct tally *t, const struct rank *r, uint32_t scores)
{
    Pb__PlacementMetrics *m = arena_array(a, Pb__PlacementMetrics, 1);
    pb__placement_metrics__init(m);
    m->task_group = group->name;
    count_filtered(m, a, f, x, t);
    count_exhausted(m, a, f, r);
    if (scores > 0)
        add_best(m, a, f, r, scores);
    m->has_nodes_evaluated = m->has_nodes_filtered = m->has_nodes_exhausted = 1;
    return m;
}
