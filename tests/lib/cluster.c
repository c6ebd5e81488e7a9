#include "cluster.h"
#include "base/map.h"
#include "wire/wire.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *mutable(struct cluster *c, const char *s)
{
    return arena_strdup(c->arena, s);
}

struct cluster *cluster_new_with(const struct state_options *o)
{
    struct cluster *c = xcalloc(1, sizeof *c);
    strcpy(c->dir, "/tmp/norn-test-XXXXXX");
    must(mkdtemp(c->dir) != NULL);
    c->arena = arena_new((size_t)4 << 30);
    c->time = 1700000000000000000;
    cluster_reopen(c, o);
    return c;
}

struct cluster *cluster_new(void)
{
    struct state_options o = {.map_bytes = 1u << 30};
    return cluster_new_with(&o);
}

void cluster_reopen(struct cluster *c, const struct state_options *o)
{
    struct reason why;
    state_close(c->state);
    must(state_open(&c->state, c->dir, o, &why) == OK);
}

void cluster_free(struct cluster *c)
{
    char command[128];
    state_close(c->state);
    arena_free(c->arena);
    free(c->log);
    snprintf(command, sizeof command, "rm -rf %s", c->dir);
    must(system(command) == 0);
    free(c);
}

ProtobufCBinaryData id_of(struct cluster *c, const char *kind, uint32_t number)
{
    uint64_t words[2] = {hash_bytes(kind, strlen(kind), 1), number};
    return wire_id(c->arena, (const uint8_t *)words);
}

Pb__Outcome *cluster_apply(struct cluster *c, const Pb__Command *body, uint32_t request)
{
    struct reason why;
    Pb__Command cmd = *body;
    struct view *v = state_write(c->state);
    c->index++;
    c->time += 1000000;
    cmd.has_request_id = cmd.has_time = true;
    cmd.request_id = id_of(c, "request", request != 0 ? request : 1000000 + (uint32_t)c->index);
    cmd.time = c->time;
    /* As in life: what is applied has been packed and unpacked. */
    Pb__Command *wired = (Pb__Command *)wire_clone(c->arena, &cmd.base);
    c->log = xrealloc(c->log, c->index * sizeof(Pb__Command *));
    c->log[c->index - 1] = wired;
    Pb__Outcome *out = (Pb__Outcome *)wire_clone(c->arena, &apply(v, wired, c->index, 1)->base);
    must(view_commit(v, &why) == OK);
    if (!c->unchecked) {
        v = state_read(c->state);
        state_check(v);
        view_abort(v);
    }
    return out;
}

void cluster_replay(struct cluster *c, const struct cluster *from, unsigned most)
{
    struct reason why;
    while (c->index < from->index) {
        struct view *v = state_write(c->state);
        for (unsigned i = 0; i < most && c->index < from->index; i++, c->index++)
            apply(v, from->log[c->index], c->index + 1, 1);
        must(view_commit(v, &why) == OK);
    }
}

/* ---- builders */

Pb__Job *a_job(struct cluster *c, const char *id, uint32_t count)
{
    Pb__Job *job = arena_alloc(c->arena, sizeof *job);
    Pb__TaskGroup *g = arena_alloc(c->arena, sizeof *g);
    Pb__Task *t = arena_alloc(c->arena, sizeof *t);
    pb__job__init(job);
    pb__task_group__init(g);
    pb__task__init(t);
    t->name = mutable(c, "t");
    t->driver = mutable(c, "mock");
    g->name = mutable(c, "g");
    g->has_count = true;
    g->count = count;
    g->n_tasks = 1;
    g->tasks = arena_array(c->arena, Pb__Task *, 1);
    g->tasks[0] = t;
    job->id = mutable(c, id);
    job->name = job->id;
    job->type = mutable(c, "service");
    job->has_priority = true;
    job->priority = 50;
    job->n_task_groups = 1;
    job->task_groups = arena_array(c->arena, Pb__TaskGroup *, 1);
    job->task_groups[0] = g;
    return job;
}

static Pb__Amount *an_amount(struct cluster *c, uint32_t cpu, uint32_t memory_mb, uint32_t disk_mb)
{
    Pb__Amount *a = arena_alloc(c->arena, sizeof *a);
    pb__amount__init(a);
    a->has_cpu = a->has_memory_mb = a->has_disk_mb = true;
    a->cpu = cpu;
    a->memory_mb = memory_mb;
    a->disk_mb = disk_mb;
    return a;
}

