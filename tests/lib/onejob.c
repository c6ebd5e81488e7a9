#include "onejob.h"
#include "base/err.h"
#include "sched/fit.h"
#include "sched/reconcile.h"
#include "sched/sched.h"
#include "wire/grant.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

void onejob_init(struct onejob *c)
{
    memset(c, 0, sizeof(*c));
    c->arena = arena_new((size_t)1 << 30);
    pb__job_view__init(&c->view);
    pb__eval__init(&c->eval);
    c->index = 10;
    c->eval.has_id = 1;
    uint8_t id[ID_SIZE] = {0xee};
    c->eval.id = wire_id(c->arena, id);
    c->eval.job_id = arena_strdup(c->arena, "web");
    c->eval.status = PB__EVAL__STATUS__PENDING;
    c->view.allocs = arena_array(c->arena, Pb__Alloc *, 200000);
    c->view.versions = arena_array(c->arena, Pb__Job *, 1000);
}

void onejob_fini(struct onejob *c)
{
    arena_free(c->arena);
}

static ProtobufCBinaryData next_id(struct onejob *c)
{
    uint8_t id[ID_SIZE] = {0};
    uint32_t n = ++c->ids, scattered = n * 2654435761u;
    memcpy(id, &scattered, 4);
    memcpy(id + 8, &n, 4);
    return wire_id(c->arena, id);
}

Pb__KeyValue *a_pair(struct arena *a, const char *key, const char *value)
{
    Pb__KeyValue *p = arena_array(a, Pb__KeyValue, 1);
    pb__key_value__init(p);
    p->key = arena_strdup(a, key);
    p->value = arena_strdup(a, value);
    return p;
}

Pb__Constraint *a_constraint(struct arena *a, const char *left, const char *operand,
                             const char *right)
{
    Pb__Constraint *c = arena_array(a, Pb__Constraint, 1);
    pb__constraint__init(c);
    c->l_target = arena_strdup(a, left);
    c->operand = arena_strdup(a, operand);
    c->r_target = arena_strdup(a, right);
    return c;
}

static Pb__Amount *an_amount(struct arena *a, uint32_t cpu, uint32_t memory_mb, uint32_t disk_mb)
{
    Pb__Amount *m = arena_array(a, Pb__Amount, 1);
    pb__amount__init(m);
    m->has_cpu = m->has_memory_mb = m->has_disk_mb = 1;
    m->cpu = cpu;
    m->memory_mb = memory_mb;
    m->disk_mb = disk_mb;
    return m;
}

static Pb__DriverInfo *a_driver(struct arena *a, const char *name)
{
    Pb__DriverInfo *d = arena_array(a, Pb__DriverInfo, 1);
    pb__driver_info__init(d);
    d->name = arena_strdup(a, name);
    d->has_detected = d->has_healthy = 1;
    d->detected = d->healthy = 1;
    return d;
}

Pb__Node *onejob_add_node(struct onejob *c, uint32_t cpu, uint32_t memory_mb, uint32_t disk_mb)
{
    struct arena *a = c->arena;
    Pb__Node *n = arena_array(a, Pb__Node, 1);
    pb__node__init(n);
    n->has_id = n->has_status = n->has_eligibility = 1;
    n->id = next_id(c);
    n->name = arena_printf(a, "n%zu", c->node_count);
    n->datacenter = arena_strdup(a, "dc1");
    n->computed_class = arena_strdup(a, "v1:1");
    n->status = PB__NODE__STATUS__READY;
    n->eligibility = PB__NODE__ELIGIBILITY__ELIGIBLE;
    n->attributes = arena_array(a, Pb__KeyValue *, 16);
    n->meta = arena_array(a, Pb__KeyValue *, 16);
    n->drivers = arena_array(a, Pb__DriverInfo *, 2);
    n->drivers[n->n_drivers++] = a_driver(a, "raw_exec");
    n->total = an_amount(a, cpu, memory_mb, disk_mb);
    n->create_index = ++c->index;

    Pb__NodeUsage *u = arena_array(a, Pb__NodeUsage, 1);
    pb__node_usage__init(u);
    u->has_node_id = 1;
    u->node_id = n->id;
    u->capacity = n->total;
    u->used = an_amount(a, 0, 0, 0);
    u->ports = arena_array(a, uint32_t, 65536);
    u->cores = arena_array(a, uint32_t, ONEJOB_PIECES);
    u->devices = arena_array(a, char *, ONEJOB_PIECES);
    must(c->node_count < ONEJOB_NODES);
    c->nodes[c->node_count] = n;
    c->usages[c->node_count++] = u;
    return n;
}

