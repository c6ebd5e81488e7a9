#include "sched/pieces.h"
#include "base/err.h"
#include "sched/model.h"
#include "sched/rows.h"
#include "sched/stock.h"
#include "wire/grant.h"
#include <stdlib.h>
#include <string.h>

#define MOST_TRIES 10000 /* choices of models for one node; who needs more finds no room */

struct liking {
    struct condition condition;
    int32_t weight;
};

/* One `device` block of one task. */
struct request {
    const Pb__Task *task;
    const char *name;
    uint32_t count;
    struct condition *conditions;
    size_t condition_count;
    struct liking *likings;
    size_t liking_count;
};

/* What the models of one kind are to one request: places in kind.models, the best first. */
struct matches {
    uint32_t *models;
    double *likes;
    uint32_t count;
};

struct pieces {
    const Pb__TaskGroup *group;
    uint32_t cores;
    struct request *requests;
    uint32_t request_count;
    double weights;           /* of all affinities, without their signs */
    struct matches **of_kind; /* by kind, then by request; NULL: no node is of that kind */
    /* for the node that is being looked at */
    bool *core_free, *instance_free;
    uint32_t *picks; /* by request: a place in its matches */
    uint32_t *left;  /* by model: how many instances are free */
    uint32_t tries;
};

/* ---- the requests */

static void add_conditions(struct request *r, struct arena *a, const Pb__RequestedDevice *d)
{
    r->conditions = arena_array(a, struct condition, d->n_constraints + 1);
    for (size_t i = 0; i < d->n_constraints; i++)
        condition_init(&r->conditions[r->condition_count++], a, d->constraints[i]->l_target,
                       d->constraints[i]->operand, d->constraints[i]->r_target);
    r->likings = arena_array(a, struct liking, d->n_affinities + 1);
    for (size_t i = 0; i < d->n_affinities; i++) {
        struct liking *l = &r->likings[r->liking_count++];
        condition_init(&l->condition, a, d->affinities[i]->l_target, d->affinities[i]->operand,
                       d->affinities[i]->r_target);
        l->weight = d->affinities[i]->weight;
    }
}

static void add_requests(struct pieces *p, struct arena *a, const Pb__Task *task)
{
    const Pb__Resources *r = task->resources;
    p->cores += r->cores;
    for (size_t i = 0; i < r->n_devices; i++) {
        const Pb__RequestedDevice *d = r->devices[i];
        uint64_t count = d->has_count ? d->count : 1;
        if (count == 0)
            continue;
        struct request *q = &p->requests[p->request_count++];
        *q = (struct request){.task = task, .name = d->name != NULL ? d->name : ""};
        q->count = count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
        add_conditions(q, a, d);
        for (size_t k = 0; k < q->liking_count; k++)
            p->weights += abs(q->likings[k].weight);
    }
}

static bool suits(const struct request *r, const struct model *m)
{
    if (m->instances < r->count || !model_is(m, r->name))
        return false;
    for (size_t i = 0; i < r->condition_count; i++)
        if (!model_condition_holds(&r->conditions[i], m))
            return false;
    return true;
}

static double likes(const struct request *r, const struct model *m)
{
    double sum = 0;
    for (size_t i = 0; i < r->liking_count; i++)
        if (model_condition_holds(&r->likings[i].condition, m))
            sum += r->likings[i].weight;
    return sum;
}

static struct matches match(const struct request *r, struct arena *a, const struct kind *k)
{
    struct matches m = {.models = arena_array(a, uint32_t, k->model_count + 1),
                        .likes = arena_array(a, double, k->model_count + 1)};
    for (uint32_t i = 0; i < k->model_count; i++) {
        if (!suits(r, &k->models[i]))
            continue;
        double like = likes(r, &k->models[i]);
        uint32_t at = m.count++;
        for (; at > 0 && m.likes[at - 1] < like; at--) {
            m.models[at] = m.models[at - 1];
            m.likes[at] = m.likes[at - 1];
        }
        m.models[at] = i;
        m.likes[at] = like;
    }
    return m;
}

