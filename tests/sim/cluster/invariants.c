/* The invariants (DESIGN.md, section 7), looked at whenever a jobstore's state has moved on.
 *
 * A model of our own is folded from the feed of changes, from whichever replica is furthest: what
 * is applied anywhere is committed, so it must never be unsaid. Nothing of the state's own sums is
 * trusted: a node's use is added up from its allocations. */
#include "base/err.h"
#include "base/id.h"
#include "base/map.h"
#include "jobstore/jobstore.h"
#include "state/state.h"
#include "wire/wire.h"
#include "world.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_TOUCHED 100000
#define DIGEST_EACH  16 /* of the settled indexes, one in so many is kept */
#define PORTS        65536

struct alloc {
    uint8_t id[ID_SIZE], eval[ID_SIZE];
    struct node *node;
    char name[64]; /* job, its making, group, place */
    Pb__Amount amount;
    uint32_t ports[8];
    size_t port_count;
    uint64_t create_index, version; /* version: of its job */
    bool live, wanted, running, complete;
};

struct node {
    uint8_t id[ID_SIZE];
    bool known, ready, touched;
    Pb__Amount capacity;
    int64_t cpu, memory_mb, disk_mb;
    uint8_t ports[PORTS]; /* how often each is given */
    unsigned twice;       /* ports that are given more than once */
    struct node *next;
};

struct eval {
    uint8_t id[ID_SIZE];
    char job[24];
    Pb__Eval__Status status;
    bool asked; /* by a person: the job was registered or stopped */
    uint32_t plans;
    uint64_t create_index, modify_index;
    uint64_t last_index; /* of the placements for it */
    uint32_t made;       /* distinct indexes of its placements */
};

struct job {
    char name[24];
    bool exists, stop, batch;
    bool template; /* has no allocations, but makes jobs that have */
    uint64_t modify_index, create_index, version;
    uint32_t count, port; /* a static one; 0: none */
    Pb__Amount ask;
    struct job *next;
};

/* How many allocations have one name, and want to run. */
struct name {
    char text[64];
    unsigned wanted;
    struct name *touched;
};

static struct {
    uint64_t seen; /* index up to which the model is folded */
    struct map *allocs, *nodes, *evals, *jobs, *names, *digests;
    struct node *node_list;
    struct job *job_list;
    struct name *touched;
    struct arena *arena; /* of the record in hand */
    unsigned settled;
} model;

void invariants_begin(void)
{
    memset(&model, 0, sizeof(model));
    model.allocs = map_new();
    model.nodes = map_new();
    model.evals = map_new();
    model.jobs = map_new();
    model.names = map_new();
    model.digests = map_new();
    model.arena = arena_new(64u << 20);
}

static void free_values(struct map *m)
{
    size_t i = 0;
    void *value;
    while (map_next(m, &i, NULL, NULL, &value))
        free(value);
    map_free(m);
}

void invariants_free(void)
{
    free_values(model.allocs);
    free_values(model.nodes);
    free_values(model.evals);
    free_values(model.jobs);
    free_values(model.names);
    free_values(model.digests);
    arena_free(model.arena);
}

/* ---- the fold */

static struct node *node_of(const uint8_t *id)
{
    struct node *n = map_get_id(model.nodes, id);
    if (n != NULL)
        return n;
    n = xcalloc(1, sizeof(*n));
    memcpy(n->id, id, ID_SIZE);
    map_put(model.nodes, n->id, ID_SIZE, n);
    n->next = model.node_list;
    model.node_list = n;
    return n;
}

static struct name *name_of(const char *text)
{
    struct name *n = map_get(model.names, text, strlen(text));
    if (n != NULL)
        return n;
    n = xcalloc(1, sizeof(*n));
    snprintf(n->text, sizeof(n->text), "%s", text);
    map_put(model.names, n->text, strlen(n->text), n);
    return n;
}

static struct eval *eval_of(const uint8_t *id)
{
    struct eval *e = map_get_id(model.evals, id);
    if (e != NULL)
        return e;
    e = xcalloc(1, sizeof(*e));
    memcpy(e->id, id, ID_SIZE);
    map_put(model.evals, e->id, ID_SIZE, e);
    return e;
}

static void touch_name(struct name *n)
{
    if (n->touched != NULL)
        return;
    n->touched = model.touched != NULL ? model.touched : n;
    model.touched = n;
}

