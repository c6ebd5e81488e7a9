#include "timekeeper.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/log.h"
#include "deadlines.h"
#include "jobstore.pb-c.h"
#include <stdlib.h>

#define RETRY_NS  2000000000ll
#define BUDGET_MS 10000u

struct timekeeper {
    struct loop *loop;
    struct client *client;
    struct deadlines *deadlines;
    struct timer timer;
    struct call *proposing; /* one at a time */
    bool listing;           /* not all are known */
};

static void look(void *owner);

struct timekeeper *timekeeper_new(struct loop *l, struct client *jobstore)
{
    struct timekeeper *t = xcalloc(1, sizeof *t);
    t->loop = l;
    t->client = jobstore;
    t->deadlines = deadlines_new(RETRY_NS);
    t->listing = true;
    return t;
}

void timekeeper_free(struct timekeeper *t)
{
    if (t == NULL)
        return;
    timer_cancel(t->loop, &t->timer);
    call_cancel(t->proposing);
    deadlines_free(t->deadlines);
    free(t);
}

static void on_proposed(void *owner, const struct response *r)
{
    struct timekeeper *t = owner;
    t->proposing = NULL;
    if (r->code != PB__REPLY__CODE__OK)
        log_warn("proposal_lost", "reason=%s", log_quote(r->reason));
    look(t);
}

static void propose(struct timekeeper *t, Pb__DeploymentFail *fail)
{
    Pb__Command command = PB__COMMAND__INIT;
    command.body_case = PB__COMMAND__BODY_DEPLOYMENT_FAIL;
    command.deployment_fail = fail;
    log_info("deployment_overdue", "deployment=%s", log_id(fail->id.data));
    t->proposing = client_call(t->client, &(struct call_options){
                                              .method = PB__JOBSTORE__METHOD__APPLY,
                                              .body = &command.base,
                                              .reply = &pb__outcome__descriptor,
                                              .budget_ms = BUDGET_MS,
                                              .retry = true,
                                              .done = on_proposed,
                                              .owner = t,
                                          });
}

static void look(void *owner)
{
    struct timekeeper *t = owner;
    if (t->proposing != NULL || t->listing)
        return;
    struct arena *a = arena_new(1 << 16);
    int64_t now = loop_wall_ns(t->loop), next = deadlines_next_ns(t->deadlines);
    Pb__DeploymentFail *fail = deadlines_take(t->deadlines, a, now);
    if (fail != NULL)
        propose(t, fail);
    else if (next == INT64_MAX)
        timer_cancel(t->loop, &t->timer);
    else
        timer_arm(t->loop, &t->timer, (uint64_t)((next - now) / 1000000) + 1, look, t);
    arena_free(a);
}

void timekeeper_reset(struct timekeeper *t)
{
    t->listing = true;
    deadlines_reset(t->deadlines);
}

void timekeeper_put(struct timekeeper *t, const Pb__Deployment *d)
{
    deadlines_put(t->deadlines, d);
}

void timekeeper_drop(struct timekeeper *t, const uint8_t id[16])
{
    deadlines_drop(t->deadlines, id);
}

void timekeeper_synced(struct timekeeper *t)
{
    t->listing = false;
    look(t);
}

size_t timekeeper_count(const struct timekeeper *t)
{
    return deadlines_count(t->deadlines);
}
