/* What is old enough to be collected: one bounded piece of a table at a time. */
#include "query_collect.h"
#include "base/id.h"
#include "collectable.h"
#include "wire/wire.h"
#include <string.h>

#define DEFAULT_LIMIT 1000
#define MOST_FOUND    5000 /* of each kind in one answer */

struct look {
    struct view *view;
    struct arena *arena; /* of the answer */
    struct arena *scratch, *inner;
    struct collectable *rules;
    const Pb__CollectRead *q;
    Pb__Collect *found;
    size_t looked;
    size_t alloc_room;
};

static bool is_old(const struct look *l, const Pb__Job *job, const char *type, int64_t changed)
{
    bool batch =
        job != NULL ? job_is_batch(job)
                    : type != NULL && (strcmp(type, "batch") == 0 || strcmp(type, "sysbatch") == 0);
    return changed < (batch ? l->q->batch_before : l->q->before);
}

static void add_alloc(struct look *l, const Pb__Alloc *a)
{
    if (l->found->n_allocs == l->alloc_room) {
        size_t room = l->alloc_room * 2 + 64;
        ProtobufCBinaryData *ids = arena_array(l->arena, ProtobufCBinaryData, room);
        if (l->found->n_allocs > 0)
            memcpy(ids, l->found->allocs, l->found->n_allocs * sizeof *ids);
        l->found->allocs = ids;
        l->alloc_room = room;
    }
    l->found->allocs[l->found->n_allocs++] = wire_id(l->arena, a->id.data);
}

/* Its allocations that may go; true: all of them, and so it may itself. */
static bool look_at_allocs(struct look *l, const Pb__Eval *e)
{
    struct walk w;
    const uint8_t *id;
    bool all = true;
    walk_open(&w, l->view, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__EVAL, NULL, NULL, e->id.data,
              NULL);
    while ((id = walk_next(&w)) != NULL) {
        l->looked++;
        Pb__Alloc *a = l->found->n_allocs < MOST_FOUND ? state_alloc(l->view, l->inner, id) : NULL;
        bool goes =
            a != NULL && is_old(l, NULL, e->type, a->modify_time) && collectable_alloc(l->rules, a);
        if (goes)
            add_alloc(l, a);
        all &= goes;
        arena_reset(l->inner);
        if (l->found->n_allocs == MOST_FOUND)
            break; /* the others come when these have gone */
    }
    all &= l->found->n_allocs < MOST_FOUND;
    walk_close(&w);
    return all;
}

static void look_at_eval(struct look *l, struct bytes message)
{
    Pb__Eval *e = WIRE_UNPACK(l->scratch, Pb__Eval, pb__eval, message.data, message.len);
    if (e == NULL || e->status == PB__EVAL__STATUS__PENDING ||
        e->status == PB__EVAL__STATUS__BLOCKED || !is_old(l, NULL, e->type, e->modify_time))
        return;
    if (look_at_allocs(l, e))
        l->found->evals[l->found->n_evals++] = wire_id(l->arena, e->id.data);
}

static void look_at_deployment(struct look *l, struct bytes message)
{
    Pb__Deployment *d =
        WIRE_UNPACK(l->scratch, Pb__Deployment, pb__deployment, message.data, message.len);
    if (d != NULL && d->modify_index <= l->q->index && collectable_deployment(l->rules, d))
        l->found->deployments[l->found->n_deployments++] = wire_id(l->arena, d->id.data);
}

/* Whether nothing that the job did is younger than it may be. */
static bool is_long_quiet(struct look *l, const Pb__Job *job)
{
    struct walk w;
    const uint8_t *id;
    bool quiet = job->submit_time < l->q->before;
    walk_open(&w, l->view, PB__TABLE__NAME__EVALS, PB__LIST__BY__JOB, job->namespace_, job->id,
              NULL, NULL);
    while (quiet && (id = walk_next(&w)) != NULL) {
        Pb__Eval *e = state_eval(l->view, l->inner, id);
        quiet = e == NULL || e->modify_time < l->q->before;
        arena_reset(l->inner);
        l->looked++;
    }
    walk_close(&w);
    walk_open(&w, l->view, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, job->namespace_, job->id,
              NULL, NULL);
    while (quiet && (id = walk_next(&w)) != NULL) {
        Pb__Alloc *a = state_alloc(l->view, l->inner, id);
        quiet = a == NULL || a->modify_time < l->q->before;
        arena_reset(l->inner);
        l->looked++;
    }
    walk_close(&w);
    return quiet;
}

