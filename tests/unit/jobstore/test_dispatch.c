/* Dispatches of parameterized jobs, and jobs that wait for others, as commands. The words of the
 * refusals are those that Nomad 1.1.0 was recorded with. */
#include "cluster.h"
#include "wire/held.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct cluster *c;
static Pb__ParameterizedJob parameters;
static Pb__JobDispatch request;
static uint8_t payload[17000];

static char *mutable_text(const char *s)
{
    return (char *)(uintptr_t)s;
}

static void begin(void)
{
    static char *required[1], *optional[1];
    c = cluster_new();
    required[0] = mutable_text("name");
    optional[0] = mutable_text("lang");
    pb__parameterized_job__init(&parameters);
    parameters.payload = mutable_text("optional");
    parameters.n_meta_required = parameters.n_meta_optional = 1;
    parameters.meta_required = required;
    parameters.meta_optional = optional;
    pb__job_dispatch__init(&request);
    request.job_id = mutable_text("greet");
}

static void end(void)
{
    cluster_free(c);
}

TestSuite(dispatch, .init = begin, .fini = end);
TestSuite(depends, .init = begin, .fini = end);

static void add_meta(Pb__KeyValue ***list, size_t *count, const char *key, const char *value)
{
    Pb__KeyValue **all = arena_array(c->arena, Pb__KeyValue *, *count + 1);
    for (size_t i = 0; i < *count; i++)
        all[i] = (*list)[i];
    all[*count] = arena_array(c->arena, Pb__KeyValue, 1);
    pb__key_value__init(all[*count]);
    all[*count]->key = mutable_text(key);
    all[*count]->value = mutable_text(value);
    *list = all;
    ++*count;
}

static Pb__Outcome *register_greet(uint32_t priority)
{
    Pb__Job *job = a_job(c, "greet", 1);
    job->type = mutable_text("batch");
    job->priority = priority;
    job->parameterized_job = &parameters;
    add_meta(&job->meta, &job->n_meta, "lang", "en");
    return register_job(c, job);
}

static Pb__Outcome *dispatch(void)
{
    Pb__Command cmd = PB__COMMAND__INIT;
    cmd.body_case = PB__COMMAND__BODY_JOB_DISPATCH;
    cmd.job_dispatch = &request;
    return cluster_apply(c, &cmd, 0);
}

static void expect_refusal(const char *reason)
{
    Pb__Outcome *out = dispatch();
    bool refused = out->code != PB__OUTCOME__CODE__APPLIED;
    cr_assert(refused && strcmp(out->reason, reason) == 0, "%s", out->reason);
}

Test(dispatch, makes_a_child_with_its_metadata_its_payload_and_an_evaluation)
{
    cr_assert_not(register_greet(50)->has_eval_id);
    cr_assert_str_eq(get_job(c, "greet")->status, "running");
    add_meta(&request.meta, &request.n_meta, "name", "eve");
    request.has_payload = true;
    request.payload = (ProtobufCBinaryData){3, (uint8_t *)mutable_text("hi\n")};
    Pb__Outcome *out = dispatch();
    cr_assert_eq(strncmp(out->child_id, "greet/dispatch-1", 16), 0, "%s", out->child_id);
    Pb__Job *child = get_job(c, out->child_id);
    cr_assert(child->dispatched && strcmp(child->parent_id, "greet") == 0);
    cr_assert(child->parameterized_job != NULL && child->payload.len == 3);
    cr_assert_eq(child->n_meta, 2);
    cr_assert_str_eq(child->meta[0]->value, "en");
    cr_assert_str_eq(child->meta[1]->value, "eve");
    cr_assert_str_eq(get_eval(c, out->eval_id)->triggered_by, "job-register");
    cr_assert_str_eq(child->status, "pending");
    cr_assert_eq(get_summary(c, "greet")->children->pending, 1);
}

Test(dispatch, is_refused_in_nomads_words)
{
    expect_refusal("parameterized job not found");
    register_job(c, a_job(c, "greet", 1));
    expect_refusal("Specified job \"greet\" is not a parameterized job");
    deregister_job(c, "greet", true);
    register_greet(50);
    expect_refusal("Dispatch did not provide required meta keys: [name]");
    add_meta(&request.meta, &request.n_meta, "zzz", "1");
    add_meta(&request.meta, &request.n_meta, "name", "x");
    expect_refusal("Dispatch request included unpermitted metadata keys: [zzz]");
    request.n_meta = 0;
    add_meta(&request.meta, &request.n_meta, "name", "x");
    request.payload = (ProtobufCBinaryData){sizeof payload, payload};
    request.has_payload = true;
    expect_refusal("Payload exceeds maximum size; 17000 > 16384");
    parameters.payload = mutable_text("forbidden");
    register_greet(50);
    expect_refusal("Payload provided but forbidden by parameterized job");
    parameters.payload = mutable_text("required");
    register_greet(50);
    request.has_payload = false;
    request.payload.len = 0;
    expect_refusal("Payload is not provided but required by parameterized job");
    deregister_job(c, "greet", false);
    expect_refusal("Specified job \"greet\" is stopped");
}

