/* Random commands on a small cluster. After each one state_check derives everything again; beside
 * it a naive model of what uses what, a fold over the feed, and a second replica must come to the
 * same. The seed is in each message. */
#include "base/map.h"
#include "base/prng.h"
#include "collectable.h"
#include "deploying.h"
#include "pieces.h"
#include "query.h"
#include "query_collect.h"
#include "rescaling.h"
#include "wire/grant.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define SEEDS  30
#define STEPS  250
#define NODES  6
#define JOBS   6
#define ALLOCS PB__TABLE__NAME__ALLOCS
#define EVALS  PB__TABLE__NAME__EVALS

struct world {
    struct cluster *c;
    struct prng chance;
    uint64_t seed;
    uint32_t next_port;
    struct arena *scratch;
    bool has_apps; /* namespace "apps" is there */
};

static uint32_t below(struct world *w, uint32_t n)
{
    return (uint32_t)prng_below(&w->chance, n);
}

static const char *const pool_names[] = {"gpu", "arm", "default"};
static const char *const job_names[JOBS] = {"a", "b", "c/d", "web", "web-2", "tick"};

static const char *job_name(struct world *w)
{
    return job_names[below(w, JOBS)];
}

/* ---- picking what is there */

struct picked {
    ProtobufCBinaryData ids[4096];
    size_t count;
};

static bool pick(struct world *w, Pb__Table__Name table, ProtobufCBinaryData *out)
{
    static struct picked all;
    struct scan s;
    struct view *v = state_read(w->c->state);
    all.count = 0;
    scan_open(&s, v, table, NULL, NULL, NULL);
    while (scan_next(&s) && all.count < COUNT_OF(all.ids))
        all.ids[all.count++] = scan_key(&s, w->c->arena)->id;
    scan_close(&s);
    view_abort(v);
    if (all.count == 0)
        return false;
    *out = all.ids[below(w, (uint32_t)all.count)];
    return true;
}

/* ---- the steps */

static bool pool_is_there(struct world *w, const char *name)
{
    struct view *v = state_read(w->c->state);
    bool found = state_has_node_pool(v, name);
    view_abort(v);
    return found;
}

static void step_register_job(struct world *w)
{
    static Pb__Periodic periodic;
    Pb__Job *job = a_job(w->c, job_name(w), 1 + below(w, 3));
    if (strcmp(job->id, "tick") == 0) {
        pb__periodic__init(&periodic);
        periodic.has_enabled = periodic.enabled = true;
        periodic.has_prohibit_overlap = true;
        periodic.prohibit_overlap = below(w, 2) == 0;
        job->periodic = &periodic;
    }
    bool in_apps = below(w, 8) == 0;
    job->namespace_ = in_apps ? arena_strdup(w->c->arena, "apps") : NULL;
    if (below(w, 8) == 0 && pool_is_there(w, pool_names[0]))
        job->node_pool = arena_strdup(w->c->arena, pool_names[0]);
    Pb__Outcome *out = register_job(w->c, job);
    cr_assert_eq(out->code,
                 in_apps && !w->has_apps ? PB__OUTCOME__CODE__INVALID : PB__OUTCOME__CODE__APPLIED,
                 "seed %d: %s", (int)w->seed, out->reason);
}

/* By several controllers, each with another idea of what is due. */
static void step_launch(struct world *w)
{
    Pb__PeriodicLaunch body = PB__PERIODIC_LAUNCH__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    Pb__Job *before = get_job(w->c, "tick");
    body.job_id = (char *)(uintptr_t)(below(w, 20) == 0 ? job_name(w) : "tick");
    body.has_launch_time = body.has_force = body.has_job_modify_index = true;
    body.launch_time = (int64_t)(w->c->index / 4 + below(w, 5)) * 1000000000;
    body.force = below(w, 5) == 0;
    body.job_modify_index = below(w, 3) == 0 && before != NULL ? before->job_modify_index : 0;
    cmd.body_case = PB__COMMAND__BODY_PERIODIC_LAUNCH;
    cmd.periodic_launch = &body;
    Pb__Outcome *out = cluster_apply(w->c, &cmd, 0);
    bool late = before != NULL && body.launch_time <= before->last_launch && !body.force;
    cr_assert(!late || out->child_id == NULL, "seed %d: launched twice", (int)w->seed);
    cr_assert((out->child_id != NULL) == out->has_eval_id, "seed %d", (int)w->seed);
    if (out->child_id != NULL)
        cr_assert_str_eq(get_job(w->c, out->child_id)->parent_id, "tick");
}

