/* Node pools, and nodes that an operator has looked at again or forgotten. */
#include "cluster.h"
#include <criterion/criterion.h>
#include <string.h>

static const ProtobufCBinaryData none;
static struct cluster *c;

static void set_up(void)
{
    c = cluster_new();
}

static void tear_down(void)
{
    cluster_free(c);
}

static void applied(const Pb__Outcome *o)
{
    cr_assert_eq(o->code, PB__OUTCOME__CODE__APPLIED, "%s", o->reason);
}

static void refused(const Pb__Outcome *o, const char *reason)
{
    cr_assert_neq(o->code, PB__OUTCOME__CODE__APPLIED);
    cr_assert_str_eq(o->reason, reason);
}

/* ---- pools */

TestSuite(pool, .init = set_up, .fini = tear_down);

static Pb__Outcome *set(const char *name, const char *algorithm)
{
    Pb__NodePool p = PB__NODE_POOL__INIT;
    Pb__SchedulerConfig config = PB__SCHEDULER_CONFIG__INIT;
    Pb__NodePoolSet body = PB__NODE_POOL_SET__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    p.name = arena_strdup(c->arena, name);
    config.scheduler_algorithm = arena_strdup(c->arena, algorithm);
    p.scheduler_config = &config;
    body.pool = &p;
    cmd.body_case = PB__COMMAND__BODY_NODE_POOL_SET;
    cmd.node_pool_set = &body;
    return cluster_apply(c, &cmd, 0);
}

static Pb__Outcome *delete (const char *name)
{
    Pb__NodePoolDelete body = PB__NODE_POOL_DELETE__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.name = arena_strdup(c->arena, name);
    cmd.body_case = PB__COMMAND__BODY_NODE_POOL_DELETE;
    cmd.node_pool_delete = &body;
    return cluster_apply(c, &cmd, 0);
}

static bool is_there(const char *name)
{
    struct view *v = state_read(c->state);
    bool found = state_has_node_pool(v, name);
    view_abort(v);
    return found;
}

static Pb__Outcome *run_in(const char *pool, const char *id)
{
    Pb__Job *job = a_job(c, id, 1);
    job->node_pool = arena_strdup(c->arena, pool);
    return register_job(c, job);
}

static Pb__Outcome *join(uint32_t number, const char *pool)
{
    Pb__Node *n = a_node(c, number, 1000, 1000);
    n->node_pool = arena_strdup(c->arena, pool);
    return register_node(c, n);
}

Test(pool, a_job_needs_one_that_is_there)
{
    refused(run_in("gpu", "web"), "job \"web\" is in nonexistent node pool \"gpu\"");
    applied(set("gpu", ""));
    applied(run_in("gpu", "web"));
    applied(run_in("all", "agents"));
    applied(run_in("default", "api"));
}

Test(pool, a_node_makes_the_one_it_names)
{
    applied(join(1, "gpu"));
    cr_assert(is_there("gpu"));
    applied(run_in("gpu", "web"));
    refused(join(2, "all"), "a node cannot be in node pool \"all\"");
    refused(join(2, "a b"), "a node cannot be in node pool \"a b\"");
    applied(join(1, "arm")); /* it may move */
    cr_assert_str_eq(get_node(c, id_of(c, "node", 1))->node_pool, "arm");
}

Test(pool, another_nodes_secret_makes_none)
{
    applied(join(1, "gpu"));
    Pb__Node *n = a_node(c, 1, 1000, 1000);
    n->secret_id = id_of(c, "secret", 7);
    n->node_pool = arena_strdup(c->arena, "stolen");
    refused(register_node(c, n), "node secret ID does not match");
    cr_assert_not(is_there("stolen"));
}

Test(pool, nodes_of_two_pools_are_of_two_classes)
{
    applied(join(1, "gpu"));
    applied(join(2, "default"));
    applied(join(3, ""));
    const char *gpu = get_node(c, id_of(c, "node", 1))->computed_class,
               *named = get_node(c, id_of(c, "node", 2))->computed_class,
               *unnamed = get_node(c, id_of(c, "node", 3))->computed_class;
    cr_assert_str_neq(gpu, named);
    cr_assert_str_eq(named, unnamed);
}

Test(pool, one_with_nodes_or_jobs_stays)
{
    applied(join(1, "gpu"));
    refused(delete ("gpu"), "node pool \"gpu\" has nodes");
    applied(join(1, "default"));
    applied(run_in("gpu", "web"));
    refused(delete ("gpu"), "node pool \"gpu\" has non-terminal jobs");
    deregister_job(c, "web", true);
    applied(delete ("gpu"));
    cr_assert_not(is_there("gpu"));
    refused(delete ("gpu"), "node pool \"gpu\" not found");
}

Test(pool, those_that_are_always_there_do_not_change)
{
    refused(set("all", ""), "modifying node pool \"all\" is not allowed");
    refused(set("default", ""), "modifying node pool \"default\" is not allowed");
    refused(delete ("default"), "deleting node pool \"default\" is not allowed");
}

