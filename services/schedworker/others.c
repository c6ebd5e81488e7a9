#include "schedworker/others.h"
#include "base/id.h"
#include "sched/fit.h"
#include "schedworker/round.h"
#include "wire/wire.h"
#include <stdlib.h>
#include <string.h>

#define MOST_PAGES 8 /* of SCHED_SHORT_MOST nodes */
#define PAGE_CAP   ((size_t)64 << 20)

struct others {
    struct arena *arena;
    uint32_t priority; /* of the most important that may go */
    struct sched_short next;
    size_t pages;
    Pb__Alloc **allocs;
    size_t count;
    struct call *reading;
    void (*done)(void *owner, bool ok);
    void *owner;
};

static bool type_is(const Pb__Job *job, const char *type)
{
    return job->type != NULL && strcmp(job->type, type) == 0;
}

/* Types that are not ours are services to whoever switches this. */
static bool may_displace(const Pb__SchedulerConfig *c, const Pb__Job *job)
{
    const Pb__PreemptionConfig *p = c != NULL ? c->preemption_config : NULL;
    if (p == NULL || job == NULL || job->priority <= PREEMPT_GAP)
        return false;
    return type_is(job, "system")     ? p->system_scheduler_enabled
           : type_is(job, "sysbatch") ? p->sysbatch_scheduler_enabled
           : type_is(job, "batch")    ? p->batch_scheduler_enabled
                                      : p->service_scheduler_enabled;
}

struct sched_options others_options(struct others **o, const Pb__SchedulerConfig *config,
                                    const Pb__Job *job)
{
    struct sched_options options = {.spreads_load =
                                        config != NULL && config->scheduler_algorithm != NULL &&
                                        strcmp(config->scheduler_algorithm, "spread") == 0};
    options.memory_over = config != NULL && config->memory_oversubscription_enabled;
    if (!may_displace(config, job))
        return options;
    if (*o == NULL) {
        *o = xcalloc(1, sizeof(**o));
        (*o)->arena = arena_new(PAGE_CAP * MOST_PAGES);
    }
    struct others *x = *o;
    x->priority = job->priority - PREEMPT_GAP;
    x->next.skip = x->pages * SCHED_SHORT_MOST;
    x->next.count = 0;
    options.others = x->allocs;
    options.other_count = x->count;
    options.short_of_room = &x->next;
    return options;
}

bool others_wanted(const struct others *o)
{
    return o != NULL && o->next.count > 0 && o->pages < MOST_PAGES;
}

static void add_page(struct others *o, const Pb__NodeAllocs *page)
{
    Pb__Alloc **all = arena_array(o->arena, Pb__Alloc *, o->count + page->n_allocs + 1);
    if (o->count > 0)
        memcpy(all, o->allocs, o->count * sizeof(*all));
    for (size_t i = 0; i < page->n_allocs; i++)
        all[o->count++] = (Pb__Alloc *)wire_clone(o->arena, &page->allocs[i]->base);
    o->allocs = all;
    o->pages++;
    o->next.count = 0;
}

static void on_page(void *owner, const struct response *r)
{
    struct others *o = owner;
    o->reading = NULL;
    bool ok = r->code == PB__REPLY__CODE__OK && r->body != NULL;
    if (ok)
        add_page(o, (const Pb__NodeAllocs *)r->body);
    else
        log_warn("node_allocs_failed", "reason=%s", log_quote(r->reason));
    o->done(o->owner, ok);
}

void others_read(struct others *o, struct schedworker *w, void (*done)(void *owner, bool ok),
                 void *owner)
{
    struct arena *a = arena_new(1 << 20);
    Pb__NodeAllocsRequest q = PB__NODE_ALLOCS_REQUEST__INIT;
    q.node_ids = arena_array(a, ProtobufCBinaryData, o->next.count);
    for (size_t i = 0; i < o->next.count; i++)
        q.node_ids[q.n_node_ids++] = (ProtobufCBinaryData){ID_SIZE, o->next.ids[i].bytes};
    q.has_max_priority = 1;
    q.max_priority = o->priority;
    o->done = done;
    o->owner = owner;
    o->reading =
        client_call(w->store, &(struct call_options){.method = PB__JOBSTORE__METHOD__NODE_ALLOCS,
                                                     .body = &q.base,
                                                     .reply = &pb__node_allocs__descriptor,
                                                     .budget_ms = CALL_MS,
                                                     .retry = true,
                                                     .done = on_page,
                                                     .owner = o});
    arena_free(a);
}

void others_drop(struct others *o)
{
    if (o != NULL)
        o->reading = NULL;
    others_free(o);
}

void others_free(struct others *o)
{
    if (o == NULL)
        return;
    call_cancel(o->reading);
    arena_free(o->arena);
    free(o);
}
