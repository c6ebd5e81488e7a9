#include "collect.h"
#include "base/err.h"
#include "wire/wire.h"
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS   1000000ll
#define MOST_PASSES 100
#define MOMENTS     4096

static const Pb__Table__Name tables[] = {PB__TABLE__NAME__EVALS, PB__TABLE__NAME__DEPLOYMENTS,
                                         PB__TABLE__NAME__JOBS, PB__TABLE__NAME__NODES};

struct moment {
    uint64_t index;
    int64_t time;
};

struct collect {
    struct collect_settings settings;
    struct moment moments[MOMENTS]; /* oldest first */
    size_t moment_count;
    int64_t spacing_ns; /* between two of them at least */
    /* the round */
    bool running, forced, deleted;
    int64_t now;
    size_t table; /* of tables */
    Pb__Key *after;
    struct arena *arena; /* of after */
    struct collect_counts counts;
};

static uint64_t least(const struct collect_settings *s)
{
    const uint64_t all[] = {s->job_threshold_ms, s->deployment_threshold_ms, s->node_threshold_ms};
    uint64_t ms = all[0];
    for (size_t i = 1; i < sizeof all / sizeof all[0]; i++)
        if (all[i] < ms)
            ms = all[i];
    return ms;
}

struct collect *collect_new(const struct collect_settings *s)
{
    struct collect *c = xcalloc(1, sizeof *c);
    c->settings = *s;
    c->spacing_ns = (int64_t)(least(s) / 8) * NS_PER_MS;
    c->arena = arena_new(64 << 10);
    return c;
}

void collect_free(struct collect *c)
{
    if (c == NULL)
        return;
    arena_free(c->arena);
    free(c);
}

/* ---- ages of indexes */

/* Half as fine, so that the old ones stay. */
static void thin_out(struct collect *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->moment_count; i += 2)
        c->moments[n++] = c->moments[i];
    c->moment_count = n;
    c->spacing_ns *= 2;
}

void collect_witness(struct collect *c, uint64_t index, int64_t now_ns)
{
    if (c->moment_count > 0) {
        const struct moment *last = &c->moments[c->moment_count - 1];
        if (index <= last->index || now_ns - last->time < c->spacing_ns)
            return;
    }
    if (c->moment_count == MOMENTS)
        thin_out(c);
    c->moments[c->moment_count++] = (struct moment){index, now_ns};
}

/* The newest index that was reached then already; 0: none that we know of. */
static uint64_t index_at(const struct collect *c, int64_t time)
{
    size_t i = c->moment_count;
    while (i > 0 && c->moments[i - 1].time > time)
        i--;
    return i > 0 ? c->moments[i - 1].index : 0;
}

/* ---- the round */

void collect_begin(struct collect *c, bool force, int64_t now_ns)
{
    c->running = true;
    c->forced = force;
    c->deleted = false;
    c->now = now_ns;
    c->table = 0;
    c->after = NULL;
    c->counts = (struct collect_counts){.passes = 1};
}

bool collect_is_forced(const struct collect *c)
{
    return c->forced;
}

static uint64_t threshold_ms(const struct collect *c, Pb__Table__Name table)
{
    switch (table) {
    case PB__TABLE__NAME__EVALS:
        return c->settings.eval_threshold_ms;
    case PB__TABLE__NAME__DEPLOYMENTS:
        return c->settings.deployment_threshold_ms;
    case PB__TABLE__NAME__JOBS:
        return c->settings.job_threshold_ms;
    default:
        return c->settings.node_threshold_ms;
    }
}

static int64_t before(const struct collect *c, uint64_t threshold)
{
    uint64_t now_ms = (uint64_t)(c->now / NS_PER_MS);
    return c->forced             ? INT64_MAX
           : threshold >= now_ms ? 0
                                 : (int64_t)(now_ms - threshold) * NS_PER_MS;
}

/* On to the next table, or through all of them again. */
static void advance(struct collect *c)
{
    if (++c->table < sizeof tables / sizeof tables[0])
        return;
    if (c->deleted && c->counts.passes < MOST_PASSES) {
        c->table = 0;
        c->deleted = false;
        c->counts.passes++;
    } else {
        c->running = false;
    }
}

Pb__CollectRead *collect_next(struct collect *c, struct arena *a)
{
    if (!c->running)
        return NULL;
    Pb__CollectRead *q = arena_alloc(a, sizeof *q);
    pb__collect_read__init(q);
    q->has_table = q->has_limit = q->has_before = q->has_batch_before = q->has_index = true;
    q->table = tables[c->table];
    q->after = c->after;
    q->limit = c->settings.piece;
    q->before = before(c, threshold_ms(c, q->table));
    q->batch_before = before(c, c->settings.batch_eval_threshold_ms);
    q->index = c->forced ? UINT64_MAX : index_at(c, q->before);
    return q;
}

Pb__Collect *collect_found(struct collect *c, const Pb__CollectFound *found)
{
    if (found->next != NULL) {
        arena_reset(c->arena);
        c->after = (Pb__Key *)wire_clone(c->arena, &found->next->base);
    } else {
        c->after = NULL;
    }
    Pb__Collect *f = found->collect;
    if (f != NULL) {
        c->counts.evals += f->n_evals;
        c->counts.allocs += f->n_allocs;
        c->counts.deployments += f->n_deployments;
        c->counts.jobs += f->n_jobs;
        c->counts.nodes += f->n_nodes;
    } else if (found->next == NULL) {
        advance(c);
    }
    return f;
}

void collect_applied(struct collect *c, const Pb__Outcome *outcome)
{
    if (outcome->code == PB__OUTCOME__CODE__APPLIED && !outcome->unchanged)
        c->deleted = true;
    if (c->after == NULL)
        advance(c);
}

struct collect_counts collect_count(const struct collect *c)
{
    return c->counts;
}
