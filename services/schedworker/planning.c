/* From the jobs to plans, and from the results to the next round. */
#include "base/fault.h"
#include "base/map.h"
#include "planqueue.pb-c.h"
#include "sched/sched.h"
#include "schedworker/round.h"
#include "wire/wire.h"
#include <stdlib.h>
#include <string.h>

#define ROUND_CAP ((size_t)512 << 20) /* of memory for one round's plans */

static Pb__PlanResult *find_result(const Pb__PlanResults *all, size_t hint, const struct work *k)
{
    for (size_t i = 0; i < all->n_results; i++) {
        Pb__PlanResult *r = all->results[(hint + i) % all->n_results];
        if (r->eval_id.len == ID_SIZE && id_equal(r->eval_id.data, k->eval->id.data))
            return r;
    }
    return NULL;
}

static void keep_until_seen(struct work *k, uint64_t index)
{
    struct schedworker *w = k->worker;
    if (index <= fleet_index(w->fleet)) {
        work_release(k);
        return;
    }
    struct planned *p = xcalloc(1, sizeof(*p));
    p->hold = k->hold;
    p->number = k->plan_number;
    p->index = index;
    list_push_back(&w->planned, &p->link);
    k->hold = NULL;
    k->plan_number = 0;
}

static void raise_min_index(struct work *k, uint64_t index)
{
    if (index > k->min_index)
        k->min_index = index;
}

static void take_result(struct work *k, const Pb__PlanResult *r)
{
    k->submitted = false;
    uint64_t newest = r->refresh_index > r->index ? r->refresh_index : r->index;
    switch (r->code) {
    case PB__PLAN_RESULT__CODE__COMMITTED:
        keep_until_seen(k, r->index);
        k->attempts = 0;
        k->eval->plans++;
        k->eval->has_plans = 1;
        raise_min_index(k, newest);
        if (k->last_plan)
            work_end(k, true, r->index);
        break;
    case PB__PLAN_RESULT__CODE__PARTIAL:
        keep_until_seen(k, r->index);
        k->eval->plans++;
        k->eval->has_plans = 1;
        raise_min_index(k, newest);
        work_attempt_failed(k);
        break;
    case PB__PLAN_RESULT__CODE__REFUSED:
        work_release(k);
        k->eval->plans += r->index > 0; /* refused by jobstore, not before: it counted */
        raise_min_index(k, newest);
        work_attempt_failed(k);
        break;
    default:
        work_release(k);
        raise_min_index(k, newest); /* whatever overtook it is to be seen */
        k->check = true;
    }
}

static uint64_t newest_of(const Pb__PlanResults *all)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < all->n_results; i++)
        if (all->results[i]->index > newest)
            newest = all->results[i]->index;
    return newest;
}

static void on_results(void *self, const struct response *r)
{
    struct schedworker *w = self;
    const Pb__PlanResults *results = (const Pb__PlanResults *)r->body;
    bool ok = r->code == PB__REPLY__CODE__OK && results != NULL;
    /* Planqueue did not take them: nothing was committed. Else we cannot know, and look. */
    bool untouched = r->code == PB__REPLY__CODE__BUSY;
    struct work *k;
    size_t i = 0;
    uint64_t newest = ok ? newest_of(results) : 0;
    list_each(&w->works, struct work, link, k)
    {
        if (!k->submitted) {
            raise_min_index(k, newest);
            continue;
        }
        const Pb__PlanResult *one = ok ? find_result(results, i++, k) : NULL;
        if (one != NULL) {
            take_result(k, one);
            continue;
        }
        k->submitted = false;
        k->check = !untouched;
        work_release(k);
    }
    if (!ok) {
        log_warn("submit_failed", "reason=%s", log_quote(r->reason));
        round_pause(w);
        return;
    }
    round_go_on(w, PHASE_CHECKING);
}

/* Found no room beside plans of this round: should one of those be refused, there is room, and
 * nothing that is given back would ever tell. The next round sees what became of them, and begins
 * with those that were left. */
static bool is_unsure(const Pb__Plan *plan, size_t placed_before)
{
    return plan->n_failed_groups > 0 && placed_before > 0 && !MUTANT("doubt-forgotten");
}

static void leave_for_next_round(struct work *k)
{
    work_release(k);
    k->submitted = false;
}

