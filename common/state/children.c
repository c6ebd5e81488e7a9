/* What a periodic or parameterized job knows of its children: how many are in each status. A child
 * counts for the parent that was there when it was made, not for a later one of the same name. */
#include "state/internal.h"
#include "wire/template.h"

static uint32_t *bucket(Pb__ChildrenSummary *c, enum job_status status)
{
    c->has_pending = c->has_running = c->has_dead = true;
    return status == JOB_PENDING ? &c->pending : status == JOB_RUNNING ? &c->running : &c->dead;
}

static Pb__ChildrenSummary *counts_of(struct view *v, struct job_edit *parent)
{
    Pb__JobSummary *s = summary_edit(v, parent);
    if (s != NULL && s->children == NULL) {
        s->children = arena_alloc(v->arena, sizeof *s->children);
        pb__children_summary__init(s->children);
    }
    return s != NULL ? s->children : NULL;
}

/* The parent's counts, if it is there still; NULL: nobody counts. */
static Pb__ChildrenSummary *counts_of_parent(struct view *v, const Pb__Job *child)
{
    if (!job_is_child(child))
        return NULL;
    struct job_edit *parent = job_edit(v, child->namespace_, child->parent_id, 0);
    if (parent == NULL || parent->counts.create_index >= child->create_index)
        return NULL;
    return counts_of(v, parent);
}

void children_add(struct view *v, const Pb__Job *child, enum job_status status)
{
    Pb__ChildrenSummary *c = counts_of_parent(v, child);
    if (c != NULL)
        ++*bucket(c, status);
}

void children_drop(struct view *v, const Pb__Job *child, enum job_status status)
{
    Pb__ChildrenSummary *c = counts_of_parent(v, child);
    if (c != NULL)
        --*bucket(c, status);
}

void children_waiting(struct view *v, struct job_edit *parent)
{
    Pb__ChildrenSummary *c = counts_of(v, parent);
    if (c == NULL)
        return; /* the transaction has failed */
    c->waiting = (uint32_t)parent->counts.queued;
    c->has_waiting = c->waiting > 0;
}
