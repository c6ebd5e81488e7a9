/* What becomes of deployments. Where the words are Nomad's, they are as recorded. */
#include "base/err.h"
#include "cluster.h"
#include <criterion/criterion.h>
#include <string.h>

#define S          1000000000ll
#define MOST       4
#define RUNNING    PB__DEPLOYMENT__STATUS__RUNNING
#define PAUSED     PB__DEPLOYMENT__STATUS__PAUSED
#define FAILED     PB__DEPLOYMENT__STATUS__FAILED
#define SUCCESSFUL PB__DEPLOYMENT__STATUS__SUCCESSFUL
#define CANCELLED  PB__DEPLOYMENT__STATUS__CANCELLED
#define ALLOCS     PB__TABLE__NAME__ALLOCS
#define EVALS      PB__TABLE__NAME__EVALS

static const ProtobufCBinaryData none;
static struct cluster *c;
static ProtobufCBinaryData deployment, allocs[MOST];
static ProtobufCBinaryData asked_by; /* of whom reports speak; empty: they do not say */
static size_t alloc_count;

/* What the deployment of a test asks of its only group. */
struct asked {
    uint32_t total, canaries, placed;
    bool auto_promote, auto_revert, no_deadline;
};

static void begin(void)
{
    c = cluster_new();
    register_node(c, a_node(c, 1, 4000, 4000));
}

static void end(void)
{
    cluster_free(c);
}

TestSuite(deployment, .init = begin, .fini = end);

/* ---- making one, beside the log */

static struct view *change(void)
{
    struct view *v = state_write(c->state);
    c->index++;
    state_command_begin(v, c->index, 1, c->time, id_of(c, "beside", (uint32_t)c->index).data);
    return v;
}

static void done(struct view *v)
{
    struct reason why;
    state_command_end(v);
    cr_assert_eq(view_commit(v, &why), OK);
}

static Pb__DeploymentGroup *a_group(const struct asked *ask)
{
    Pb__DeploymentGroup *g = arena_alloc(c->arena, sizeof *g);
    pb__deployment_group__init(g);
    g->name = arena_strdup(c->arena, "g");
    g->has_desired_total = g->has_desired_canaries = g->has_auto_promote = g->has_auto_revert =
        true;
    g->desired_total = ask->total;
    g->desired_canaries = ask->canaries;
    g->has_placed_allocs = true;
    g->placed_allocs = ask->placed;
    g->auto_promote = ask->auto_promote;
    g->auto_revert = ask->auto_revert;
    g->has_progress_deadline_ns = g->has_require_progress_by = !ask->no_deadline;
    g->progress_deadline_ns = ask->no_deadline ? 0 : 60 * S;
    g->require_progress_by = ask->no_deadline ? 0 : c->time + 60 * S;
    g->placed_canaries = allocs;
    g->n_placed_canaries = ask->canaries;
    return g;
}

static void join(struct view *v, size_t i, bool canary)
{
    Pb__Alloc *old = state_alloc(v, c->arena, allocs[i].data), next = *old;
    Pb__DeploymentStatus s = PB__DEPLOYMENT_STATUS__INIT;
    s.has_canary = s.canary = canary;
    next.has_deployment_id = true;
    next.deployment_id = deployment;
    next.deployment_status = canary ? &s : NULL;
    state_change_alloc(v, old, &next, false);
}

static void deploy(const struct asked *ask)
{
    Pb__Job *job = get_job(c, "web");
    Pb__Deployment *d = arena_alloc(c->arena, sizeof *d);
    Pb__DeploymentGroup *groups[] = {a_group(ask)};
    pb__deployment__init(d);
    d->has_id = d->has_job_version = d->has_job_create_index = d->has_status = true;
    d->id = deployment = id_of(c, "deployment", (uint32_t)c->index);
    d->namespace_ = arena_strdup(c->arena, "default");
    d->job_id = job->id;
    d->job_version = job->version;
    d->job_create_index = job->create_index;
    d->status = RUNNING;
    d->n_task_groups = 1;
    d->task_groups = groups;
    struct view *v = change();
    state_put_deployment(v, d);
    for (size_t i = 0; i < alloc_count; i++)
        join(v, i, i < ask->canaries);
    done(v);
}

