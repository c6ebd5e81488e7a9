#include "sched/reconcile.h"
#include "base/id.h"
#include "wire/wire.h"
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

static bool is_wanted(const Pb__Alloc *alloc)
{
    return alloc->desired != PB__ALLOC__DESIRED__STOP &&
           alloc->desired != PB__ALLOC__DESIRED__EVICT;
}

/* ---- what a change of specification means */

static Pb__Task *task_essence(struct arena *a, const Pb__Task *task)
{
    Pb__Task *t = arena_copy(a, task, sizeof(*task));
    t->n_constraints = t->n_affinities = 0;
    t->services_json = t->scaling_policies_json = t->kind = NULL;
    return t;
}

/* What the running tasks depend on. All that is not taken out here is destructive when it changes:
 * an unknown field errs on the side of a restart, never on that of a task that runs with what was
 * replaced. */
static Pb__TaskGroup *group_essence(struct arena *a, const Pb__TaskGroup *group)
{
    Pb__TaskGroup *g = arena_copy(a, group, sizeof(*group));
    g->has_count = 0;
    g->count = 0;
    g->n_constraints = g->n_affinities = g->n_spreads = 0;
    g->reschedule_policy = NULL;
    g->migrate = NULL;
    g->update = NULL;
    g->services_json = g->scaling_json = NULL;
    g->has_stop_after_client_disconnect_ns = 0;
    g->tasks = arena_array(a, Pb__Task *, group->n_tasks + 1);
    for (size_t i = 0; i < group->n_tasks; i++)
        g->tasks[i] = task_essence(a, group->tasks[i]);
    return g;
}

static bool pairs_equal(Pb__KeyValue *const *a, size_t a_count, Pb__KeyValue *const *b,
                        size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++)
        if (!wire_equal(&a[i]->base, &b[i]->base))
            return false;
    return true;
}

bool group_update_is_destructive(struct arena *a, const Pb__Job *was_job, const Pb__TaskGroup *was,
                                 const Pb__Job *now_job, const Pb__TaskGroup *now)
{
    /* The job's meta is in the tasks' environment. */
    return !pairs_equal(was_job->meta, was_job->n_meta, now_job->meta, now_job->n_meta) ||
           !wire_equal(&group_essence(a, was)->base, &group_essence(a, now)->base);
}

static const Pb__TaskGroup *find_group(const Pb__Job *job, const char *name, size_t *place)
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

enum verdict {
    FREE,
    DONE,
    KEEP,
    STOP,
    LOST,
    LOST_UNREPLACED,
    REPLACE,
    IN_PLACE,
    MIGRATE,
    MOVE_AWAY
};

struct judged {
    const Pb__Alloc *alloc;
    enum verdict verdict;
};

struct reconciler {
    struct arena *arena;
    const Pb__JobView *view;
    const Pb__Job *job;
    bool batch;
    node_state_fn *node_state;
    void *owner;
    struct changes *out;
    /* what is known of the view's versions for the group in hand */
    enum compared { UNCOMPARED, SAME, DESTRUCTIVE } * compared;
};

static enum compared compare_version(struct reconciler *r, const Pb__Job *was_job,
                                     const Pb__TaskGroup *group)
{
    const Pb__TaskGroup *was = find_group(was_job, group->name, NULL);
    return was == NULL || group_update_is_destructive(r->arena, was_job, was, r->job, group)
               ? DESTRUCTIVE
               : SAME;
}

/* A version that is no longer known may have been anything: start anew. */
static bool is_destructive(struct reconciler *r, const Pb__Alloc *alloc, const Pb__TaskGroup *group)
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

static enum verdict judge_unneeded(struct reconciler *r, const Pb__Alloc *alloc, size_t place)
{
    if (alloc_is_terminal(alloc))
        return FREE;
    if (r->node_state(r->owner, alloc, place) == NODE_LOST)
        return LOST_UNREPLACED;
    return is_wanted(alloc) ? STOP : FREE;
}

static enum verdict judge_ended(struct reconciler *r, const Pb__Alloc *alloc,
                                const Pb__TaskGroup *group)
{
    bool current = alloc->job_version == r->job->version;
    if (alloc->client_status == PB__ALLOC__CLIENT_STATUS__COMPLETE)
        return r->batch && current ? DONE : FREE;
    if (alloc->client_status == PB__ALLOC__CLIENT_STATUS__FAILED)
        return current || (!r->batch && !is_destructive(r, alloc, group)) ? DONE : FREE;
    return FREE;
}

