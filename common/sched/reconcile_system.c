/* System and sysbatch jobs: one on each node. */
#include "base/id.h"
#include "sched/reconciler.h"
#include <string.h>

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
    if (alloc->migrate || alloc->stop_wanted)
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
                               const struct group_nodes *nodes, size_t *left)
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
    *left = hold_back(j, count, *left);
    emit(r, j, count, g);
    add_replacements(g);
}

/* How many more may be replaced now: max_parallel less what was within the stagger. The evaluation
 * that is to take the next step comes one stagger after the last was planned, so what was placed
 * then is a little younger than that. */
static size_t replacements_left(const struct reconciler *r)
{
    const Pb__UpdateStrategy *u = r->job->update;
    if (u == NULL || u->max_parallel == 0 || u->stagger_ns <= 0)
        return SIZE_MAX;
    int64_t since = r->now - (r->rolling ? u->stagger_ns / 2 : u->stagger_ns);
    size_t young = 0;
    for (size_t i = 0; i < r->view->n_allocs; i++) {
        const Pb__Alloc *alloc = r->view->allocs[i];
        young += alloc->job_version == r->job->version && alloc->previous_alloc.len > 0 &&
                 alloc->create_time > since && is_wanted(alloc);
    }
    return u->max_parallel > young ? u->max_parallel - young : 0;
}

/* Whoever takes a step asks for the next one. */
static void ask_for_next_step(struct reconciler *r, bool stepped)
{
    bool held = false;
    for (size_t i = 0; i < r->job->n_task_groups; i++)
        held |= r->out->groups[i].held > 0;
    if (held && stepped)
        r->out->awaiting[r->out->awaiting_count++] =
            (struct awaiting){NULL, r->now + r->job->update->stagger_ns, TRIGGER_ROLLING};
}

void reconcile_system(struct arena *a, const Pb__JobView *view, const struct occasion *at,
                      const struct group_nodes *nodes, node_state_fn *node_state, void *owner,
                      struct changes *out)
{
    struct reconciler r;
    reconciler_init(&r, a, view, at, node_state, owner, out);
    struct judged *j = list_judged(&r, compare_by_node);
    const Pb__Job *job = view->job;
    size_t may = replacements_left(&r), left = may;
    bool *visited = arena_array(a, bool, job->n_task_groups + 1);
    for (size_t from = 0, n; from < view->n_allocs; from += n) {
        size_t place;
        n = same_group(j, from, view->n_allocs);
        if (job->stop || find_group(job, j[from].alloc->task_group, &place) == NULL) {
            stop_all(&r, j + from, n);
            continue;
        }
        visited[place] = true;
        reconcile_on_nodes(&r, j + from, n, place, &nodes[place], &left);
    }
    for (size_t i = 0; i < job->n_task_groups && !job->stop; i++)
        if (!visited[i])
            reconcile_on_nodes(&r, NULL, 0, i, &nodes[i], &left);
    ask_for_next_step(&r, left < may);
}