/* The job with so many allocations, all of one deployment. */
static void begin_deployment(struct asked ask)
{
    Pb__Plan *p = a_plan(c, register_job(c, a_job(c, "web", 2))->eval_id);
    alloc_count = ask.canaries > ask.total ? ask.canaries : ask.total;
    for (size_t i = 0; i < alloc_count; i++)
        plan_place(c, p, id_of(c, "node", 1), 100, 100, 0);
    apply_a_plan(c, p);
    ids_by(c, ALLOCS, PB__LIST__BY__JOB, "web", none, allocs, MOST);
    deploy(&ask);
}

/* ---- looking */

static Pb__Deployment *now(void)
{
    struct view *v = state_read(c->state);
    Pb__Deployment *d = state_deployment(v, c->arena, deployment.data);
    view_abort(v);
    return d;
}

static Pb__DeploymentGroup *group_now(void)
{
    return now()->task_groups[0];
}

static void check_status(Pb__Deployment__Status status, const char *words)
{
    cr_assert_eq(now()->status, status, "it is %d", (int)now()->status);
    cr_assert_str_eq(now()->status_description, words);
}

/* Evaluations made for the deployment. */
static size_t evals(void)
{
    ProtobufCBinaryData ids[64];
    size_t found = 0, n = ids_by(c, EVALS, PB__LIST__BY__JOB, "web", none, ids, COUNT_OF(ids));
    for (size_t i = 0; i < n; i++) {
        Pb__Eval *e = get_eval(c, ids[i]);
        if (strcmp(e->triggered_by, "deployment-watcher") != 0)
            continue;
        cr_assert(id_equal(e->deployment_id.data, deployment.data));
        cr_assert_eq(e->status, PB__EVAL__STATUS__PENDING);
        found++;
    }
    return found;
}

/* ---- saying */

static Pb__Outcome *report_all(size_t from, size_t to, bool healthy)
{
    Pb__AllocUpdates body = PB__ALLOC_UPDATES__INIT;
    Pb__AllocUpdate updates[MOST], *all[MOST];
    Pb__Command cmd = PB__COMMAND__INIT;
    for (size_t i = from; i < to; i++) {
        Pb__AllocUpdate *u = all[body.n_allocs] = &updates[body.n_allocs];
        pb__alloc_update__init(u);
        u->has_alloc_id = u->has_client_status = u->has_healthy = u->has_healthy_at = true;
        u->alloc_id = allocs[i];
        u->client_status = PB__ALLOC__CLIENT_STATUS__RUNNING;
        u->healthy = healthy;
        u->healthy_at = 77;
        u->has_deployment_id = asked_by.len > 0;
        u->deployment_id = asked_by;
        body.n_allocs++;
    }
    body.allocs = all;
    cmd.body_case = PB__COMMAND__BODY_ALLOC_UPDATES;
    cmd.alloc_updates = &body;
    return cluster_apply(c, &cmd, 0);
}

static void report(size_t i, bool healthy)
{
    report_all(i, i + 1, healthy);
}

static Pb__Outcome *promote(bool all, const char *group)
{
    Pb__DeploymentPromote body = PB__DEPLOYMENT_PROMOTE__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    char *groups[] = {(char *)(uintptr_t)group};
    body.has_id = body.has_all = true;
    body.id = deployment;
    body.all = all;
    body.n_groups = group != NULL;
    body.groups = groups;
    cmd.body_case = PB__COMMAND__BODY_DEPLOYMENT_PROMOTE;
    cmd.deployment_promote = &body;
    return cluster_apply(c, &cmd, 0);
}

