#include "drain.h"
#include "base/err.h"
#include "base/id.h"
#include "base/map.h"
#include "wire/bounds.h"
#include <stdlib.h>
#include <string.h>

#define DEFAULT_MIN_HEALTHY_NS 10000000000ll

struct draining {
    uint8_t id[ID_SIZE];
    uint64_t modify_index;
    int64_t deadline_ns, force_deadline;
    bool ignore_system;
};

struct drain {
    struct map *nodes; /* id -> struct draining */
};

struct drain *drain_new(void)
{
    struct drain *d = xcalloc(1, sizeof *d);
    d->nodes = map_new();
    return d;
}

void drain_reset(struct drain *d)
{
    size_t i = 0, len;
    const void *key;
    void *n;
    while (map_next(d->nodes, &i, &key, &len, &n))
        free(n);
    map_clear(d->nodes);
}

void drain_free(struct drain *d)
{
    if (d == NULL)
        return;
    drain_reset(d);
    map_free(d->nodes);
    free(d);
}

void drain_drop_node(struct drain *d, const uint8_t id[16])
{
    free(map_remove(d->nodes, id, ID_SIZE));
}

bool drain_put_node(struct drain *d, const Pb__Node *node)
{
    if (!node->drain || node->drain_strategy == NULL) {
        drain_drop_node(d, node->id.data);
        return false;
    }
    struct draining *n = map_get_id(d->nodes, node->id.data);
    bool is_new = n == NULL;
    if (is_new) {
        n = xcalloc(1, sizeof *n);
        memcpy(n->id, node->id.data, ID_SIZE);
        map_put(d->nodes, n->id, ID_SIZE, n);
    }
    const Pb__DrainStrategy *s = node->drain_strategy;
    bool changed = n->deadline_ns != s->deadline_ns || n->force_deadline != s->force_deadline;
    n->modify_index = node->modify_index;
    n->deadline_ns = s->deadline_ns;
    n->force_deadline = s->force_deadline;
    n->ignore_system = s->ignore_system_jobs;
    return is_new || changed;
}

size_t drain_count(const struct drain *d)
{
    return map_count(d->nodes);
}

/* ---- a round */

struct looked_at {
    struct draining node;
    bool forced;
    size_t remaining; /* of all but system jobs: not known to have ended */
};

/* A system job's allocation, to go when nothing else is left on its node. */
struct last {
    size_t node;
    ProtobufCBinaryData id;
    struct last *next;
};

struct job_of {
    Pb__JobKey key;
    struct job_of *next;
};

struct drain_round {
    struct arena *arena;
    int64_t now_ns;
    struct looked_at *nodes; /* by id */
    size_t count, asked;
    struct job_of *first_job, **last_job, *next_job;
    bool jobs_asked;
    struct last *system;
    ProtobufCBinaryData *moves, *stops;
    size_t move_count, stop_count;
};

static int compare_nodes(const void *a, const void *b)
{
    return memcmp(((const struct looked_at *)a)->node.id, ((const struct looked_at *)b)->node.id,
                  ID_SIZE);
}

static bool is_forced(const struct draining *n, int64_t now_ns)
{
    return n->deadline_ns < 0 || (n->force_deadline != 0 && n->force_deadline <= now_ns);
}

static void list_nodes(struct drain_round *r, const struct drain *d)
{
    size_t i = 0, len, all = 0;
    const void *key;
    void *n;
    struct looked_at *list = arena_array(r->arena, struct looked_at, map_count(d->nodes) + 1);
    while (map_next(d->nodes, &i, &key, &len, &n))
        list[all++] = (struct looked_at){
            .node = *(const struct draining *)n,
            .forced = is_forced(n, r->now_ns),
        };
    qsort(list, all, sizeof *list, compare_nodes);
    r->nodes = list;
    r->count = all < DRAIN_NODES_AT_ONCE ? all : DRAIN_NODES_AT_ONCE;
}