Test(pool, names_and_algorithms_are_looked_at)
{
    refused(set("a b", ""), "invalid node pool \"a b\": the name must match regex "
                            "^[a-zA-Z0-9-_]{1,128}$");
    refused(set("", ""),
            "invalid node pool \"\": the name must match regex ^[a-zA-Z0-9-_]{1,128}$");
    refused(set("ok", "random"), "invalid node pool \"ok\": the scheduler algorithm must be "
                                 "\"binpack\" or \"spread\"");
    applied(set("A-b_9", "spread"));
}

/* ---- evaluate and purge */

TestSuite(purge, .init = set_up, .fini = tear_down);

static Pb__Outcome *evaluate(uint32_t number)
{
    Pb__NodeEvaluate body = PB__NODE_EVALUATE__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.has_node_id = true;
    body.node_id = id_of(c, "node", number);
    cmd.body_case = PB__COMMAND__BODY_NODE_EVALUATE;
    cmd.node_evaluate = &body;
    return cluster_apply(c, &cmd, 0);
}

static Pb__Outcome *purge(uint32_t number)
{
    Pb__NodePurge body = PB__NODE_PURGE__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.has_node_id = true;
    body.node_id = id_of(c, "node", number);
    cmd.body_case = PB__COMMAND__BODY_NODE_PURGE;
    cmd.node_purge = &body;
    return cluster_apply(c, &cmd, 0);
}

/* An allocation of a job of its own, with a port. */
static ProtobufCBinaryData place(const char *job, uint32_t number, uint32_t port)
{
    ProtobufCBinaryData id;
    Pb__Plan *p = a_plan(c, register_job(c, a_job(c, job, 1))->eval_id);
    plan_place(c, p, id_of(c, "node", number), 100, 50, port);
    cr_assert_eq(apply_a_plan(c, p)->placed, 1);
    cr_assert_eq(ids_by(c, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, job, none, &id, 1), 1);
    return id;
}

static void check_trigger(const Pb__Outcome *o, size_t i, const char *job)
{
    const Pb__Eval *e = get_eval(c, o->eval_ids[i]);
    cr_assert_str_eq(e->triggered_by, "node-update");
    cr_assert_str_eq(e->job_id, job);
    cr_assert_eq(e->node_modify_index, c->index);
}

Test(purge, evaluate_looks_at_each_job_once_and_at_system_jobs)
{
    Pb__Job *system = a_job(c, "agents", 1);
    system->type = arena_strdup(c->arena, "system");
    register_node(c, a_node(c, 1, 1000, 1000));
    register_job(c, system);
    place("web", 1, 0);
    place("api", 1, 0);
    const Pb__Outcome *o = evaluate(1);
    applied(o);
    cr_assert_eq(o->n_eval_ids, 3);
    check_trigger(o, 0, "web");
    check_trigger(o, 1, "api");
    check_trigger(o, 2, "agents");
    refused(evaluate(2), "node not found");
}

Test(purge, a_purged_node_is_gone_and_its_jobs_are_looked_at)
{
    register_node(c, a_node(c, 1, 1000, 1000));
    ProtobufCBinaryData alloc = place("web", 1, 0);
    const Pb__Outcome *o = purge(1);
    applied(o);
    cr_assert_eq(o->n_eval_ids, 1);
    check_trigger(o, 0, "web");
    cr_assert_null(get_node(c, id_of(c, "node", 1)));
    cr_assert_null(get_usage(c, id_of(c, "node", 1)));
    cr_assert_not_null(get_alloc(c, alloc), "what ran there stays known");
    refused(purge(1), "node not found");
    Pb__Plan *p = a_plan(c, o->eval_ids[0]); /* and is lost, though its node has no record */
    plan_stop(c, p, alloc, true);
    applied(apply_a_plan(c, p));
    cr_assert_eq(get_alloc(c, alloc)->client_status, PB__ALLOC__CLIENT_STATUS__LOST);
}

Test(purge, a_node_that_comes_back_is_used_by_what_still_runs_there)
{
    register_node(c, a_node(c, 1, 1000, 1000));
    ProtobufCBinaryData web = place("web", 1, 20001), api = place("api", 1, 0);
    place("old", 1, 20002);
    update_alloc(c, api, PB__ALLOC__CLIENT_STATUS__COMPLETE);
    purge(1);
    Pb__Node *n = a_node(c, 1, 1000, 1000);
    uint32_t reserved[] = {22};
    n->n_reserved_ports = 1;
    n->reserved_ports = reserved;
    applied(register_node(c, n)); /* state_check counts again */
    const Pb__NodeUsage *u = get_usage(c, id_of(c, "node", 1));
    cr_assert_eq(u->used->cpu, 200);
    cr_assert_eq(u->allocs, 2);
    cr_assert_eq(u->n_ports, 3);
    update_alloc(c, web, PB__ALLOC__CLIENT_STATUS__COMPLETE);
    cr_assert_eq(get_usage(c, id_of(c, "node", 1))->used->cpu, 100);
}