/* ---- namespaces */

static bool apps_are_live(struct world *w)
{
    bool live = false;
    for (uint32_t i = 0; i < JOBS; i++) {
        struct view *v = state_read(w->c->state);
        const Pb__Job *job = state_job(v, w->c->arena, "apps", job_names[i]);
        live |= job != NULL && strcmp(job->status, "dead") != 0;
        view_abort(v);
    }
    return live;
}

static void step_namespace(struct world *w)
{
    Pb__Namespace n = PB__NAMESPACE__INIT;
    Pb__NamespaceSet set = PB__NAMESPACE_SET__INIT;
    Pb__NamespaceDelete gone = PB__NAMESPACE_DELETE__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    gone.name = n.name = arena_strdup(w->c->arena, below(w, 4) == 0 ? "default" : "apps");
    n.description = arena_printf(w->c->arena, "%u", below(w, 1000));
    set.namespace_ = &n;
    bool is_apps = n.name[0] == 'a', deletes = below(w, 2) == 0;
    bool refused = deletes && (!is_apps || (w->has_apps && apps_are_live(w)));
    cmd.body_case = deletes ? PB__COMMAND__BODY_NAMESPACE_DELETE : PB__COMMAND__BODY_NAMESPACE_SET;
    if (deletes)
        cmd.namespace_delete = &gone;
    else
        cmd.namespace_set = &set;
    const Pb__Outcome *out = cluster_apply(w->c, &cmd, 0);
    cr_assert_eq(out->code != PB__OUTCOME__CODE__APPLIED, refused, "seed %d: %s", (int)w->seed,
                 out->reason);
    if (is_apps && !refused)
        w->has_apps = !deletes;
}

static void step_deregister(struct world *w)
{
    deregister_job(w->c, job_name(w), below(w, 3) == 0);
}

static const char *const gpus[] = {"gpu-0", "gpu-1", "gpu-2"};

/* Up to four cores and three instances of one device, more or fewer at each registration. */
static void list_pieces(struct world *w, Pb__Node *n)
{
    node_list_cores(w->c->arena, n, below(w, 5));
    node_add_device(w->c->arena, n,
                    a_device(w->c->arena, "acme/gpu/x1",
                             below(w, 2) == 0 ? "gpu-0 gpu-1 gpu-2" : "gpu-1 gpu-2"));
}

/* Whether or not they are there and free: apply has to see. */
static void give_pieces(struct world *w, Pb__Placement *at)
{
    struct arena *a = w->c->arena;
    Pb__TaskGrant *g = a_grant(a, "main");
    for (uint32_t n = below(w, 3); n > 0; n--)
        grant_core(a, g, below(w, 5));
    for (uint32_t n = below(w, 3); n > 0; n--)
        grant_instance(a, g, "acme/gpu/x1", gpus[below(w, COUNT_OF(gpus))]);
    at->grants = arena_array(a, Pb__TaskGrant *, 1);
    at->grants[0] = g;
    at->n_grants = 1;
}

static void step_node(struct world *w)
{
    uint32_t number = below(w, NODES);
    uint32_t ports[] = {22, 80};
    Pb__Node *n = a_node(w->c, number, 300 + 100 * below(w, 4), 1000);
    if (below(w, 4) == 0)
        n->node_pool = arena_strdup(w->c->arena, pool_names[below(w, 2)]);
    n->n_reserved_ports = below(w, 3);
    n->reserved_ports = ports;
    list_pieces(w, n);
    if (below(w, 10) == 0)
        n->secret_id = id_of(w->c, "secret", number + 1); /* an impostor */
    register_node(w->c, n);
}