/* Adds (1) or takes away (-1) what a live allocation uses. */
static void use(const struct alloc *a, int sign)
{
    struct node *n = a->node;
    if (a->wanted) {
        struct name *name = name_of(a->name);
        name->wanted = (unsigned)((int)name->wanted + sign);
        touch_name(name);
    }
    if (!a->live)
        return;
    n->cpu += sign * (int64_t)a->amount.cpu;
    n->memory_mb += sign * (int64_t)a->amount.memory_mb;
    n->disk_mb += sign * (int64_t)a->amount.disk_mb;
    for (size_t i = 0; i < a->port_count; i++) {
        uint8_t *given = &n->ports[a->ports[i]];
        n->twice -= *given > 1;
        *given = (uint8_t)(*given + sign);
        n->twice += *given > 1;
    }
    n->touched = true;
}

static void count_plan(const struct alloc *a)
{
    struct eval *e = eval_of(a->eval);
    if (a->create_index != e->last_index)
        e->made++;
    e->last_index = a->create_index;
}

static void fold_alloc(const Pb__Alloc *r)
{
    struct alloc *a = map_get_id(model.allocs, r->id.data);
    bool fresh = a == NULL;
    if (fresh) {
        a = xcalloc(1, sizeof(*a));
        memcpy(a->id, r->id.data, ID_SIZE);
        memcpy(a->eval, r->eval_id.data, ID_SIZE);
        map_put(model.allocs, a->id, ID_SIZE, a);
    } else {
        use(a, -1);
    }
    a->node = node_of(r->node_id.data);
    snprintf(a->name, sizeof(a->name), "%s/%llu/%s/%u", r->job_id,
             (unsigned long long)r->job_create_index, r->task_group, r->name_index);
    a->live = alloc_uses_node(r);
    a->wanted = alloc_is_wanted(r);
    a->running = a->wanted && r->client_status == PB__ALLOC__CLIENT_STATUS__RUNNING;
    a->complete = r->client_status == PB__ALLOC__CLIENT_STATUS__COMPLETE &&
                  r->desired == PB__ALLOC__DESIRED__RUN;
    a->create_index = r->create_index;
    a->version = r->job_version;
    if (r->resources != NULL)
        a->amount = *r->resources;
    a->port_count = r->n_ports < COUNT_OF(a->ports) ? r->n_ports : COUNT_OF(a->ports);
    for (size_t i = 0; i < a->port_count; i++)
        a->ports[i] = r->ports[i]->value % PORTS;
    use(a, 1);
    if (fresh)
        count_plan(a);
}

static void fold_node(const Pb__Node *r)
{
    static const Pb__Amount nothing = PB__AMOUNT__INIT;
    struct node *n = node_of(r->id.data);
    const Pb__Amount *reserved = r->reserved != NULL ? r->reserved : &nothing;
    n->known = n->touched = true;
    n->ready = r->status == PB__NODE__STATUS__READY;
    n->capacity = *r->total;
    n->capacity.cpu -= reserved->cpu;
    n->capacity.memory_mb -= reserved->memory_mb;
    n->capacity.disk_mb -= reserved->disk_mb;
}

static bool is_final(Pb__Eval__Status s)
{
    return s == PB__EVAL__STATUS__COMPLETE || s == PB__EVAL__STATUS__FAILED ||
           s == PB__EVAL__STATUS__CANCELLED;
}

static void fold_eval(const Pb__Eval *r)
{
    struct eval *e = eval_of(r->id.data);
    if (is_final(e->status) && r->status != e->status)
        world_fail(3, "evaluation %s of %s had ended and is open again", log_id(e->id), r->job_id);
    e->status = r->status;
    e->plans = r->plans;
    e->create_index = r->create_index;
    e->modify_index = r->modify_index;
    e->asked = strcmp(r->triggered_by, "job-register") == 0 ||
               strcmp(r->triggered_by, "job-deregister") == 0;
    snprintf(e->job, sizeof(e->job), "%s", r->job_id);
}

static struct job *job_named(const char *name)
{
    struct job *j = map_get(model.jobs, name, strlen(name));
    if (j != NULL)
        return j;
    j = xcalloc(1, sizeof(*j));
    snprintf(j->name, sizeof(j->name), "%s", name);
    map_put(model.jobs, j->name, strlen(j->name), j);
    j->next = model.job_list;
    model.job_list = j;
    return j;
}