static enum verdict judge(struct reconciler *r, const Pb__Alloc *alloc, const Pb__TaskGroup *group,
                          size_t place)
{
    if (!is_wanted(alloc))
        return judge_unneeded(r, alloc, place);
    if (alloc_is_terminal(alloc))
        return judge_ended(r, alloc, group);
    enum node_state node = r->node_state(r->owner, alloc, place);
    if (node == NODE_LOST)
        return LOST;
    if (alloc->migrate)
        return MIGRATE;
    if (alloc->job_version == r->job->version)
        return KEEP;
    return is_destructive(r, alloc, group) || node == NODE_UNSUITABLE ? REPLACE : IN_PLACE;
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

static bool is_running(enum verdict v)
{
    return v == KEEP || v == REPLACE || v == IN_PLACE || v == MIGRATE;
}

static bool takes_name(enum verdict v)
{
    return v == DONE || is_running(v);
}

static void add_stop(struct reconciler *r, const Pb__Alloc *alloc, const char *description,
                     bool lost)
{
    r->out->stops[r->out->stop_count++] = (struct stop){alloc, description, lost};
}

/* Two of one name: the older stays; one that runs is worth more than one that has ended. */
static void drop_doubles(struct judged *j, size_t count)
{
    struct judged *holder = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!takes_name(j[i].verdict))
            continue;
        if (holder == NULL || holder->alloc->name_index != j[i].alloc->name_index) {
            holder = &j[i];
        } else if (is_running(j[i].verdict)) {
            if (is_running(holder->verdict)) {
                j[i].verdict = STOP;
            } else {
                holder->verdict = FREE;
                holder = &j[i];
            }
        } else {
            j[i].verdict = FREE;
        }
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
        if (j[low - 1].verdict == LOST)
            return alloc;
        if (j[low - 1].verdict == FREE && alloc->next_alloc.len == 0 &&
            (alloc->client_status == PB__ALLOC__CLIENT_STATUS__LOST ||
             alloc->client_status == PB__ALLOC__CLIENT_STATUS__FAILED ||
             (alloc->desired_description != NULL &&
              strcmp(alloc->desired_description, DESCRIBE_UPDATING) == 0)))
            return alloc;
    }
    return NULL;
}

static void fill_gaps(struct reconciler *r, const struct judged *j, size_t count,
                      struct group_changes *g, size_t gaps)
{
    size_t at = 0;
    for (uint32_t name = 0; gaps > 0; name++) {
        bool taken = false;
        for (; at < count && j[at].alloc->name_index <= name; at++)
            taken = taken || (j[at].alloc->name_index == name && takes_name(j[at].verdict));
        if (taken)
            continue;
        g->wanted[g->wanted_count++] =
            (struct wanted){.name_index = name, .previous = find_previous(j, count, name)};
        gaps--;
    }
}

static void emit(struct reconciler *r, const struct judged *j, size_t count,
                 struct group_changes *g)
{
    for (size_t i = 0; i < count; i++) {
        const Pb__Alloc *alloc = j[i].alloc;
        if (j[i].verdict == KEEP || j[i].verdict == IN_PLACE)
            g->staying[g->staying_count++] = alloc;
        if (j[i].verdict == STOP)
            add_stop(r, alloc, DESCRIBE_NOT_NEEDED, false);
        else if (j[i].verdict == LOST || j[i].verdict == LOST_UNREPLACED)
            add_stop(r, alloc, DESCRIBE_LOST, true);
        else if (j[i].verdict == IN_PLACE)
            r->out->in_place[r->out->in_place_count++] = alloc;
        else if (j[i].verdict == MOVE_AWAY)
            add_stop(r, alloc, DESCRIBE_MIGRATING, false);
        else if (j[i].verdict == REPLACE || j[i].verdict == MIGRATE)
            g->wanted[g->wanted_count++] = (struct wanted){.name_index = alloc->name_index,
                                                           .previous = alloc,
                                                           .replaces = true,
                                                           .migrates = j[i].verdict == MIGRATE};
    }
}

static void reconcile_group(struct reconciler *r, struct judged *j, size_t count, size_t place)
{
    const Pb__TaskGroup *group = r->job->task_groups[place];
    struct group_changes *g = &r->out->groups[place];
    r->compared = arena_array(r->arena, enum compared, r->view->n_versions + 1);
    for (size_t i = 0; i < count; i++) {
        bool ours = j[i].alloc->job_create_index == r->job->create_index;
        j[i].verdict =
            ours ? judge(r, j[i].alloc, group, place) : judge_unneeded(r, j[i].alloc, place);
    }
    drop_doubles(j, count);
    size_t want = group->count;
    size_t taken = scale_down(j, count, want);
    g->wanted = arena_array(r->arena, struct wanted, want + 1);
    g->staying = arena_array(r->arena, const Pb__Alloc *, count + 1);
    fill_gaps(r, j, count, g, want - taken);
    emit(r, j, count, g);
}