static Pb__Outcome *pause_it(bool pause)
{
    Pb__DeploymentPause body = PB__DEPLOYMENT_PAUSE__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.has_id = body.has_pause = true;
    body.id = deployment;
    body.pause = pause;
    cmd.body_case = PB__COMMAND__BODY_DEPLOYMENT_PAUSE;
    cmd.deployment_pause = &body;
    return cluster_apply(c, &cmd, 0);
}

static Pb__Outcome *fail_it(bool deadline)
{
    Pb__DeploymentFail body = PB__DEPLOYMENT_FAIL__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.has_id = body.has_progress_deadline = true;
    body.id = deployment;
    body.progress_deadline = deadline;
    cmd.body_case = PB__COMMAND__BODY_DEPLOYMENT_FAIL;
    cmd.deployment_fail = &body;
    return cluster_apply(c, &cmd, 0);
}

static Pb__Outcome *judge(ProtobufCBinaryData *healthy, ProtobufCBinaryData *unhealthy)
{
    Pb__AllocHealth body = PB__ALLOC_HEALTH__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.has_deployment_id = true;
    body.deployment_id = deployment;
    body.n_healthy = healthy != NULL;
    body.healthy = healthy;
    body.n_unhealthy = unhealthy != NULL;
    body.unhealthy = unhealthy;
    cmd.body_case = PB__COMMAND__BODY_ALLOC_HEALTH;
    cmd.alloc_health = &body;
    return cluster_apply(c, &cmd, 0);
}

static void check_refused(const Pb__Outcome *out, const char *words)
{
    cr_assert_neq(out->code, PB__OUTCOME__CODE__APPLIED);
    cr_assert_str_eq(out->reason, words);
}

/* ---- success */

Test(deployment, is_successful_when_all_it_wants_is_healthy_and_its_version_is_stable_then)
{
    begin_deployment((struct asked){.total = 2});
    int64_t by = group_now()->require_progress_by;
    report(0, true);
    cr_assert_eq(now()->status, RUNNING);
    cr_assert_eq(group_now()->healthy_allocs, 1);
    cr_assert_gt(group_now()->require_progress_by, by);
    cr_assert_eq(evals(), 1);
    Pb__DeploymentStatus *s = get_alloc(c, allocs[0])->deployment_status;
    cr_assert(s->healthy && s->timestamp == 77 && s->modify_index == c->index);
    cr_assert_not(get_job(c, "web")->stable);
    report(1, true);
    check_status(SUCCESSFUL, "Deployment completed successfully");
    cr_assert_eq(evals(), 2);
    cr_assert(get_job(c, "web")->stable);
    cr_assert_eq(get_job(c, "web")->version, 0);
}

Test(deployment, is_not_over_while_one_that_was_healthy_is_being_replaced)
{
    begin_deployment((struct asked){.total = 2});
    report(0, true);
    Pb__Plan *p = a_plan(c, register_job(c, a_job(c, "web", 2))->eval_id);
    plan_stop(c, p, allocs[0], false);
    plan_place(c, p, id_of(c, "node", 1), 100, 100, 0);
    apply_a_plan(c, p);
    report(1, true);
    cr_assert(now()->status == RUNNING && group_now()->healthy_allocs == 2);
    cr_assert_not(get_job(c, "web")->stable);
    cr_assert_eq(ids_by(c, ALLOCS, PB__LIST__BY__JOB, "web", none, allocs, MOST), 3);
    struct view *v = change();
    join(v, 2, false);
    done(v);
    report(2, true);
    check_status(SUCCESSFUL, "Deployment completed successfully");
    cr_assert(group_now()->healthy_allocs == 3 && get_job(c, "web")->stable);
}

Test(deployment, of_many_reports_in_one_command_makes_one_evaluation)
{
    begin_deployment((struct asked){.total = 4});
    report_all(0, 3, true);
    cr_assert_eq(group_now()->healthy_allocs, 3);
    cr_assert_eq(evals(), 1);
}

