/* Deletes what is no longer needed, as far as it still is not when this is applied. */
#include "apply_deployment.h"
#include "collectable.h"

#define MOST_AT_ONCE 20000 /* records that one command deletes of whole jobs */

struct collecting {
    struct view *view;
    struct collectable *rules;
    struct arena *scratch;
    size_t left; /* of MOST_AT_ONCE */
    size_t deleted;
};

static void collect_allocs(struct collecting *c, size_t n, const ProtobufCBinaryData *ids)
{
    for (size_t i = 0; i < n; i++, arena_reset(c->scratch)) {
        Pb__Alloc *a = has_id(true, ids[i]) ? state_alloc(c->view, c->scratch, ids[i].data) : NULL;
        if (a == NULL || !collectable_alloc(c->rules, a))
            continue;
        state_delete_alloc(c->view, a);
        c->deleted++;
    }
}

static void collect_evals(struct collecting *c, size_t n, const ProtobufCBinaryData *ids)
{
    for (size_t i = 0; i < n; i++, arena_reset(c->scratch)) {
        Pb__Eval *e = has_id(true, ids[i]) ? state_eval(c->view, c->scratch, ids[i].data) : NULL;
        if (e == NULL || !collectable_eval(c->rules, e))
            continue;
        state_delete_eval(c->view, e);
        c->deleted++;
    }
}

static void collect_deployments(struct collecting *c, size_t n, const ProtobufCBinaryData *ids)
{
    for (size_t i = 0; i < n; i++, arena_reset(c->scratch)) {
        Pb__Deployment *d =
            has_id(true, ids[i]) ? state_deployment(c->view, c->scratch, ids[i].data) : NULL;
        if (d == NULL || !collectable_deployment(c->rules, d))
            continue;
        state_delete_deployment(c->view, d);
        c->deleted++;
    }
}

static void collect_nodes(struct collecting *c, size_t n, const ProtobufCBinaryData *ids)
{
    for (size_t i = 0; i < n; i++, arena_reset(c->scratch)) {
        Pb__Node *node = has_id(true, ids[i]) ? state_node(c->view, c->scratch, ids[i].data) : NULL;
        if (node == NULL || !collectable_node(c->rules, node))
            continue;
        state_delete_node(c->view, ids[i].data);
        c->deleted++;
    }
}

/* ---- whole jobs */

/* Up to `most` ids of what the job has in the table, in the command's arena. */
static size_t ids_of(struct collecting *c, Pb__Table__Name table, const Pb__Job *job, size_t most,
                     uint8_t (**out)[ID_SIZE])
{
    struct walk w;
    const uint8_t *id;
    size_t n = 0, room = 0;
    uint8_t(*ids)[ID_SIZE] = NULL;
    walk_open(&w, c->view, table, PB__LIST__BY__JOB, job->namespace_, job->id, NULL, NULL);
    while (n < most && (id = walk_next(&w)) != NULL) {
        if (n == room) {
            room = room * 2 + 16;
            uint8_t(*more)[ID_SIZE] = arena_alloc(state_command_arena(c->view), room * ID_SIZE);
            if (n > 0)
                memcpy(more, ids, n * ID_SIZE);
            ids = more;
        }
        memcpy(ids[n++], id, ID_SIZE);
    }
    walk_close(&w);
    *out = ids;
    return n;
}

/* Its tasks are not to run again while it goes in pieces. */
static void stop_first(struct collecting *c, Pb__Job *job)
{
    if (job->stop)
        return;
    job->has_stop = job->stop = true;
    deployment_cancel(c->view, job->namespace_, job->id, "Cancelled because job is stopped");
    state_put_job(c->view, job);
}

static void delete_records(struct collecting *c, const Pb__Job *job)
{
    uint8_t(*allocs)[ID_SIZE], (*evals)[ID_SIZE], (*deployments)[ID_SIZE];
    size_t n = ids_of(c, PB__TABLE__NAME__ALLOCS, job, c->left, &allocs);
    for (size_t i = 0; i < n; i++, arena_reset(c->scratch))
        state_delete_alloc(c->view, state_alloc(c->view, c->scratch, allocs[i]));
    c->left -= n;
    c->deleted += n;
    n = ids_of(c, PB__TABLE__NAME__EVALS, job, c->left, &evals);
    for (size_t i = 0; i < n; i++, arena_reset(c->scratch))
        state_delete_eval(c->view, state_eval(c->view, c->scratch, evals[i]));
    c->left -= n;
    c->deleted += n;
    n = ids_of(c, PB__TABLE__NAME__DEPLOYMENTS, job, c->left, &deployments);
    for (size_t i = 0; i < n; i++, arena_reset(c->scratch))
        state_delete_deployment(c->view, state_deployment(c->view, c->scratch, deployments[i]));
    c->left -= n;
    c->deleted += n;
}

/* Whether all it has goes with this command. */
static bool fits(struct collecting *c, const Pb__Job *job)
{
    static const Pb__Table__Name tables[] = {PB__TABLE__NAME__ALLOCS, PB__TABLE__NAME__EVALS,
                                             PB__TABLE__NAME__DEPLOYMENTS};
    size_t n = 0;
    for (size_t i = 0; i < COUNT_OF(tables) && n < c->left; i++) {
        struct walk w;
        walk_open(&w, c->view, tables[i], PB__LIST__BY__JOB, job->namespace_, job->id, NULL, NULL);
        while (n < c->left && walk_next(&w) != NULL)
            n++;
        walk_close(&w);
    }
    return n < c->left;
}

static void collect_jobs(struct collecting *c, size_t n, Pb__JobRef *const *refs)
{
    for (size_t i = 0; i < n && c->left > 0; i++) {
        Pb__Job *job = refs[i]->id == NULL ? NULL
                                           : state_job(c->view, state_command_arena(c->view),
                                                       refs[i]->namespace_, refs[i]->id);
        if (job == NULL ||
            (refs[i]->modify_index != 0 && refs[i]->modify_index != job->modify_index) ||
            !collectable_job(c->rules, job))
            continue;
        bool whole = fits(c, job);
        if (!whole)
            stop_first(c, job);
        delete_records(c, job);
        c->deleted += whole && state_delete_job(c->view, job->namespace_, job->id);
    }
}

void apply_collect(struct view *v, const Pb__Collect *cmd, Pb__Outcome *out)
{
    struct collecting c = {
        .view = v,
        .rules = collectable_new(v),
        .scratch = arena_new(WIRE_MAX_UNPACKED),
        .left = MOST_AT_ONCE,
    };
    collect_allocs(&c, cmd->n_allocs, cmd->allocs);
    collect_evals(&c, cmd->n_evals, cmd->evals);
    collect_deployments(&c, cmd->n_deployments, cmd->deployments);
    collect_jobs(&c, cmd->n_jobs, cmd->jobs);
    collect_nodes(&c, cmd->n_nodes, cmd->nodes);
    arena_free(c.scratch);
    collectable_free(c.rules);
    if (c.deleted == 0)
        out->has_unchanged = out->unchanged = true;
}