static void stop_all(struct reconciler *r, struct judged *j, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum verdict v = judge_unneeded(r, j[i].alloc, SIZE_MAX);
        if (v == STOP)
            add_stop(r, j[i].alloc, DESCRIBE_NOT_NEEDED, false);
        else if (v == LOST_UNREPLACED)
            add_stop(r, j[i].alloc, DESCRIBE_LOST, true);
    }
}

static void reconcile_sorted(struct reconciler *r, struct judged *j, size_t count)
{
    bool *visited = arena_array(r->arena, bool, r->job->n_task_groups + 1);
    for (size_t from = 0, to; from < count; from = to) {
        for (to = from + 1;
             to < count && strcmp(j[to].alloc->task_group, j[from].alloc->task_group) == 0; to++)
            ;
        size_t place;
        if (find_group(r->job, j[from].alloc->task_group, &place) != NULL) {
            visited[place] = true;
            reconcile_group(r, j + from, to - from, place);
        } else {
            stop_all(r, j + from, to - from);
        }
    }
    for (size_t i = 0; i < r->job->n_task_groups; i++)
        if (!visited[i])
            reconcile_group(r, NULL, 0, i);
}

static void start(struct reconciler *r, struct arena *a, const Pb__JobView *view,
                  node_state_fn *node_state, void *owner, struct changes *out)
{
    const Pb__Job *job = view->job;
    *r = (struct reconciler){
        .arena = a,
        .view = view,
        .job = job,
        .batch = job != NULL && job->type != NULL && strcmp(job->type, "batch") == 0,
        .node_state = node_state,
        .owner = owner,
        .out = out,
    };
    *out = (struct changes){
        .groups = arena_array(a, struct group_changes, job != NULL ? job->n_task_groups + 1 : 1),
        .stops = arena_array(a, struct stop, view->n_allocs + 1),
        .in_place = arena_array(a, const Pb__Alloc *, view->n_allocs + 1),
    };
}

static struct judged *list_judged(struct reconciler *r, int (*compare)(const void *, const void *))
{
    struct judged *j = arena_array(r->arena, struct judged, r->view->n_allocs + 1);
    for (size_t i = 0; i < r->view->n_allocs; i++)
        j[i].alloc = r->view->allocs[i];
    qsort(j, r->view->n_allocs, sizeof(*j), compare);
    return j;
}

void reconcile(struct arena *a, const Pb__JobView *view, node_state_fn *node_state, void *owner,
               struct changes *out)
{
    struct reconciler r;
    start(&r, a, view, node_state, owner, out);
    struct judged *j = list_judged(&r, compare_judged);
    if (view->job == NULL || view->job->stop)
        stop_all(&r, j, view->n_allocs);
    else
        reconcile_sorted(&r, j, view->n_allocs);
}

/* ---- system and sysbatch: one on each node */

bool job_is_system(const Pb__Job *job)
{
    return job != NULL && job->type != NULL &&
           (strcmp(job->type, "system") == 0 || strcmp(job->type, "sysbatch") == 0);
}

static int compare_by_node(const void *a, const void *b)
{
    const Pb__Alloc *x = ((const struct judged *)a)->alloc, *y = ((const struct judged *)b)->alloc;
    int c = strcmp(x->task_group, y->task_group);
    if (c == 0)
        c = memcmp(x->node_id.data, y->node_id.data, ID_SIZE);
    return c != 0 ? c : memcmp(x->id.data, y->id.data, ID_SIZE);
}

static enum verdict judge_on_node(struct reconciler *r, const Pb__Alloc *alloc,
                                  const Pb__TaskGroup *group, size_t place)
{
    bool current = alloc->job_version == r->job->version;
    if (alloc->job_create_index != r->job->create_index || !is_wanted(alloc) || group->count == 0)
        return judge_unneeded(r, alloc, place);
    if (alloc->client_status == PB__ALLOC__CLIENT_STATUS__FAILED)
        return current ? DONE : FREE;
    if (alloc->client_status == PB__ALLOC__CLIENT_STATUS__COMPLETE)
        return current && strcmp(r->job->type, "sysbatch") == 0 ? DONE : FREE;
    if (alloc_is_terminal(alloc))
        return FREE;
    enum node_state node = r->node_state(r->owner, alloc, place);
    if (node == NODE_LOST)
        return LOST_UNREPLACED;
    if (alloc->migrate)
        return MOVE_AWAY;
    if (current)
        return KEEP;
    if (node == NODE_UNSUITABLE)
        return STOP;
    return is_destructive(r, alloc, group) ? REPLACE : IN_PLACE;
}

