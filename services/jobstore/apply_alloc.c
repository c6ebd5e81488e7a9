/* What agents report of their allocations. */
#include "apply_deployment.h"
#include "base/map.h"
#include <stdlib.h>

/* ---- the jobs to look at */

struct job_set {
    struct view *view;
    size_t made; /* evaluations */
    struct map *seen;
    struct wanted {
        const char *ns, *job_id;
        const Pb__Node *node;
        const Pb__Eval *made;
        struct wanted *next;
    } * first, **last;
};

struct job_set *job_set_new(struct view *v)
{
    struct job_set *s = arena_alloc(state_command_arena(v), sizeof *s);
    s->view = v;
    s->last = &s->first;
    return s;
}

void job_set_add(struct job_set *s, const char *ns, const char *job_id, const Pb__Node *node)
{
    struct arena *a = state_command_arena(s->view);
    char key[STATE_MAX_NAMESPACE + STATE_MAX_JOB_ID + 2];
    size_t ns_len, id_len;
    ns = namespace_or_default(ns);
    ns_len = strlen(ns);
    id_len = strlen(job_id);
    must(ns_len <= STATE_MAX_NAMESPACE && id_len <= STATE_MAX_JOB_ID);
    memcpy(key, ns, ns_len + 1);
    memcpy(key + ns_len + 1, job_id, id_len);
    if (s->seen == NULL)
        s->seen = map_new();
    if (map_get(s->seen, key, ns_len + 1 + id_len) != NULL)
        return;
    struct wanted *w = arena_alloc(a, sizeof *w);
    *w = (struct wanted){arena_strdup(a, ns), arena_strdup(a, job_id), node, NULL, NULL};
    map_put(s->seen, key, ns_len + 1 + id_len, w);
    *s->last = w;
    s->last = &w->next;
}

void job_set_evaluate(struct job_set *s, const char *triggered_by, bool jobs_only)
{
    struct arena *a = state_command_arena(s->view);
    for (struct wanted *w = s->first; w != NULL; w = w->next) {
        Pb__Job *job = state_job(s->view, a, w->ns, w->job_id);
        if (jobs_only && (job == NULL || job->stop))
            continue;
        Pb__Eval *e = eval_new(s->view, w->ns, w->job_id, job, triggered_by);
        if (w->node != NULL) {
            e->has_node_id = e->has_node_modify_index = true;
            e->node_id = w->node->id;
            e->node_modify_index = state_command_index(s->view);
        }
        state_put_eval(s->view, e);
        w->made = e;
        s->made++;
    }
}

void job_set_report(const struct job_set *s, Pb__Outcome *out)
{
    out->eval_ids = arena_array(state_command_arena(s->view), ProtobufCBinaryData, s->made + 1);
    for (const struct wanted *w = s->first; w != NULL; w = w->next)
        if (w->made != NULL)
            out->eval_ids[out->n_eval_ids++] = w->made->id;
}

void job_set_free(struct job_set *s)
{
    map_free(s->seen);
}

/* ---- updates */

/* Its deployment asks once: what was found first stands. What is to go counts no more, nor does
 * what an earlier deployment asked: by now another may have taken the allocation over. */
static bool is_news_of_health(const Pb__Alloc *a, const Pb__AllocUpdate *u)
{
    bool is_asked = !has_id(u->has_deployment_id, u->deployment_id) ||
                    (has_id(a->has_deployment_id, a->deployment_id) &&
                     id_equal(a->deployment_id.data, u->deployment_id.data));
    return u->has_healthy && is_asked && a->desired == PB__ALLOC__DESIRED__RUN &&
           (a->deployment_status == NULL || !a->deployment_status->has_healthy);
}

/* failed, back: the jobs that are to be looked at for an allocation that failed, or is heard of
 * again. */
static void update_one(struct view *v, const Pb__AllocUpdate *u, struct job_set *failed,
                       struct job_set *back, struct verdicts *verdicts)
{
    struct arena *a = state_command_arena(v);
    Pb__Alloc *old = state_alloc(v, a, u->alloc_id.data);
    if (old == NULL)
        return; /* collected meanwhile: there is nobody to tell */
    if (u->has_node_id && !id_equal(u->node_id.data, old->node_id.data))
        return; /* an agent speaks for its own node only */
    const Pb__AllocTasks *known = state_alloc_tasks(v, a, u->alloc_id.data);
    if (known != NULL && u->has_sequence && u->sequence < known->sequence)
        return; /* sent again after a newer one */
    if (u->n_tasks > 0) {
        Pb__AllocTasks tasks = PB__ALLOC_TASKS__INIT;
        tasks.has_alloc_id = true;
        tasks.alloc_id = u->alloc_id;
        tasks.has_sequence = u->has_sequence;
        tasks.sequence = u->sequence;
        tasks.n_tasks = u->n_tasks;
        tasks.tasks = u->tasks;
        tasks.network_status = u->network_status != NULL ? u->network_status
                               : known != NULL           ? known->network_status
                                                         : NULL;
        state_put_alloc_tasks(v, &tasks);
    }
    Pb__Alloc *alloc = arena_copy(a, old, sizeof *old);
    /* What has ended has ended: a late report of an agent that was given up must not take room that
     * is used again. */
    bool moves = u->has_client_status && u->client_status != PB__ALLOC__CLIENT_STATUS__UNKNOWN &&
                 !alloc_has_ended(old);
    if (moves) {
        alloc->has_client_status = true;
        alloc->client_status = u->client_status;
    }
    /* What it waited for is over; when it fails or is away again, that is another wait. */
    if (moves && old->client_status == PB__ALLOC__CLIENT_STATUS__UNREACHABLE) {
        alloc->has_follow_up_eval = false;
        alloc->follow_up_eval = (ProtobufCBinaryData){0};
    }
    if (moves && alloc_has_ended(alloc)) {
        alloc->has_ended_at = true;
        alloc->ended_at = state_command_time(v);
    }
    if (u->client_description != NULL && (moves || !alloc_has_ended(old)))
        alloc->client_description = u->client_description;
    if (is_news_of_health(old, u))
        verdicts_add(verdicts, alloc, u->healthy,
                     u->has_healthy_at ? u->healthy_at : state_command_time(v));
    state_change_alloc(v, old, alloc, false);
    if (moves && alloc->client_status == PB__ALLOC__CLIENT_STATUS__FAILED &&
        alloc->desired == PB__ALLOC__DESIRED__RUN)
        job_set_add(failed, alloc->namespace_, alloc->job_id, NULL);
    if (moves && old->client_status == PB__ALLOC__CLIENT_STATUS__UNREACHABLE)
        job_set_add(back, alloc->namespace_, alloc->job_id, NULL);
}

void apply_alloc_updates(struct view *v, const Pb__AllocUpdates *cmd, Pb__Outcome *out)
{
    struct job_set *failed = job_set_new(v), *back = job_set_new(v);
    struct verdicts *verdicts = verdicts_new(v);
    for (size_t i = 0; i < cmd->n_allocs; i++)
        if (has_id(cmd->allocs[i]->has_alloc_id, cmd->allocs[i]->alloc_id))
            update_one(v, cmd->allocs[i], failed, back, verdicts);
    verdicts_settle(verdicts);
    verdicts_free(verdicts);
    job_set_evaluate(failed, "alloc-failure", true);
    job_set_evaluate(back, "reconnect", true);
    job_set_free(failed);
    job_set_free(back);
}
