#include "sched/reconciler.h"
#include "base/id.h"
#include "sched/essence.h"
#include <stdlib.h>
#include <string.h>

bool alloc_is_terminal(const Pb__Alloc *alloc)
{
    return alloc->client_status == PB__ALLOC__CLIENT_STATUS__COMPLETE ||
           alloc->client_status == PB__ALLOC__CLIENT_STATUS__FAILED ||
           alloc->client_status == PB__ALLOC__CLIENT_STATUS__LOST;
}

bool alloc_is_live(const Pb__Alloc *alloc)
{
    return !alloc_is_terminal(alloc);
}

bool is_wanted(const Pb__Alloc *alloc)
{
    return alloc->desired != PB__ALLOC__DESIRED__STOP &&
           alloc->desired != PB__ALLOC__DESIRED__EVICT;
}

const Pb__TaskGroup *find_group(const Pb__Job *job, const char *name, size_t *place)
{
    for (size_t i = 0; i < job->n_task_groups; i++)
        if (strcmp(job->task_groups[i]->name, name) == 0) {
            if (place != NULL)
                *place = i;
            return job->task_groups[i];
        }
    return NULL;
}

/* ---- sorting allocations out */

static enum compared compare_version(struct reconciler *r, const Pb__Job *was_job,
                                     const Pb__TaskGroup *group)
{
    const Pb__TaskGroup *was = find_group(was_job, group->name, NULL);
    return was == NULL || group_update_is_destructive(r->arena, was_job, was, r->job, group)
               ? DESTRUCTIVE
               : SAME;
}

bool is_destructive(struct reconciler *r, const Pb__Alloc *alloc, const Pb__TaskGroup *group)
{
    for (size_t i = 0; i < r->view->n_versions; i++) {
        const Pb__Job *was = r->view->versions[i];
        if (was->version != alloc->job_version)
            continue;
        if (r->compared[i] == UNCOMPARED)
            r->compared[i] = compare_version(r, was, group);
        return r->compared[i] == DESTRUCTIVE;
    }
    return true;
}

enum verdict judge_unneeded(struct reconciler *r, const Pb__Alloc *alloc, size_t place)
{
    if (alloc_is_terminal(alloc))
        return FREE;
    if (r->node_state(r->owner, alloc, place) == NODE_LOST)
        return LOST_UNREPLACED;
    return is_wanted(alloc) ? STOP : FREE;
}

void follow_up(struct reconciler *r, const Pb__Alloc *alloc, int64_t at, const char *trigger)
{
    if (alloc->follow_up_eval.len == 0)
        r->out->awaiting[r->out->awaiting_count++] = (struct awaiting){alloc, at, trigger};
}

/* The version that runs until the canaries are promoted. */
static const Pb__Job *older_version(const struct reconciler *r, const Pb__Alloc *alloc)
{
    for (size_t i = 0; i < r->view->n_versions; i++)
        if (r->view->versions[i]->version == alloc->job_version &&
            alloc->job_version != r->job->version)
            return r->view->versions[i];
    return NULL;
}

/* One of another version counts while that version is to go on: what would take its place is the
 * same task again. */
static bool failure_counts(struct reconciler *r, const Pb__Alloc *alloc, const Pb__TaskGroup *group)
{
    if (alloc->job_version == r->job->version)
        return true;
    if (rollout_awaits_promotion(r, group) && older_version(r, alloc) != NULL)
        return true;
    return !r->batch && !is_destructive(r, alloc, group);
}

static void judge_failed(struct reconciler *r, struct judged *j, const Pb__TaskGroup *group)
{
    static const enum verdict verdicts[] = {
        [RESCHEDULE_NEVER] = DONE, [RESCHEDULE_LATER] = WAIT, [RESCHEDULE_NOW] = RESCHEDULE};
    const Pb__Alloc *alloc = j->alloc;
    if (!failure_counts(r, alloc, group)) {
        j->verdict = FREE;
        return;
    }
    j->rescheduling = reschedule_of(group->reschedule_policy, alloc, r->now, r->eval_id);
    j->verdict = verdicts[j->rescheduling.when];
}

