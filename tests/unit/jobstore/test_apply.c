#include "cluster.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <string.h>

#define EVALS  PB__TABLE__NAME__EVALS
#define ALLOCS PB__TABLE__NAME__ALLOCS
#define BY_JOB PB__LIST__BY__JOB
static const ProtobufCBinaryData none;

static struct cluster *c;

static char *text(const char *s)
{
    return arena_strdup(c->arena, s);
}

static void begin(void)
{
    c = cluster_new();
}

static void end(void)
{
    cluster_free(c);
}

TestSuite(apply, .init = begin, .fini = end);

static Pb__Outcome *enforce(Pb__Job *job, uint64_t index)
{
    Pb__JobRegister body = PB__JOB_REGISTER__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.job = job;
    body.has_enforce_index = body.has_job_modify_index = true;
    body.enforce_index = true;
    body.job_modify_index = index;
    cmd.body_case = PB__COMMAND__BODY_JOB_REGISTER;
    cmd.job_register = &body;
    return cluster_apply(c, &cmd, 0);
}

/* One job of one allocation on one node, running. */
static ProtobufCBinaryData a_running_alloc(const char *job)
{
    ProtobufCBinaryData id;
    register_node(c, a_node(c, 1, 1000, 1000));
    Pb__Plan *p = a_plan(c, register_job(c, a_job(c, job, 1))->eval_id);
    plan_place(c, p, id_of(c, "node", 1), 100, 100, 20000);
    cr_assert_eq(apply_a_plan(c, p)->placed, 1);
    cr_assert_eq(ids_by(c, ALLOCS, BY_JOB, job, none, &id, 1), 1);
    update_alloc(c, id, PB__ALLOC__CLIENT_STATUS__RUNNING);
    return id;
}

/* ---- jobs */

Test(apply, a_new_job_gets_version_0_and_a_pending_evaluation)
{
    Pb__Outcome *out = register_job(c, a_job(c, "web", 3));
    Pb__Job *job = get_job(c, "web");
    Pb__Eval *e = get_eval(c, out->eval_id);
    cr_assert_eq(out->code, PB__OUTCOME__CODE__APPLIED);
    cr_assert_eq(out->job_modify_index, out->index);
    cr_assert_eq(job->version, 0);
    cr_assert_eq(job->create_index, out->index);
    cr_assert_str_eq(job->namespace_, "default");
    cr_assert_str_eq(job->status, "pending");
    cr_assert_eq(e->status, PB__EVAL__STATUS__PENDING);
    cr_assert_str_eq(e->triggered_by, "job-register");
    cr_assert_eq(e->job_modify_index, out->index);
}

Test(apply, the_same_job_again_changes_no_index_but_is_evaluated)
{
    register_job(c, a_job(c, "web", 3));
    Pb__Outcome *out = register_job(c, a_job(c, "web", 3));
    Pb__Job *job = get_job(c, "web");
    cr_assert_eq(out->job_modify_index, 1);
    cr_assert_eq(job->version, 0);
    cr_assert_eq(job->modify_index, 1);
    cr_assert_eq(ids_by(c, EVALS, BY_JOB, "web", none, NULL, 0), 2);
}

Test(apply, a_changed_job_gets_a_new_version_and_the_old_one_stays)
{
    register_job(c, a_job(c, "web", 3));
    Pb__Outcome *out = register_job(c, a_job(c, "web", 4));
    Pb__Job *job = get_job(c, "web");
    cr_assert_eq(out->job_modify_index, out->index);
    cr_assert_eq(job->version, 1);
    cr_assert_eq(job->create_index, 1);
    struct view *v = state_read(c->state);
    Pb__Job *old = state_job_version(v, c->arena, NULL, "web", 0);
    view_abort(v);
    cr_assert_eq(old->task_groups[0]->count, 3);
}

Test(apply, six_older_versions_are_kept_and_those_still_running)
{
    a_running_alloc("web"); /* of version 0 */
    for (uint32_t count = 2; count < 14; count++)
        register_job(c, a_job(c, "web", count));
    struct view *v = state_read(c->state);
    for (uint64_t version = 0; version <= 12; version++) {
        bool kept = version == 0 || version >= 6;
        cr_assert_eq(state_job_version(v, c->arena, NULL, "web", version) != NULL, kept,
                     "version %d", (int)version);
    }
    view_abort(v);
}

Test(apply, enforced_indexes_are_refused_in_the_recorded_words)
{
    cr_assert_str_eq(enforce(a_job(c, "cas", 1), 5)->reason,
                     "Enforcing job modify index 5: job does not exist");
    uint64_t index = enforce(a_job(c, "cas", 1), 0)->index;
    Pb__Outcome *out = enforce(a_job(c, "cas", 2), 0);
    cr_assert_eq(out->code, PB__OUTCOME__CODE__STALE);
    cr_assert_str_eq(out->reason, "Enforcing job modify index 0: job already exists");
    cr_assert_str_eq(
        enforce(a_job(c, "cas", 2), index + 7)->reason,
        "Enforcing job modify index 9: job exists with conflicting job modify index: 2");
    cr_assert_eq(enforce(a_job(c, "cas", 2), index)->code, PB__OUTCOME__CODE__APPLIED);
}

Test(apply, counts_can_be_preserved)
{
    Pb__JobRegister body = PB__JOB_REGISTER__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    register_job(c, a_job(c, "web", 3));
    body.job = a_job(c, "web", 7);
    body.has_preserve_counts = body.preserve_counts = true;
    cmd.body_case = PB__COMMAND__BODY_JOB_REGISTER;
    cmd.job_register = &body;
    cr_assert_eq(cluster_apply(c, &cmd, 0)->job_modify_index, 1);
    cr_assert_eq(get_job(c, "web")->task_groups[0]->count, 3);
}