void node_set_attribute(struct onejob *c, Pb__Node *node, const char *key, const char *value)
{
    node->attributes[node->n_attributes++] = a_pair(c->arena, key, value);
}

static void set_version(struct onejob *c, Pb__Job *job)
{
    job->has_version = job->has_create_index = job->has_modify_index = 1;
    if (c->view.job != NULL) {
        c->view.versions[c->view.n_versions++] = c->view.job;
        job->version = c->view.job->version + 1;
        job->create_index = c->view.job->create_index;
    } else {
        job->create_index = ++c->index;
    }
    job->modify_index = ++c->index;
    c->view.job = job;
}

Pb__Job *onejob_set_job(struct onejob *c, const char *type, uint32_t count, uint32_t cpu,
                        uint32_t memory_mb)
{
    struct arena *a = c->arena;
    Pb__Job *job = arena_array(a, Pb__Job, 1);
    pb__job__init(job);
    job->id = job->name = c->eval.job_id;
    job->type = arena_strdup(a, type);
    job->datacenters = arena_array(a, char *, 1);
    job->datacenters[job->n_datacenters++] = arena_strdup(a, "dc1");
    job->constraints = arena_array(a, Pb__Constraint *, 8);
    job->meta = arena_array(a, Pb__KeyValue *, 8);
    job->task_groups = arena_array(a, Pb__TaskGroup *, 8);
    Pb__TaskGroup *g = job->task_groups[job->n_task_groups++] = arena_array(a, Pb__TaskGroup, 1);
    pb__task_group__init(g);
    g->name = arena_strdup(a, "g");
    g->has_count = 1;
    g->count = count;
    g->constraints = arena_array(a, Pb__Constraint *, 8);
    g->networks = arena_array(a, Pb__Network *, 2);
    g->tasks = arena_array(a, Pb__Task *, 8);
    Pb__Task *t = g->tasks[g->n_tasks++] = arena_array(a, Pb__Task, 1);
    pb__task__init(t);
    t->name = arena_strdup(a, "t");
    t->driver = arena_strdup(a, "raw_exec");
    t->resources = arena_array(a, Pb__Resources, 1);
    pb__resources__init(t->resources);
    t->resources->has_cpu = t->resources->has_memory_mb = 1;
    t->resources->cpu = cpu;
    t->resources->memory_mb = memory_mb;
    t->constraints = arena_array(a, Pb__Constraint *, 8);
    set_version(c, job);
    return job;
}

Pb__Job *onejob_next_version(struct onejob *c)
{
    Pb__Job *job = (Pb__Job *)wire_clone(c->arena, &c->view.job->base);
    for (size_t i = 0; i < job->n_task_groups; i++) {
        /* room to add to */
        Pb__TaskGroup *g = job->task_groups[i];
        Pb__Constraint **constraints = arena_array(c->arena, Pb__Constraint *, 8);
        if (g->n_constraints > 0)
            memcpy(constraints, g->constraints, g->n_constraints * sizeof(*constraints));
        g->constraints = constraints;
    }
    set_version(c, job);
    return job;
}

void group_add_port(struct onejob *c, Pb__TaskGroup *group, const char *label, uint32_t value)
{
    struct arena *a = c->arena;
    if (group->n_networks == 0) {
        Pb__Network *n = group->networks[group->n_networks++] = arena_array(a, Pb__Network, 1);
        pb__network__init(n);
        n->reserved_ports = arena_array(a, Pb__Port *, 8);
        n->dynamic_ports = arena_array(a, Pb__Port *, 8);
    }
    Pb__Network *n = group->networks[0];
    Pb__Port *p = arena_array(a, Pb__Port, 1);
    pb__port__init(p);
    p->label = arena_strdup(a, label);
    if (value > 0) {
        p->has_value = 1;
        p->value = value;
        n->reserved_ports[n->n_reserved_ports++] = p;
    } else {
        n->dynamic_ports[n->n_dynamic_ports++] = p;
    }
}