static void match_kinds(struct pieces *p, struct arena *a, const struct fleet *f)
{
    uint32_t most_models = 0;
    p->of_kind = arena_array(a, struct matches *, f->kind_count + 1);
    for (uint32_t i = 0; i < f->kind_count; i++) {
        const struct kind *k = &f->kinds[i];
        if (k->nodes == 0)
            continue;
        if (k->model_count > most_models)
            most_models = k->model_count;
        p->of_kind[i] = arena_array(a, struct matches, p->request_count + 1);
        for (uint32_t r = 0; r < p->request_count; r++)
            p->of_kind[i][r] = match(&p->requests[r], a, k);
    }
    p->left = arena_array(a, uint32_t, most_models + 1);
}

struct pieces *pieces_new(struct arena *a, const struct fleet *f, const Pb__TaskGroup *group)
{
    size_t devices = 0, cores = 0;
    for (size_t i = 0; i < group->n_tasks; i++)
        if (group->tasks[i]->resources != NULL) {
            devices += group->tasks[i]->resources->n_devices;
            cores += group->tasks[i]->resources->cores;
        }
    if (devices + cores == 0)
        return NULL;
    struct pieces *p = arena_alloc(a, sizeof(*p));
    p->group = group;
    p->requests = arena_array(a, struct request, devices + 1);
    for (size_t i = 0; i < group->n_tasks; i++)
        if (group->tasks[i]->resources != NULL)
            add_requests(p, a, group->tasks[i]);
    match_kinds(p, a, f);
    p->picks = arena_array(a, uint32_t, p->request_count + 1);
    p->core_free = arena_array(a, bool, CORES_MOST);
    p->instance_free = arena_array(a, bool, INSTANCES_MOST);
    return p;
}

const char *pieces_judge(const struct pieces *p, const struct fleet *f, uint32_t kind)
{
    for (uint32_t i = 0; p != NULL && i < p->request_count; i++)
        if (p->of_kind[kind][i].count == 0)
            return "missing devices"; /* Nomad's words */
    return NULL;
}

uint32_t pieces_cores(const struct pieces *p)
{
    return p->cores;
}

uint32_t pieces_instances(const struct pieces *p)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < p->request_count; i++)
        sum += p->requests[i].count;
    return sum;
}

bool pieces_want_devices(const struct pieces *p)
{
    return p->request_count > 0;
}

bool pieces_have_affinity(const struct pieces *p)
{
    return p->weights > 0;
}

int32_t pieces_cpu(const struct pieces *p, const struct fleet *f, uint32_t slot)
{
    const struct stock *s = f->stock[slot];
    uint64_t mhz = s != NULL ? (uint64_t)s->core_mhz * p->cores : 0;
    return mhz > INT32_MAX ? INT32_MAX : (int32_t)mhz;
}

/* ---- one node */

struct marking {
    const struct pieces *pieces;
    const struct stock *stock;
    bool free;
};

static void mark_core(void *self, uint32_t core)
{
    struct marking *m = self;
    uint32_t at = stock_core(m->stock, core);
    if (at != PIECE_NONE)
        m->pieces->core_free[at] = m->free;
}

static void mark_instance(void *self, const char *name)
{
    struct marking *m = self;
    uint32_t at = stock_instance(m->stock, name);
    if (at != PIECE_NONE)
        m->pieces->instance_free[at] = m->free && m->stock->instances[at].healthy;
}

/* What is given back first: it may have been given again. */
static void mark_given(const struct pieces *p, const struct stock *s, const struct given *given)
{
    for (int back = 1; back >= 0; back--)
        for (const struct given *g = given; g != NULL; g = g->next)
            if (g->back == (back != 0))
                grants_each(g->grants, g->count,
                            &(struct grant_visitor){&(struct marking){p, s, g->back}, mark_core,
                                                    mark_instance});
}