static void step_purge(struct world *w)
{
    Pb__NodePurge purge = PB__NODE_PURGE__INIT;
    Pb__NodeEvaluate evaluate = PB__NODE_EVALUATE__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    purge.has_node_id = evaluate.has_node_id = true;
    purge.node_id = evaluate.node_id = id_of(w->c, "node", below(w, NODES));
    bool known = get_node(w->c, purge.node_id) != NULL, purges = below(w, 2) == 0;
    cmd.body_case = purges ? PB__COMMAND__BODY_NODE_PURGE : PB__COMMAND__BODY_NODE_EVALUATE;
    if (purges)
        cmd.node_purge = &purge;
    else
        cmd.node_evaluate = &evaluate;
    const Pb__Outcome *out = cluster_apply(w->c, &cmd, 0);
    cr_assert_eq(out->code, known ? PB__OUTCOME__CODE__APPLIED : PB__OUTCOME__CODE__NOT_FOUND,
                 "seed %d: %s", (int)w->seed, out->reason);
}

static void step_pool(struct world *w)
{
    Pb__NodePool p = PB__NODE_POOL__INIT;
    Pb__NodePoolSet set = PB__NODE_POOL_SET__INIT;
    Pb__NodePoolDelete gone = PB__NODE_POOL_DELETE__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    bool deletes = below(w, 2) == 0;
    gone.name = p.name = arena_strdup(w->c->arena, pool_names[below(w, COUNT_OF(pool_names))]);
    p.description = arena_printf(w->c->arena, "%u", below(w, 1000));
    set.pool = &p;
    cmd.body_case = deletes ? PB__COMMAND__BODY_NODE_POOL_DELETE : PB__COMMAND__BODY_NODE_POOL_SET;
    if (deletes)
        cmd.node_pool_delete = &gone;
    else
        cmd.node_pool_set = &set;
    cluster_apply(w->c, &cmd, 0);
}

/* Whatever was set and deleted: every node, and every job that is not dead, is in a pool that is
 * there. */
static void check_pools(struct world *w)
{
    struct view *v = state_read(w->c->state);
    for (uint32_t i = 0; i < NODES; i++) {
        const Pb__Node *n = state_node(v, w->c->arena, id_of(w->c, "node", i).data);
        if (n != NULL && n->node_pool != NULL)
            cr_assert(state_has_node_pool(v, n->node_pool), "seed %d: a node is in no pool",
                      (int)w->seed);
    }
    for (uint32_t i = 0; i < JOBS; i++) {
        const Pb__Job *job = state_job(v, w->c->arena, NULL, job_names[i]);
        if (job != NULL && job->node_pool != NULL && strcmp(job->status, "dead") != 0)
            cr_assert(state_has_node_pool(v, job->node_pool), "seed %d: a job is in no pool",
                      (int)w->seed);
    }
    view_abort(v);
}

static void step_status(struct world *w)
{
    set_node_status(w->c, id_of(w->c, "node", below(w, NODES)),
                    below(w, 2) == 0 ? PB__NODE__STATUS__DOWN : PB__NODE__STATUS__READY);
}

static void add_stops(struct world *w, Pb__Plan *p)
{
    ProtobufCBinaryData ids[64];
    size_t n = ids_by(w->c, ALLOCS, PB__LIST__BY__JOB, p->job_id, p->eval_id, ids, 64);
    for (size_t i = 0; i < n && i < 64; i++)
        if (below(w, 4) == 0)
            plan_stop(w->c, p, ids[i], below(w, 2) == 0);
}

static void step_plan(struct world *w)
{
    ProtobufCBinaryData eval;
    if (!pick(w, EVALS, &eval))
        return;
    Pb__Plan *p = a_plan(w->c, eval);
    if (below(w, 10) == 0)
        p->eval_plans++; /* one that was overtaken */
    add_stops(w, p);
    for (uint32_t n = below(w, 5); n > 0; n--) {
        plan_place(w->c, p, id_of(w->c, "node", below(w, NODES + 1)), 50 + below(w, 100), 10,
                   below(w, 2) == 0 ? 20000 + below(w, 6) : 0);
        if (below(w, 2) == 0)
            give_pieces(w, p->placements[p->n_placements - 1]);
    }
    if (below(w, 2) == 0)
        deploying_plan(w->c, &w->chance, p);
    p->has_all_at_once = true;
    p->all_at_once = below(w, 5) == 0;
    p->has_create_blocked = true;
    p->create_blocked = below(w, 3) == 0;
    p->has_status = below(w, 4) != 0;
    if (get_eval(w->c, eval)->status == PB__EVAL__STATUS__BLOCKED && below(w, 2) == 0)
        p->status = PB__EVAL__STATUS__BLOCKED;
    apply_a_plan(w->c, p);
}