Test(deployment, of_a_first_version_that_is_all_placed_asks_nobody_until_it_ends)
{
    begin_deployment((struct asked){.total = 4, .placed = 4});
    report(0, true);
    report_all(1, 3, true);
    cr_assert_eq(evals(), 0);
    report(3, true);
    check_status(SUCCESSFUL, "Deployment completed successfully");
    cr_assert_eq(evals(), 1);
}

Test(deployment, of_a_later_version_takes_a_step_with_each_that_is_healthy)
{
    register_job(c, a_job(c, "web", 3));
    begin_deployment((struct asked){.total = 2, .placed = 2});
    report(0, true);
    cr_assert_eq(evals(), 1);
}

Test(deployment, counts_an_allocation_once_and_none_that_is_to_go)
{
    begin_deployment((struct asked){.total = 3});
    report(0, true);
    report(0, true);
    report(0, false);
    cr_assert(group_now()->healthy_allocs == 1 && group_now()->unhealthy_allocs == 0);
    Pb__Plan *p = a_plan(c, register_job(c, a_job(c, "web", 2))->eval_id);
    plan_stop(c, p, allocs[1], false);
    apply_a_plan(c, p);
    report(1, true);
    cr_assert_eq(group_now()->healthy_allocs, 1);
}

Test(deployment, counts_no_answer_to_an_earlier_one)
{
    begin_deployment((struct asked){.total = 2});
    asked_by = id_of(c, "deployment", 999);
    report(0, true);
    report(1, false);
    cr_assert(group_now()->healthy_allocs == 0 && group_now()->unhealthy_allocs == 0);
    cr_assert_eq(get_alloc(c, allocs[0])->client_status, PB__ALLOC__CLIENT_STATUS__RUNNING);
    asked_by = deployment;
    report(0, true);
    cr_assert_eq(group_now()->healthy_allocs, 1);
}

/* ---- failure */

Test(deployment, goes_on_with_an_unhealthy_one_as_long_as_it_has_time)
{
    begin_deployment((struct asked){.total = 2});
    report(0, false);
    cr_assert_eq(now()->status, RUNNING);
    cr_assert_eq(group_now()->unhealthy_allocs, 1);
    cr_assert_eq(evals(), 1);
}

Test(deployment, without_a_deadline_fails_with_the_first_unhealthy_one)
{
    begin_deployment((struct asked){.total = 2, .no_deadline = true});
    report(0, false);
    check_status(FAILED, "Failed due to unhealthy allocations");
    cr_assert_eq(evals(), 1);
    report(1, true);
    cr_assert_eq(group_now()->healthy_allocs, 0, "it has ended");
    cr_assert_eq(evals(), 1);
    cr_assert(get_alloc(c, allocs[1])->deployment_status->healthy);
}

static void set_stable(uint64_t version)
{
    struct view *v = change();
    cr_assert(state_set_stable(v, "default", "web", version, true));
    done(v);
}

Test(deployment, that_reverts_goes_back_to_the_newest_stable_version)
{
    register_job(c, a_job(c, "web", 1));
    register_job(c, a_job(c, "web", 4));
    register_job(c, a_job(c, "web", 3));
    set_stable(0);
    set_stable(1);
    begin_deployment((struct asked){.total = 2, .auto_revert = true});
    cr_assert_eq(get_job(c, "web")->version, 3);
    report(0, false);
    check_status(FAILED, "Failed due to unhealthy allocations - rolling back to job version 1");
    Pb__Job *job = get_job(c, "web");
    cr_assert(job->version == 4 && !job->stable && job->job_modify_index == c->index);
    cr_assert_eq(job->task_groups[0]->count, 4);
    ProtobufCBinaryData ids[16];
    size_t n = ids_by(c, EVALS, PB__LIST__BY__JOB, "web", none, ids, COUNT_OF(ids));
    cr_assert_eq(get_eval(c, ids[n - 1])->job_modify_index, c->index, "of the version put back");
}