static void fold_job(const char *name, const Pb__Job *r)
{
    struct job *j = job_named(name);
    j->exists = r != NULL;
    if (r == NULL)
        return;
    const Pb__TaskGroup *g = r->task_groups[0];
    j->stop = r->stop;
    j->template = r->periodic != NULL;
    j->batch = strcmp(r->type, "batch") == 0;
    j->modify_index = r->job_modify_index;
    j->create_index = r->create_index;
    j->version = r->version;
    j->count = g->count;
    j->port = g->n_networks > 0 && g->networks[0]->n_reserved_ports > 0
                  ? g->networks[0]->reserved_ports[0]->value
                  : 0;
    j->ask = (Pb__Amount)PB__AMOUNT__INIT;
    j->ask.cpu = g->tasks[0]->resources->cpu;
    j->ask.memory_mb = g->tasks[0]->resources->memory_mb;
    j->ask.disk_mb = g->ephemeral_disk != NULL ? g->ephemeral_disk->size_mb : 0;
}

/* What has ended may be collected: clocks that jump make it old. */
static bool may_go(const struct change *c)
{
    if (c->key.id.len != ID_SIZE)
        return false;
    const struct eval *e = map_get_id(model.evals, c->key.id.data);
    const struct alloc *a = map_get_id(model.allocs, c->key.id.data);
    return (c->table == PB__TABLE__NAME__EVALS && e != NULL && is_final(e->status)) ||
           (c->table == PB__TABLE__NAME__ALLOCS && a != NULL && !a->live);
}

static void fold_gone(const struct change *c)
{
    if (may_go(c))
        return;
    if (c->table == PB__TABLE__NAME__EVALS)
        world_fail(3, "evaluation %s has vanished", log_id(c->key.id.data));
    else if (c->table == PB__TABLE__NAME__ALLOCS)
        world_fail(2, "allocation %s has vanished", log_id(c->key.id.data));
    else if (c->table == PB__TABLE__NAME__JOBS)
        fold_job(c->key.name, NULL);
}

static void fold_record(Pb__Table__Name table, const struct record *r)
{
    struct arena *a = model.arena;
    struct bytes m = r->message;
    if (table == PB__TABLE__NAME__ALLOCS) {
        fold_alloc(WIRE_UNPACK(a, Pb__Alloc, pb__alloc, m.data, m.len));
    } else if (table == PB__TABLE__NAME__NODES) {
        fold_node(WIRE_UNPACK(a, Pb__Node, pb__node, m.data, m.len));
    } else if (table == PB__TABLE__NAME__EVALS) {
        fold_eval(WIRE_UNPACK(a, Pb__Eval, pb__eval, m.data, m.len));
    } else if (table == PB__TABLE__NAME__JOBS) {
        const Pb__Job *j = WIRE_UNPACK(a, Pb__Job, pb__job, m.data, m.len);
        fold_job(j->id, j);
    }
    arena_reset(a);
}

static void fold(struct view *v)
{
    struct change_walk w;
    struct change c;
    change_walk_open(&w, v, model.seen,
                     1u << PB__TABLE__NAME__ALLOCS | 1u << PB__TABLE__NAME__NODES |
                         1u << PB__TABLE__NAME__EVALS | 1u << PB__TABLE__NAME__JOBS);
    while (change_walk_next(&w, &c)) {
        struct record r;
        if (state_record(v, &c.key, &r))
            fold_record(c.table, &r);
        else
            fold_gone(&c);
    }
    change_walk_close(&w);
}

/* ---- 1 and 4, on what the fold touched */

static void check_node(struct node *n)
{
    n->touched = false;
    if (!n->known)
        world_fail(1, "allocations on an unknown node %s", log_id(n->id));
    else if (n->cpu > n->capacity.cpu || n->memory_mb > n->capacity.memory_mb ||
             n->disk_mb > n->capacity.disk_mb)
        world_fail(1, "node %s is over-committed: cpu %lld of %u, memory %lld of %u, disk %lld",
                   log_id(n->id), (long long)n->cpu, n->capacity.cpu, (long long)n->memory_mb,
                   n->capacity.memory_mb, (long long)n->disk_mb);
    for (uint32_t port = 0; n->twice > 0 && port < PORTS; port++)
        if (n->ports[port] > 1)
            world_fail(1, "node %s has port %u given %u times", log_id(n->id), port,
                       n->ports[port]);
}

static void tell_placements(const char *name)
{
    size_t i = 0;
    void *value;
    while (map_next(model.allocs, &i, NULL, NULL, &value)) {
        const struct alloc *a = value;
        const struct eval *e = map_get_id(model.evals, a->eval);
        if (strcmp(a->name, name) != 0)
            continue;
        trace_note("%s: placed at %llu for evaluation %s (status %d, %u plans), wanted=%d", name,
                   (unsigned long long)a->create_index, log_id(a->eval), e->status, e->plans,
                   a->wanted);
    }
}