static void step_alloc(struct world *w)
{
    static const Pb__Alloc__ClientStatus all[] = {
        PB__ALLOC__CLIENT_STATUS__RUNNING,
        PB__ALLOC__CLIENT_STATUS__RUNNING,
        PB__ALLOC__CLIENT_STATUS__COMPLETE,
        PB__ALLOC__CLIENT_STATUS__FAILED,
    };
    ProtobufCBinaryData id;
    if (below(w, 3) == 0)
        deploying_report(w->c, &w->chance);
    else if (pick(w, ALLOCS, &id))
        update_alloc(w->c, id, all[below(w, COUNT_OF(all))]);
}

static void step_eval(struct world *w)
{
    Pb__EvalUpdates body = PB__EVAL_UPDATES__INIT;
    Pb__EvalUpdate one = PB__EVAL_UPDATE__INIT, *all[] = {&one};
    Pb__Command cmd = PB__COMMAND__INIT;
    if (!pick(w, EVALS, &one.id))
        return;
    one.has_id = one.has_status = true;
    one.status = below(w, 2) == 0 ? PB__EVAL__STATUS__FAILED : PB__EVAL__STATUS__CANCELLED;
    one.has_follow_up_at = true;
    one.follow_up_at = below(w, 2);
    body.n_evals = 1;
    body.evals = all;
    cmd.body_case = PB__COMMAND__BODY_EVAL_UPDATES;
    cmd.eval_updates = &body;
    cluster_apply(w->c, &cmd, 0);
}

static void step_repeat(struct world *w)
{
    if (w->c->index == 0)
        return;
    Pb__Command *earlier = w->c->log[below(w, (uint32_t)w->c->index)];
    uint64_t before = digest_of(w->c);
    struct view *v = state_write(w->c->state);
    /* At a new index, in a transaction that is taken back: the answer is the first one. */
    Pb__Outcome *out = apply(v, earlier, w->c->index + 1, 1);
    cr_assert_leq(out->index, w->c->index, "seed %d: applied twice", (int)w->seed);
    view_abort(v);
    cr_assert_eq(digest_of(w->c), before, "seed %d", (int)w->seed);
}

/* ---- collection */

/* What lives: allocations that have not ended, evaluations that are open, jobs that are not dead.
 */
struct living {
    size_t allocs, evals, jobs;
};

static struct living count_living(struct world *w)
{
    struct living l = {0};
    struct scan s;
    struct view *v = state_read(w->c->state);
    for (scan_open(&s, v, ALLOCS, NULL, NULL, NULL); scan_next(&s); arena_reset(w->scratch))
        l.allocs += !alloc_has_ended(state_alloc(v, w->scratch, s.cursor.key.data));
    for (scan_open(&s, v, EVALS, NULL, NULL, NULL); scan_next(&s); arena_reset(w->scratch)) {
        Pb__Eval__Status is = state_eval(v, w->scratch, s.cursor.key.data)->status;
        l.evals += is == PB__EVAL__STATUS__PENDING || is == PB__EVAL__STATUS__BLOCKED;
    }
    scan_open(&s, v, PB__TABLE__NAME__JOBS, NULL, NULL, NULL);
    for (; scan_next(&s); arena_reset(w->scratch)) {
        Pb__Key *key = scan_key(&s, w->scratch);
        Pb__Job *job = state_job(v, w->scratch, key->namespace_, key->name);
        l.jobs += strcmp(job->status, "dead") != 0 || !(job->stop || job_is_batch(job));
    }
    view_abort(v);
    return l;
}