static void pool(const char *name, bool make)
{
    Pb__NodePool p = PB__NODE_POOL__INIT;
    Pb__NodePoolSet set = PB__NODE_POOL_SET__INIT;
    Pb__NodePoolDelete gone = PB__NODE_POOL_DELETE__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    p.name = gone.name = arena_strdup(c->arena, name);
    set.pool = &p;
    cmd.body_case = make ? PB__COMMAND__BODY_NODE_POOL_SET : PB__COMMAND__BODY_NODE_POOL_DELETE;
    if (make)
        cmd.node_pool_set = &set;
    else
        cmd.node_pool_delete = &gone;
    cr_assert_eq(cluster_apply(c, &cmd, 0)->code, PB__OUTCOME__CODE__APPLIED);
}

Test(deployment, that_reverts_finds_the_node_pool_it_goes_back_to)
{
    Pb__Job *job = a_job(c, "web", 1);
    job->node_pool = arena_strdup(c->arena, "gpu");
    pool("gpu", true);
    register_job(c, job);
    set_stable(0);
    begin_deployment((struct asked){.total = 2, .auto_revert = true});
    pool("gpu", false); /* no version that runs names it */
    report(0, false);
    cr_assert_str_eq(get_job(c, "web")->node_pool, "gpu");
    struct view *v = state_read(c->state);
    cr_assert(state_has_node_pool(v, "gpu"));
    view_abort(v);
}

Test(deployment, that_reverts_says_when_there_is_nothing_to_go_back_to)
{
    begin_deployment((struct asked){.total = 2, .auto_revert = true});
    report(0, false);
    check_status(FAILED,
                 "Failed due to unhealthy allocations - no stable job version to auto revert to");
    cr_assert_eq(get_job(c, "web")->version, 0);
}

Test(deployment, that_reverts_does_not_go_back_to_what_has_just_failed)
{
    register_job(c, a_job(c, "web", 2));
    set_stable(0);
    register_job(c, a_job(c, "web", 1));
    begin_deployment((struct asked){.total = 2, .auto_revert = true});
    report(0, false);
    check_status(FAILED, "Failed due to unhealthy allocations - not rolling back to stable job "
                         "version 0 as current job has same specification");
    cr_assert_eq(get_job(c, "web")->version, 2);
}

static Pb__Job *a_waiting_job(const char *name, const char *on)
{
    Pb__Job *job = a_job(c, name, 1);
    Pb__Dependency *d = arena_array(c->arena, Pb__Dependency, 1);
    pb__dependency__init(d);
    d->job = arena_strdup(c->arena, on);
    d->condition = arena_strdup(c->arena, "healthy");
    job->depends_on = arena_array(c->arena, Pb__Dependency *, 1);
    job->depends_on[job->n_depends_on++] = d;
    return job;
}

Test(deployment, that_reverts_does_not_go_back_to_waiting_in_a_circle)
{
    register_job(c, a_waiting_job("web", "db")); /* version 0, and begin_deployment's is 1 */
    set_stable(0);
    begin_deployment((struct asked){.total = 2, .auto_revert = true});
    cr_assert_eq(register_job(c, a_waiting_job("db", "web"))->code, PB__OUTCOME__CODE__APPLIED,
                 "web waits for nobody now");
    report(0, false);
    check_status(FAILED, "Failed due to unhealthy allocations - not rolling back to stable job "
                         "version 0: the job would wait for itself: web -> db -> web");
    cr_assert_eq(get_job(c, "web")->version, 1);
    cr_assert_eq(get_job(c, "web")->n_depends_on, 0);
}

Test(deployment, that_reverts_leaves_a_newer_version_alone)
{
    register_job(c, a_job(c, "web", 1));
    set_stable(0);
    begin_deployment((struct asked){.total = 2, .auto_revert = true});
    register_job(c, a_job(c, "web", 3));
    report(0, false);
    check_status(FAILED, "Failed due to unhealthy allocations");
    cr_assert_eq(get_job(c, "web")->version, 2);
    cr_assert_eq(get_job(c, "web")->task_groups[0]->count, 3);
}

/* ---- canaries */

