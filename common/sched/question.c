#include "sched/question.h"
#include "base/id.h"
#include "bus.pb-c.h"
#include "sched/planner.h"
#include "sched/specification.h"
#include "sched/whatif.h"
#include "wire/wire.h"
#include <stdlib.h>
#include <string.h>

#define MOST_CHANGES 200000 /* of one answer: it must fit into a message */

/* ---- the job, as registering it would make it */

static Pb__Job *as_registered(struct arena *a, const Pb__Question *q, const Pb__Job *old,
                              uint64_t index)
{
    Pb__Job *job = arena_copy(a, q->job, sizeof(*job));
    if (job->namespace_ == NULL || job->namespace_[0] == '\0')
        job->namespace_ = arena_strdup(a, "default");
    if (old != NULL && q->preserve_counts)
        job_keep_counts(a, job, old);
    if (job_is_unchanged(old, job))
        return (Pb__Job *)(uintptr_t)old;
    job->has_version = job->has_create_index = job->has_job_modify_index = 1;
    job->version = old != NULL ? old->version + 1 : 0;
    job->create_index = old != NULL ? old->create_index : index + 1;
    job->job_modify_index = index + 1;
    job->has_stop = 1;
    job->stop = 0;
    return job;
}

/* The view once the job is registered: the version before is one of the older ones. */
static Pb__JobView *view_after(struct arena *a, const Pb__JobView *view, Pb__Job *job)
{
    Pb__JobView *v = arena_copy(a, view, sizeof(*v));
    v->job = job;
    if (view->job == NULL || view->job == job)
        return v;
    v->versions = arena_array(a, Pb__Job *, view->n_versions + 1);
    for (size_t i = 0; i < view->n_versions; i++)
        v->versions[i] = view->versions[i];
    v->versions[view->n_versions] = view->job;
    v->n_versions = view->n_versions + 1;
    return v;
}

static Pb__Eval *an_evaluation(struct arena *a, const Pb__Question *q, const Pb__Job *job)
{
    Pb__Eval *e = arena_array(a, Pb__Eval, 1);
    pb__eval__init(e);
    e->has_id = e->has_priority = e->has_status = 1;
    e->id = q->id;
    e->namespace_ = q->namespace_;
    e->job_id = q->job_id;
    e->type = job != NULL ? job->type : q->type;
    e->priority = job != NULL ? job->priority : 50;
    e->triggered_by = arena_strdup(a, "job-register");
    e->status = PB__EVAL__STATUS__PENDING;
    return e;
}

/* ---- what happens to each group */

static Pb__DesiredUpdates *updates_of(Pb__Answer *answer, struct arena *a, char *group)
{
    for (size_t i = 0; i < answer->n_updates; i++)
        if (strcmp(answer->updates[i]->task_group, group) == 0)
            return answer->updates[i];
    Pb__DesiredUpdates *u = arena_array(a, Pb__DesiredUpdates, 1);
    pb__desired_updates__init(u);
    u->task_group = group;
    u->has_ignore = u->has_place = u->has_migrate = u->has_stop = u->has_canary = 1;
    u->has_in_place_update = u->has_destructive_update = u->has_preemptions = 1;
    answer->updates[answer->n_updates++] = u;
    return u;
}

static void count_group(Pb__DesiredUpdates *u, const struct group_changes *g)
{
    for (size_t i = 0; i < g->wanted_count; i++)
        if (g->wanted[i].canary)
            u->canary++;
        else if (g->wanted[i].migrates)
            u->migrate++;
        else if (g->wanted[i].rescheduled)
            u->place++;
        else if (g->wanted[i].replaces)
            u->destructive_update++;
        else
            u->place++;
    u->place += g->older_count;
    u->ignore += g->staying_count;
}

static int compare_updates(const void *a, const void *b)
{
    return strcmp((*(Pb__DesiredUpdates *const *)a)->task_group,
                  (*(Pb__DesiredUpdates *const *)b)->task_group);
}

static void count_updates(Pb__Answer *answer, struct planner *p)
{
    const struct changes *c = &p->changes;
    struct arena *a = p->arena;
    size_t groups = p->job != NULL ? p->job->n_task_groups : 0;
    answer->updates = arena_array(a, Pb__DesiredUpdates *, groups + c->stop_count + 1);
    for (size_t i = 0; i < groups; i++)
        count_group(updates_of(answer, a, p->job->task_groups[i]->name), &c->groups[i]);
    for (size_t i = 0; i < c->stop_count; i++)
        updates_of(answer, a, c->stops[i].alloc->task_group)->stop++;
    for (size_t i = 0; i < c->in_place_count; i++) {
        Pb__DesiredUpdates *u = updates_of(answer, a, c->in_place[i]->task_group);
        u->in_place_update++;
        u->ignore--; /* it is among those that stay */
    }
    if (answer->n_updates > 1)
        qsort(answer->updates, answer->n_updates, sizeof(*answer->updates), compare_updates);
}

static void list_displaced(Pb__Answer *answer, struct planner *p)
{
    answer->displaced = arena_array(p->arena, Pb__Alloc *, p->displaced + 1);
    for (size_t i = 0; i < p->victim_count; i++)
        if (p->victims[i].gone)
            answer->displaced[answer->n_displaced++] = (Pb__Alloc *)(uintptr_t)p->victims[i].alloc;
    for (size_t i = 0; i < p->plan->n_placements; i++)
        updates_of(answer, p->arena, p->plan->placements[i]->task_group)->preemptions +=
            p->plan->placements[i]->n_preempts;
}

/* ---- */