static void look_at_job(struct look *l, struct bytes message)
{
    Pb__Job *job = WIRE_UNPACK(l->scratch, Pb__Job, pb__job, message.data, message.len);
    if (job == NULL || job->modify_index > l->q->index || !collectable_job(l->rules, job) ||
        !is_long_quiet(l, job))
        return;
    Pb__JobRef *ref = arena_alloc(l->arena, sizeof *ref);
    pb__job_ref__init(ref);
    ref->namespace_ = arena_strdup(l->arena, namespace_or_default(job->namespace_));
    ref->id = arena_strdup(l->arena, job->id);
    ref->has_modify_index = true;
    ref->modify_index = job->modify_index;
    l->found->jobs[l->found->n_jobs++] = ref;
}

static void look_at_node(struct look *l, struct bytes message)
{
    Pb__Node *n = WIRE_UNPACK(l->scratch, Pb__Node, pb__node, message.data, message.len);
    if (n != NULL && n->modify_index <= l->q->index && collectable_node(l->rules, n))
        l->found->nodes[l->found->n_nodes++] = wire_id(l->arena, n->id.data);
}

typedef void look_fn(struct look *l, struct bytes message);

static look_fn *look_for(Pb__Table__Name table)
{
    switch (table) {
    case PB__TABLE__NAME__EVALS:
        return look_at_eval;
    case PB__TABLE__NAME__DEPLOYMENTS:
        return look_at_deployment;
    case PB__TABLE__NAME__JOBS:
        return look_at_job;
    case PB__TABLE__NAME__NODES:
        return look_at_node;
    default:
        return NULL;
    }
}

/* Room for the records of one piece, each of which adds at most one. */
static void make_room(struct look *l, size_t limit)
{
    Pb__Collect *f = l->found;
    f->evals = arena_array(l->arena, ProtobufCBinaryData, limit);
    f->deployments = arena_array(l->arena, ProtobufCBinaryData, limit);
    f->nodes = arena_array(l->arena, ProtobufCBinaryData, limit);
    f->jobs = arena_array(l->arena, Pb__JobRef *, limit);
}

static bool is_empty(const Pb__Collect *f)
{
    return f->n_allocs + f->n_evals + f->n_deployments + f->n_nodes + f->n_jobs == 0;
}

static void look_through(struct look *l, look_fn *look_at, size_t limit, Pb__CollectFound *out)
{
    struct scan s;
    Pb__Key *last = NULL;
    scan_open(&s, l->view, l->q->table, NULL, NULL, l->q->after);
    for (size_t n = 0; scan_next(&s); n++) {
        if (last != NULL) {
            out->next = last;
            break;
        }
        look_at(l, s.record.message);
        arena_reset(l->scratch);
        l->looked++;
        if (n + 1 == limit || l->looked >= limit || l->found->n_allocs == MOST_FOUND)
            last = scan_key(&s, l->arena);
    }
    scan_close(&s);
}

enum err query_collectable(struct view *v, struct arena *a, const Pb__CollectRead *q,
                           Pb__CollectFound *out, struct reason *why)
{
    look_fn *look_at = look_for(q->table);
    size_t limit = q->limit == 0 || q->limit > DEFAULT_LIMIT ? DEFAULT_LIMIT : q->limit;
    if (look_at == NULL)
        return reason_set(why, ERR_INVALID, "nothing of table %d is collected", (int)q->table);
    struct look l = {
        .view = v,
        .arena = a,
        .scratch = arena_new(WIRE_MAX_UNPACKED),
        .inner = arena_new(WIRE_MAX_UNPACKED),
        .rules = collectable_new(v),
        .q = q,
        .found = arena_alloc(a, sizeof *l.found),
    };
    pb__collect__init(l.found);
    make_room(&l, limit);
    look_through(&l, look_at, limit, out);
    if (!is_empty(l.found))
        out->collect = l.found;
    collectable_free(l.rules);
    arena_free(l.inner);
    arena_free(l.scratch);
    return OK;
}
