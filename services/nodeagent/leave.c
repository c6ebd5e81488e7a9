#include "leave.h"
#include "base/log.h"
#include <stdlib.h>

#define LOOK_MS   100
#define RETRY_MS  1000
#define BUDGET_MS 5000
#define ASK_MS    20000 /* for so long a server is looked for that hears of it */
#define SPARE_MS  30000 /* from the last order to stop until all is said */
#define NO_LIMIT  (365ull * 24 * 3600 * 1000)
#define NS_PER_MS 1000000
#define ARENA_CAP ((size_t)1 << 20)

enum stage { REST, RETURNING, ASKING, WAITING };

struct leave {
    struct loop *loop;
    struct leave_options options;
    enum stage stage;
    struct timer timer;
    struct call *call;
    uint64_t asked_ms, end_ms;
    uint64_t index; /* of the drain */
    void (*done)(void *owner);
    void *owner;
};

static void go_on(void *owner);

static void again(struct leave *v, uint64_t ms)
{
    timer_arm(v->loop, &v->timer, ms, go_on, v);
}

/* Written before the servers hear of it: a node that is drained and does not know would stay so. */
static void note(struct leave *v, bool left)
{
    struct reason why;
    struct arena *a = arena_new(ARENA_CAP);
    Pb__LocalNode *known = local_node(v->options.local, a);
    if (known != NULL && known->left != left) {
        known->has_left = true;
        known->left = left;
        if (local_put_node(v->options.local, known, &why) != OK)
            log_warn("local_state_not_written", "reason=%s", log_quote(why.text));
    }
    arena_free(a);
}

static bool has_left(struct leave *v)
{
    struct arena *a = arena_new(ARENA_CAP);
    const Pb__LocalNode *known = local_node(v->options.local, a);
    bool left = known != NULL && known->left;
    arena_free(a);
    return left;
}

static void finish(struct leave *v)
{
    v->stage = REST;
    v->done(v->owner);
}

static void on_returned(struct leave *v, const struct response *r)
{
    if (r->code != PB__REPLY__CODE__OK) {
        log_debug("return_failed", "reason=%s", log_quote(r->reason));
        again(v, RETRY_MS);
        return;
    }
    log_info("node_returned", "node=%s", log_id(v->options.node->id.data));
    v->stage = REST;
    note(v, false);
}

static void on_drained(struct leave *v, const struct response *r)
{
    if (r->code != PB__REPLY__CODE__OK) {
        log_warn("drain_refused", "reason=%s", log_quote(r->reason));
        again(v, RETRY_MS);
        return;
    }
    /* What was placed until then is heard of before the node is called empty. */
    v->stage = WAITING;
    v->index = r->index;
    uplink_look_again(v->options.uplink, r->index);
    again(v, 0);
}

static void on_answer(void *owner, const struct response *r)
{
    struct leave *v = owner;
    v->call = NULL;
    if (v->stage == RETURNING)
        on_returned(v, r);
    else if (v->asked_ms == 0) /* that of a return, when we are to leave again */
        again(v, 0);
    else
        on_drained(v, r);
}

static void call(struct leave *v, Pb__DrainSpec *spec)
{
    Pb__NodeLeave body = PB__NODE_LEAVE__INIT;
    body.has_node_id = body.has_secret_id = true;
    body.node_id = v->options.node->id;
    body.secret_id = v->options.node->secret_id;
    body.spec = spec;
    v->call = client_call(uplink_client(v->options.uplink),
                          &(struct call_options){.method = PB__GATEWAY__METHOD__NODE_LEAVE,
                                                 .body = &body.base,
                                                 .budget_ms = BUDGET_MS,
                                                 .retry = true,
                                                 .done = on_answer,
                                                 .owner = v});
}

static void ask_for_drain(struct leave *v)
{
    Pb__DrainSpec spec = PB__DRAIN_SPEC__INIT;
    uint64_t now = loop_now_ms(v->loop);
    if (v->asked_ms == 0) {
        v->asked_ms = now;
        note(v, true);
    }
    if (now - v->asked_ms >= ASK_MS) {
        log_error("not_drained", "reason=%s", log_quote("no server takes the drain"));
        finish(v);
        return;
    }
    if (!uplink_is_registered(v->options.uplink)) {
        again(v, LOOK_MS);
        return;
    }
    spec.has_deadline_ns = spec.has_ignore_system_jobs = true;
    spec.deadline_ns = v->options.force ? -1 : (int64_t)v->options.deadline_ms * NS_PER_MS;
    spec.ignore_system_jobs = v->options.ignore_system_jobs;
    call(v, &spec);
}

static void look(struct leave *v)
{
    bool heard = uplink_news_index(v->options.uplink) >= v->index;
    if (heard && !runner_has_work(v->options.runner, v->options.ignore_system_jobs)) {
        log_info("drained", "%s", "");
        finish(v);
    } else if (loop_now_ms(v->loop) >= v->end_ms) {
        log_warn("not_drained", "reason=%s", log_quote("the deadline is over"));
        finish(v);
    } else {
        again(v, LOOK_MS);
    }
}

static void go_on(void *owner)
{
    struct leave *v = owner;
    if (v->stage == ASKING)
        ask_for_drain(v);
    else if (v->stage == WAITING)
        look(v);
    else if (uplink_is_registered(v->options.uplink))
        call(v, NULL);
    else
        again(v, LOOK_MS);
}

struct leave *leave_new(struct loop *l, const struct leave_options *o)
{
    struct leave *v = xcalloc(1, sizeof *v);
    v->loop = l;
    v->options = *o;
    if (has_left(v)) {
        v->stage = RETURNING;
        again(v, LOOK_MS);
    }
    return v;
}

void leave_free(struct leave *v)
{
    if (v == NULL)
        return;
    timer_cancel(v->loop, &v->timer);
    call_cancel(v->call);
    free(v);
}

void leave_begin(struct leave *v, void (*done)(void *owner), void *owner)
{
    log_info("leaving", "deadline_ms=%llu", (unsigned long long)v->options.deadline_ms);
    v->stage = ASKING;
    v->done = done;
    v->owner = owner;
    v->end_ms = loop_now_ms(v->loop) + leave_limit_ms(&v->options);
    if (v->call == NULL) /* else it is to be answered first: they must not overtake one another */
        again(v, 0);
}

uint64_t leave_limit_ms(const struct leave_options *o)
{
    if (!o->force && o->deadline_ms == 0)
        return NO_LIMIT;
    return (o->force ? 0 : o->deadline_ms) + o->max_kill_timeout_ms + SPARE_MS;
}