Test(apply, a_stopped_job_is_dead_has_a_new_version_and_may_start_again)
{
    register_job(c, a_job(c, "web", 3));
    Pb__Outcome *out = deregister_job(c, "web", false);
    Pb__Job *job = get_job(c, "web");
    cr_assert(job->stop);
    cr_assert_eq(job->version, 1);
    cr_assert_eq(job->job_modify_index, out->index);
    cr_assert_str_eq(job->status, "dead");
    cr_assert_str_eq(get_eval(c, out->eval_id)->triggered_by, "job-deregister");
    register_job(c, a_job(c, "web", 3));
    cr_assert_not(get_job(c, "web")->stop);
    cr_assert_eq(get_job(c, "web")->version, 2);
    cr_assert_str_eq(get_job(c, "web")->status, "pending");
}

Test(apply, stopping_an_unknown_job_makes_an_evaluation_as_recorded)
{
    Pb__Outcome *out = deregister_job(c, "ghost", false);
    cr_assert_eq(out->code, PB__OUTCOME__CODE__APPLIED);
    cr_assert_eq(out->job_modify_index, out->index);
    cr_assert_not_null(get_eval(c, out->eval_id));
    cr_assert_null(get_job(c, "ghost"));
}

Test(apply, a_purge_takes_job_versions_and_summary_and_leaves_the_rest)
{
    ProtobufCBinaryData alloc = a_running_alloc("web");
    register_job(c, a_job(c, "web", 2));
    Pb__Outcome *out = deregister_job(c, "web", true);
    cr_assert_null(get_job(c, "web"));
    cr_assert_null(get_summary(c, "web"));
    cr_assert_not_null(get_alloc(c, alloc));
    /* The evaluation still can stop what is left. */
    Pb__Plan *p = a_plan(c, out->eval_id);
    plan_stop(c, p, alloc, false);
    cr_assert_eq(apply_a_plan(c, p)->code, PB__OUTCOME__CODE__APPLIED);
    cr_assert_eq(get_alloc(c, alloc)->desired, PB__ALLOC__DESIRED__STOP);
    update_alloc(c, alloc, PB__ALLOC__CLIENT_STATUS__COMPLETE);
    cr_assert_eq(get_usage(c, id_of(c, "node", 1))->used->cpu, 0);
}

Test(apply, a_job_named_as_a_purged_one_does_not_count_the_old_allocations)
{
    ProtobufCBinaryData alloc = a_running_alloc("web");
    deregister_job(c, "web", true);
    register_job(c, a_job(c, "web", 1));
    cr_assert_str_eq(get_job(c, "web")->status, "pending");
    cr_assert_eq(get_summary(c, "web")->summary[0]->running, 0);
    update_alloc(c, alloc, PB__ALLOC__CLIENT_STATUS__FAILED);
    cr_assert_eq(get_summary(c, "web")->summary[0]->failed, 0);
}

Test(apply, a_job_without_an_id_or_with_too_long_a_one_is_refused)
{
    char long_id[400];
    memset(long_id, 'x', sizeof long_id);
    long_id[399] = '\0';
    cr_assert_eq(register_job(c, a_job(c, "", 1))->code, PB__OUTCOME__CODE__INVALID);
    cr_assert_eq(register_job(c, a_job(c, long_id, 1))->code, PB__OUTCOME__CODE__INVALID);
    cr_assert_eq(deregister_job(c, long_id, true)->code, PB__OUTCOME__CODE__INVALID);
}

Test(apply, a_batch_job_is_dead_when_all_of_it_has_ended)
{
    ProtobufCBinaryData alloc = a_running_alloc("sum");
    cr_assert_str_eq(get_job(c, "sum")->status, "running");
    cr_assert_eq(get_summary(c, "sum")->summary[0]->running, 1);
    update_alloc(c, alloc, PB__ALLOC__CLIENT_STATUS__COMPLETE);
    cr_assert_str_eq(get_job(c, "sum")->status, "dead");
    cr_assert_eq(get_summary(c, "sum")->summary[0]->running, 0);
    cr_assert_eq(get_summary(c, "sum")->summary[0]->complete, 1);
}

/* ---- requests that come twice */

Test(apply, a_repeated_request_gets_the_first_answer_and_changes_nothing)
{
    Pb__JobRegister body = PB__JOB_REGISTER__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.job = a_job(c, "web", 1);
    cmd.body_case = PB__COMMAND__BODY_JOB_REGISTER;
    cmd.job_register = &body;
    Pb__Outcome *first = cluster_apply(c, &cmd, 77), *second = cluster_apply(c, &cmd, 77);
    cr_assert(wire_equal(&first->base, &second->base));
    cr_assert_eq(ids_by(c, EVALS, BY_JOB, "web", none, NULL, 0), 1);
}

Test(apply, outcomes_are_bounded)
{
    struct state_options o = {.map_bytes = 1u << 30, .outcomes_kept = 10};
    cluster_reopen(c, &o);
    for (int i = 0; i < 50; i++)
        register_job(c, a_job(c, "web", 1));
    struct view *v = state_read(c->state);
    cr_assert_eq(view_meta(v)->outcomes_count, 10);
    cr_assert_not_null(state_outcome(v, c->arena, id_of(c, "request", 1000050).data));
    cr_assert_null(state_outcome(v, c->arena, id_of(c, "request", 1000040).data));
    view_abort(v);
}

