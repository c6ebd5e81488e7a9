#include "deploying.h"
#include "base/err.h"

#define MS   1000000ll
#define MOST 4096

static uint32_t below(struct prng *chance, uint32_t n)
{
    return (uint32_t)prng_below(chance, n);
}

static bool pick(struct cluster *c, struct prng *chance, Pb__Table__Name table,
                 ProtobufCBinaryData *out)
{
    static ProtobufCBinaryData all[MOST];
    struct scan s;
    uint32_t count = 0;
    struct view *v = state_read(c->state);
    scan_open(&s, v, table, NULL, NULL, NULL);
    while (count < MOST && scan_next(&s))
        all[count++] = scan_key(&s, c->arena)->id;
    scan_close(&s);
    view_abort(v);
    if (count > 0)
        *out = all[below(chance, count)];
    return count > 0;
}

void deploying_plan(struct cluster *c, struct prng *chance, Pb__Plan *p)
{
    Pb__Deployment *d = arena_alloc(c->arena, sizeof *d);
    Pb__DeploymentGroup *g = arena_alloc(c->arena, sizeof *g);
    pb__deployment__init(d);
    pb__deployment_group__init(g);
    g->name = arena_strdup(c->arena, "g");
    g->has_desired_total = g->has_desired_canaries = g->has_progress_deadline_ns = true;
    g->has_auto_promote = g->has_auto_revert = true;
    g->desired_total = 1 + below(chance, 4);
    g->desired_canaries = below(chance, 3) == 0 ? 1 + below(chance, 2) : 0;
    g->progress_deadline_ns = below(chance, 3) == 0 ? 0 : (int64_t)below(chance, 40) * MS;
    g->auto_promote = below(chance, 2) == 0;
    g->auto_revert = below(chance, 3) == 0;
    d->n_task_groups = 1;
    d->task_groups = arena_array(c->arena, Pb__DeploymentGroup *, 1);
    d->task_groups[0] = g;
    p->deployment = d;
    for (size_t i = 0; i < p->n_placements; i++) {
        p->placements[i]->has_deployed = p->placements[i]->has_canary = true;
        p->placements[i]->deployed = below(chance, 5) != 0;
        p->placements[i]->canary = p->placements[i]->deployed && below(chance, 3) == 0;
    }
}

void deploying_report(struct cluster *c, struct prng *chance)
{
    Pb__AllocUpdates body = PB__ALLOC_UPDATES__INIT;
    Pb__AllocUpdate updates[4], *all[4];
    Pb__Command cmd = PB__COMMAND__INIT;
    for (size_t i = 1 + below(chance, 4); i > 0; i--) {
        Pb__AllocUpdate *u = all[body.n_allocs] = &updates[body.n_allocs];
        pb__alloc_update__init(u);
        if (!pick(c, chance, PB__TABLE__NAME__ALLOCS, &u->alloc_id))
            return;
        u->has_alloc_id = u->has_client_status = u->has_healthy = true;
        u->healthy = below(chance, 4) != 0;
        u->client_status =
            u->healthy ? PB__ALLOC__CLIENT_STATUS__RUNNING : PB__ALLOC__CLIENT_STATUS__FAILED;
        u->has_healthy_at = below(chance, 2) == 0;
        u->healthy_at = c->time;
        body.n_allocs++;
    }
    body.allocs = all;
    cmd.body_case = PB__COMMAND__BODY_ALLOC_UPDATES;
    cmd.alloc_updates = &body;
    cluster_apply(c, &cmd, 0);
}

static void judge(struct cluster *c, struct prng *chance, ProtobufCBinaryData id)
{
    Pb__AllocHealth body = PB__ALLOC_HEALTH__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    ProtobufCBinaryData all[MOST], healthy[2], unhealthy[2];
    struct view *v = state_read(c->state);
    Pb__Deployment *d = state_deployment(v, c->arena, id.data);
    view_abort(v);
    size_t n = ids_by(c, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, d->job_id,
                      (ProtobufCBinaryData){0}, all, MOST);
    body.has_deployment_id = true;
    body.deployment_id = id;
    body.healthy = healthy;
    body.unhealthy = unhealthy;
    for (size_t i = 0; n > 0 && i < 2; i++) {
        ProtobufCBinaryData one = all[below(chance, (uint32_t)n)];
        if (below(chance, 3) == 0)
            unhealthy[body.n_unhealthy++] = one;
        else
            healthy[body.n_healthy++] = one;
    }
    cmd.body_case = PB__COMMAND__BODY_ALLOC_HEALTH;
    cmd.alloc_health = &body;
    cluster_apply(c, &cmd, 0);
}

static void order(struct cluster *c, struct prng *chance, ProtobufCBinaryData id)
{
    Pb__DeploymentPromote promote = PB__DEPLOYMENT_PROMOTE__INIT;
    Pb__DeploymentPause pause = PB__DEPLOYMENT_PAUSE__INIT;
    Pb__DeploymentFail fail = PB__DEPLOYMENT_FAIL__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    promote.has_id = pause.has_id = fail.has_id = true;
    promote.id = pause.id = fail.id = id;
    switch (below(chance, 4)) {
    case 0:
        promote.has_all = promote.all = true;
        cmd.body_case = PB__COMMAND__BODY_DEPLOYMENT_PROMOTE;
        cmd.deployment_promote = &promote;
        break;
    case 1:
    case 2:
        pause.has_pause = true;
        pause.pause = below(chance, 2) == 0;
        cmd.body_case = PB__COMMAND__BODY_DEPLOYMENT_PAUSE;
        cmd.deployment_pause = &pause;
        break;
    default:
        fail.has_progress_deadline = true;
        fail.progress_deadline = below(chance, 4) != 0;
        cmd.body_case = PB__COMMAND__BODY_DEPLOYMENT_FAIL;
        cmd.deployment_fail = &fail;
    }
    cluster_apply(c, &cmd, 0);
}

void deploying_command(struct cluster *c, struct prng *chance)
{
    ProtobufCBinaryData id;
    if (!pick(c, chance, PB__TABLE__NAME__DEPLOYMENTS, &id))
        return;
    if (below(chance, 3) == 0)
        judge(c, chance, id);
    else
        order(c, chance, id);
}