static void judge_ended(struct reconciler *r, struct judged *j, const Pb__TaskGroup *group)
{
    bool current = j->alloc->job_version == r->job->version;
    if (j->alloc->client_status == PB__ALLOC__CLIENT_STATUS__FAILED)
        judge_failed(r, j, group);
    else if (j->alloc->client_status == PB__ALLOC__CLIENT_STATUS__COMPLETE)
        j->verdict = r->batch && current ? DONE : FREE;
    else
        j->verdict = FREE;
}

/* Its own agent ends it so long after it was heard last: until then it may still run. */
static int64_t stops_itself_after(const Pb__TaskGroup *group)
{
    if (group->stop_after_client_disconnect_ns > 0)
        return group->stop_after_client_disconnect_ns;
    return group->disconnect != NULL ? group->disconnect->stop_on_client_after_ns : 0;
}

/* Its node is down: lost, or not heard of for a while. */
static void judge_unheard(struct reconciler *r, struct judged *j, const Pb__TaskGroup *group)
{
    const Pb__Alloc *alloc = j->alloc;
    int64_t patience = group->disconnect != NULL ? group->disconnect->lost_after_ns : 0;
    bool replace = patience > 0 && group->disconnect->replace;
    if (patience <= 0)
        patience = stops_itself_after(group);
    bool away = alloc->client_status == PB__ALLOC__CLIENT_STATUS__UNREACHABLE;
    int64_t until = (away ? alloc->unreachable_since : r->now) + patience;
    bool runs = away || alloc->client_status == PB__ALLOC__CLIENT_STATUS__RUNNING;
    /* The plan that made this evaluation had an older clock than the command that took it. */
    bool awaited = away && r->eval_id != NULL && alloc->follow_up_eval.len == ID_SIZE &&
                   id_equal(alloc->follow_up_eval.data, r->eval_id);
    if (patience <= 0 || !runs || awaited || r->now >= until) {
        j->verdict = LOST;
        return;
    }
    j->verdict = replace ? AWAY : AWAY_HELD;
    j->turns_away = !away;
    follow_up(r, alloc, until, TRIGGER_DISCONNECT);
}

static void judge_live(struct reconciler *r, struct judged *j, const Pb__TaskGroup *group,
                       size_t place)
{
    const Pb__Alloc *alloc = j->alloc;
    enum node_state node = r->node_state(r->owner, alloc, place);
    if (node == NODE_LOST)
        judge_unheard(r, j, group);
    else if (alloc->migrate || alloc->stop_wanted)
        j->verdict = MIGRATE;
    else if (alloc->job_version == r->job->version)
        j->verdict = KEEP;
    else
        j->verdict =
            is_destructive(r, alloc, group) || node == NODE_UNSUITABLE ? REPLACE : IN_PLACE;
}

static void judge(struct reconciler *r, struct judged *j, const Pb__TaskGroup *group, size_t place)
{
    const Pb__Alloc *alloc = j->alloc;
    if (alloc->job_create_index != r->job->create_index || !is_wanted(alloc))
        j->verdict = judge_unneeded(r, alloc, place);
    else if (alloc->deployment_status != NULL && alloc->deployment_status->canary)
        rollout_judge_canary(r, j, group, place);
    else if (alloc_is_terminal(alloc))
        judge_ended(r, j, group);
    else
        judge_live(r, j, group, place);
}

static int compare_judged(const void *a, const void *b)
{
    const Pb__Alloc *x = ((const struct judged *)a)->alloc, *y = ((const struct judged *)b)->alloc;
    int c = strcmp(x->task_group, y->task_group);
    if (c != 0)
        return c;
    if (x->name_index != y->name_index)
        return x->name_index < y->name_index ? -1 : 1;
    return memcmp(x->id.data, y->id.data, ID_SIZE);
}

/* ---- the changes of one group */

bool is_running(enum verdict v)
{
    return v == KEEP || v == HELD || v == REPLACE || v == IN_PLACE || v == MIGRATE ||
           v == AWAY_HELD;
}

bool takes_name(enum verdict v)
{
    return v == DONE || v == RESCHEDULE || v == WAIT || is_running(v);
}