/* ---- nodes */

Test(apply, a_node_registers_and_its_usage_is_what_it_reserves)
{
    Pb__Node *n = a_node(c, 1, 1000, 2000);
    uint32_t reserved[] = {22, 80};
    n->reserved = arena_alloc(c->arena, sizeof *n->reserved);
    pb__amount__init(n->reserved);
    n->reserved->has_cpu = true;
    n->reserved->cpu = 100;
    n->n_reserved_ports = 2;
    n->reserved_ports = reserved;
    register_node(c, n);
    Pb__Node *stored = get_node(c, n->id);
    Pb__NodeUsage *u = get_usage(c, n->id);
    cr_assert_eq(u->capacity->cpu, 900);
    cr_assert_eq(u->n_ports, 2);
    cr_assert_eq(stored->status, PB__NODE__STATUS__READY);
    cr_assert_eq(stored->eligibility, PB__NODE__ELIGIBILITY__ELIGIBLE);
    cr_assert_eq(stored->n_events, 1);
    cr_assert_str_eq(stored->events[0]->message, "Node registered");
    cr_assert_eq(strncmp(stored->computed_class, "v1:", 3), 0);
}

Test(apply, an_unchanged_node_registers_again_without_a_trace)
{
    register_node(c, a_node(c, 1, 1000, 1000));
    register_node(c, a_node(c, 1, 1000, 1000));
    cr_assert_eq(get_node(c, id_of(c, "node", 1))->modify_index, 1);
    register_node(c, a_node(c, 1, 2000, 1000));
    Pb__Node *n = get_node(c, id_of(c, "node", 1));
    cr_assert_eq(n->create_index, 1);
    cr_assert_eq(n->modify_index, 3);
    cr_assert_eq(get_usage(c, n->id)->capacity->cpu, 2000);
}

Test(apply, a_node_with_another_secret_is_refused)
{
    register_node(c, a_node(c, 1, 1000, 1000));
    Pb__Node *n = a_node(c, 1, 9000, 1000);
    n->secret_id = id_of(c, "secret", 2);
    cr_assert_eq(register_node(c, n)->code, PB__OUTCOME__CODE__INVALID);
    cr_assert_eq(get_usage(c, n->id)->capacity->cpu, 1000);
}

Test(apply, unique_attributes_do_not_make_a_class)
{
    Pb__KeyValue host = PB__KEY_VALUE__INIT, arch = PB__KEY_VALUE__INIT, *all[] = {&arch, &host};
    host.key = text("unique.hostname");
    arch.key = text("cpu.arch");
    arch.value = text("amd64");
    Pb__Node *nodes[3];
    for (uint32_t i = 0; i < 3; i++) {
        nodes[i] = a_node(c, i, 1000, 1000);
        nodes[i]->n_attributes = 2;
        nodes[i]->attributes = all;
        host.value = text(i == 0 ? "a" : "b");
        if (i == 2)
            arch.value = text("arm64");
        register_node(c, nodes[i]);
    }
    char *first = get_node(c, nodes[0]->id)->computed_class;
    cr_assert_str_eq(first, get_node(c, nodes[1]->id)->computed_class);
    cr_assert_str_neq(first, get_node(c, nodes[2]->id)->computed_class);
}

Test(apply, volumes_and_modes_of_networks_are_part_of_a_nodes_class)
{
    char *classes[4];
    Pb__HostVolume volume = PB__HOST_VOLUME__INIT, *volumes[] = {&volume};
    Pb__NodeNetwork network = PB__NODE_NETWORK__INIT, *networks[] = {&network};
    volume.name = text("scratch");
    volume.has_read_only = true;
    volume.path = text("/srv");
    network.mode = text("cni/mine");
    for (uint32_t i = 0; i < 4; i++) {
        Pb__Node *n = a_node(c, i, 1000, 1000);
        n->host_volumes = volumes;
        n->n_host_volumes = i == 1 || i == 2;
        volume.read_only = i == 2;
        n->networks = networks;
        n->n_networks = i == 3;
        register_node(c, n);
        classes[i] = arena_strdup(c->arena, get_node(c, n->id)->computed_class);
        for (uint32_t k = 0; k < i; k++)
            cr_expect(strcmp(classes[k], classes[i]) != 0, "%u and %u", k, i);
    }
}

Test(apply, a_lost_node_makes_one_evaluation_per_job_and_keeps_allocations)
{
    ProtobufCBinaryData alloc = a_running_alloc("web"), evals[3];
    set_node_status(c, id_of(c, "node", 1), PB__NODE__STATUS__DOWN);
    cr_assert_eq(ids_by(c, EVALS, BY_JOB, "web", none, evals, 3), 2);
    Pb__Eval *e = get_eval(c, evals[1]);
    cr_assert_str_eq(e->triggered_by, "node-update");
    cr_assert(id_equal(e->node_id.data, id_of(c, "node", 1).data));
    cr_assert_eq(get_alloc(c, alloc)->client_status, PB__ALLOC__CLIENT_STATUS__RUNNING);
    cr_assert_eq(get_usage(c, id_of(c, "node", 1))->allocs, 1);
    /* The same status again is no change. */
    set_node_status(c, id_of(c, "node", 1), PB__NODE__STATUS__DOWN);
    cr_assert_eq(ids_by(c, EVALS, BY_JOB, "web", none, evals, 3), 2);
    Pb__Plan *p = a_plan(c, e->id);
    plan_stop(c, p, alloc, true);
    apply_a_plan(c, p);
    cr_assert_eq(get_alloc(c, alloc)->client_status, PB__ALLOC__CLIENT_STATUS__LOST);
    cr_assert_eq(get_usage(c, id_of(c, "node", 1))->allocs, 0);
    cr_assert_eq(get_summary(c, "web")->summary[0]->lost, 1);
    /* The agent, back again, reports late. */
    update_alloc(c, alloc, PB__ALLOC__CLIENT_STATUS__RUNNING);
    cr_assert_eq(get_alloc(c, alloc)->client_status, PB__ALLOC__CLIENT_STATUS__LOST);
}

