#include "apply_preempt.h"
#include "base/map.h"
#include "sched/fit.h"

void preempting_init(struct preempting *p, struct view *v, const char *ns, const Pb__Job *job)
{
    *p = (struct preempting){.view = v,
                             .ns = ns,
                             .job_id = job != NULL ? job->id : "",
                             .priority = job != NULL ? job->priority : 0,
                             .displaced = map_new()};
}

void preempting_fini(struct preempting *p)
{
    map_free(p->displaced);
}

static const char *why_not(const struct preempting *p, const Pb__Placement *at, const Pb__Alloc *a)
{
    if (a == NULL || !alloc_is_wanted(a) || !alloc_uses_node(a))
        return "an allocation to be displaced has ended";
    if (!id_equal(a->node_id.data, at->node_id.data))
        return "an allocation to be displaced is on another node";
    if (strcmp(a->job_id, p->job_id) == 0 &&
        strcmp(namespace_or_default(a->namespace_), p->ns) == 0)
        return "an allocation to be displaced is of the same job";
    if (alloc_priority(a) + PREEMPT_GAP > p->priority)
        return "an allocation to be displaced is too important";
    if (map_get_id(p->displaced, a->id.data) != NULL)
        return "an allocation to be displaced makes room already";
    return NULL;
}

static Pb__Alloc *alloc_of(struct preempting *p, const Pb__Displaced *d)
{
    if (!has_id(d->has_alloc_id, d->alloc_id))
        return NULL;
    return state_alloc(p->view, state_command_arena(p->view), d->alloc_id.data);
}

static void undo_first(struct preempting *p, const Pb__Placement *at, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const Pb__Alloc *a = alloc_of(p, at->preempts[i]);
        usage_add(p->view, a->node_id.data, alloc_load(a));
        map_remove(p->displaced, a->id.data, ID_SIZE);
    }
}

const char *preempting_try(struct preempting *p, const Pb__Placement *at)
{
    for (size_t i = 0; i < at->n_preempts; i++) {
        const Pb__Alloc *a = alloc_of(p, at->preempts[i]);
        const char *why = why_not(p, at, a);
        if (why != NULL) {
            undo_first(p, at, i);
            return why;
        }
        usage_remove(p->view, a->node_id.data, alloc_load(a));
        map_put(p->displaced, a->id.data, ID_SIZE, p);
    }
    return NULL;
}

void preempting_undo(struct preempting *p, const Pb__Placement *at)
{
    undo_first(p, at, at->n_preempts);
}

void preempting_evict(struct preempting *p, const Pb__Placement *at, const uint8_t *by,
                      struct job_set *jobs)
{
    char text_of[ID_TEXT_SIZE];
    id_format(by, text_of);
    for (size_t i = 0; i < at->n_preempts; i++) {
        Pb__Alloc *old = alloc_of(p, at->preempts[i]);
        Pb__Alloc a = *old;
        a.has_desired = a.has_preempted_by = true;
        a.desired = PB__ALLOC__DESIRED__EVICT;
        a.desired_description =
            arena_printf(state_command_arena(p->view), "Preempted by alloc ID %s", text_of);
        a.preempted_by = (ProtobufCBinaryData){ID_SIZE, (uint8_t *)(uintptr_t)by};
        state_change_alloc(p->view, old, &a, true);
        job_set_add(jobs, a.namespace_, a.job_id, NULL);
    }
}