static void plan_and_explain(Pb__Answer *answer, struct arena *a, const struct fleet *f,
                             const Pb__JobView *view, const Pb__Question *q,
                             const struct sched_options *given)
{
    struct sched_options o = given != NULL ? *given : (struct sched_options){0};
    o.max_changes = MOST_CHANGES;
    o.scores = q->scores;
    size_t groups = view->job != NULL ? view->job->n_task_groups : 0;
    struct planner p;
    planner_init(&p, a, f, view, an_evaluation(a, q, view->job), 0, &o);
    if (q->kind == PB__QUESTION__KIND__WHY)
        p.why = arena_array(a, Pb__GroupWhy *, groups + 1);
    planner_run(&p);
    answer->plan = p.plan;
    count_updates(answer, &p);
    list_displaced(answer, &p);
    for (size_t i = 0; p.why != NULL && i < groups; i++)
        if (p.why[i] != NULL) {
            answer->groups = p.why;
            answer->groups[answer->n_groups++] = p.why[i];
        }
}

static Pb__Answer *refuse(struct arena *a, Pb__Answer *answer, Pb__Reply__Code code,
                          const char *reason)
{
    answer->has_code = 1;
    answer->code = code;
    answer->reason = arena_strdup(a, reason);
    return answer;
}

Pb__Answer *sched_answer(struct arena *a, const struct fleet *f, const Pb__JobView *view,
                         uint64_t index, const Pb__Question *q, const struct sched_options *o)
{
    Pb__Answer *answer = arena_array(a, Pb__Answer, 1);
    pb__answer__init(answer);
    answer->has_id = answer->has_index = 1;
    answer->id = q->id;
    answer->index = index;
    answer->was = view->job;
    bool plan = q->kind == PB__QUESTION__KIND__PLAN;
    if (plan ? q->job == NULL : q->kind != PB__QUESTION__KIND__WHY)
        return refuse(a, answer, PB__REPLY__CODE__INVALID, "this worker knows no such question");
    if (!plan && view->job == NULL)
        return refuse(a, answer, PB__REPLY__CODE__NOT_FOUND, "job not found");
    answer->job = plan ? as_registered(a, q, view->job, index) : view->job;
    struct fleet *other = NULL;
    struct reason why;
    if (q->n_what_if > 0 && whatif_fleet(&other, f, q->what_if, q->n_what_if, &why) != OK)
        return refuse(a, answer, PB__REPLY__CODE__INVALID, why.text);
    plan_and_explain(answer, a, other != NULL ? other : f, view_after(a, view, answer->job), q, o);
    fleet_free(other); /* the answer has copies of what it says of nodes */
    return answer;
}

/* ---- again */

#define MOST_DIFFERENCES 20

static void differs(struct arena *a, Pb__Answer *answer, char *text)
{
    if (answer->differences == NULL)
        answer->differences = arena_array(a, char *, MOST_DIFFERENCES);
    if (answer->n_differences < MOST_DIFFERENCES)
        answer->differences[answer->n_differences++] = text;
}

static void compare_counts(struct arena *a, Pb__Answer *answer, const char *what, size_t was,
                           size_t now)
{
    if (was != now)
        differs(a, answer, arena_printf(a, "%zu %s then, %zu now", was, what, now));
}

static void compare_placements(struct arena *a, Pb__Answer *answer, const Pb__Plan *was)
{
    const Pb__Plan *now = answer->plan;
    for (size_t i = 0; i < was->n_placements && i < now->n_placements; i++) {
        const Pb__Placement *x = was->placements[i], *y = now->placements[i];
        char then_node[ID_TEXT_SIZE], now_node[ID_TEXT_SIZE];
        if (wire_equal(&x->base, &y->base))
            continue;
        id_format(x->node_id.data, then_node);
        id_format(y->node_id.data, now_node);
        differs(a, answer,
                arena_printf(a, "%s[%u] on node %s then, %s[%u] on node %s now", x->task_group,
                             x->name_index, then_node, y->task_group, y->name_index, now_node));
    }
}

static void compare_plans(struct arena *a, Pb__Answer *answer, const Pb__Plan *was)
{
    const Pb__Plan *now = answer->plan;
    answer->has_same = 1;
    answer->same = wire_equal(&was->base, &now->base);
    if (answer->same)
        return;
    compare_counts(a, answer, "placements", was->n_placements, now->n_placements);
    compare_counts(a, answer, "stops", was->n_stops, now->n_stops);
    compare_counts(a, answer, "updates in place", was->n_in_place, now->n_in_place);
    compare_counts(a, answer, "groups without room", was->n_failed_groups, now->n_failed_groups);
    compare_placements(a, answer, was);
    if (answer->n_differences == 0)
        differs(a, answer, arena_strdup(a, "what is said about the placements"));
}

Pb__Answer *sched_answer_again(struct arena *a, const struct fleet *f, const Pb__JobView *view,
                               const Pb__Eval *eval, uint64_t seed, const struct sched_options *o,
                               const Pb__Plan *was)
{
    Pb__Answer *answer = arena_array(a, Pb__Answer, 1);
    struct planner p;
    pb__answer__init(answer);
    planner_init(&p, a, f, view, eval, seed, o);
    planner_run(&p);
    answer->has_index = 1;
    answer->index = was->snapshot_index;
    answer->job = answer->was = view->job;
    answer->eval = (Pb__Eval *)(uintptr_t)eval;
    answer->plan = p.plan;
    p.plan->snapshot_index = was->snapshot_index; /* how old the job's view was is not the plan's */
    count_updates(answer, &p);
    list_displaced(answer, &p);
    compare_plans(a, answer, was);
    return answer;
}