static bool collect(struct world *w, Pb__Collect *body)
{
    Pb__Command cmd = PB__COMMAND__INIT;
    struct living before = count_living(w);
    cmd.body_case = PB__COMMAND__BODY_COLLECT;
    cmd.collect = body;
    Pb__Outcome *out = cluster_apply(w->c, &cmd, 0);
    struct living after = count_living(w);
    cr_assert(before.allocs == after.allocs && before.evals == after.evals &&
                  before.jobs == after.jobs,
              "seed %d: something that lives was collected", (int)w->seed);
    return !out->unchanged;
}

/* Whatever comes to hand, alive or not. */
static void step_collect_anything(struct world *w)
{
    Pb__Collect body = PB__COLLECT__INIT;
    Pb__JobRef ref = PB__JOB_REF__INIT, *refs[] = {&ref};
    ProtobufCBinaryData allocs[8], evals[4], nodes[1];
    body.allocs = allocs;
    body.evals = evals;
    body.nodes = nodes;
    body.jobs = refs;
    while (body.n_allocs < COUNT_OF(allocs) && pick(w, ALLOCS, &allocs[body.n_allocs]))
        body.n_allocs++;
    while (body.n_evals < COUNT_OF(evals) && pick(w, EVALS, &evals[body.n_evals]))
        body.n_evals++;
    body.n_nodes = below(w, 2);
    nodes[0] = id_of(w->c, "node", below(w, NODES));
    body.n_jobs = below(w, 2);
    ref.id = (char *)(uintptr_t)job_name(w);
    collect(w, &body);
}

static void step_evaluate(struct world *w)
{
    Pb__JobEvaluate body = PB__JOB_EVALUATE__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.job_id = (char *)(uintptr_t)job_name(w);
    body.has_reschedule = true;
    body.reschedule = below(w, 2) == 0;
    cmd.body_case = PB__COMMAND__BODY_JOB_EVALUATE;
    cmd.job_evaluate = &body;
    cluster_apply(w->c, &cmd, 0);
}

/* All that is found in pieces of random size. True: something was. */
static bool collect_round(struct world *w)
{
    static const Pb__Table__Name tables[] = {PB__TABLE__NAME__EVALS, PB__TABLE__NAME__DEPLOYMENTS,
                                             PB__TABLE__NAME__JOBS, PB__TABLE__NAME__NODES};
    bool any = false;
    for (size_t i = 0; i < COUNT_OF(tables); i++) {
        Pb__CollectRead q = PB__COLLECT_READ__INIT;
        q.table = tables[i];
        q.limit = 1 + below(w, 9);
        q.before = q.batch_before = INT64_MAX;
        q.index = UINT64_MAX;
        do {
            struct reason why;
            Pb__CollectFound found = PB__COLLECT_FOUND__INIT;
            struct view *v = state_read(w->c->state);
            cr_assert_eq(query_collectable(v, w->c->arena, &q, &found, &why), OK);
            view_abort(v);
            if (found.collect != NULL) {
                cr_assert(collect(w, found.collect), "seed %d: found, yet not collected",
                          (int)w->seed);
                any = true;
            }
            q.after = found.next;
        } while (q.after != NULL);
    }
    return any;
}

static void step_collect(struct world *w)
{
    if (below(w, 2) == 0)
        step_collect_anything(w);
    else
        collect_round(w);
}

static void step(struct world *w)
{
    switch (below(w, 22)) {
    case 0:
    case 1:
        step_register_job(w);
        break;
    case 2:
        step_deregister(w);
        break;
    case 3:
    case 4:
        step_node(w);
        break;
    case 5:
        step_status(w);
        break;
    case 6:
        step_eval(w);
        break;
    case 7:
        step_repeat(w);
        break;
    case 21:
        deploying_command(w->c, &w->chance);
        break;
    case 20:
        rescaling_command(w->c, &w->chance, job_name(w));
        break;
    case 16:
    case 17:
        step_launch(w);
        break;
    case 8:
        step_namespace(w);
        break;
    case 18:
        step_pool(w);
        break;
    case 19:
        step_purge(w);
        break;
    case 9:
    case 10:
    case 11:
    case 12:
        step_alloc(w);
        break;
    default:
        step_plan(w);
    }
}