static void add_stop(struct reconciler *r, const Pb__Alloc *alloc, const char *description,
                     bool lost)
{
    r->out->stops[r->out->stop_count++] = (struct stop){alloc, description, lost};
}

/* Whether the younger of two that run under one name is the one that stays. */
static bool younger_stays(const struct reconciler *r, const Pb__TaskGroup *group,
                          const Pb__Alloc *older, const Pb__Alloc *younger)
{
    bool older_is_present = older->job_version == r->job->version;
    bool younger_is_present = younger->job_version == r->job->version;
    if (older_is_present != younger_is_present)
        return younger_is_present;
    bool was_away =
        older->next_alloc.len == ID_SIZE && id_equal(older->next_alloc.data, younger->id.data);
    if (!was_away || group->disconnect == NULL)
        return false;
    const char *who = group->disconnect->reconcile;
    if (who == NULL || strcmp(who, "best_score") == 0)
        return older->has_score && younger->has_score && younger->score > older->score;
    return strcmp(who, "keep_replacement") == 0;
}

/* Two of one name: one that runs is worth more than one that has ended, and of two that have ended
 * the younger tells how it is, unless the older has done the work. */
static bool younger_holds(const struct reconciler *r, const Pb__TaskGroup *group,
                          const struct judged *older, const struct judged *younger)
{
    bool runs = is_running(younger->verdict);
    if (runs && is_running(older->verdict))
        return younger_stays(r, group, older->alloc, younger->alloc);
    if (runs || is_running(older->verdict))
        return runs;
    return older->alloc->client_status != PB__ALLOC__CLIENT_STATUS__COMPLETE ||
           older->alloc->job_version != younger->alloc->job_version;
}

static void drop_doubles(const struct reconciler *r, const Pb__TaskGroup *group, struct judged *j,
                         size_t count)
{
    struct judged *holder = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!takes_name(j[i].verdict))
            continue;
        if (holder == NULL || holder->alloc->name_index != j[i].alloc->name_index) {
            holder = &j[i];
            continue;
        }
        bool passes = younger_holds(r, group, holder, &j[i]);
        struct judged *dropped = passes ? holder : &j[i];
        dropped->verdict = is_running(dropped->verdict) ? STOP : FREE;
        if (passes)
            holder = &j[i];
    }
}

/* Down to count, from the highest name. Returns how many names are taken then. */
static size_t scale_down(struct judged *j, size_t count, size_t want)
{
    size_t taken = 0;
    for (size_t i = 0; i < count; i++)
        taken += takes_name(j[i].verdict);
    for (size_t i = count; i-- > 0 && taken > want;)
        if (takes_name(j[i].verdict)) {
            j[i].verdict = is_running(j[i].verdict) ? STOP : FREE;
            taken--;
        }
    return taken;
}

/* The newest of this name that was lost or replaced and has no successor yet. */
static const Pb__Alloc *find_previous(const struct judged *j, size_t count, uint32_t name_index)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (j[middle].alloc->name_index <= name_index)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low > 0 && j[low - 1].alloc->name_index == name_index; low--) {
        const Pb__Alloc *alloc = j[low - 1].alloc;
        if (j[low - 1].verdict == LOST ||
            (j[low - 1].verdict == AWAY && alloc->next_alloc.len == 0))
            return alloc;
        if (j[low - 1].verdict == FREE && alloc->next_alloc.len == 0 &&
            (alloc->client_status == PB__ALLOC__CLIENT_STATUS__LOST ||
             alloc->client_status == PB__ALLOC__CLIENT_STATUS__FAILED ||
             (alloc->desired_description != NULL &&
              (strcmp(alloc->desired_description, DESCRIBE_UPDATING) == 0 ||
               strcmp(alloc->desired_description, DESCRIBE_MIGRATING) == 0))))
            return alloc;
    }
    return NULL;
}

static void want(const struct reconciler *r, struct group_changes *g, struct wanted *w)
{
    if (r->canarying && !w->canary && (w->older = older_version(r, w->previous)) != NULL)
        g->older[g->older_count++] = *w;
    else
        g->wanted[g->wanted_count++] = *w;
}

