#include "watch.h"
#include "base/err.h"
#include <stdlib.h>
#include <string.h>

struct watchers {
    struct loop *loop;
    struct link waiting;
    size_t count;
    struct step step;
};

struct watchers *watchers_new(struct loop *l)
{
    struct watchers *w = xcalloc(1, sizeof(*w));
    w->loop = l;
    list_init(&w->waiting);
    return w;
}

void watchers_free(struct watchers *w)
{
    if (w == NULL)
        return;
    step_cancel(&w->step);
    free(w);
}

void watchers_add(struct watchers *w, struct waiter *waiter)
{
    waiter->woken = false;
    list_push_back(&w->waiting, &waiter->link);
    w->count++;
}

void watchers_remove(struct watchers *w, struct waiter *waiter)
{
    if (!link_is_linked(&waiter->link))
        return;
    list_remove(&waiter->link);
    w->count--;
}

size_t watchers_count(const struct watchers *w)
{
    return w->count;
}

uint32_t watchers_tables(const struct watchers *w)
{
    uint32_t tables = 0;
    for (struct link *l = w->waiting.next; l != &w->waiting; l = l->next)
        tables |= container_of(l, struct waiter, link)->on.tables;
    return tables;
}

/* What an object is about, for comparison with what waiters look at. */
struct subject {
    uint32_t table;
    const char *namespace, *job;
    ProtobufCBinaryData id;
};

static struct subject subject_of(const Pb__Object *o)
{
    struct subject s = {.table = 1u << o->table};
    if (o->deleted != NULL)
        return (struct subject){.table = s.table,
                                .namespace = o->deleted->namespace_,
                                .job = o->deleted->name,
                                .id = o->deleted->id};
    switch (o->value_case) {
    case PB__OBJECT__VALUE_JOB:
        s.namespace = o->job->namespace_;
        s.job = o->job->id;
        break;
    case PB__OBJECT__VALUE_SUMMARY:
        s.namespace = o->summary->namespace_;
        s.job = o->summary->job_id;
        break;
    case PB__OBJECT__VALUE_EVAL:
        s.namespace = o->eval->namespace_;
        s.job = o->eval->job_id;
        s.id = o->eval->id;
        break;
    case PB__OBJECT__VALUE_ALLOC:
        s.namespace = o->alloc->namespace_;
        s.job = o->alloc->job_id;
        s.id = o->alloc->id;
        break;
    case PB__OBJECT__VALUE_DEPLOYMENT:
        s.namespace = o->deployment->namespace_;
        s.job = o->deployment->job_id;
        s.id = o->deployment->id;
        break;
    case PB__OBJECT__VALUE_SCALING_EVENTS:
        s.namespace = o->scaling_events->namespace_;
        s.job = o->scaling_events->job_id;
        break;
    case PB__OBJECT__VALUE_ALLOC_TASKS:
        s.id = o->alloc_tasks->alloc_id;
        break;
    case PB__OBJECT__VALUE_NAMESPACE:
        s.job = o->namespace_->name;
        break;
    case PB__OBJECT__VALUE_NODE_POOL:
        s.job = o->node_pool->name;
        break;
    case PB__OBJECT__VALUE_NODE:
        s.id = o->node->id;
        break;
    default:
        break;
    }
    return s;
}

/* An unknown part of the subject matches whatever is looked at: better woken in vain. */
static bool matches(const struct watch_on *on, const struct subject *s)
{
    if ((on->tables & s->table) == 0)
        return false;
    if (on->job != NULL && s->job != NULL && strcmp(on->job, s->job) != 0)
        return false;
    if (on->job_prefix != NULL && s->job != NULL &&
        strncmp(on->job_prefix, s->job, strlen(on->job_prefix)) != 0)
        return false;
    if (on->namespace != NULL && s->namespace != NULL && strcmp(on->namespace, s->namespace) != 0)
        return false;
    return !on->has_id || s->id.len != ID_SIZE ||
           (memcmp(s->id.data, on->low, ID_SIZE) >= 0 &&
            memcmp(s->id.data, on->high, ID_SIZE) <= 0);
}

static void wake_marked(void *owner)
{
    struct watchers *w = owner;
    struct link *last = w->waiting.prev; /* those added meanwhile wait for the next turn */
    bool more = !list_empty(&w->waiting);
    /* A woken waiter may go, and come back behind `last`; its neighbours stay. */
    for (struct link *l = w->waiting.next; more;) {
        struct waiter *waiter = container_of(l, struct waiter, link);
        more = l != last;
        l = l->next;
        if (waiter->woken) {
            waiter->woken = false;
            waiter->wake(waiter->owner);
        }
    }
}

static void mark(struct watchers *w, struct waiter *waiter)
{
    waiter->woken = true;
    step_mark(w->loop, &w->step, wake_marked, w);
}

void watchers_object(struct watchers *w, const Pb__Object *o)
{
    if (list_empty(&w->waiting))
        return;
    struct subject s = subject_of(o);
    struct waiter *waiter;
    list_each(&w->waiting, struct waiter, link,
              waiter) if (!waiter->woken && matches(&waiter->on, &s)) mark(w, waiter);
}

void watchers_all(struct watchers *w)
{
    struct waiter *waiter;
    list_each(&w->waiting, struct waiter, link, waiter) mark(w, waiter);
}
