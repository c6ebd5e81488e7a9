#include "rescaling.h"
#include "sched/deployment.h"
#include <criterion/criterion.h>
#include <string.h>

static uint32_t below(struct prng *chance, uint32_t n)
{
    return (uint32_t)prng_below(chance, n);
}

static char *own(struct cluster *c, const char *text)
{
    return arena_strdup(c->arena, text);
}

static void revert(struct cluster *c, struct prng *chance, const char *name)
{
    Pb__JobRevert body = PB__JOB_REVERT__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    const Pb__Job *before = get_job(c, name);
    body.job_id = own(c, name);
    body.has_version = body.has_enforce_prior = body.has_prior_version = true;
    body.version = below(chance, before != NULL ? (uint32_t)before->version + 2 : 3);
    body.enforce_prior = below(chance, 3) == 0;
    body.prior_version = below(chance, 2) == 0 && before != NULL ? before->version : 0;
    cmd.body_case = PB__COMMAND__BODY_JOB_REVERT;
    cmd.job_revert = &body;
    Pb__Outcome *out = cluster_apply(c, &cmd, 0);
    const Pb__Job *after = get_job(c, name);
    if (out->code != PB__OUTCOME__CODE__APPLIED) {
        cr_assert_eq(before == NULL ? 0 : before->modify_index,
                     after == NULL ? 0 : after->modify_index);
        return;
    }
    struct view *v = state_read(c->state);
    const Pb__Job *wanted = state_job_version(v, c->arena, NULL, name, body.version);
    view_abort(v);
    cr_assert(!after->stop && before->version != body.version);
    cr_assert(wanted == NULL || wanted->task_groups[0]->count == after->task_groups[0]->count);
}

static void set_stable(struct cluster *c, struct prng *chance, const char *name)
{
    Pb__JobStable body = PB__JOB_STABLE__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.job_id = own(c, name);
    body.has_version = body.has_stable = true;
    body.version = below(chance, 5);
    body.stable = below(chance, 2) == 0;
    cmd.body_case = PB__COMMAND__BODY_JOB_STABLE;
    cmd.job_stable = &body;
    bool applied = cluster_apply(c, &cmd, 0)->code == PB__OUTCOME__CODE__APPLIED;
    struct view *v = state_read(c->state);
    const Pb__Job *job = state_job_version(v, c->arena, NULL, name, body.version);
    view_abort(v);
    cr_assert_eq(applied, job != NULL);
    cr_assert(job == NULL || job->stable == body.stable);
}

/* ---- scaling */

static void check_events(struct cluster *c, const char *name)
{
    struct view *v = state_read(c->state);
    const Pb__ScalingEvents *all = state_scaling_events(v, c->arena, NULL, name);
    view_abort(v);
    for (size_t i = 0; all != NULL && i < all->n_groups; i++) {
        const Pb__GroupScalingEvents *g = all->groups[i];
        cr_assert(g->n_events > 0 && g->n_events <= 20);
        for (size_t k = 1; k < g->n_events; k++)
            cr_assert_lt(g->events[k]->create_index, g->events[k - 1]->create_index);
    }
}

static bool deployment_goes_on(struct cluster *c, const Pb__Job *job)
{
    struct view *v = state_read(c->state);
    const Pb__Deployment *d = state_latest_deployment(v, c->arena, job->namespace_, job->id);
    view_abort(v);
    return d != NULL && d->job_create_index == job->create_index && deployment_is_active(d);
}

static void scale(struct cluster *c, struct prng *chance, const char *name)
{
    Pb__JobRegister body = PB__JOB_REGISTER__INIT;
    Pb__ScalingEvent event = PB__SCALING_EVENT__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    Pb__Job *job = get_job(c, name);
    if (job == NULL || job->stop)
        return;
    bool blocked = deployment_goes_on(c, job);
    event.has_count = true;
    event.count = job->task_groups[0]->count = below(chance, 5);
    body.job = job;
    body.has_enforce_index = body.enforce_index = body.has_job_modify_index = true;
    body.job_modify_index = job->job_modify_index - (below(chance, 8) == 0);
    body.scaling = &event;
    body.scaling_group = own(c, below(chance, 8) == 0 ? "nope" : "g");
    cmd.body_case = PB__COMMAND__BODY_JOB_REGISTER;
    cmd.job_register = &body;
    Pb__Outcome *out = cluster_apply(c, &cmd, 0);
    if (out->code == PB__OUTCOME__CODE__APPLIED) {
        cr_assert_not(blocked);
        cr_assert_eq(get_job(c, name)->task_groups[0]->count, event.count);
    }
}

static void note(struct cluster *c, const char *name)
{
    Pb__ScalingNote body = PB__SCALING_NOTE__INIT;
    Pb__ScalingEvent event = PB__SCALING_EVENT__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.job_id = own(c, name);
    body.task_group = own(c, "g");
    body.event = &event;
    cmd.body_case = PB__COMMAND__BODY_SCALING_NOTE;
    cmd.scaling_note = &body;
    cr_assert_eq(cluster_apply(c, &cmd, 0)->code == PB__OUTCOME__CODE__APPLIED,
                 get_job(c, name) != NULL);
}

/* ---- */

static void stop_alloc(struct cluster *c, struct prng *chance, const char *name)
{
    static const ProtobufCBinaryData none;
    Pb__AllocStop body = PB__ALLOC_STOP__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    ProtobufCBinaryData ids[256];
    size_t n = ids_by(c, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, name, none, ids, 256);
    if (n == 0)
        return;
    body.has_alloc_id = true;
    body.alloc_id = ids[below(chance, n > 256 ? 256 : (uint32_t)n)];
    bool wanted = alloc_is_wanted(get_alloc(c, body.alloc_id));
    cmd.body_case = PB__COMMAND__BODY_ALLOC_STOP;
    cmd.alloc_stop = &body;
    cr_assert(cluster_apply(c, &cmd, 0)->has_eval_id);
    cr_assert(!wanted || get_alloc(c, body.alloc_id)->stop_wanted);
}

void rescaling_command(struct cluster *c, struct prng *chance, const char *job)
{
    switch (below(chance, 5)) {
    case 0:
        revert(c, chance, job);
        break;
    case 1:
        set_stable(c, chance, job);
        break;
    case 2:
        scale(c, chance, job);
        break;
    case 3:
        note(c, job);
        break;
    default:
        stop_alloc(c, chance, job);
    }
    check_events(c, job);
}