/* ---- plans */

Test(apply, a_plan_places_completes_its_evaluation_and_takes_room)
{
    ProtobufCBinaryData id = a_running_alloc("web");
    Pb__Alloc *a = get_alloc(c, id);
    Pb__NodeUsage *u = get_usage(c, id_of(c, "node", 1));
    cr_assert_eq(get_eval(c, a->eval_id)->status, PB__EVAL__STATUS__COMPLETE);
    cr_assert_eq(a->alloc_modify_index, a->create_index);
    cr_assert_gt(a->modify_index, a->create_index);
    cr_assert_eq(u->used->cpu, 100);
    cr_assert_eq(u->n_ports, 1);
    cr_assert_eq(u->ports[0], 20000);
    cr_assert_eq(ids_by(c, ALLOCS, PB__LIST__BY__NODE, NULL, id_of(c, "node", 1), NULL, 0), 1);
    cr_assert_eq(ids_by(c, ALLOCS, PB__LIST__BY__EVAL, NULL, a->eval_id, NULL, 0), 1);
}

Test(apply, a_stored_allocation_of_one_task_and_one_port_is_under_300_bytes)
{
    struct record r;
    Pb__Key key = PB__KEY__INIT;
    key.table = ALLOCS;
    key.has_id = true;
    key.id = a_running_alloc("a-job-with-a-usual-name");
    struct view *v = state_read(c->state);
    cr_assert(state_record(v, &key, &r));
    cr_assert_lt(r.message.len + 8, 300, "%zu bytes", r.message.len + 8);
    view_abort(v);
}

Test(apply, what_does_not_fit_is_refused_one_by_one_and_the_evaluation_stays)
{
    register_node(c, a_node(c, 1, 250, 1000));
    ProtobufCBinaryData eval = register_job(c, a_job(c, "web", 3))->eval_id;
    Pb__Plan *p = a_plan(c, eval);
    for (uint32_t i = 0; i < 3; i++)
        plan_place(c, p, id_of(c, "node", 1), 100, 10, 0);
    plan_place(c, p, id_of(c, "node", 2), 100, 10, 0);
    Pb__Outcome *out = apply_a_plan(c, p);
    cr_assert_eq(out->code, PB__OUTCOME__CODE__APPLIED);
    cr_assert_eq(out->placed, 2);
    cr_assert_eq(out->n_refusals, 2);
    cr_assert_str_eq(out->refusals[0]->reason, "cpu");
    cr_assert_str_eq(out->refusals[1]->reason, "the node is not known");
    cr_assert_eq(get_eval(c, eval)->status, PB__EVAL__STATUS__PENDING);
    cr_assert_eq(get_eval(c, eval)->plans, 1);
    /* The same plan once more counts no second time. */
    cr_assert_eq(apply_a_plan(c, p)->code, PB__OUTCOME__CODE__STALE);
    cr_assert_eq(ids_by(c, ALLOCS, BY_JOB, "web", none, NULL, 0), 2);
}

Test(apply, a_port_is_given_once)
{
    a_running_alloc("one");
    Pb__Plan *p = a_plan(c, register_job(c, a_job(c, "two", 1))->eval_id);
    plan_place(c, p, id_of(c, "node", 1), 1, 1, 20000);
    plan_place(c, p, id_of(c, "node", 1), 1, 1, 20001);
    plan_place(c, p, id_of(c, "node", 1), 1, 1, 20001);
    cr_assert_eq(apply_a_plan(c, p)->placed, 1);
}

Test(apply, all_at_once_means_all_or_nothing)
{
    register_node(c, a_node(c, 1, 250, 1000));
    Pb__Plan *p = a_plan(c, register_job(c, a_job(c, "web", 3))->eval_id);
    for (uint32_t i = 0; i < 3; i++)
        plan_place(c, p, id_of(c, "node", 1), 100, 10, 0);
    p->has_all_at_once = p->all_at_once = true;
    Pb__Outcome *out = apply_a_plan(c, p);
    cr_assert_eq(out->code, PB__OUTCOME__CODE__NO_ROOM);
    cr_assert_eq(out->placed, 0);
    cr_assert_eq(get_usage(c, id_of(c, "node", 1))->used->cpu, 0);
}

Test(apply, room_freed_by_a_lost_allocation_serves_the_same_plan)
{
    ProtobufCBinaryData alloc = a_running_alloc("web");
    Pb__Plan *p = a_plan(c, register_job(c, a_job(c, "web", 1))->eval_id);
    plan_stop(c, p, alloc, true);
    plan_place(c, p, id_of(c, "node", 1), 1000, 100, 20000);
    cr_assert_eq(apply_a_plan(c, p)->placed, 1);
}

