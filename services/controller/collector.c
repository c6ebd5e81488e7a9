#include "collector.h"
#include "base/err.h"
#include "base/id.h"
#include "base/log.h"
#include "jobstore.pb-c.h"
#include <stdlib.h>
#include <string.h>

#define PAUSE_MS  5u /* between two questions */
#define BUDGET_MS 30000u
#define ARENA_CAP (1u << 20)

struct collector {
    struct loop *loop;
    struct client *client;
    uint64_t interval_ms;
    struct collect *collect;
    struct timer timer;
    struct call *call; /* one at a time */
    bool running;
    bool force; /* asked for meanwhile */
    uint64_t deleted;
    uint8_t eval_id[ID_SIZE]; /* of the core evaluation in hand, for the log */
};

static void ask(void *owner);

static void begin(void *owner)
{
    struct collector *c = owner;
    bool force = c->force;
    c->force = false;
    c->running = true;
    for (size_t i = 0; i < ID_SIZE; i++)
        c->eval_id[i] = (uint8_t)loop_random(c->loop);
    collect_begin(c->collect, force, loop_wall_ns(c->loop));
    log_debug("core_eval", "eval=%s job=%s", log_id(c->eval_id), force ? "force-gc" : "job-gc");
    ask(c);
}

static void wait_for_next(struct collector *c)
{
    c->running = false;
    timer_arm(c->loop, &c->timer, c->force ? 1 : c->interval_ms, begin, c);
}

static void finish(struct collector *c)
{
    struct collect_counts n = collect_count(c->collect);
    size_t all = n.evals + n.allocs + n.deployments + n.jobs + n.nodes;
    c->deleted += all;
    if (all > 0 || collect_is_forced(c->collect))
        log_info("collected",
                 "eval=%s job=%s evals=%zu allocs=%zu deployments=%zu jobs=%zu nodes=%zu passes=%u",
                 log_id(c->eval_id), collect_is_forced(c->collect) ? "force-gc" : "job-gc", n.evals,
                 n.allocs, n.deployments, n.jobs, n.nodes, n.passes);
    wait_for_next(c);
}

/* Whether the answer is one; else the round is over, and another comes. */
static bool is_answer(struct collector *c, const struct response *r)
{
    c->call = NULL;
    if (r->code == PB__REPLY__CODE__OK && r->body != NULL)
        return true;
    log_warn("collection_lost", "eval=%s reason=%s", log_id(c->eval_id), log_quote(r->reason));
    wait_for_next(c);
    return false;
}

static void on_applied(void *owner, const struct response *r)
{
    struct collector *c = owner;
    if (!is_answer(c, r))
        return;
    collect_applied(c->collect, (const Pb__Outcome *)r->body);
    timer_arm(c->loop, &c->timer, PAUSE_MS, ask, c);
}

static void on_found(void *owner, const struct response *r)
{
    struct collector *c = owner;
    if (!is_answer(c, r))
        return;
    collect_witness(c->collect, r->index, loop_wall_ns(c->loop));
    Pb__Command command = PB__COMMAND__INIT;
    command.body_case = PB__COMMAND__BODY_COLLECT;
    command.collect = collect_found(c->collect, (const Pb__CollectFound *)r->body);
    if (command.collect == NULL) {
        timer_arm(c->loop, &c->timer, PAUSE_MS, ask, c);
        return;
    }
    c->call = client_call(c->client, &(struct call_options){
                                         .method = PB__JOBSTORE__METHOD__APPLY,
                                         .body = &command.base,
                                         .reply = &pb__outcome__descriptor,
                                         .budget_ms = BUDGET_MS,
                                         .retry = true,
                                         .done = on_applied,
                                         .owner = c,
                                     });
}

static void ask(void *owner)
{
    struct collector *c = owner;
    struct arena *a = arena_new(ARENA_CAP);
    Pb__CollectRead *q = collect_next(c->collect, a);
    if (q == NULL)
        finish(c);
    else
        c->call = client_call(c->client, &(struct call_options){
                                             .method = PB__COLLECTION__METHOD__COLLECTABLE,
                                             .body = &q->base,
                                             .reply = &pb__collect_found__descriptor,
                                             .budget_ms = BUDGET_MS,
                                             .retry = true,
                                             .done = on_found,
                                             .owner = c,
                                         });
    arena_free(a);
}

struct collector *collector_new(struct loop *l, struct client *jobstore, uint64_t interval_ms,
                                const struct collect_settings *s)
{
    struct collector *c = xcalloc(1, sizeof *c);
    c->loop = l;
    c->client = jobstore;
    c->interval_ms = interval_ms > 0 ? interval_ms : 1;
    c->collect = collect_new(s);
    timer_arm(l, &c->timer, c->interval_ms, begin, c);
    return c;
}

void collector_free(struct collector *c)
{
    if (c == NULL)
        return;
    timer_cancel(c->loop, &c->timer);
    call_cancel(c->call);
    collect_free(c->collect);
    free(c);
}

void collector_force(struct collector *c)
{
    c->force = true;
    if (!c->running)
        timer_arm(c->loop, &c->timer, 1, begin, c);
}

uint64_t collector_deleted(const struct collector *c)
{
    return c->deleted;
}