Test(dispatch, who_asks_again_with_a_token_gets_the_same_child_while_it_is_kept)
{
    register_greet(50);
    add_meta(&request.meta, &request.n_meta, "name", "eve");
    request.idempotency_token = mutable_text("once");
    Pb__Outcome *first = dispatch(), *again = dispatch();
    cr_assert_str_eq(first->child_id, again->child_id);
    cr_assert(again->unchanged && id_equal(first->eval_id.data, again->eval_id.data));
    request.idempotency_token = mutable_text("twice");
    cr_assert_str_neq(dispatch()->child_id, first->child_id);
    deregister_job(c, first->child_id, true);
    request.idempotency_token = mutable_text("once");
    cr_assert_str_neq(dispatch()->child_id, first->child_id);
}

static void limit(uint32_t most, uint32_t priority)
{
    parameters.has_max_running = true;
    parameters.max_running = most;
    register_greet(priority);
}

Test(dispatch, beyond_max_running_children_wait_and_go_by_priority_then_age)
{
    const char *ids[4];
    limit(1, 50);
    add_meta(&request.meta, &request.n_meta, "name", "eve");
    const char *at_work = dispatch()->child_id;
    for (uint32_t i = 1; i < 4; i++) {
        limit(1, i == 3 ? 70 : 50);
        Pb__Outcome *out = dispatch();
        cr_assert_not(out->has_eval_id);
        ids[i] = out->child_id;
        cr_assert_str_eq(get_job(c, ids[i])->status_description,
                         "waits for its turn (max_running 1)");
    }
    cr_assert_eq(get_summary(c, "greet")->children->pending, 4);
    cr_assert_eq(get_summary(c, "greet")->children->waiting, 3);
    cr_assert_neq(deregister_job(c, "greet", true)->code, PB__OUTCOME__CODE__APPLIED);
    for (uint32_t i = 0; i < 3; i++) {
        static const uint32_t order[] = {3, 1, 2};
        ProtobufCBinaryData evals[8];
        const char *next = ids[order[i]];
        cr_assert_eq(ids_by(c, PB__TABLE__NAME__EVALS, PB__LIST__BY__JOB, next,
                            (ProtobufCBinaryData){0}, evals, 8),
                     0);
        deregister_job(c, at_work, false); /* the end of the one before it lets it go on */
        cr_assert_eq(ids_by(c, PB__TABLE__NAME__EVALS, PB__LIST__BY__JOB, next,
                            (ProtobufCBinaryData){0}, evals, 8),
                     1, "%u", i);
        cr_assert_null(get_job(c, next)->status_description);
        cr_assert_eq(get_summary(c, "greet")->children->waiting, 2 - i);
        at_work = next;
    }
}

Test(dispatch, without_a_limit_any_more_all_go_on)
{
    limit(1, 50);
    add_meta(&request.meta, &request.n_meta, "name", "eve");
    const char *last = NULL;
    for (int i = 0; i < 5; i++)
        last = dispatch()->child_id;
    cr_assert_not_null(get_job(c, last)->status_description);
    limit(0, 50);
    cr_assert_null(get_job(c, last)->status_description);
}

/* ---- depends_on */

static Pb__Outcome *register_waiting(const char *id, const char *type, const char *on,
                                     const char *condition)
{
    Pb__Job *job = a_job(c, id, 1);
    Pb__Dependency *d = arena_array(c->arena, Pb__Dependency, 1);
    pb__dependency__init(d);
    d->job = mutable_text(on);
    d->condition = mutable_text(condition);
    job->type = mutable_text(type);
    job->n_depends_on = 1;
    job->depends_on = arena_array(c->arena, Pb__Dependency *, 1);
    job->depends_on[0] = d;
    return register_job(c, job);
}

static Pb__Outcome *register_batch(const char *id)
{
    Pb__Job *job = a_job(c, id, 1);
    job->type = mutable_text("batch");
    return register_job(c, job);
}

static ProtobufCBinaryData alloc_of(const char *job)
{
    ProtobufCBinaryData ids[8];
    size_t n = ids_by(c, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, job, (ProtobufCBinaryData){0},
                      ids, 8);
    cr_assert(n > 0 && n <= 8);
    return ids[n - 1];
}