Test(apply, a_stopped_allocation_holds_its_room_until_its_client_says_it_ended)
{
    ProtobufCBinaryData alloc = a_running_alloc("web");
    Pb__Plan *p = a_plan(c, deregister_job(c, "web", false)->eval_id);
    plan_stop(c, p, alloc, false);
    apply_a_plan(c, p);
    cr_assert_eq(get_usage(c, id_of(c, "node", 1))->used->cpu, 100);
    update_alloc(c, alloc, PB__ALLOC__CLIENT_STATUS__COMPLETE);
    cr_assert_eq(get_usage(c, id_of(c, "node", 1))->used->cpu, 0);
}

Test(apply, a_plan_says_how_good_the_node_was)
{
    ProtobufCBinaryData ids[2];
    register_node(c, a_node(c, 1, 1000, 1000));
    Pb__Plan *p = a_plan(c, register_job(c, a_job(c, "web", 2))->eval_id);
    plan_place(c, p, id_of(c, "node", 1), 1, 1, 0);
    plan_place(c, p, id_of(c, "node", 1), 1, 1, 0);
    p->placements[0]->has_score = true;
    p->placements[0]->score = 0.75;
    apply_a_plan(c, p);
    cr_assert_eq(ids_by(c, ALLOCS, PB__LIST__BY__JOB, "web", (ProtobufCBinaryData){0}, ids, 2), 2);
    Pb__Alloc *first = get_alloc(c, ids[0]), *second = get_alloc(c, ids[1]);
    const Pb__Alloc *scored = first->name_index == 0 ? first : second;
    cr_assert(scored->has_score && scored->score == 0.75);
    cr_assert_not((scored == first ? second : first)->has_score);
}
Test(apply, a_plan_for_a_purged_and_reborn_job_is_stale)
{
    register_node(c, a_node(c, 1, 1000, 1000));
    ProtobufCBinaryData eval = register_job(c, a_job(c, "web", 1))->eval_id;
    Pb__Plan *p = a_plan(c, eval);
    plan_place(c, p, id_of(c, "node", 1), 1, 1, 0);
    deregister_job(c, "web", true);
    cr_assert_eq(apply_a_plan(c, p)->code, PB__OUTCOME__CODE__STALE);
    register_job(c, a_job(c, "web", 1));
    cr_assert_eq(apply_a_plan(c, p)->code, PB__OUTCOME__CODE__STALE);
}

Test(apply, what_found_no_room_waits_in_a_blocked_evaluation)
{
    Pb__CountOf queued = PB__COUNT_OF__INIT, *all[] = {&queued};
    ProtobufCBinaryData eval = register_job(c, a_job(c, "web", 3))->eval_id;
    Pb__Plan *p = a_plan(c, eval);
    queued.name = text("g");
    queued.has_count = true;
    queued.count = 3;
    p->n_queued = 1;
    p->queued = all;
    p->has_create_blocked = p->create_blocked = true;
    Pb__Outcome *out = apply_a_plan(c, p);
    Pb__Eval *done = get_eval(c, eval), *blocked = get_eval(c, out->eval_id);
    cr_assert_eq(done->status, PB__EVAL__STATUS__COMPLETE);
    cr_assert(id_equal(done->blocked_eval.data, blocked->id.data));
    cr_assert_eq(blocked->status, PB__EVAL__STATUS__BLOCKED);
    cr_assert_str_eq(blocked->triggered_by, "queued-allocs");
    cr_assert_eq(get_summary(c, "web")->summary[0]->queued, 3);
    cr_assert_str_eq(get_job(c, "web")->status, "pending");
}

Test(apply, a_replacement_and_the_replaced_know_each_other)
{
    ProtobufCBinaryData old = a_running_alloc("web"), ids[2];
    Pb__Plan *p = a_plan(c, register_job(c, a_job(c, "web", 1))->eval_id);
    plan_stop(c, p, old, false);
    plan_place(c, p, id_of(c, "node", 1), 1, 1, 0);
    p->placements[0]->has_previous_alloc = true;
    p->placements[0]->previous_alloc = old;
    apply_a_plan(c, p);
    cr_assert_eq(ids_by(c, ALLOCS, BY_JOB, "web", none, ids, 2), 2);
    cr_assert(id_equal(get_alloc(c, old)->next_alloc.data, ids[1].data));
    cr_assert(id_equal(get_alloc(c, ids[1])->previous_alloc.data, old.data));
}

Test(apply, a_plan_cannot_stop_another_jobs_allocation)
{
    ProtobufCBinaryData other = a_running_alloc("other");
    Pb__Plan *p = a_plan(c, register_job(c, a_job(c, "web", 1))->eval_id);
    plan_stop(c, p, other, true);
    apply_a_plan(c, p);
    cr_assert_eq(get_alloc(c, other)->desired, PB__ALLOC__DESIRED__RUN);
}

Test(apply, what_is_not_a_plans_to_stop_frees_no_room_for_it)
{
    ProtobufCBinaryData other = a_running_alloc("other");
    const Pb__NodeUsage *u = get_usage(c, get_alloc(c, other)->node_id);
    uint32_t left = u->capacity->cpu - u->used->cpu;
    Pb__Plan *p = a_plan(c, register_job(c, a_job(c, "web", 1))->eval_id);
    plan_stop(c, p, other, true);
    plan_place(c, p, get_alloc(c, other)->node_id, left + 1, 1, 0);
    cr_assert_eq(apply_a_plan(c, p)->placed, 0);
}

/* ---- evaluations and failures */