Pb__NodeUsage *onejob_usage(struct onejob *c, const uint8_t *node_id)
{
    for (size_t i = 0; i < c->node_count; i++)
        if (id_equal(c->nodes[i]->id.data, node_id))
            return c->usages[i];
    cr_assert_fail("a node that is not there");
    return NULL;
}

static int compare_ports(const void *a, const void *b)
{
    return (int)*(const uint32_t *)a - (int)*(const uint32_t *)b;
}

struct use_of {
    struct onejob *c;
    Pb__NodeUsage *usage;
};

static void use_core(void *self, uint32_t core)
{
    Pb__NodeUsage *u = ((const struct use_of *)self)->usage;
    cr_assert_lt(u->n_cores, ONEJOB_PIECES);
    u->cores[u->n_cores++] = core;
    qsort(u->cores, u->n_cores, sizeof(*u->cores), compare_ports);
}

static void use_device(void *self, const char *name)
{
    const struct use_of *x = self;
    cr_assert_lt(x->usage->n_devices, ONEJOB_PIECES);
    x->usage->devices[x->usage->n_devices++] = arena_strdup(x->c->arena, name);
}

static void release_core(void *self, uint32_t core)
{
    Pb__NodeUsage *u = self;
    for (size_t i = 0; i < u->n_cores; i++)
        if (u->cores[i] == core) {
            memmove(&u->cores[i], &u->cores[i + 1], (--u->n_cores - i) * sizeof(*u->cores));
            return;
        }
}

static void release_device(void *self, const char *name)
{
    Pb__NodeUsage *u = self;
    for (size_t i = 0; i < u->n_devices; i++)
        if (strcmp(u->devices[i], name) == 0) {
            u->devices[i] = u->devices[--u->n_devices];
            return;
        }
}

static const Pb__Node *node_of_usage(const struct onejob *c, const Pb__NodeUsage *u)
{
    for (size_t i = 0; i < c->node_count; i++)
        if (c->usages[i] == u)
            return c->nodes[i];
    return NULL;
}

static void use(struct onejob *c, const Pb__Alloc *alloc)
{
    Pb__NodeUsage *u = onejob_usage(c, alloc->node_id.data);
    cr_assert_eq(usage_fits(u, alloc->resources, alloc->ports, alloc->n_ports), FIT,
                 "a placement does not fit");
    cr_assert_eq(grants_fit(u, node_of_usage(c, u), alloc->grants, alloc->n_grants), FIT,
                 "a core or a device is given twice, or is not there");
    u->used->cpu += alloc->resources->cpu;
    u->used->memory_mb += alloc->resources->memory_mb;
    u->used->disk_mb += alloc->resources->disk_mb;
    for (size_t i = 0; i < alloc->n_ports; i++)
        u->ports[u->n_ports++] = alloc->ports[i]->value;
    qsort(u->ports, u->n_ports, sizeof(*u->ports), compare_ports);
    grants_each(alloc->grants, alloc->n_grants,
                &(struct grant_visitor){&(struct use_of){c, u}, use_core, use_device});
}

static void release(struct onejob *c, const Pb__Alloc *alloc)
{
    Pb__NodeUsage *u = onejob_usage(c, alloc->node_id.data);
    u->used->cpu -= alloc->resources->cpu;
    u->used->memory_mb -= alloc->resources->memory_mb;
    u->used->disk_mb -= alloc->resources->disk_mb;
    for (size_t i = 0; i < alloc->n_ports; i++)
        for (size_t k = 0; k < u->n_ports; k++)
            if (u->ports[k] == alloc->ports[i]->value) {
                memmove(&u->ports[k], &u->ports[k + 1], (--u->n_ports - k) * sizeof(*u->ports));
                break;
            }
    grants_each(alloc->grants, alloc->n_grants,
                &(struct grant_visitor){u, release_core, release_device});
}