Test(deployment, with_canaries_waits_for_their_promotion)
{
    begin_deployment((struct asked){.total = 2, .canaries = 1});
    check_refused(promote(true, NULL),
                  "1 error occurred:\n\t* Task group \"g\" has 0/1 healthy allocations\n\n");
    report_all(0, 2, true);
    cr_assert_eq(now()->status, RUNNING);
    cr_assert_eq(promote(false, "nope")->code, PB__OUTCOME__CODE__APPLIED);
    cr_assert_not(group_now()->promoted);
    cr_assert(get_alloc(c, allocs[0])->deployment_status->canary);
    size_t before = evals();
    Pb__Outcome *out = promote(false, "g");
    cr_assert_eq(out->code, PB__OUTCOME__CODE__APPLIED, "%s", out->reason);
    cr_assert_eq(out->deployment_modify_index, c->index);
    cr_assert(out->has_eval_id && evals() == before + 1);
    cr_assert_not(get_alloc(c, allocs[0])->deployment_status->canary);
    cr_assert(get_alloc(c, allocs[0])->deployment_status->healthy);
    check_status(SUCCESSFUL, "Deployment completed successfully");
}

Test(deployment, with_canaries_gives_them_time_anew_when_promoted)
{
    begin_deployment((struct asked){.total = 2, .canaries = 1});
    report(0, true);
    c->time += 30 * S;
    cr_assert_eq(promote(true, NULL)->code, PB__OUTCOME__CODE__APPLIED);
    check_status(RUNNING, "Deployment is running");
    cr_assert_eq(group_now()->require_progress_by, c->time + 60 * S);
}

Test(deployment, promotes_itself_when_all_canaries_are_healthy)
{
    begin_deployment((struct asked){.total = 3, .canaries = 2, .auto_promote = true});
    report(0, true);
    cr_assert_not(group_now()->promoted);
    report(1, true);
    cr_assert(group_now()->promoted);
    cr_assert_eq(now()->status, RUNNING);
    report(2, true);
    check_status(SUCCESSFUL, "Deployment completed successfully");
}

/* ---- by hand */

Test(deployment, stands_still_while_it_is_paused)
{
    begin_deployment((struct asked){.total = 2, .no_deadline = true});
    Pb__Outcome *out = pause_it(true);
    cr_assert(out->code == PB__OUTCOME__CODE__APPLIED && !out->has_eval_id);
    check_status(PAUSED, "Deployment is paused");
    report_all(0, 2, true);
    check_status(PAUSED, "Deployment is paused");
    cr_assert_eq(group_now()->healthy_allocs, 2);
    cr_assert_eq(evals(), 0);
    out = pause_it(false);
    cr_assert(out->has_eval_id);
    check_status(SUCCESSFUL, "Deployment completed successfully");
}

Test(deployment, that_was_paused_beyond_its_deadline_has_time_again)
{
    begin_deployment((struct asked){.total = 2});
    int64_t by = group_now()->require_progress_by;
    pause_it(true);
    pause_it(false);
    cr_assert_eq(group_now()->require_progress_by, by);
    pause_it(true);
    c->time = by;
    check_refused(fail_it(true), "the deployment is not due");
    pause_it(false);
    check_status(RUNNING, "Deployment is running");
    cr_assert_eq(group_now()->require_progress_by, c->time + 60 * S);
}

Test(deployment, marked_as_failed_goes_back_where_a_group_says_so)
{
    register_job(c, a_job(c, "web", 1));
    set_stable(0);
    begin_deployment((struct asked){.total = 2, .auto_revert = true});
    Pb__Outcome *out = fail_it(false);
    check_status(FAILED, "Deployment marked as failed - rolling back to job version 0");
    cr_assert(out->reverted && out->job_version == 0 && out->has_eval_id);
    cr_assert_eq(get_job(c, "web")->version, 2);
    begin_deployment((struct asked){.total = 2});
    out = fail_it(false);
    check_status(FAILED, "Deployment marked as failed");
    cr_assert_not(out->reverted);
}