/* ---- the naive model: who uses what, from the allocations alone */

struct given {
    const struct world *world;
    bool cores[8], gpus[COUNT_OF(gpus)];
};

static void check_core(void *self, uint32_t core)
{
    struct given *g = self;
    cr_assert_not(g->cores[core], "seed %d: core given twice", (int)g->world->seed);
    g->cores[core] = true;
}

static void check_gpu(void *self, const char *name)
{
    struct given *g = self;
    size_t i = (size_t)(strrchr(name, '-')[1] - '0');
    cr_assert_not(g->gpus[i], "seed %d: device given twice", (int)g->world->seed);
    g->gpus[i] = true;
}

static void check_room(struct world *w)
{
    for (uint32_t number = 0; number < NODES; number++) {
        ProtobufCBinaryData id = id_of(w->c, "node", number), ids[512];
        uint64_t cpu = 0;
        bool ports[16] = {false};
        struct given given = {.world = w};
        size_t n = ids_by(w->c, ALLOCS, PB__LIST__BY__NODE, NULL, id, ids, COUNT_OF(ids));
        for (size_t i = 0; i < n && i < COUNT_OF(ids); i++) {
            Pb__Alloc *a = get_alloc(w->c, ids[i]);
            if (alloc_has_ended(a))
                continue;
            cpu += a->resources->cpu;
            grants_each(a->grants, a->n_grants,
                        &(struct grant_visitor){&given, check_core, check_gpu});
            if (a->n_ports == 0)
                continue;
            uint32_t slot = a->ports[0]->value - 20000;
            cr_assert_not(ports[slot], "seed %d: port given twice", (int)w->seed);
            ports[slot] = true;
        }
        /* A node that shrank may hold more than it has, never more than it had. */
        cr_assert_leq(cpu, 600, "seed %d: over-committed", (int)w->seed);
    }
}

/* ---- a fold over the feed, in pieces of random size */

struct fold {
    struct map *values; /* key text -> modify index as a pointer */
    uint64_t index;
    uint32_t skip;
};

static size_t fold_key(char out[512], Pb__Table__Name table, const Pb__Key *key)
{
    size_t n =
        (size_t)snprintf(out, 512, "%d/%s/%s/%llu/", (int)table,
                         key->name != NULL ? namespace_or_default(key->namespace_) : "",
                         key->name != NULL ? key->name : "", (unsigned long long)key->version);
    if (key->has_id) {
        memcpy(out + n, key->id.data, ID_SIZE);
        n += ID_SIZE;
    }
    return n;
}

static void key_of_object(Pb__Object *o, Pb__Key *key)
{
    *key = (Pb__Key)PB__KEY__INIT;
    switch (o->value_case) {
    case PB__OBJECT__VALUE_JOB:
        key->namespace_ = o->job->namespace_;
        key->name = o->job->id;
        key->version = o->table == PB__TABLE__NAME__JOB_VERSIONS ? o->job->version : 0;
        return;
    case PB__OBJECT__VALUE_SUMMARY:
        key->namespace_ = o->summary->namespace_;
        key->name = o->summary->job_id;
        return;
    case PB__OBJECT__VALUE_SCALING_EVENTS:
        key->namespace_ = o->scaling_events->namespace_;
        key->name = o->scaling_events->job_id;
        return;
    case PB__OBJECT__VALUE_NODE_POOL:
        key->name = o->node_pool->name;
        return;
    case PB__OBJECT__VALUE_NAMESPACE:
        key->name = o->namespace_->name;
        return;
    case PB__OBJECT__VALUE_EVAL:
        key->id = o->eval->id;
        break;
    case PB__OBJECT__VALUE_DEPLOYMENT:
        key->id = o->deployment->id;
        break;
    case PB__OBJECT__VALUE_ALLOC:
        key->id = o->alloc->id;
        break;
    case PB__OBJECT__VALUE_NODE:
        key->id = o->node->id;
        break;
    case PB__OBJECT__VALUE_NODE_USAGE:
        key->id = o->node_usage->node_id;
        break;
    default:
        cr_assert_fail("an object without a value");
    }
    key->has_id = true;
}