/* The failures before it was lost count on for what takes its place, unless the running task has
 * changed since. */
static Pb__RescheduleTracker *tracker_of(struct reconciler *r, const Pb__Alloc *previous)
{
    if (previous == NULL || previous->client_status == PB__ALLOC__CLIENT_STATUS__COMPLETE ||
        previous->client_status == PB__ALLOC__CLIENT_STATUS__FAILED)
        return NULL;
    bool goes_on = r->canarying || previous->job_version == r->job->version ||
                   !is_destructive(r, previous, find_group(r->job, previous->task_group, NULL));
    return goes_on ? previous->reschedule_tracker : NULL;
}

static void fill_gaps(struct reconciler *r, const struct rollout *o, const struct judged *j,
                      size_t count, struct group_changes *g, size_t gaps)
{
    size_t at = 0;
    for (uint32_t name = 0; gaps > 0; name++) {
        bool taken = false;
        for (; at < count && j[at].alloc->name_index <= name; at++)
            taken = taken || (j[at].alloc->name_index == name && takes_name(j[at].verdict));
        if (taken)
            continue;
        gaps--;
        struct wanted w = {.name_index = name, .previous = find_previous(j, count, name)};
        if ((o->halted || o->canarying) && w.previous == NULL)
            continue;
        w.tracker = tracker_of(r, w.previous);
        want(r, g, &w);
    }
}

static void replace(struct reconciler *r, const struct judged *j, struct group_changes *g)
{
    const Pb__Alloc *alloc = j->alloc;
    struct wanted w = {.name_index = alloc->name_index, .previous = alloc, .replaces = true};
    bool failed = alloc->client_status == PB__ALLOC__CLIENT_STATUS__FAILED;
    w.rescheduled = failed;
    w.migrates = !failed && j->verdict != REPLACE;
    w.canary = j->verdict == CANARY_ANEW;
    if (failed) {
        const Pb__TaskGroup *group = find_group(r->job, alloc->task_group, NULL);
        w.tracker = reschedule_remember(r->arena, group->reschedule_policy, alloc, r->now,
                                        j->rescheduling.delay);
    }
    want(r, g, &w);
}

static void write_down(struct reconciler *r, const struct judged *j, struct group_changes *g)
{
    struct changes *out = r->out;
    switch (j->verdict) {
    case FREE:
    case DONE:
        return;
    case WAIT:
        follow_up(r, j->alloc, j->rescheduling.at, TRIGGER_FAILURE);
        return;
    case STOP:
        add_stop(r, j->alloc, DESCRIBE_NOT_NEEDED, false);
        return;
    case MOVE_AWAY:
        add_stop(r, j->alloc, DESCRIBE_MIGRATING, false);
        return;
    case LOST:
    case LOST_UNREPLACED:
        add_stop(r, j->alloc, DESCRIBE_LOST, true);
        return;
    case AWAY:
    case AWAY_HELD:
        if (j->turns_away)
            out->unreachable[out->unreachable_count++] = j->alloc;
        return;
    case IN_PLACE:
        out->in_place[out->in_place_count++] = j->alloc;
        break;
    case REPLACE:
    case MIGRATE:
    case RESCHEDULE:
    case CANARY_ANEW:
        replace(r, j, g);
        return;
    case HELD:
        g->held++;
        break;
    case KEEP:
        break;
    case CANARY:
        if (alloc_is_terminal(j->alloc))
            return;
        break;
    }
    g->staying[g->staying_count++] = j->alloc;
}

void emit(struct reconciler *r, const struct judged *j, size_t count, struct group_changes *g)
{
    for (size_t i = 0; i < count; i++)
        write_down(r, &j[i], g);
}