Test(deployment, that_has_ended_takes_no_orders)
{
    begin_deployment((struct asked){.total = 1});
    report(0, true);
    check_refused(promote(true, NULL), "can't promote terminal deployment");
    check_refused(pause_it(true), "can't pause terminal deployment");
    check_refused(pause_it(false), "can't resume terminal deployment");
    check_refused(fail_it(false), "can't fail terminal deployment");
    check_refused(fail_it(true), "the deployment is not due");
    check_refused(judge(&allocs[0], NULL),
                  "can't set health of allocations for a terminal deployment");
    deployment = id_of(c, "no", 1);
    check_refused(promote(true, NULL), "deployment not found");
}

/* ---- deadlines */

Test(deployment, fails_when_its_deadline_has_passed_and_not_before)
{
    begin_deployment((struct asked){.total = 2});
    report(0, true);
    check_refused(fail_it(true), "the deployment is not due");
    c->time = group_now()->require_progress_by;
    cr_assert_eq(fail_it(true)->code, PB__OUTCOME__CODE__APPLIED);
    check_status(FAILED, "Failed due to progress deadline");
}

Test(deployment, whose_canaries_wait_for_promotion_has_no_deadline)
{
    begin_deployment((struct asked){.total = 2, .canaries = 1});
    report(0, true);
    c->time = group_now()->require_progress_by + S;
    check_refused(fail_it(true), "the deployment is not due");
}

/* ---- health by hand */

Test(deployment, believes_an_operator_about_health)
{
    begin_deployment((struct asked){.total = 2});
    check_refused(judge(NULL, NULL), "must specify at least one healthy/unhealthy allocation ID");
    ProtobufCBinaryData unknown = id_of(c, "no", 1);
    cr_assert(strncmp(judge(&unknown, NULL)->reason, "unknown alloc \"", 15) == 0);
    report(0, true);
    cr_assert_eq(judge(&allocs[1], NULL)->code, PB__OUTCOME__CODE__APPLIED);
    check_status(SUCCESSFUL, "Deployment completed successfully");
    begin_deployment((struct asked){.total = 2});
    ProtobufCBinaryData other = allocs[0];
    deploy(&(struct asked){.total = 2});
    Pb__Plan *p = a_plan(c, register_job(c, a_job(c, "else", 1))->eval_id);
    plan_place(c, p, id_of(c, "node", 1), 100, 100, 0);
    apply_a_plan(c, p);
    ids_by(c, ALLOCS, PB__LIST__BY__JOB, "else", none, &other, 1);
    cr_assert_not_null(strstr(judge(&other, NULL)->reason, "is not part of deployment"));
}

Test(deployment, fails_when_an_operator_calls_one_unhealthy)
{
    begin_deployment((struct asked){.total = 2});
    report(0, true);
    cr_assert_eq(judge(NULL, &allocs[0])->code, PB__OUTCOME__CODE__APPLIED);
    check_status(FAILED, "Failed due to unhealthy allocations");
    cr_assert(group_now()->healthy_allocs == 0 && group_now()->unhealthy_allocs == 1);
}

/* ---- the job */

Test(deployment, of_a_job_that_is_stopped_is_cancelled)
{
    begin_deployment((struct asked){.total = 2});
    deregister_job(c, "web", false);
    check_status(CANCELLED, "Cancelled because job is stopped");
}

Test(deployment, keeps_the_newest_stable_version_however_old)
{
    for (uint32_t i = 1; i < 4; i++)
        register_job(c, a_job(c, "web", i));
    set_stable(0);
    set_stable(1);
    for (uint32_t i = 4; i < 20; i++)
        register_job(c, a_job(c, "web", i));
    struct view *v = state_read(c->state);
    cr_assert_eq(state_stable_job(v, c->arena, "default", "web")->version, 1);
    cr_assert_null(state_job_version(v, c->arena, "default", "web", 0));
    cr_assert_null(state_job_version(v, c->arena, "default", "web", 2));
    view_abort(v);
}