static void fold_object(struct fold *f, Pb__Object *o)
{
    char text[512];
    Pb__Key key;
    if (o->deleted != NULL) {
        map_remove(f->values, text, fold_key(text, o->table, o->deleted));
        return;
    }
    key_of_object(o, &key);
    size_t len = fold_key(text, o->table, &key);
    uint64_t hash = 1;
    uint8_t packed[8192];
    ProtobufCMessage *m = (ProtobufCMessage *)o->job; /* all members of the union are pointers */
    size_t size = protobuf_c_message_get_packed_size(m);
    cr_assert_leq(size, sizeof packed);
    protobuf_c_message_pack(m, packed);
    hash = hash_bytes(packed, size, 7) | 1;
    map_put(f->values, text, len, (void *)(uintptr_t)hash);
}

static void fold_some(struct world *w, struct fold *f, bool to_the_end)
{
    do {
        Pb__Changes q = PB__CHANGES__INIT;
        Pb__ChangesReply out = PB__CHANGES_REPLY__INIT;
        q.since = f->index;
        q.skip = f->skip;
        q.limit = 1 + below(w, 5);
        struct view *v = state_read(w->c->state);
        query_changes(v, w->scratch, &q, &out);
        view_abort(v);
        cr_assert_not(out.too_old);
        /* Over the wire, since objects are packed from stored bytes. */
        Pb__ChangesReply *r = (Pb__ChangesReply *)wire_clone(w->scratch, &out.base);
        for (size_t i = 0; i < r->n_objects; i++)
            fold_object(f, r->objects[i]);
        cr_assert(r->reached > f->index || r->skip > f->skip || r->reached == w->c->index,
                  "seed %d: the feed does not move", (int)w->seed);
        f->index = r->reached;
        f->skip = r->skip;
        arena_reset(w->scratch);
    } while (to_the_end && (f->index < w->c->index || f->skip > 0));
}

static void check_fold(struct world *w, struct fold *f)
{
    struct fold listed = {.values = map_new()};
    for (int table = PB__TABLE__NAME__JOBS; table < STATE_TABLES; table++) {
        Pb__List q = PB__LIST__INIT;
        q.table = (Pb__Table__Name)table;
        q.limit = 1 + below(w, 7);
        do {
            struct reason why;
            Pb__Objects out = PB__OBJECTS__INIT;
            struct view *v = state_read(w->c->state);
            cr_assert_eq(query_list(v, w->scratch, &q, &out, &why), OK);
            view_abort(v);
            Pb__Objects *r = (Pb__Objects *)wire_clone(w->scratch, &out.base);
            for (size_t i = 0; i < r->n_objects; i++)
                fold_object(&listed, r->objects[i]);
            q.after = r->next;
        } while (q.after != NULL);
        arena_reset(w->scratch);
    }
    size_t i = 0, len;
    const void *key;
    void *value;
    cr_assert_eq(map_count(listed.values), map_count(f->values), "seed %d: %zu listed, %zu folded",
                 (int)w->seed, map_count(listed.values), map_count(f->values));
    while (map_next(listed.values, &i, &key, &len, &value))
        cr_assert_eq(map_get(f->values, key, len), value, "seed %d: %.20s", (int)w->seed,
                     (const char *)key);
    map_free(listed.values);
}

/* ---- the end of everything */

static void close_eval(struct world *w, ProtobufCBinaryData id)
{
    Pb__EvalUpdates body = PB__EVAL_UPDATES__INIT;
    Pb__EvalUpdate one = PB__EVAL_UPDATE__INIT, *all[] = {&one};
    Pb__Command cmd = PB__COMMAND__INIT;
    one.has_id = one.has_status = true;
    one.id = id;
    one.status = PB__EVAL__STATUS__CANCELLED;
    body.n_evals = 1;
    body.evals = all;
    cmd.body_case = PB__COMMAND__BODY_EVAL_UPDATES;
    cmd.eval_updates = &body;
    cluster_apply(w->c, &cmd, 0);
}