static void report(ProtobufCBinaryData id, uint64_t sequence, const char *event)
{
    Pb__TaskEvent e = PB__TASK_EVENT__INIT, *events[] = {&e};
    Pb__TaskState task = PB__TASK_STATE__INIT, *tasks[] = {&task};
    Pb__AllocUpdate one = PB__ALLOC_UPDATE__INIT, *all[] = {&one};
    Pb__AllocUpdates body = PB__ALLOC_UPDATES__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    e.type = (char *)event;
    task.events = events, task.n_events = 1;
    one.has_alloc_id = one.has_sequence = true;
    one.alloc_id = id, one.sequence = sequence;
    one.tasks = tasks, one.n_tasks = 1;
    body.allocs = all, body.n_allocs = 1;
    cmd.body_case = PB__COMMAND__BODY_ALLOC_UPDATES;
    cmd.alloc_updates = &body;
    cluster_apply(c, &cmd, 0);
}

static const char *last_event(ProtobufCBinaryData id)
{
    struct view *v = state_read(c->state);
    Pb__AllocTasks *t = state_alloc_tasks(v, c->arena, id.data);
    view_abort(v);
    return t->tasks[0]->events[0]->type;
}

Test(apply, a_report_that_a_newer_one_has_overtaken_changes_nothing)
{
    ProtobufCBinaryData alloc = a_running_alloc("web");
    report(alloc, 7, "Restarting");
    report(alloc, 6, "Started");
    cr_assert_str_eq(last_event(alloc), "Restarting");
    report(alloc, 8, "Terminated");
    cr_assert_str_eq(last_event(alloc), "Terminated");
}

Test(apply, a_failed_allocation_has_its_job_looked_at_unless_it_is_stopped)
{
    ProtobufCBinaryData alloc = a_running_alloc("web"), evals[4];
    update_alloc(c, alloc, PB__ALLOC__CLIENT_STATUS__FAILED);
    cr_assert_eq(ids_by(c, EVALS, BY_JOB, "web", none, evals, 4), 2);
    cr_assert_str_eq(get_eval(c, evals[1])->triggered_by, "alloc-failure");
}

Test(apply, an_evaluation_moves_only_as_its_proposer_saw_it)
{
    Pb__EvalUpdates body = PB__EVAL_UPDATES__INIT;
    Pb__EvalUpdate one = PB__EVAL_UPDATE__INIT, *all[] = {&one};
    Pb__Command cmd = PB__COMMAND__INIT;
    one.has_id = one.has_modify_index = one.has_status = one.has_follow_up_at = true;
    one.id = register_job(c, a_job(c, "web", 1))->eval_id;
    one.status = PB__EVAL__STATUS__FAILED;
    one.modify_index = 99;
    one.follow_up_at = 12345;
    body.n_evals = 1;
    body.evals = all;
    cmd.body_case = PB__COMMAND__BODY_EVAL_UPDATES;
    cmd.eval_updates = &body;
    cr_assert_eq(cluster_apply(c, &cmd, 0)->code, PB__OUTCOME__CODE__STALE);
    one.modify_index = 1;
    cr_assert_eq(cluster_apply(c, &cmd, 0)->code, PB__OUTCOME__CODE__APPLIED);
    Pb__Eval *e = get_eval(c, one.id), *next = get_eval(c, e->next_eval);
    cr_assert_eq(e->status, PB__EVAL__STATUS__FAILED);
    cr_assert_eq(next->wait_until, 12345);
    cr_assert_eq(next->deliveries, 1);
    cr_assert(id_equal(next->previous_eval.data, e->id.data));
    one.modify_index = 0;
    cr_assert_eq(cluster_apply(c, &cmd, 0)->code, PB__OUTCOME__CODE__STALE); /* ended */
}

/* ---- the feed */

static size_t changes_since(uint64_t since, uint32_t tables)
{
    struct change_walk w;
    struct change change;
    size_t n = 0;
    struct view *v = state_read(c->state);
    change_walk_open(&w, v, since, tables);
    while (change_walk_next(&w, &change))
        n++;
    change_walk_close(&w);
    view_abort(v);
    return n;
}

Test(apply, the_feed_names_what_changed)
{
    register_job(c, a_job(c, "web", 1)); /* job, summary, evaluation */
    cr_assert_eq(changes_since(0, 0), 3);
    cr_assert_eq(changes_since(0, 1u << EVALS), 1);
    cr_assert_eq(changes_since(1, 0), 0);
    deregister_job(c, "web", true); /* both gone, an evaluation */
    cr_assert_eq(changes_since(1, 0), 3);
}

Test(apply, the_feed_is_bounded_and_tells_its_low_water_mark)
{
    struct state_options o = {.map_bytes = 1u << 30, .changes_kept = 20};
    cluster_reopen(c, &o);
    for (uint32_t i = 0; i < 30; i++)
        register_job(c, a_job(c, "web", i + 1));
    struct view *v = state_read(c->state);
    cr_assert_leq(view_meta(v)->changes_count, 20);
    cr_assert_gt(view_meta(v)->changes_low, 20);
    view_abort(v);
}

Test(apply, a_new_node_is_told_of_to_the_jobs_that_run_on_each)
{
    ProtobufCBinaryData evals[16];
    static const char *const types[] = {"system", "sysbatch", "service"};
    for (size_t i = 0; i < 3; i++) {
        Pb__Job *job = a_job(c, types[i], 1);
        job->type = arena_strdup(c->arena, types[i]);
        register_job(c, job);
    }
    cr_assert_str_eq(get_job(c, "system")->status, "running", "until it is stopped");
    register_node(c, a_node(c, 1, 1000, 1000));
    set_node_status(c, a_node(c, 1, 0, 0)->id, PB__NODE__STATUS__DOWN);
    set_node_status(c, a_node(c, 1, 0, 0)->id, PB__NODE__STATUS__READY);
    static const size_t expect[] = {3, 3, 1};
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(ids_by(c, PB__TABLE__NAME__EVALS, PB__LIST__BY__JOB, types[i], none, evals,
                            COUNT_OF(evals)),
                     expect[i], "%s", types[i]);
    deregister_job(c, "system", false);
    deregister_job(c, "sysbatch", true);
    size_t before = ids_by(c, PB__TABLE__NAME__EVALS, PB__LIST__BY__JOB, "system", none, evals,
                           COUNT_OF(evals));
    register_node(c, a_node(c, 2, 1000, 1000));
    cr_assert_eq(ids_by(c, PB__TABLE__NAME__EVALS, PB__LIST__BY__JOB, "system", none, evals,
                        COUNT_OF(evals)),
                 before);
}