static void check_touched(void)
{
    for (struct node *n = model.node_list; n != NULL; n = n->next)
        if (n->touched)
            check_node(n);
    while (model.touched != NULL) {
        struct name *n = model.touched;
        model.touched = n->touched != n ? n->touched : NULL;
        n->touched = NULL;
        if (n->wanted > 1)
            tell_placements(n->text);
        if (n->wanted > 1)
            world_fail(4, "%s is placed %u times", n->text, n->wanted);
    }
}

static void check_evals(void)
{
    size_t i = 0;
    void *value;
    while (map_next(model.evals, &i, NULL, NULL, &value)) {
        const struct eval *e = value;
        if (e->made > e->plans)
            world_fail(4, "evaluation %s had %u plans and placements at %u indexes", log_id(e->id),
                       e->plans, e->made);
    }
}

/* ---- 2: at one index all replicas are one, also before and after a restart */

static void compare_digest(struct process *p, struct view *v, uint64_t index)
{
    uint64_t digest = state_digest(v);
    uint64_t *known = map_get(model.digests, &index, sizeof(index));
    if (known != NULL && *known != digest)
        world_fail(2, "%s at index %llu differs from what another had there", p->name,
                   (unsigned long long)index);
    if (known != NULL)
        return;
    known = xmalloc(sizeof(*known));
    *known = digest;
    map_put(model.digests, &index, sizeof(index), known);
}

void invariants_state_changed(struct process *p)
{
    struct jobstore *js = p->self;
    if (js == NULL || js->replica == NULL || replica_state(js->replica) == NULL)
        return;
    struct view *v = state_read(replica_state(js->replica));
    const struct state_meta *meta = view_meta(v);
    uint64_t index = meta->applied_index;
    if (index > model.seen && (meta->changes_low <= model.seen || model.seen == 0)) {
        fold(v);
        model.seen = index;
        world->verdict.applied = index;
        check_touched();
    }
    bool known = map_get(model.digests, &index, sizeof(index)) != NULL;
    if (index > 0 && (known || ++model.settled % DIGEST_EACH == 0))
        compare_digest(p, v, index);
    view_abort(v);
}

void invariants_remember(struct process *p)
{
    struct jobstore *js = p->self;
    if (js->replica == NULL || replica_state(js->replica) == NULL)
        return;
    struct view *v = state_read(replica_state(js->replica));
    if (view_meta(v)->applied_index > 0)
        compare_digest(p, v, view_meta(v)->applied_index);
    view_abort(v);
}

void invariants_job(const char *name, bool *exists, uint64_t *modify_index, uint32_t *count)
{
    const struct job *j = job_named(name);
    *exists = j->exists;
    *modify_index = j->modify_index;
    *count = j->count;
}

uint32_t invariants_asked(const char *name)
{
    uint32_t asked = 0;
    size_t i = 0;
    void *value;
    while (map_next(model.evals, &i, NULL, NULL, &value)) {
        const struct eval *e = value;
        asked += e->asked && strcmp(e->job, name) == 0;
    }
    return asked;
}

/* ---- 5 */

/* Room on a node that takes allocations, for one more like those of j. */
static bool fits(const struct node *n, const struct job *j)
{
    return n->ready && n->cpu + j->ask.cpu <= n->capacity.cpu &&
           n->memory_mb + j->ask.memory_mb <= n->capacity.memory_mb &&
           n->disk_mb + j->ask.disk_mb <= n->capacity.disk_mb &&
           (j->port == 0 || n->ports[j->port] == 0);
}

static const struct node *room_for(const struct job *j)
{
    for (const struct node *n = model.node_list; n != NULL; n = n->next)
        if (fits(n, j))
            return n;
    return NULL;
}

static void count_job(const struct job *j, uint32_t *running, uint32_t *wanted, uint32_t *complete,
                      uint32_t *old)
{
    char prefix[64];
    size_t i = 0;
    void *value;
    *running = *wanted = *complete = *old = 0;
    snprintf(prefix, sizeof(prefix), "%s/%llu/", j->name, (unsigned long long)j->create_index);
    while (map_next(model.allocs, &i, NULL, NULL, &value)) {
        const struct alloc *a = value;
        if (strncmp(a->name, prefix, strlen(prefix)) != 0)
            continue;
        *running += a->running && agents_node_runs(a->node->id);
        *wanted += a->wanted;
        *complete += a->complete;
        *old += a->wanted && a->version != j->version;
    }
}