static uint32_t mark(const struct pieces *p, const struct stock *s, const struct given *given)
{
    if (p->cores > 0 && s->core_count > 0)
        memcpy(p->core_free, s->core_free, s->core_count * sizeof(*p->core_free));
    if (p->request_count > 0 && s->instance_count > 0)
        memcpy(p->instance_free, s->instance_free, s->instance_count * sizeof(*p->instance_free));
    if (given == NULL)
        return s->free_cores;
    mark_given(p, s, given);
    uint32_t free = 0;
    for (uint32_t i = 0; i < s->core_count && p->cores > 0; i++)
        free += p->core_free[i];
    return free;
}

static void count_left(struct pieces *p, const struct kind *k, const struct stock *s)
{
    for (uint32_t i = 0; i < k->model_count; i++)
        p->left[i] = 0;
    for (uint32_t i = 0; i < s->instance_count; i++)
        if (p->instance_free[i] && s->instances[i].model < k->model_count)
            p->left[s->instances[i].model]++;
}

/* A model for this request and each one behind it. */
static bool pick(struct pieces *p, const struct matches *matches, uint32_t request)
{
    if (request == p->request_count)
        return true;
    const struct matches *m = &matches[request];
    uint32_t count = p->requests[request].count;
    for (uint32_t i = 0; i < m->count; i++) {
        uint32_t *left = &p->left[m->models[i]];
        if (*left < count || p->tries == 0)
            continue;
        p->tries--;
        *left -= count;
        p->picks[request] = i;
        if (pick(p, matches, request + 1))
            return true;
        *left += count;
    }
    return false;
}

static bool pick_all(struct pieces *p, const struct fleet *f, uint32_t slot)
{
    uint32_t kind = f->kind_of[slot];
    count_left(p, &f->kinds[kind], f->stock[slot]);
    p->tries = MOST_TRIES;
    return pick(p, p->of_kind[kind], 0);
}

static double liked(const struct pieces *p, const struct matches *matches)
{
    double sum = 0;
    for (uint32_t i = 0; i < p->request_count; i++)
        sum += matches[i].likes[p->picks[i]];
    return p->weights > 0 ? sum / p->weights : 0;
}

/* The scratch arrays are p's own: a look leaves no trace that anyone sees. */
static struct pieces *scratch(const struct pieces *p)
{
    return (struct pieces *)(uintptr_t)p;
}

struct pieces_room pieces_look(const struct pieces *p, const struct fleet *f, uint32_t slot,
                               const struct given *given)
{
    struct pieces_room room = {.devices = p->request_count == 0};
    if (f->stock[slot] == NULL)
        return room;
    room.cores = mark(p, f->stock[slot], given);
    if (p->request_count == 0)
        return room;
    room.devices = pick_all(scratch(p), f, slot);
    if (room.devices)
        room.affinity = liked(p, p->of_kind[f->kind_of[slot]]);
    return room;
}

/* ---- giving */

static void give_cores(const struct pieces *p, struct arena *a, const struct stock *s,
                       const Pb__Task *task, Pb__TaskGrant *g)
{
    uint32_t count = task->resources->cores;
    g->cores = arena_array(a, uint32_t, count + 1);
    for (uint32_t i = 0; i < s->core_count && g->n_cores < count; i++)
        if (p->core_free[i]) {
            p->core_free[i] = false;
            g->cores[g->n_cores++] = s->cores[i];
        }
}

static Pb__GrantedDevice *give_device(const struct pieces *p, struct arena *a,
                                      const struct stock *s, const struct model *m, uint32_t model,
                                      uint32_t count)
{
    Pb__GrantedDevice *d = arena_array(a, Pb__GrantedDevice, 1);
    pb__granted_device__init(d);
    d->vendor = arena_strdup(a, m->vendor);
    d->type = arena_strdup(a, m->type);
    d->name = arena_strdup(a, m->name);
    d->device_ids = arena_array(a, char *, count + 1);
    for (uint32_t i = 0; i < s->instance_count && d->n_device_ids < count; i++)
        if (p->instance_free[i] && s->instances[i].model == model) {
            p->instance_free[i] = false;
            d->device_ids[d->n_device_ids++] = arena_strdup(a, s->instances[i].id);
        }
    return d;
}