/* ---- eligibility and drains */

static Pb__Outcome *set_eligibility(uint32_t node, Pb__Node__Eligibility to)
{
    Pb__NodeEligibilitySet set = PB__NODE_ELIGIBILITY_SET__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    set.has_node_id = set.has_eligibility = true;
    set.node_id = id_of(c, "node", node);
    set.eligibility = to;
    cmd.body_case = PB__COMMAND__BODY_NODE_ELIGIBILITY;
    cmd.node_eligibility = &set;
    return cluster_apply(c, &cmd, 0);
}

/* spec NULL: the drain ends. */
static Pb__Outcome *set_drain(uint32_t node, Pb__DrainSpec *spec, bool mark_eligible)
{
    Pb__NodeDrainSet set = PB__NODE_DRAIN_SET__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    set.has_node_id = set.has_mark_eligible = true;
    set.node_id = id_of(c, "node", node);
    set.spec = spec;
    set.mark_eligible = mark_eligible;
    cmd.body_case = PB__COMMAND__BODY_NODE_DRAIN;
    cmd.node_drain = &set;
    return cluster_apply(c, &cmd, 0);
}

/* Likewise, and its agent says so. */
static Pb__Outcome *set_drain_by_agent(uint32_t node, Pb__DrainSpec *spec)
{
    Pb__NodeDrainSet set = PB__NODE_DRAIN_SET__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    set.has_node_id = set.has_mark_eligible = set.has_by_agent = set.by_agent = true;
    set.node_id = id_of(c, "node", node);
    set.spec = spec;
    set.mark_eligible = spec == NULL;
    cmd.body_case = PB__COMMAND__BODY_NODE_DRAIN;
    cmd.node_drain = &set;
    return cluster_apply(c, &cmd, 0);
}

static void apply_step(Pb__DrainStep *step)
{
    Pb__Command cmd = PB__COMMAND__INIT;
    cmd.body_case = PB__COMMAND__BODY_DRAIN_STEP;
    cmd.drain_step = step;
    cr_assert_eq(cluster_apply(c, &cmd, 0)->code, PB__OUTCOME__CODE__APPLIED);
}

/* One allocation moves, or (alloc NULL) node 1 is done. */
static void step_drain(const ProtobufCBinaryData *alloc, uint64_t modify_index)
{
    Pb__DrainStep step = PB__DRAIN_STEP__INIT;
    Pb__NodeDrained done = PB__NODE_DRAINED__INIT;
    ProtobufCBinaryData ids[1];
    done.has_node_id = done.has_modify_index = true;
    done.node_id = id_of(c, "node", 1);
    done.modify_index = modify_index;
    if (alloc != NULL) {
        ids[0] = *alloc;
        step.n_migrate = 1;
        step.migrate = ids;
    } else {
        step.n_drained = 1;
        step.drained = (Pb__NodeDrained *[]){&done};
    }
    apply_step(&step);
}

Test(apply, an_ineligible_node_that_takes_work_again_is_told_of_to_its_jobs)
{
    a_running_alloc("web");
    cr_assert_eq(set_eligibility(9, PB__NODE__ELIGIBILITY__ELIGIBLE)->code,
                 PB__OUTCOME__CODE__NOT_FOUND);
    cr_assert(set_eligibility(1, PB__NODE__ELIGIBILITY__ELIGIBLE)->unchanged);
    cr_assert_eq(set_eligibility(1, PB__NODE__ELIGIBILITY__INELIGIBLE)->n_eval_ids, 0);
    Pb__Node *n = get_node(c, id_of(c, "node", 1));
    cr_assert_eq(n->eligibility, PB__NODE__ELIGIBILITY__INELIGIBLE);
    cr_assert_str_eq(n->events[n->n_events - 1]->message,
                     "Node marked as ineligible for scheduling");
    Pb__Outcome *out = set_eligibility(1, PB__NODE__ELIGIBILITY__ELIGIBLE);
    cr_assert_eq(out->n_eval_ids, 1);
    cr_assert_str_eq(get_eval(c, out->eval_ids[0])->triggered_by, "node-update");
}