static bool has_open_eval(const struct job *j, Pb__Eval__Status status)
{
    size_t i = 0;
    void *value;
    while (map_next(model.evals, &i, NULL, NULL, &value)) {
        const struct eval *e = value;
        if (e->status == status && strcmp(e->job, j->name) == 0)
            return true;
    }
    return false;
}

static bool job_is_settled(const struct job *j, char *why, size_t size)
{
    uint32_t running, wanted, complete, old,
        count = j->exists && !j->stop && !j->template ? j->count : 0;
    count_job(j, &running, &wanted, &complete, &old);
    snprintf(why, size, "%s: count %u, running %u, wanted %u, complete %u, of older versions %u",
             j->name, count, running, wanted, complete, old);
    if (has_open_eval(j, PB__EVAL__STATUS__PENDING))
        return false;
    if (wanted != running)
        return false;
    if (j->batch && count > 0)
        return running == 0; /* all that was wanted has ended */
    if (wanted == count && old == 0)
        return true;
    return wanted <= count && has_open_eval(j, PB__EVAL__STATUS__BLOCKED) && room_for(j) == NULL;
}

/* Every replica has all that was seen on any. */
static bool is_caught_up(struct process *p)
{
    struct jobstore *js = p->self;
    struct replica_status s;
    if (js == NULL || js->replica == NULL)
        return false;
    replica_status(js->replica, &s);
    return s.applied_index == model.seen;
}

static void tell_room(const struct job *j)
{
    const struct node *n = room_for(j);
    if (n != NULL)
        trace_note("%s asks for cpu %u, memory %u: node %s has %lld and %lld free", j->name,
                   j->ask.cpu, j->ask.memory_mb, log_id(n->id),
                   (long long)(n->capacity.cpu - n->cpu),
                   (long long)(n->capacity.memory_mb - n->memory_mb));
}

static void tell_allocs(const struct job *j)
{
    size_t i = 0, len = strlen(j->name);
    void *value;
    while (map_next(model.allocs, &i, NULL, NULL, &value)) {
        const struct alloc *a = value;
        if (strncmp(a->name, j->name, len) == 0 && a->name[len] == '/')
            trace_note("%s: allocation %s of evaluation %s on %s, created %llu:%s%s%s%s", a->name,
                       log_id(a->id), log_id(a->eval), log_id(a->node->id),
                       (unsigned long long)a->create_index, a->live ? " live" : "",
                       a->wanted ? " wanted" : "", a->running ? " running" : "",
                       a->complete ? " complete" : "");
    }
}

/* For who looks into a job that is not as it should be. */
void invariants_tell_evals(void)
{
    size_t i = 0;
    void *value;
    while (map_next(model.evals, &i, NULL, NULL, &value)) {
        const struct eval *e = value;
        char why[300];
        if (job_is_settled(job_named(e->job), why, sizeof(why)))
            continue;
        trace_note("%s: evaluation %s status %d, %u plans, created %llu changed %llu", e->job,
                   log_id(e->id), e->status, e->plans, (unsigned long long)e->create_index,
                   (unsigned long long)e->modify_index);
    }
    for (const struct job *j = model.job_list; j != NULL; j = j->next) {
        if (job_is_settled(j, (char[300]){0}, 300))
            continue;
        tell_room(j);
        tell_allocs(j);
    }
}

bool invariants_settled(char *why, size_t size)
{
    for (unsigned i = 0; i < world->options.servers; i++) {
        snprintf(why, size, "%s is not at index %llu", world->jobstore[i]->name,
                 (unsigned long long)model.seen);
        if (!is_caught_up(world->jobstore[i]))
            return false;
    }
    for (const struct job *j = model.job_list; j != NULL; j = j->next)
        if (!job_is_settled(j, why, size))
            return false;
    return true;
}

void invariants_end(void)
{
    check_evals();
    world->verdict.evals = map_count(model.evals);
    for (unsigned i = 0; i < world->options.servers; i++) {
        struct jobstore *js = world->jobstore[i]->self;
        if (js == NULL || js->replica == NULL) {
            world_fail(5, "%s does not run", world->jobstore[i]->name);
            continue;
        }
        struct view *v = state_read(replica_state(js->replica));
        uint64_t index = view_meta(v)->applied_index;
        if (index < model.seen)
            world_fail(2, "%s ends at index %llu, %llu was seen", world->jobstore[i]->name,
                       (unsigned long long)index, (unsigned long long)model.seen);
        compare_digest(world->jobstore[i], v, index);
        state_check(v);
        world_check_launches(v);
        view_abort(v);
    }
}