Pb__Node *a_node(struct cluster *c, uint32_t number, uint32_t cpu, uint32_t memory_mb)
{
    Pb__Node *n = arena_alloc(c->arena, sizeof *n);
    pb__node__init(n);
    n->has_id = n->has_secret_id = true;
    n->id = id_of(c, "node", number);
    n->secret_id = id_of(c, "secret", number);
    n->name = arena_printf(c->arena, "node-%u", number);
    n->datacenter = mutable(c, "dc1");
    n->total = an_amount(c, cpu, memory_mb, 100000);
    n->has_status = true;
    n->status = PB__NODE__STATUS__READY;
    return n;
}

Pb__Outcome *register_job(struct cluster *c, Pb__Job *job)
{
    Pb__JobRegister body = PB__JOB_REGISTER__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.job = job;
    cmd.body_case = PB__COMMAND__BODY_JOB_REGISTER;
    cmd.job_register = &body;
    return cluster_apply(c, &cmd, 0);
}

Pb__Outcome *deregister_job(struct cluster *c, const char *id, bool purge)
{
    Pb__JobDeregister body = PB__JOB_DEREGISTER__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.job_id = mutable(c, id);
    body.has_purge = true;
    body.purge = purge;
    cmd.body_case = PB__COMMAND__BODY_JOB_DEREGISTER;
    cmd.job_deregister = &body;
    return cluster_apply(c, &cmd, 0);
}

Pb__Outcome *register_node(struct cluster *c, Pb__Node *node)
{
    Pb__NodeRegister body = PB__NODE_REGISTER__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.node = node;
    cmd.body_case = PB__COMMAND__BODY_NODE_REGISTER;
    cmd.node_register = &body;
    return cluster_apply(c, &cmd, 0);
}

Pb__Outcome *set_node_status(struct cluster *c, ProtobufCBinaryData id, Pb__Node__Status status)
{
    Pb__NodeStatusUpdates body = PB__NODE_STATUS_UPDATES__INIT;
    Pb__NodeStatusUpdate one = PB__NODE_STATUS_UPDATE__INIT, *all[] = {&one};
    Pb__Command cmd = PB__COMMAND__INIT;
    one.has_node_id = one.has_status = true;
    one.node_id = id;
    one.status = status;
    body.n_nodes = 1;
    body.nodes = all;
    cmd.body_case = PB__COMMAND__BODY_NODE_STATUS;
    cmd.node_status = &body;
    return cluster_apply(c, &cmd, 0);
}

Pb__Plan *a_plan(struct cluster *c, ProtobufCBinaryData eval_id)
{
    Pb__Eval *e = get_eval(c, eval_id);
    Pb__Job *job = get_job_of(c, e->namespace_, e->job_id);
    Pb__Plan *p = arena_alloc(c->arena, sizeof *p);
    pb__plan__init(p);
    p->has_eval_id = p->has_eval_plans = p->has_status = true;
    p->eval_id = eval_id;
    p->eval_plans = e->plans;
    p->namespace_ = e->namespace_;
    p->job_id = e->job_id;
    p->status = PB__EVAL__STATUS__COMPLETE;
    if (job != NULL) {
        p->has_job_version = p->has_job_create_index = true;
        p->job_version = job->version;
        p->job_create_index = job->create_index;
    }
    return p;
}

/* One more in an array that grows by doubling. */
static void *grow(struct cluster *c, void *array, size_t count, size_t size)
{
    if (count != 0 && (count & (count - 1)) != 0)
        return array;
    void *bigger = arena_alloc(c->arena, (count == 0 ? 1 : count * 2) * size);
    if (count > 0)
        memcpy(bigger, array, count * size);
    return bigger;
}