static Pb__Alloc *new_alloc(struct onejob *c, const char *group, uint32_t name_index,
                            ProtobufCBinaryData node_id, Pb__Amount *amount)
{
    Pb__Alloc *x = arena_array(c->arena, Pb__Alloc, 1);
    pb__alloc__init(x);
    x->has_id = x->has_node_id = x->has_desired = x->has_client_status = x->has_name_index = 1;
    x->id = next_id(c);
    x->job_id = c->view.job->id;
    x->job_version = c->view.job->version;
    x->job_create_index = c->view.job->create_index;
    x->task_group = arena_strdup(c->arena, group);
    x->name_index = name_index;
    x->node_id = node_id;
    x->resources = amount;
    x->desired = PB__ALLOC__DESIRED__RUN;
    x->client_status = PB__ALLOC__CLIENT_STATUS__PENDING;
    x->create_index = ++c->index;
    c->view.allocs[c->view.n_allocs++] = x;
    return x;
}

Pb__Alloc *onejob_add_alloc(struct onejob *c, const char *group, uint32_t name_index,
                            const Pb__Node *node)
{
    Pb__Alloc *x = new_alloc(c, group, name_index, node->id, an_amount(c->arena, 0, 0, 0));
    x->client_status = PB__ALLOC__CLIENT_STATUS__RUNNING;
    return x;
}

void onejob_fill(const struct onejob *c, struct fleet *f, struct prng *random)
{
    size_t order[2 * ONEJOB_NODES], n = 2 * c->node_count;
    for (size_t i = 0; i < n; i++) {
        order[i] = i;
        if (random != NULL) {
            size_t k = prng_below(random, i + 1);
            order[i] = order[k];
            order[k] = i;
        }
    }
    for (size_t i = 0; i < n; i++)
        if (order[i] < c->node_count)
            fleet_set_node(f, c->nodes[order[i]]);
        else
            fleet_set_usage(f, c->usages[order[i] - c->node_count]);
    fleet_set_index(f, c->index);
    fleet_check(f);
}

struct fleet *onejob_fleet(const struct onejob *c)
{
    struct fleet *f = fleet_new();
    onejob_fill(c, f, NULL);
    return f;
}

Pb__Plan *onejob_plan(struct onejob *c, struct arena *a)
{
    struct fleet *f = onejob_fleet(c);
    Pb__Plan *plan = sched_plan(a, f, &c->view, &c->eval, c->index, NULL);
    plan = (Pb__Plan *)wire_clone(a, &plan->base); /* before the fleet that it borrows from ends */
    fleet_free(f);
    return plan;
}

static Pb__Alloc *find_alloc(struct onejob *c, ProtobufCBinaryData id)
{
    for (size_t i = 0; i < c->view.n_allocs; i++)
        if (id_equal(c->view.allocs[i]->id.data, id.data))
            return c->view.allocs[i];
    cr_assert_fail("an allocation that is not there");
    return NULL;
}

void onejob_end_alloc(struct onejob *c, Pb__Alloc *alloc, Pb__Alloc__ClientStatus status)
{
    if (!alloc_is_terminal(alloc))
        release(c, alloc);
    alloc->client_status = status;
    c->index++;
}

static void apply_stop(struct onejob *c, const Pb__Stop *s)
{
    Pb__Alloc *alloc = find_alloc(c, s->alloc_id);
    alloc->desired = PB__ALLOC__DESIRED__STOP;
    alloc->desired_description = arena_strdup(c->arena, s->description);
    if (s->client_status == PB__ALLOC__CLIENT_STATUS__LOST)
        onejob_end_alloc(c, alloc, PB__ALLOC__CLIENT_STATUS__LOST);
}

/* ---- the deployment, without what its health leads to */