struct drain_round *drain_round_new(const struct drain *d, struct arena *a, int64_t now_ns)
{
    struct drain_round *r = arena_alloc(a, sizeof *r);
    *r = (struct drain_round){.arena = a, .now_ns = now_ns};
    r->last_job = &r->first_job;
    r->moves = arena_array(a, ProtobufCBinaryData, COMMAND_MOST);
    r->stops = arena_array(a, ProtobufCBinaryData, COMMAND_MOST);
    list_nodes(r, d);
    return r;
}

const uint8_t *drain_round_next_node(struct drain_round *r)
{
    return r->asked < r->count ? r->nodes[r->asked++].node.id : NULL;
}

static struct looked_at *node_of(struct drain_round *r, const Pb__Alloc *alloc)
{
    struct looked_at probe;
    memcpy(probe.node.id, alloc->node_id.data, ID_SIZE);
    return r->count == 0 ? NULL : bsearch(&probe, r->nodes, r->count, sizeof probe, compare_nodes);
}

static bool has_ended(const Pb__Alloc *a)
{
    return a->client_status == PB__ALLOC__CLIENT_STATUS__COMPLETE ||
           a->client_status == PB__ALLOC__CLIENT_STATUS__FAILED ||
           a->client_status == PB__ALLOC__CLIENT_STATUS__LOST;
}

static bool is_wanted(const Pb__Alloc *a)
{
    return a->desired == PB__ALLOC__DESIRED__RUN && !has_ended(a);
}

static bool is_known(const struct drain_round *r, const char *ns, const char *id)
{
    for (const struct job_of *j = r->first_job; j != NULL; j = j->next)
        if (strcmp(j->key.id, id) == 0 && strcmp(j->key.namespace_, ns) == 0)
            return true;
    return false;
}

void drain_round_alloc(struct drain_round *r, const Pb__Alloc *alloc)
{
    const char *ns = alloc->namespace_ != NULL ? alloc->namespace_ : "default";
    if (has_ended(alloc) || is_known(r, ns, alloc->job_id))
        return;
    struct job_of *j = arena_alloc(r->arena, sizeof *j);
    pb__job_key__init(&j->key);
    j->key.namespace_ = arena_strdup(r->arena, ns);
    j->key.id = arena_strdup(r->arena, alloc->job_id);
    j->next = NULL;
    *r->last_job = j;
    r->last_job = &j->next;
}

const Pb__JobKey *drain_round_next_job(struct drain_round *r)
{
    if (!r->jobs_asked)
        r->next_job = r->first_job;
    r->jobs_asked = true;
    const struct job_of *j = r->next_job;
    if (j == NULL)
        return NULL;
    r->next_job = j->next;
    return &j->key;
}

static ProtobufCBinaryData copy_id(struct drain_round *r, ProtobufCBinaryData id)
{
    return (ProtobufCBinaryData){ID_SIZE, arena_copy(r->arena, id.data, ID_SIZE)};
}

static void move(struct drain_round *r, const Pb__Alloc *alloc)
{
    if (alloc->migrate || !is_wanted(alloc) || r->move_count == COMMAND_MOST)
        return;
    r->moves[r->move_count++] = copy_id(r, alloc->id);
}

/* Time is over: also what was marked before and found no room. */
static void stop(struct drain_round *r, const Pb__Alloc *alloc)
{
    if (alloc->stop_wanted || !is_wanted(alloc) || r->stop_count == COMMAND_MOST)
        return;
    r->stops[r->stop_count++] = copy_id(r, alloc->id);
}

static bool is_type(const Pb__Job *job, const char *type)
{
    return job != NULL && job->type != NULL && strcmp(job->type, type) == 0;
}

static void look_at_system(struct drain_round *r, const Pb__JobView *view)
{
    for (size_t i = 0; i < view->n_allocs; i++) {
        const Pb__Alloc *alloc = view->allocs[i];
        struct looked_at *n = node_of(r, alloc);
        if (n == NULL || n->node.ignore_system || !is_wanted(alloc) || alloc->migrate)
            continue;
        struct last *l = arena_alloc(r->arena, sizeof *l);
        *l = (struct last){(size_t)(n - r->nodes), copy_id(r, alloc->id), r->system};
        r->system = l;
    }
}