/* More than one message should hold is left for the next round. */
static bool round_is_full(const struct schedworker *w, size_t changes)
{
    return changes >= w->max_round_changes;
}

static size_t plan_changes(const Pb__Plan *p)
{
    return p->n_placements + p->n_stops + p->n_in_place;
}

static bool same_namespace(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "default", b != NULL ? b : "default") == 0;
}

static const Pb__JobView *find_view(const Pb__JobViews *views, size_t hint, const Pb__Eval *eval)
{
    for (size_t i = 0; i < views->n_jobs; i++) {
        const Pb__JobView *v = views->jobs[(hint + i) % views->n_jobs];
        if (v->key != NULL && v->key->id != NULL && strcmp(v->key->id, eval->job_id) == 0 &&
            same_namespace(v->key->namespace_, eval->namespace_))
            return v;
    }
    return NULL;
}

/* NULL: what might be displaced for it is to be read first. */
static Pb__Plan *plan_work(struct work *k, struct arena *a, const Pb__JobView *view,
                           const Pb__JobViews *views)
{
    struct schedworker *w = k->worker;
    struct sched_options o = others_options(&k->others, views->scheduler, view->job);
    o.max_changes = (uint32_t)w->max_changes;
    uint64_t seed = hash_bytes(k->eval->id.data, ID_SIZE, k->eval->plans + 1000u * k->attempts);
    Pb__Plan *plan = sched_plan(a, w->fleet, view, k->eval, seed, &o);
    if (plan->n_failed_groups > 0 && others_wanted(k->others))
        return NULL;
    /* The fleet may have moved on since the job was read: the plan is as old as the older. */
    if (views->index < plan->snapshot_index)
        plan->snapshot_index = views->index;
    const struct history_inputs in = {.view = view,
                                      .eval = k->eval,
                                      .seed = seed,
                                      .fleet_index = fleet_index(w->fleet),
                                      .options = &o};
    k->plan_number = history_made(w->history, &in, plan);
    k->hold = fleet_hold(w->fleet, plan);
    k->last_plan = plan->has_status != 0;
    k->submitted = true;
    metric_add(&w->metrics[SCHEDWORKER_PLANS], 1);
    metric_add(&w->metrics[SCHEDWORKER_PLACEMENTS], (double)plan->n_placements);
    return plan;
}

/* The next plan looks anew. Not before the plans are packed: they borrow from it. */
static void forget_others(struct schedworker *w)
{
    struct work *k;
    list_each(&w->works, struct work, link, k)
    {
        if (others_wanted(k->others))
            continue;
        others_free(k->others);
        k->others = NULL;
    }
}

static void plan_all(struct schedworker *w, const Pb__JobViews *views)
{
    struct arena *a = arena_new(ROUND_CAP);
    Pb__Plans plans = PB__PLANS__INIT;
    plans.plans = arena_array(a, Pb__Plan *, w->work_count + 1);
    size_t changes = 0, placed = 0, i = 0;
    struct work *k;
    list_each(&w->works, struct work, link, k)
    {
        const Pb__JobView *view = find_view(views, i++, k->eval);
        if (view == NULL) {
            /* The answer holds as many of the first ones as fit: the others come next time. */
            if (views->n_jobs == 0)
                work_attempt_failed(k);
            continue;
        }
        if (round_is_full(w, changes))
            break;
        Pb__Plan *plan = plan_work(k, a, view, views);
        if (plan == NULL)
            continue;
        if (is_unsure(plan, placed)) {
            leave_for_next_round(k);
            continue;
        }
        changes += plan_changes(plan);
        placed += plan->n_placements;
        plans.plans[plans.n_plans++] = plan;
    }
    if (plans.n_plans == 0) {
        arena_free(a);
        round_go_on(w, PHASE_CHECKING);
        return;
    }
    w->phase = PHASE_SUBMITTING;
    client_call(w->queue, &(struct call_options){.method = PB__PLANQUEUE__METHOD__SUBMIT,
                                                 .body = &plans.base,
                                                 .reply = &pb__plan_results__descriptor,
                                                 .budget_ms = CALL_MS + 5000,
                                                 .retry = true, /* a plan counts once */
                                                 .done = on_results,
                                                 .owner = w});
    arena_free(a);
    forget_others(w);
}