static Pb__Deployment *new_deployment(struct onejob *c, const Pb__Deployment *planned)
{
    Pb__Deployment *d = (Pb__Deployment *)wire_clone(c->arena, &planned->base);
    d->has_id = 1;
    d->id = (ProtobufCBinaryData){ID_SIZE, arena_alloc(c->arena, ID_SIZE)};
    memset(d->id.data, 0xd, ID_SIZE);
    memcpy(d->id.data, &c->index, sizeof c->index);
    d->job_version = c->view.job->version;
    d->job_create_index = c->view.job->create_index;
    return d;
}

static void deploy(struct onejob *c, Pb__Alloc *alloc, bool canary)
{
    alloc->has_deployment_id = 1;
    alloc->deployment_id = c->view.deployment->id;
    alloc->deployment_status = arena_alloc(c->arena, sizeof *alloc->deployment_status);
    pb__deployment_status__init(alloc->deployment_status);
    alloc->deployment_status->canary = canary;
}

static void apply_in_place(struct onejob *c, const Pb__InPlace *u)
{
    Pb__Alloc *alloc = find_alloc(c, u->alloc_id);
    alloc->job_version = u->job_version;
    if (u->deployed)
        deploy(c, alloc, false);
}

static void apply_later(struct onejob *c, const Pb__Plan *plan)
{
    static uint8_t later[ID_SIZE] = {0x1a}; /* some evaluation that is not the one in hand */
    for (size_t i = 0; i < plan->n_follow_ups; i++)
        for (size_t k = 0; k < plan->follow_ups[i]->n_alloc_ids; k++) {
            Pb__Alloc *alloc = find_alloc(c, plan->follow_ups[i]->alloc_ids[k]);
            alloc->has_follow_up_eval = 1;
            alloc->follow_up_eval = (ProtobufCBinaryData){sizeof later, later};
        }
    for (size_t i = 0; i < plan->n_unreachable; i++) {
        Pb__Alloc *alloc = find_alloc(c, plan->unreachable[i]->alloc_id);
        alloc->client_status = PB__ALLOC__CLIENT_STATUS__UNREACHABLE;
        alloc->unreachable_since = c->view.time;
    }
}

static void apply_placement(struct onejob *c, const Pb__Plan *plan, const Pb__Placement *p)
{
    Pb__Placement *copy = (Pb__Placement *)wire_clone(c->arena, &p->base);
    Pb__Alloc *alloc =
        new_alloc(c, copy->task_group, copy->name_index, copy->node_id, copy->resources);
    alloc->job_version = copy->has_job_version ? copy->job_version : plan->job_version;
    alloc->create_time = c->view.time;
    alloc->reschedule_tracker = copy->reschedule_tracker;
    if (copy->deployed)
        deploy(c, alloc, copy->canary);
    alloc->ports = copy->ports;
    alloc->n_ports = copy->n_ports;
    alloc->grants = copy->grants;
    alloc->n_grants = copy->n_grants;
    use(c, alloc);
    if (copy->previous_alloc.len > 0) {
        Pb__Alloc *previous = find_alloc(c, copy->previous_alloc);
        previous->has_next_alloc = 1;
        previous->next_alloc = alloc->id;
    }
}

void onejob_apply(struct onejob *c, const Pb__Plan *plan)
{
    c->index++;
    for (size_t i = 0; i < plan->n_deployment_updates; i++)
        c->view.deployment->status = plan->deployment_updates[i]->status;
    if (plan->deployment != NULL)
        c->view.deployment = new_deployment(c, plan->deployment);
    apply_later(c, plan);
    for (size_t i = 0; i < plan->n_stops; i++)
        apply_stop(c, plan->stops[i]);
    for (size_t i = 0; i < plan->n_in_place; i++)
        apply_in_place(c, plan->in_place[i]);
    for (size_t i = 0; i < plan->n_placements; i++)
        apply_placement(c, plan, plan->placements[i]);
    c->eval.plans++;
}

size_t onejob_running(const struct onejob *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->view.n_allocs; i++)
        n += c->view.allocs[i]->desired == PB__ALLOC__DESIRED__RUN &&
             !alloc_is_terminal(c->view.allocs[i]);
    return n;
}
