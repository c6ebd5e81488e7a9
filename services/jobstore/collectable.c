#include "collectable.h"
#include "base/id.h"
#include "wire/template.h"
#include "wire/wire.h"
#include <stdlib.h>
#include <string.h>

struct collectable {
    struct view *view;
    struct arena *scratch; /* of one answer */
    struct arena *arena;   /* of job */
    Pb__Job *job;          /* the one that was asked for last; NULL: there is none */
    char *ns, *id;         /* its name; NULL: none was asked for */
};

struct collectable *collectable_new(struct view *v)
{
    struct collectable *c = xcalloc(1, sizeof *c);
    c->view = v;
    c->scratch = arena_new(WIRE_MAX_UNPACKED);
    c->arena = arena_new(WIRE_MAX_UNPACKED);
    return c;
}

void collectable_free(struct collectable *c)
{
    arena_free(c->scratch);
    arena_free(c->arena);
    free(c);
}

bool job_is_batch(const Pb__Job *job)
{
    return job->type != NULL &&
           (strcmp(job->type, "batch") == 0 || strcmp(job->type, "sysbatch") == 0);
}

/* Allocations come in the order of their evaluations: mostly of the job of the one before. */
static const Pb__Job *job_of(struct collectable *c, const char *ns, const char *id)
{
    ns = namespace_or_default(ns);
    if (c->id != NULL && strcmp(c->id, id) == 0 && strcmp(c->ns, ns) == 0)
        return c->job;
    arena_reset(c->arena);
    c->ns = arena_strdup(c->arena, ns);
    c->id = arena_strdup(c->arena, id);
    c->job = state_job(c->view, c->arena, c->ns, c->id);
    return c->job;
}

static bool deployment_has_ended(const Pb__Deployment *d)
{
    return d->status == PB__DEPLOYMENT__STATUS__FAILED ||
           d->status == PB__DEPLOYMENT__STATUS__SUCCESSFUL ||
           d->status == PB__DEPLOYMENT__STATUS__CANCELLED;
}

static bool eval_has_ended(const Pb__Eval *e)
{
    return e->status == PB__EVAL__STATUS__COMPLETE || e->status == PB__EVAL__STATUS__FAILED ||
           e->status == PB__EVAL__STATUS__CANCELLED;
}

/* A deployment that goes on counts it, or an evaluation will look at it. */
static bool is_awaited(struct collectable *c, const Pb__Alloc *a)
{
    Pb__Deployment *d = a->has_deployment_id && a->deployment_id.len == ID_SIZE
                            ? state_deployment(c->view, c->scratch, a->deployment_id.data)
                            : NULL;
    Pb__Eval *e = a->has_follow_up_eval && a->follow_up_eval.len == ID_SIZE
                      ? state_eval(c->view, c->scratch, a->follow_up_eval.data)
                      : NULL;
    bool awaited = (d != NULL && !deployment_has_ended(d)) || (e != NULL && !eval_has_ended(e));
    arena_reset(c->scratch);
    return awaited;
}

bool collectable_alloc(struct collectable *c, const Pb__Alloc *a)
{
    if (!alloc_has_ended(a))
        return false;
    const Pb__Job *job = job_of(c, a->namespace_, a->job_id);
    if (job == NULL || job->stop || job->create_index != a->job_create_index)
        return true;
    if (is_awaited(c, a))
        return false;
    if (a->desired == PB__ALLOC__DESIRED__STOP || a->desired == PB__ALLOC__DESIRED__EVICT ||
        a->has_next_alloc)
        return true;
    return job_is_batch(job) && a->job_version < job->version;
}

bool collectable_eval(struct collectable *c, const Pb__Eval *e)
{
    struct walk w;
    if (!eval_has_ended(e))
        return false;
    walk_open(&w, c->view, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__EVAL, NULL, NULL, e->id.data,
              NULL);
    bool has_allocs = walk_next(&w) != NULL;
    walk_close(&w);
    return !has_allocs;
}

/* The newest of a job tells the scheduler whether the present version was rolled out. */
bool collectable_deployment(struct collectable *c, const Pb__Deployment *d)
{
    if (!deployment_has_ended(d))
        return false;
    const Pb__Job *job = job_of(c, d->namespace_, d->job_id);
    if (job == NULL || job->stop || job->create_index != d->job_create_index)
        return true;
    Pb__Deployment *newest = state_latest_deployment(c->view, c->scratch, d->namespace_, d->job_id);
    bool is_newest = newest != NULL && id_equal(newest->id.data, d->id.data);
    arena_reset(c->scratch);
    return !is_newest;
}

static bool all_allocs_ended(struct collectable *c, Pb__List__By by, const Pb__Job *job,
                             const uint8_t *node)
{
    struct walk w;
    const uint8_t *id;
    bool ended = true;
    walk_open(&w, c->view, PB__TABLE__NAME__ALLOCS, by, job != NULL ? job->namespace_ : NULL,
              job != NULL ? job->id : NULL, node, NULL);
    while (ended && (id = walk_next(&w)) != NULL) {
        Pb__Alloc *a = state_alloc(c->view, c->scratch, id);
        ended = a == NULL || alloc_has_ended(a);
        arena_reset(c->scratch);
    }
    walk_close(&w);
    return ended;
}

static bool all_evals_ended(struct collectable *c, const Pb__Job *job)
{
    struct walk w;
    const uint8_t *id;
    bool ended = true;
    walk_open(&w, c->view, PB__TABLE__NAME__EVALS, PB__LIST__BY__JOB, job->namespace_, job->id,
              NULL, NULL);
    while (ended && (id = walk_next(&w)) != NULL) {
        Pb__Eval *e = state_eval(c->view, c->scratch, id);
        ended = e == NULL || eval_has_ended(e);
        arena_reset(c->scratch);
    }
    walk_close(&w);
    return ended;
}

/* They count for it, and those that wait for their turn are given it by what it says. */
static bool has_living_children(struct collectable *c, const Pb__Job *job)
{
    const Pb__JobSummary *s = state_summary(c->view, c->scratch, job->namespace_, job->id);
    bool has = s != NULL && s->children != NULL && s->children->pending + s->children->running > 0;
    arena_reset(c->scratch);
    return has;
}

bool collectable_job(struct collectable *c, const Pb__Job *job)
{
    if (job->status == NULL || strcmp(job->status, "dead") != 0)
        return false;
    if (!job->stop && (job_is_template(job) || !job_is_batch(job)))
        return false;
    if (job_is_template(job) && has_living_children(c, job))
        return false;
    return all_evals_ended(c, job) && all_allocs_ended(c, PB__LIST__BY__JOB, job, NULL);
}

bool collectable_node(struct collectable *c, const Pb__Node *n)
{
    return n->status == PB__NODE__STATUS__DOWN &&
           all_allocs_ended(c, PB__LIST__BY__NODE, NULL, n->id.data);
}