static void give_devices(const struct pieces *p, struct arena *a, const struct fleet *f,
                         uint32_t slot, const Pb__Task *task, Pb__TaskGrant *g)
{
    uint32_t kind = f->kind_of[slot];
    g->devices = arena_array(a, Pb__GrantedDevice *, task->resources->n_devices + 1);
    for (uint32_t i = 0; i < p->request_count; i++) {
        if (p->requests[i].task != task)
            continue;
        uint32_t model = p->of_kind[kind][i].models[p->picks[i]];
        g->devices[g->n_devices++] = give_device(
            p, a, f->stock[slot], &f->kinds[kind].models[model], model, p->requests[i].count);
    }
}

static Pb__TaskGrant *give_task(const struct pieces *p, struct arena *a, const struct fleet *f,
                                uint32_t slot, const Pb__Task *task)
{
    Pb__TaskGrant *g = arena_array(a, Pb__TaskGrant, 1);
    pb__task_grant__init(g);
    g->task = arena_strdup(a, task->name);
    give_cores(p, a, f->stock[slot], task, g);
    give_devices(p, a, f, slot, task, g);
    return g;
}

struct given *pieces_give(const struct pieces *p, struct arena *a, const struct fleet *f,
                          uint32_t slot, const struct given *given)
{
    struct pieces_room room = pieces_look(p, f, slot, given);
    if (room.cores < p->cores || !room.devices)
        return NULL;
    Pb__TaskGrant **grants = arena_array(a, Pb__TaskGrant *, p->group->n_tasks + 1);
    struct given *n = arena_array(a, struct given, 1);
    *n = (struct given){.next = (struct given *)(uintptr_t)given, .grants = grants};
    for (size_t i = 0; i < p->group->n_tasks; i++) {
        const Pb__Resources *r = p->group->tasks[i]->resources;
        if (r != NULL && r->cores + r->n_devices > 0)
            grants[n->count++] = give_task(p, a, f, slot, p->group->tasks[i]);
    }
    return n;
}

const char *pieces_missing(const struct pieces *p, struct arena *a, const struct fleet *f,
                           uint32_t slot, const struct given *given)
{
    if (f->stock[slot] != NULL)
        mark(p, f->stock[slot], given);
    const struct matches *matches = p->of_kind[f->kind_of[slot]];
    for (uint32_t i = 0; i < p->request_count && f->stock[slot] != NULL; i++) {
        count_left(scratch(p), &f->kinds[f->kind_of[slot]], f->stock[slot]);
        bool any = false;
        for (uint32_t k = 0; k < matches[i].count; k++)
            any = any || p->left[matches[i].models[k]] >= p->requests[i].count;
        if (!any)
            return arena_printf(a, "devices: %s", p->requests[i].name);
    }
    return "devices"; /* each request alone would find its own */
}

/* ---- memory_max */

static Pb__TaskGrant *grant_for(struct arena *a, Pb__Placement *at, const Pb__Task *task)
{
    for (size_t i = 0; i < at->n_grants; i++)
        if (strcmp(at->grants[i]->task, task->name) == 0) /* a copy: a plan's grants are its own */
            return at->grants[i] = arena_copy(a, at->grants[i], sizeof(*at->grants[i]));
    Pb__TaskGrant *g = arena_array(a, Pb__TaskGrant, 1);
    pb__task_grant__init(g);
    g->task = arena_strdup(a, task->name);
    at->grants[at->n_grants++] = g;
    return g;
}

void pieces_allow_memory_max(struct arena *a, const Pb__TaskGroup *group, Pb__Placement *at)
{
    Pb__TaskGrant **grants = arena_array(a, Pb__TaskGrant *, at->n_grants + group->n_tasks + 1);
    if (at->n_grants > 0)
        memcpy(grants, at->grants, at->n_grants * sizeof(*grants));
    at->grants = grants;
    for (size_t i = 0; i < group->n_tasks; i++) {
        const Pb__Resources *r = group->tasks[i]->resources;
        if (r == NULL || r->memory_max_mb <= r->memory_mb)
            continue;
        Pb__TaskGrant *g = grant_for(a, at, group->tasks[i]);
        g->has_memory_max_mb = true;
        g->memory_max_mb = r->memory_max_mb;
    }
}