static void place_one(ProtobufCBinaryData eval)
{
    Pb__Plan *p = a_plan(c, eval);
    plan_place(c, p, id_of(c, "node", 1), 10, 10, 0);
    cr_assert_eq(apply_a_plan(c, p)->code, PB__OUTCOME__CODE__APPLIED);
}

static void expect_held(ProtobufCBinaryData eval, const char *description)
{
    Pb__Eval *e = get_eval(c, eval);
    const char *told = get_job(c, e->job_id)->status_description;
    bool said = strcmp(e->status_description, description) == 0 && strcmp(told, description) == 0;
    cr_assert(eval_is_held(e) && said, "%s", told);
}

Test(depends, a_job_waits_until_the_other_is_complete_and_is_not_stopped_by_what_follows)
{
    register_node(c, a_node(c, 1, 1000, 1000));
    ProtobufCBinaryData web = register_waiting("web", "service", "load", "complete")->eval_id;
    expect_held(web, "waits for job \"load\" to be complete (not registered)");
    ProtobufCBinaryData load = register_batch("load")->eval_id;
    expect_held(web, "waits for job \"load\" to be complete (pending)");
    place_one(load);
    expect_held(web, "waits for job \"load\" to be complete (running)");
    update_alloc(c, alloc_of("load"), PB__ALLOC__CLIENT_STATUS__COMPLETE);
    cr_assert_eq(get_eval(c, web)->status, PB__EVAL__STATUS__PENDING);
    cr_assert_null(get_job(c, "web")->status_description);
    place_one(web);
    deregister_job(c, "load", true);
    Pb__Job *job = get_job(c, "web");
    job->task_groups[0]->count = 2;
    Pb__Outcome *again = register_job(c, job);
    cr_assert_eq(get_eval(c, again->eval_id)->status, PB__EVAL__STATUS__PENDING);
}

Test(depends, what_failed_is_not_complete)
{
    register_node(c, a_node(c, 1, 1000, 1000));
    ProtobufCBinaryData web = register_waiting("web", "service", "load", "complete")->eval_id;
    place_one(register_batch("load")->eval_id);
    update_alloc(c, alloc_of("load"), PB__ALLOC__CLIENT_STATUS__FAILED);
    ProtobufCBinaryData evals[8];
    size_t n = ids_by(c, PB__TABLE__NAME__EVALS, PB__LIST__BY__JOB, "load",
                      (ProtobufCBinaryData){0}, evals, 8);
    cr_assert_eq(n, 2);
    apply_a_plan(c, a_plan(c, evals[1])); /* it is not tried again */
    expect_held(web, "waits for job \"load\" to be complete (dead, and not all of it complete)");
}

Test(depends, healthy_is_all_that_it_wants_running)
{
    register_node(c, a_node(c, 1, 1000, 1000));
    ProtobufCBinaryData web = register_waiting("web", "service", "db", "healthy")->eval_id;
    place_one(register_job(c, a_job(c, "db", 1))->eval_id);
    expect_held(web, "waits for job \"db\" to be healthy (not all of it is running)");
    update_alloc(c, alloc_of("db"), PB__ALLOC__CLIENT_STATUS__RUNNING);
    cr_assert_eq(get_eval(c, web)->status, PB__EVAL__STATUS__PENDING);
}

Test(depends, a_circle_is_refused_and_shown)
{
    cr_assert(register_waiting("a", "batch", "b", "complete")->has_eval_id);
    cr_assert(register_waiting("b", "batch", "c", "complete")->has_eval_id);
    Pb__Outcome *out = register_waiting("c", "batch", "a", "healthy");
    cr_assert_eq(out->code, PB__OUTCOME__CODE__INVALID);
    cr_assert_str_eq(out->reason, "the job would wait for itself: c -> a -> b -> c");
    cr_assert_null(get_job(c, "c"));
    out = register_waiting("d", "batch", "d", "healthy");
    cr_assert_str_eq(out->reason, "the job would wait for itself: d -> d");
}

Test(depends, a_plan_for_what_is_held_is_refused_and_a_stop_is_not_held)
{
    register_node(c, a_node(c, 1, 1000, 1000));
    ProtobufCBinaryData web = register_waiting("web", "service", "db", "healthy")->eval_id;
    Pb__Plan *p = a_plan(c, web);
    plan_place(c, p, id_of(c, "node", 1), 10, 10, 0);
    cr_assert_eq(apply_a_plan(c, p)->code, PB__OUTCOME__CODE__STALE);
    Pb__Outcome *stop = deregister_job(c, "web", false);
    cr_assert_eq(get_eval(c, stop->eval_id)->status, PB__EVAL__STATUS__PENDING);
    cr_assert_eq(get_eval(c, web)->status, PB__EVAL__STATUS__CANCELLED);
}