static bool is_healthy(const Pb__Alloc *a, const Pb__MigrateStrategy *m, int64_t now_ns)
{
    int64_t least =
        m != NULL && m->has_min_healthy_time_ns ? m->min_healthy_time_ns : DEFAULT_MIN_HEALTHY_NS;
    if (!is_wanted(a) || a->migrate || a->client_status != PB__ALLOC__CLIENT_STATUS__RUNNING)
        return false;
    if (a->deployment_status != NULL && a->deployment_status->has_healthy)
        return a->deployment_status->healthy;
    return now_ns - a->modify_time >= least;
}

static bool goes_at_once(struct drain_round *r, const Pb__Alloc *alloc)
{
    const struct looked_at *n = node_of(r, alloc);
    return n != NULL && n->forced;
}

/* Those of a service's group that may go without it falling below what its migrate block says. */
static void look_at_group(struct drain_round *r, const Pb__JobView *view, const Pb__TaskGroup *g)
{
    uint64_t parallel =
        g->migrate != NULL && g->migrate->has_max_parallel ? g->migrate->max_parallel : 1;
    uint64_t healthy = 0;
    for (size_t i = 0; i < view->n_allocs; i++)
        healthy += strcmp(view->allocs[i]->task_group, g->name) == 0 &&
                   !goes_at_once(r, view->allocs[i]) &&
                   is_healthy(view->allocs[i], g->migrate, r->now_ns);
    uint64_t least = g->count > parallel ? g->count - parallel : 0;
    for (size_t i = 0; i < view->n_allocs && healthy > least; i++) {
        const Pb__Alloc *alloc = view->allocs[i];
        const struct looked_at *n = node_of(r, alloc);
        if (n == NULL || n->forced || alloc->migrate || !is_wanted(alloc) ||
            strcmp(alloc->task_group, g->name) != 0)
            continue;
        move(r, alloc);
        healthy--;
    }
}

void drain_round_job(struct drain_round *r, const Pb__JobView *view)
{
    const Pb__Job *job = view->job;
    if (is_type(job, "system")) {
        look_at_system(r, view);
        return;
    }
    bool waits = is_type(job, "batch") || is_type(job, "sysbatch");
    for (size_t i = 0; i < view->n_allocs; i++) {
        struct looked_at *n = node_of(r, view->allocs[i]);
        if (n == NULL || has_ended(view->allocs[i]))
            continue;
        n->remaining++;
        if (n->forced)
            stop(r, view->allocs[i]);
    }
    for (size_t i = 0; job != NULL && !waits && !job->stop && i < job->n_task_groups; i++)
        look_at_group(r, view, job->task_groups[i]);
}

static void list_drained(struct drain_round *r, Pb__DrainStep *step)
{
    step->drained = arena_array(r->arena, Pb__NodeDrained *, r->count + 1);
    for (size_t i = 0; i < r->count; i++) {
        if (r->nodes[i].remaining > 0)
            continue;
        Pb__NodeDrained *d = arena_alloc(r->arena, sizeof *d);
        pb__node_drained__init(d);
        d->has_node_id = d->has_modify_index = true;
        d->node_id = (ProtobufCBinaryData){ID_SIZE, r->nodes[i].node.id};
        d->modify_index = r->nodes[i].node.modify_index;
        step->drained[step->n_drained++] = d;
    }
}

Pb__DrainStep *drain_round_finish(struct drain_round *r)
{
    Pb__DrainStep *step = arena_alloc(r->arena, sizeof *step);
    pb__drain_step__init(step);
    bool all = true;
    for (const struct last *l = r->system; l != NULL; l = l->next) {
        const struct looked_at *n = &r->nodes[l->node];
        if (n->remaining > 0 && !n->forced)
            continue;
        if (r->move_count == COMMAND_MOST)
            all = false;
        else
            r->moves[r->move_count++] = l->id;
    }
    step->n_migrate = r->move_count;
    step->migrate = r->moves;
    step->n_stop = r->stop_count;
    step->stop = r->stops;
    if (all) /* else a node would be done with a system job's allocation on it */
        list_drained(r, step);
    return step->n_migrate + step->n_stop + step->n_drained > 0 ? step : NULL;
}