/* One that runs is worth more than one that has ended; of two of a kind the older stays. */
static const struct judged *keep_one(struct judged *j, size_t count)
{
    struct judged *holder = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!takes_name(j[i].verdict))
            continue;
        if (holder == NULL) {
            holder = &j[i];
        } else if (is_running(j[i].verdict) && !is_running(holder->verdict)) {
            holder->verdict = FREE;
            holder = &j[i];
        } else {
            j[i].verdict = is_running(j[i].verdict) ? STOP : FREE;
        }
    }
    return holder;
}

static void want_on(struct group_changes *g, const uint8_t *node_id, const struct judged *j,
                    size_t count)
{
    const Pb__Alloc *previous = NULL;
    for (size_t i = 0; i < count; i++)
        if (j[i].verdict == FREE && j[i].alloc->next_alloc.len == 0 &&
            (j[i].alloc->client_status == PB__ALLOC__CLIENT_STATUS__LOST ||
             j[i].alloc->client_status == PB__ALLOC__CLIENT_STATUS__FAILED))
            previous = j[i].alloc;
    g->wanted[g->wanted_count++] = (struct wanted){.previous = previous, .node_id = node_id};
}

static void add_replacements(struct group_changes *g)
{
    for (size_t i = 0; i < g->wanted_count; i++)
        if (g->wanted[i].replaces)
            g->wanted[i].node_id = g->wanted[i].previous->node_id.data;
}

/* j: the group's allocations, by node. Nodes and allocations are walked side by side. */
static void reconcile_on_nodes(struct reconciler *r, struct judged *j, size_t count, size_t place,
                               const struct group_nodes *nodes)
{
    const Pb__TaskGroup *group = r->job->task_groups[place];
    struct group_changes *g = &r->out->groups[place];
    r->compared = arena_array(r->arena, enum compared, r->view->n_versions + 1);
    g->wanted = arena_array(r->arena, struct wanted, nodes->count + count + 1);
    g->staying = arena_array(r->arena, const Pb__Alloc *, count + 1);
    size_t node_count = group->count > 0 ? nodes->count : 0;
    for (size_t at = 0, node = 0; at < count || node < node_count;) {
        int c = at == count          ? 1
                : node == node_count ? -1
                                     : memcmp(j[at].alloc->node_id.data, nodes->ids[node], ID_SIZE);
        size_t end = at;
        while (c <= 0 && end < count &&
               id_equal(j[end].alloc->node_id.data, j[at].alloc->node_id.data)) {
            j[end].verdict = judge_on_node(r, j[end].alloc, group, place);
            end++;
        }
        const struct judged *holder = keep_one(j + at, end - at);
        if (c >= 0 && holder == NULL)
            want_on(g, nodes->ids[node], j + at, end - at);
        node += c >= 0;
        at = end;
    }
    emit(r, j, count, g);
    add_replacements(g);
}

void reconcile_system(struct arena *a, const Pb__JobView *view, const struct group_nodes *nodes,
                      node_state_fn *node_state, void *owner, struct changes *out)
{
    struct reconciler r;
    start(&r, a, view, node_state, owner, out);
    struct judged *j = list_judged(&r, compare_by_node);
    const Pb__Job *job = view->job;
    bool *visited = arena_array(a, bool, job->n_task_groups + 1);
    for (size_t from = 0, to; from < view->n_allocs; from = to) {
        for (to = from + 1;
             to < view->n_allocs && strcmp(j[to].alloc->task_group, j[from].alloc->task_group) == 0;
             to++)
            ;
        size_t place;
        if (job->stop || find_group(job, j[from].alloc->task_group, &place) == NULL) {
            stop_all(&r, j + from, to - from);
            continue;
        }
        visited[place] = true;
        reconcile_on_nodes(&r, j + from, to - from, place, &nodes[place]);
    }
    for (size_t i = 0; i < job->n_task_groups && !job->stop; i++)
        if (!visited[i])
            reconcile_on_nodes(&r, NULL, 0, i, &nodes[i]);
}