static void on_views(void *self, const struct response *r)
{
    struct schedworker *w = self;
    if (r->code == PB__REPLY__CODE__OK && r->body != NULL) {
        plan_all(w, (const Pb__JobViews *)r->body);
        return;
    }
    log_warn("job_views_failed", "reason=%s", log_quote(r->reason));
    struct work *k;
    list_each(&w->works, struct work, link, k) work_attempt_failed(k);
    round_pause(w);
}

static void on_others(void *owner, bool ok)
{
    struct work *k = owner;
    struct schedworker *w = k->worker;
    if (!ok)
        work_attempt_failed(k);
    planning_start(w);
}

/* What might be displaced is read for one after the other. */
static bool read_others(struct schedworker *w)
{
    struct work *k;
    list_each(&w->works, struct work, link, k)
    {
        if (!others_wanted(k->others))
            continue;
        others_read(k->others, w, on_others, k);
        return true;
    }
    return false;
}

void planning_start(struct schedworker *w)
{
    w->phase = PHASE_FETCHING;
    if (read_others(w))
        return;
    struct arena *a = arena_new(1 << 24);
    Pb__JobViewsRequest q = PB__JOB_VIEWS_REQUEST__INIT;
    q.jobs = arena_array(a, Pb__JobKey *, w->work_count + 1);
    q.has_min_index = 1;
    q.min_index = w->need_index;
    struct work *k;
    list_each(&w->works, struct work, link, k)
    {
        Pb__JobKey *key = arena_array(a, Pb__JobKey, 1);
        pb__job_key__init(key);
        key->namespace_ = k->eval->namespace_;
        key->id = k->eval->job_id;
        q.jobs[q.n_jobs++] = key;
    }
    client_call(w->store, &(struct call_options){.method = PB__JOBSTORE__METHOD__JOB_VIEWS,
                                                 .body = &q.base,
                                                 .reply = &pb__job_views__descriptor,
                                                 .budget_ms = CALL_MS,
                                                 .retry = true,
                                                 .done = on_views,
                                                 .owner = w});
    arena_free(a);
}

/* ---- stale evaluations */

static bool is_open(const Pb__Eval *eval)
{
    return eval->status == PB__EVAL__STATUS__PENDING || eval->status == PB__EVAL__STATUS__BLOCKED;
}

static void checked_one(struct schedworker *w)
{
    if (--w->checks_open > 0)
        return;
    if (w->pause_wanted)
        round_pause(w);
    else
        round_go_on(w, PHASE_ASKING);
    w->pause_wanted = false;
}

static void on_checked(void *owner, const struct response *r)
{
    struct work *k = owner;
    struct schedworker *w = k->worker;
    const Pb__Object *o = (const Pb__Object *)r->body;
    const Pb__Eval *eval =
        r->code == PB__REPLY__CODE__OK && o != NULL && o->value_case == PB__OBJECT__VALUE_EVAL
            ? o->eval
            : NULL;
    k->check = false;
    if (eval != NULL && is_open(eval)) {
        bool unmoved = eval->plans == k->eval->plans;
        work_set_eval(k, eval);
        raise_min_index(k, r->index);
        /* The plan was not committed at all: jobstore has no room, or no leader. That may last. */
        if (unmoved)
            w->pause_wanted = true;
        else
            work_attempt_failed(k);
    } else if (eval != NULL || r->code == PB__REPLY__CODE__NOT_FOUND) {
        work_end(k, true, r->index);
    } else {
        work_end(k, false, 0);
    }
    checked_one(w);
}

void checking_start(struct schedworker *w)
{
    w->phase = PHASE_CHECKING;
    w->checks_open = 1;
    struct work *k;
    list_each(&w->works, struct work, link, k)
    {
        if (!k->check)
            continue;
        w->checks_open++;
        Pb__Key key = PB__KEY__INIT;
        key.has_table = key.has_id = 1;
        key.table = PB__TABLE__NAME__EVALS;
        key.id = k->eval->id;
        client_call(w->store, &(struct call_options){.method = PB__JOBSTORE__METHOD__GET,
                                                     .body = &key.base,
                                                     .reply = &pb__object__descriptor,
                                                     .budget_ms = CALL_MS,
                                                     .retry = true,
                                                     .done = on_checked,
                                                     .owner = k});
    }
    checked_one(w);
}