static void reconcile_group(struct reconciler *r, struct judged *j, size_t count, size_t place)
{
    const Pb__TaskGroup *group = r->job->task_groups[place];
    struct group_changes *g = &r->out->groups[place];
    struct rollout o;
    r->compared = arena_array(r->arena, enum compared, r->view->n_versions + 1);
    for (size_t i = 0; i < count; i++)
        judge(r, &j[i], group, place);
    drop_doubles(r, group, j, count);
    size_t want = group->count;
    size_t gaps = want - scale_down(j, count, want);
    rollout_init(&o, r, j, count, place, gaps);
    hold_back(j, count, o.limit);
    r->canarying = o.canarying;
    g->wanted = arena_array(r->arena, struct wanted, want + count + o.canaries + 1);
    g->older = arena_array(r->arena, struct wanted, o.canarying ? count + 1 : 1);
    g->staying = arena_array(r->arena, const Pb__Alloc *, count + 1);
    fill_gaps(r, &o, j, count, g, gaps);
    emit(r, j, count, g);
    rollout_want_canaries(&o, r, j, count, g);
}

void stop_all(struct reconciler *r, struct judged *j, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum verdict v = judge_unneeded(r, j[i].alloc, SIZE_MAX);
        if (v == STOP)
            add_stop(r, j[i].alloc, DESCRIBE_NOT_NEEDED, false);
        else if (v == LOST_UNREPLACED)
            add_stop(r, j[i].alloc, DESCRIBE_LOST, true);
    }
}

size_t same_group(const struct judged *j, size_t from, size_t count)
{
    size_t to = from + 1;
    while (to < count && strcmp(j[to].alloc->task_group, j[from].alloc->task_group) == 0)
        to++;
    return to - from;
}

static void reconcile_sorted(struct reconciler *r, struct judged *j, size_t count)
{
    bool *visited = arena_array(r->arena, bool, r->job->n_task_groups + 1);
    for (size_t from = 0, n; from < count; from += n) {
        size_t place;
        n = same_group(j, from, count);
        if (find_group(r->job, j[from].alloc->task_group, &place) != NULL) {
            visited[place] = true;
            reconcile_group(r, j + from, n, place);
        } else {
            stop_all(r, j + from, n);
        }
    }
    for (size_t i = 0; i < r->job->n_task_groups; i++)
        if (!visited[i])
            reconcile_group(r, NULL, 0, i);
}

void reconciler_init(struct reconciler *r, struct arena *a, const Pb__JobView *view,
                     const struct occasion *at, node_state_fn *node_state, void *owner,
                     struct changes *out)
{
    const Pb__Job *job = view->job;
    size_t groups = job != NULL ? job->n_task_groups + 1 : 1, allocs = view->n_allocs + 1;
    *r = (struct reconciler){
        .arena = a,
        .view = view,
        .job = job,
        .batch = job != NULL && job->type != NULL && strcmp(job->type, "batch") == 0,
        .now = at != NULL ? at->now : view->time,
        .eval_id = at != NULL ? at->eval_id : NULL,
        .rolling = at != NULL && at->rolling,
        .node_state = node_state,
        .owner = owner,
        .deployment = rollout_deployment(view),
        .canaries = arena_array(a, uint32_t, groups),
        .out = out,
    };
    *out = (struct changes){
        .groups = arena_array(a, struct group_changes, groups),
        .stops = arena_array(a, struct stop, allocs),
        .in_place = arena_array(a, const Pb__Alloc *, allocs),
        .unreachable = arena_array(a, const Pb__Alloc *, allocs),
        .awaiting = arena_array(a, struct awaiting, allocs),
    };
}

struct judged *list_judged(struct reconciler *r, int (*compare)(const void *, const void *))
{
    struct judged *j = arena_array(r->arena, struct judged, r->view->n_allocs + 1);
    for (size_t i = 0; i < r->view->n_allocs; i++)
        j[i].alloc = r->view->allocs[i];
    qsort(j, r->view->n_allocs, sizeof(*j), compare);
    return j;
}

void reconcile(struct arena *a, const Pb__JobView *view, const struct occasion *at,
               node_state_fn *node_state, void *owner, struct changes *out)
{
    struct reconciler r;
    reconciler_init(&r, a, view, at, node_state, owner, out);
    struct judged *j = list_judged(&r, compare_judged);
    if (view->job == NULL || view->job->stop)
        stop_all(&r, j, view->n_allocs);
    else
        reconcile_sorted(&r, j, view->n_allocs);
    rollout_finish(&r);
}
