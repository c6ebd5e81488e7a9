#include "drainer.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/log.h"
#include "drain.h"
#include "jobstore.pb-c.h"
#include "wire/wire.h"
#include <stdlib.h>

#define PAUSE_MS  1000u /* between two rounds */
#define BUDGET_MS 10000u
#define PAGE      2000u
#define ARENA_CAP (64u << 20) /* ids and names of what is on the nodes of a round */

struct drainer {
    struct loop *loop;
    struct client *client;
    struct drain *drain;
    struct timer timer;
    struct arena *arena; /* of the round in hand */
    struct drain_round *round;
    const uint8_t *node; /* whose allocations are being listed */
    struct call *call;   /* one at a time */
    bool due;            /* a drain began meanwhile */
};

struct drainer *drainer_new(struct loop *l, struct client *jobstore)
{
    struct drainer *d = xcalloc(1, sizeof *d);
    d->loop = l;
    d->client = jobstore;
    d->drain = drain_new();
    return d;
}

static void end_round(struct drainer *d)
{
    call_cancel(d->call);
    d->call = NULL;
    d->round = NULL;
    d->node = NULL;
    arena_free(d->arena);
    d->arena = NULL;
}

void drainer_free(struct drainer *d)
{
    if (d == NULL)
        return;
    timer_cancel(d->loop, &d->timer);
    end_round(d);
    drain_free(d->drain);
    free(d);
}

static void begin(void *owner);

static void pause_a_while(struct drainer *d)
{
    end_round(d);
    if (drain_count(d->drain) > 0)
        timer_arm(d->loop, &d->timer, d->due ? 1 : PAUSE_MS, begin, d);
}

/* Whether the answer is one; else the round is over, and another comes. */
static bool is_answer(struct drainer *d, const struct response *r)
{
    d->call = NULL;
    if (r->code == PB__REPLY__CODE__OK && r->body != NULL)
        return true;
    log_warn("drain_round_lost", "reason=%s", log_quote(r->reason));
    pause_a_while(d);
    return false;
}

/* ---- what is found */

static void on_applied(void *owner, const struct response *r)
{
    struct drainer *d = owner;
    if (is_answer(d, r))
        pause_a_while(d);
}

static void finish(struct drainer *d)
{
    Pb__DrainStep *step = drain_round_finish(d->round);
    if (step == NULL) {
        pause_a_while(d);
        return;
    }
    for (size_t i = 0; i < step->n_drained; i++)
        log_info("node_drained", "node=%s", log_id(step->drained[i]->node_id.data));
    if (step->n_migrate + step->n_stop > 0)
        log_info("draining", "allocs=%zu past_deadline=%zu", step->n_migrate + step->n_stop,
                 step->n_stop);
    Pb__Command command = PB__COMMAND__INIT;
    command.body_case = PB__COMMAND__BODY_DRAIN_STEP;
    command.drain_step = step;
    d->call = client_call(d->client, &(struct call_options){
                                         .method = PB__JOBSTORE__METHOD__APPLY,
                                         .body = &command.base,
                                         .reply = &pb__outcome__descriptor,
                                         .budget_ms = BUDGET_MS,
                                         .retry = true,
                                         .done = on_applied,
                                         .owner = d,
                                     });
}

/* ---- the jobs */

static void ask_job(struct drainer *d);

static void on_job(void *owner, const struct response *r)
{
    struct drainer *d = owner;
    if (!is_answer(d, r))
        return;
    const Pb__JobViews *views = (const Pb__JobViews *)r->body;
    for (size_t i = 0; i < views->n_jobs; i++)
        drain_round_job(d->round, views->jobs[i]);
    ask_job(d);
}

static void ask_job(struct drainer *d)
{
    const Pb__JobKey *key = drain_round_next_job(d->round);
    if (key == NULL) {
        finish(d);
        return;
    }
    Pb__JobViewsRequest ask = PB__JOB_VIEWS_REQUEST__INIT;
    ask.n_jobs = 1;
    ask.jobs = (Pb__JobKey *[]){(Pb__JobKey *)(uintptr_t)key};
    d->call = client_call(d->client, &(struct call_options){
                                         .method = PB__JOBSTORE__METHOD__JOB_VIEWS,
                                         .body = &ask.base,
                                         .reply = &pb__job_views__descriptor,
                                         .budget_ms = BUDGET_MS,
                                         .retry = true,
                                         .done = on_job,
                                         .owner = d,
                                     });
}

/* ---- the nodes' allocations */

static void ask_node(struct drainer *d);
static void ask_page(struct drainer *d, Pb__Key *after);

static void on_page(void *owner, const struct response *r)
{
    struct drainer *d = owner;
    if (!is_answer(d, r))
        return;
    const Pb__Objects *page = (const Pb__Objects *)r->body;
    for (size_t i = 0; i < page->n_objects; i++)
        if (page->objects[i]->value_case == PB__OBJECT__VALUE_ALLOC)
            drain_round_alloc(d->round, page->objects[i]->alloc);
    if (page->next != NULL)
        ask_page(d, page->next);
    else
        ask_node(d);
}

static void ask_page(struct drainer *d, Pb__Key *after)
{
    Pb__List l = PB__LIST__INIT;
    l.has_table = l.has_by = l.has_id = l.has_limit = 1;
    l.table = PB__TABLE__NAME__ALLOCS;
    l.by = PB__LIST__BY__NODE;
    l.id = wire_id(d->arena, d->node);
    l.limit = PAGE;
    l.after = after;
    d->call = client_call(d->client, &(struct call_options){
                                         .method = PB__JOBSTORE__METHOD__LIST,
                                         .body = &l.base,
                                         .reply = &pb__objects__descriptor,
                                         .budget_ms = BUDGET_MS,
                                         .retry = true,
                                         .done = on_page,
                                         .owner = d,
                                     });
}

static void ask_node(struct drainer *d)
{
    d->node = drain_round_next_node(d->round);
    if (d->node != NULL)
        ask_page(d, NULL);
    else
        ask_job(d);
}

/* ---- rounds */

static void begin(void *owner)
{
    struct drainer *d = owner;
    d->due = false;
    if (d->round != NULL || drain_count(d->drain) == 0)
        return;
    d->arena = arena_new(ARENA_CAP);
    d->round = drain_round_new(d->drain, d->arena, loop_wall_ns(d->loop));
    ask_node(d);
}

void drainer_reset(struct drainer *d)
{
    timer_cancel(d->loop, &d->timer);
    end_round(d);
    drain_reset(d->drain);
}

void drainer_put_node(struct drainer *d, const Pb__Node *node)
{
    d->due |= drain_put_node(d->drain, node);
}

void drainer_drop_node(struct drainer *d, const uint8_t id[16])
{
    drain_drop_node(d->drain, id);
}

void drainer_synced(struct drainer *d)
{
    if (d->due && d->round == NULL)
        timer_arm(d->loop, &d->timer, 1, begin, d);
}

size_t drainer_count(const struct drainer *d)
{
    return drain_count(d->drain);
}