/* Each id of the table as it is now. */
static void each_id(struct world *w, Pb__Table__Name table,
                    void (*visit)(struct world *w, ProtobufCBinaryData id))
{
    struct scan s;
    struct picked *all = arena_alloc(w->c->arena, sizeof *all);
    struct view *v = state_read(w->c->state);
    scan_open(&s, v, table, NULL, NULL, NULL);
    for (all->count = 0; scan_next(&s) && all->count < COUNT_OF(all->ids); all->count++)
        all->ids[all->count] = scan_key(&s, w->c->arena)->id;
    scan_close(&s);
    view_abort(v);
    for (size_t i = 0; i < all->count; i++)
        visit(w, all->ids[i]);
}

static void end_node(struct world *w, ProtobufCBinaryData id)
{
    set_node_status(w->c, id, PB__NODE__STATUS__DOWN);
}

static void end_alloc(struct world *w, ProtobufCBinaryData id)
{
    update_alloc(w->c, id, PB__ALLOC__CLIENT_STATUS__COMPLETE);
}

/* Of every namespace. */
static void end_jobs(struct world *w)
{
    struct scan s;
    Pb__Key *keys[1024];
    size_t n = 0;
    struct view *v = state_read(w->c->state);
    scan_open(&s, v, PB__TABLE__NAME__JOBS, NULL, NULL, NULL);
    while (scan_next(&s) && n < COUNT_OF(keys))
        keys[n++] = scan_key(&s, w->c->arena);
    scan_close(&s);
    view_abort(v);
    for (size_t i = 0; i < n; i++) {
        Pb__JobDeregister body = PB__JOB_DEREGISTER__INIT;
        Pb__Command cmd = PB__COMMAND__INIT;
        body.namespace_ = keys[i]->namespace_;
        body.job_id = keys[i]->name;
        cmd.body_case = PB__COMMAND__BODY_JOB_DEREGISTER;
        cmd.job_deregister = &body;
        cluster_apply(w->c, &cmd, 0);
    }
}

/* What is stopped goes in the end, and leaves nothing behind. */
static void check_burial(struct world *w)
{
    each_id(w, PB__TABLE__NAME__NODES, end_node);
    end_jobs(w);
    each_id(w, ALLOCS, end_alloc);
    each_id(w, EVALS, close_eval);
    for (int i = 0; i < 3 && collect_round(w); i++)
        ;
    struct view *v = state_read(w->c->state);
    for (int table = PB__TABLE__NAME__JOBS; table <= PB__TABLE__NAME__DEPLOYMENTS; table++) {
        struct scan s;
        scan_open(&s, v, (Pb__Table__Name)table, NULL, NULL, NULL);
        cr_assert_not(scan_next(&s), "seed %d: table %d is not empty", (int)w->seed, table);
        scan_close(&s);
    }
    view_abort(v);
}

/* ---- */

static void run(uint64_t seed)
{
    struct world w = {.c = cluster_new(), .seed = seed, .scratch = arena_new(256u << 20)};
    struct fold f = {.values = map_new()};
    prng_seed(&w.chance, seed);
    for (int i = 0; i < STEPS; i++) {
        step(&w);
        if (below(&w, 20) == 0)
            step_collect(&w);
        if (below(&w, 20) == 0)
            step_evaluate(&w);
        if (below(&w, 3) == 0)
            fold_some(&w, &f, false);
        if (i % 25 == 0)
            check_room(&w);
        check_pools(&w);
    }
    fold_some(&w, &f, true);
    check_fold(&w, &f);
    check_burial(&w);
    fold_some(&w, &f, true);
    check_fold(&w, &f);
    struct cluster *replica = cluster_new();
    cluster_replay(replica, w.c, 1 + below(&w, 9));
    cr_assert_eq(digest_of(replica), digest_of(w.c), "seed %d: replicas differ", (int)seed);
    cluster_free(replica);
    map_free(f.values);
    arena_free(w.scratch);
    cluster_free(w.c);
}

Test(apply_property, random_commands_keep_every_invariant, .timeout = 60)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(seed);
}