Test(apply, a_drain_marks_moves_and_ends_and_is_remembered)
{
    ProtobufCBinaryData alloc = a_running_alloc("web"), evals[8];
    Pb__DrainSpec spec = PB__DRAIN_SPEC__INIT;
    spec.has_deadline_ns = true;
    spec.deadline_ns = 5000000000;
    step_drain(&alloc, 0);
    cr_assert_not(get_alloc(c, alloc)->migrate, "the node is not being drained");
    set_drain(1, &spec, false);
    Pb__Node *n = get_node(c, id_of(c, "node", 1));
    cr_assert(n->drain);
    cr_assert_eq(n->eligibility, PB__NODE__ELIGIBILITY__INELIGIBLE);
    cr_assert_eq(n->drain_strategy->force_deadline - n->drain_strategy->started_at, 5000000000);
    cr_assert_str_eq(n->last_drain->status, "draining");
    cr_assert_eq(set_eligibility(1, PB__NODE__ELIGIBILITY__ELIGIBLE)->code,
                 PB__OUTCOME__CODE__INVALID, "not while it is drained");
    step_drain(&alloc, 0);
    cr_assert(get_alloc(c, alloc)->migrate);
    size_t count = ids_by(c, EVALS, BY_JOB, "web", none, evals, COUNT_OF(evals));
    cr_assert_str_eq(get_eval(c, evals[count - 1])->triggered_by, "node-drain");
    step_drain(NULL, n->modify_index + 1);
    cr_assert(get_node(c, id_of(c, "node", 1))->drain, "another drain than the one that is done");
    step_drain(NULL, n->modify_index);
    n = get_node(c, id_of(c, "node", 1));
    cr_assert_not(n->drain);
    cr_assert_null(n->drain_strategy);
    cr_assert_eq(n->eligibility, PB__NODE__ELIGIBILITY__INELIGIBLE, "until somebody says so");
    cr_assert_str_eq(n->last_drain->status, "complete");
    cr_assert_str_eq(n->events[n->n_events - 1]->subsystem, "Drain");
}

Test(apply, past_its_deadline_a_drain_marks_what_was_marked_once_more)
{
    ProtobufCBinaryData alloc = a_running_alloc("web"), evals[8];
    Pb__DrainSpec spec = PB__DRAIN_SPEC__INIT;
    Pb__DrainStep step = PB__DRAIN_STEP__INIT;
    set_drain(1, &spec, false);
    step_drain(&alloc, 0);
    cr_assert_not(get_alloc(c, alloc)->stop_wanted);
    size_t before = ids_by(c, EVALS, BY_JOB, "web", none, evals, COUNT_OF(evals));
    step.n_stop = 1;
    step.stop = &alloc;
    for (int i = 0; i < 2; i++)
        apply_step(&step);
    cr_assert(get_alloc(c, alloc)->stop_wanted);
    cr_assert(get_alloc(c, alloc)->migrate);
    cr_assert_eq(ids_by(c, EVALS, BY_JOB, "web", none, evals, COUNT_OF(evals)), before + 1,
                 "one evaluation for a mark, however often it comes");
}

static bool takes_work(uint32_t node)
{
    const Pb__Node *n = get_node(c, id_of(c, "node", node));
    return !n->drain && n->eligibility == PB__NODE__ELIGIBILITY__ELIGIBLE;
}

Test(apply, an_agent_that_is_back_gets_work_unless_people_drained_it)
{
    a_running_alloc("web");
    Pb__DrainSpec spec = PB__DRAIN_SPEC__INIT, terms = PB__DRAIN_SPEC__INIT;
    cr_assert(set_drain_by_agent(1, NULL)->unchanged, "it never left");
    set_drain_by_agent(1, &spec);
    cr_assert(get_node(c, id_of(c, "node", 1))->drain);
    set_drain_by_agent(1, &spec);
    cr_assert_eq(set_drain_by_agent(1, NULL)->n_eval_ids, 1, "asked twice, and back");
    cr_assert(takes_work(1));

    set_drain_by_agent(1, &spec);
    step_drain(NULL, get_node(c, id_of(c, "node", 1))->modify_index);
    cr_assert_not(takes_work(1));
    set_drain_by_agent(1, NULL);
    cr_assert(takes_work(1), "the drain was complete");

    terms.has_deadline_ns = true;
    terms.deadline_ns = 5000000000;
    set_drain(1, &terms, false);
    cr_assert(set_drain_by_agent(1, &spec)->unchanged);
    cr_assert_eq(get_node(c, id_of(c, "node", 1))->drain_strategy->deadline_ns, 5000000000);
    cr_assert(set_drain_by_agent(1, NULL)->unchanged);
    cr_assert(get_node(c, id_of(c, "node", 1))->drain, "people began it");
    set_drain(1, NULL, false);
    set_drain_by_agent(1, &spec);
    set_drain_by_agent(1, NULL);
    cr_assert_not(takes_work(1), "it was not eligible before");
    set_eligibility(1, PB__NODE__ELIGIBILITY__ELIGIBLE);

    set_drain_by_agent(1, &spec);
    step_drain(NULL, get_node(c, id_of(c, "node", 1))->modify_index);
    set_eligibility(1, PB__NODE__ELIGIBILITY__ELIGIBLE);
    set_eligibility(1, PB__NODE__ELIGIBILITY__INELIGIBLE);
    cr_assert(set_drain_by_agent(1, NULL)->unchanged);
    cr_assert_not(takes_work(1), "people have decided since");
}

Test(apply, a_drain_that_is_called_off_gives_the_node_back)
{
    a_running_alloc("web");
    Pb__DrainSpec spec = PB__DRAIN_SPEC__INIT;
    set_drain(1, &spec, false);
    Pb__Node *registered = a_node(c, 1, 2000, 1000);
    register_node(c, registered);
    cr_assert_not_null(get_node(c, id_of(c, "node", 1))->drain_strategy, "registered anew");
    cr_assert_eq(set_drain(1, NULL, true)->n_eval_ids, 1);
    Pb__Node *n = get_node(c, id_of(c, "node", 1));
    cr_assert_not(n->drain);
    cr_assert_eq(n->eligibility, PB__NODE__ELIGIBILITY__ELIGIBLE);
    cr_assert_str_eq(n->last_drain->status, "canceled");
}