void plan_place(struct cluster *c, Pb__Plan *p, ProtobufCBinaryData node_id, uint32_t cpu,
                uint32_t memory_mb, uint32_t port)
{
    Pb__Placement *at = arena_alloc(c->arena, sizeof *at);
    pb__placement__init(at);
    at->task_group = mutable(c, "g");
    at->has_name_index = at->has_node_id = true;
    at->name_index = (uint32_t)p->n_placements;
    at->node_id = node_id;
    at->resources = an_amount(c, cpu, memory_mb, 10);
    if (port != 0) {
        at->n_ports = 1;
        at->ports = arena_array(c->arena, Pb__Port *, 1);
        at->ports[0] = arena_alloc(c->arena, sizeof(Pb__Port));
        pb__port__init(at->ports[0]);
        at->ports[0]->label = mutable(c, "http");
        at->ports[0]->has_value = true;
        at->ports[0]->value = port;
    }
    p->placements = grow(c, p->placements, p->n_placements, sizeof(void *));
    p->placements[p->n_placements++] = at;
}

void plan_stop(struct cluster *c, Pb__Plan *p, ProtobufCBinaryData alloc_id, bool lost)
{
    Pb__Stop *s = arena_alloc(c->arena, sizeof *s);
    pb__stop__init(s);
    s->has_alloc_id = true;
    s->alloc_id = alloc_id;
    s->has_client_status = lost;
    s->client_status = lost ? PB__ALLOC__CLIENT_STATUS__LOST : PB__ALLOC__CLIENT_STATUS__UNKNOWN;
    p->stops = grow(c, p->stops, p->n_stops, sizeof(void *));
    p->stops[p->n_stops++] = s;
}

Pb__Outcome *apply_a_plan(struct cluster *c, Pb__Plan *p)
{
    Pb__PlanApply body = PB__PLAN_APPLY__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.plan = p;
    cmd.body_case = PB__COMMAND__BODY_PLAN_APPLY;
    cmd.plan_apply = &body;
    return cluster_apply(c, &cmd, 0);
}

Pb__Outcome *update_alloc(struct cluster *c, ProtobufCBinaryData id, Pb__Alloc__ClientStatus status)
{
    Pb__AllocUpdates body = PB__ALLOC_UPDATES__INIT;
    Pb__AllocUpdate one = PB__ALLOC_UPDATE__INIT, *all[] = {&one};
    Pb__Command cmd = PB__COMMAND__INIT;
    one.has_alloc_id = one.has_client_status = true;
    one.alloc_id = id;
    one.client_status = status;
    body.n_allocs = 1;
    body.allocs = all;
    cmd.body_case = PB__COMMAND__BODY_ALLOC_UPDATES;
    cmd.alloc_updates = &body;
    return cluster_apply(c, &cmd, 0);
}

/* ---- reading */

#define READ(expression)                                                                           \
    struct view *v = state_read(c->state);                                                         \
    __typeof__(expression) result = (expression);                                                  \
    view_abort(v);                                                                                 \
    return result

Pb__Job *get_job_of(struct cluster *c, const char *ns, const char *id)
{
    READ(state_job(v, c->arena, ns, id));
}

Pb__Job *get_job(struct cluster *c, const char *id)
{
    return get_job_of(c, NULL, id);
}

Pb__Eval *get_eval(struct cluster *c, ProtobufCBinaryData id)
{
    READ(state_eval(v, c->arena, id.data));
}

Pb__Alloc *get_alloc(struct cluster *c, ProtobufCBinaryData id)
{
    READ(state_alloc(v, c->arena, id.data));
}

Pb__Node *get_node(struct cluster *c, ProtobufCBinaryData id)
{
    READ(state_node(v, c->arena, id.data));
}

Pb__NodeUsage *get_usage(struct cluster *c, ProtobufCBinaryData id)
{
    READ(state_node_usage(v, c->arena, id.data));
}

Pb__JobSummary *get_summary(struct cluster *c, const char *id)
{
    READ(state_summary(v, c->arena, NULL, id));
}

uint64_t digest_of(struct cluster *c)
{
    READ(state_digest(v));
}

size_t ids_by(struct cluster *c, Pb__Table__Name table, Pb__List__By by, const char *name,
              ProtobufCBinaryData id, ProtobufCBinaryData *out, size_t room)
{
    struct walk w;
    const uint8_t *at;
    size_t n = 0;
    struct view *v = state_read(c->state);
    walk_open(&w, v, table, by, NULL, name, id.data, NULL);
    while ((at = walk_next(&w)) != NULL) {
        if (n < room)
            out[n] = wire_id(c->arena, at);
        n++;
    }
    walk_close(&w);
    view_abort(v);
    return n;
}
