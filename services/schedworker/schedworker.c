#include "schedworker/asked.h"
#include "schedworker/round.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAUSE_MS 100 /* after a daemon we need did not answer */

static void next_phase(void *self);

/* ---- going on */

void round_go_on(struct schedworker *w, enum phase phase)
{
    w->phase = phase;
    step_mark(w->loop, &w->step, next_phase, w);
}

static void on_pause_over(void *self)
{
    struct schedworker *w = self;
    round_go_on(w, PHASE_CHECKING);
}

void round_pause(struct schedworker *w)
{
    w->phase = PHASE_IDLE;
    timer_arm(w->loop, &w->timer, PAUSE_MS + loop_random(w->loop) % PAUSE_MS, on_pause_over, w);
}

/* ---- waiting for the view */

static void on_view_late(void *self)
{
    struct schedworker *w = self;
    log_warn("view_late", "index=%llu wanted=%llu", (unsigned long long)fleet_index(w->fleet),
             (unsigned long long)w->need_index);
    work_give_all_back(w);
    round_pause(w);
}

static void wait_for_view(struct schedworker *w)
{
    struct work *k;
    w->need_index = 1;
    list_each(&w->works, struct work, link, k)
    {
        if (k->min_index > w->need_index)
            w->need_index = k->min_index;
    }
    if (fleet_index(w->fleet) >= w->need_index) {
        round_go_on(w, PHASE_FETCHING);
        return;
    }
    w->phase = PHASE_VIEWING;
    timer_arm(w->loop, &w->timer, w->view_timeout_ms, on_view_late, w);
    feed_reach(w->feed, w->need_index);
}

static void on_reset(void *self)
{
    struct schedworker *w = self;
    fleet_reset(w->fleet);
    history_reset(w->history);
}

static void on_object(void *self, const Pb__Object *o, uint64_t index)
{
    struct schedworker *w = self;
    fleet_set_object(w->fleet, o);
    history_object(w->history, o);
}

static void on_synced(void *self, uint64_t index)
{
    struct schedworker *w = self;
    fleet_set_index(w->fleet, index);
    struct planned *p;
    list_each(&w->planned, struct planned, link, p)
    {
        if (p->index > index)
            continue;
        list_remove(&p->link);
        fleet_release(w->fleet, p->hold);
        history_release(w->history, p->number);
        free(p);
    }
    asked_synced(w);
    if (w->phase == PHASE_VIEWING && timer_is_armed(&w->timer) && index >= w->need_index) {
        timer_cancel(w->loop, &w->timer);
        round_go_on(w, PHASE_FETCHING);
    }
}

static void on_connected(void *self, bool up, const char *why)
{
    if (up)
        log_info("jobstore_found", "ok=true");
    else
        log_warn("jobstore_lost", "reason=%s", log_quote(why != NULL ? why : ""));
}

static void next_phase(void *self)
{
    struct schedworker *w = self;
    switch (w->phase) {
    case PHASE_ASKING:
        asking_start(w);
        break;
    case PHASE_VIEWING:
        wait_for_view(w);
        break;
    case PHASE_FETCHING:
        planning_start(w);
        break;
    case PHASE_CHECKING:
        checking_start(w);
        break;
    case PHASE_IDLE:
    case PHASE_SUBMITTING:
        break;
    }
}

/* ---- the daemon */

static const struct metric metrics_table[SCHEDWORKER_METRIC_COUNT] = {
    [SCHEDWORKER_EVALS] = {"worker.evals", PB__METRIC__KIND__COUNTER,
                           "evaluations brought to an end", 0, 0, 0, 0},
    [SCHEDWORKER_PLANS] = {"worker.plans", PB__METRIC__KIND__COUNTER, "plans made", 0, 0, 0, 0},
    [SCHEDWORKER_PLACEMENTS] = {"worker.placements", PB__METRIC__KIND__COUNTER,
                                "placements planned", 0, 0, 0, 0},
    [SCHEDWORKER_REPLANNED] = {"worker.replanned", PB__METRIC__KIND__COUNTER,
                               "plans made again because the last was refused or stale", 0, 0, 0,
                               0},
    [SCHEDWORKER_GIVEN_BACK] = {"worker.given_back", PB__METRIC__KIND__COUNTER,
                                "evaluations given back unfinished", 0, 0, 0, 0},
    [SCHEDWORKER_ANSWERS] = {"worker.answers", PB__METRIC__KIND__COUNTER,
                             "questions answered (plan, why)", 0, 0, 0, 0},
    [SCHEDWORKER_IN_HAND] = {"worker.in_hand", PB__METRIC__KIND__GAUGE, "evaluations in hand", 0, 0,
                             0, 0},
    [SCHEDWORKER_VIEW_INDEX] = {"worker.view_index", PB__METRIC__KIND__GAUGE,
                                "index of the view of the fleet", 0, 0, 0, 0},
};

static void split_types(struct schedworker *w)
{
    size_t room = 1;
    for (const char *s = w->types; *s != '\0'; s++)
        room += *s == ',';
    w->type_names = xcalloc(room, sizeof(*w->type_names));
    char *rest = xstrdup(w->types), *all = rest, *one;
    while ((one = strsep(&rest, ", ")) != NULL)
        if (*one != '\0' && w->type_count < room)
            w->type_names[w->type_count++] = xstrdup(one);
    free(all);
}

/* ---- whom we work for */

static enum err open_fleet(struct schedworker *w, const char *jobstore, const char *poll,
                           struct reason *why)
{
    return feed_open(
        &w->feed, w->loop,
        &(struct feed_options){
            .jobstore = jobstore,
            .jobstore_poll = poll,
            .tables = FEED_TABLE(NODES) | FEED_TABLE(NODE_USAGE) | FEED_TABLE(NODE_POOLS),
            .pace_ms = 4,
            .self = w,
            .reset = on_reset,
            .object = on_object,
            .synced = on_synced,
            .connected = on_connected,
        },
        why);
}

/* The daemons of our own server: the state is read there, whoever leads. */
static enum err open_own(struct schedworker *w, struct reason *why)
{
    enum err e;
    if ((e = client_open(&w->broker, w->loop, w->evalbroker, why)) != OK ||
        (e = client_open(&w->queue, w->loop, w->planqueue, why)) != OK ||
        (e = client_open(&w->store, w->loop, w->jobstore, why)) != OK)
        return e;
    return w->feed != NULL ? OK : open_fleet(w, w->jobstore, w->jobstore_poll, why);
}

/* What is behind the leader's door, and, when we have no server of our own, its state. */
static enum err open_behind(struct schedworker *w, const char *door, struct reason *why)
{
    bool alone = w->servers[0] != '\0';
    char broker[300], queue[300], store[300], poll[300];
    snprintf(broker, sizeof broker, "%s#evalbroker", door);
    snprintf(queue, sizeof queue, "%s#planqueue", door);
    snprintf(store, sizeof store, "%s#jobstore", door);
    snprintf(poll, sizeof poll, "%s#jobstore-poll", door);
    enum err e;
    if ((e = client_open(&w->broker, w->loop, broker, why)) != OK ||
        (e = client_open(&w->queue, w->loop, queue, why)) != OK ||
        (e = client_open(&w->store, w->loop, alone ? store : w->jobstore, why)) != OK)
        return e;
    if (!alone)
        return OK;
    feed_close(w->feed);
    w->feed = NULL;
    return open_fleet(w, store, poll, why);
}

/* What is in hand was handed out by a broker that is gone, and will be handed out again. */
static void drop_round(struct schedworker *w)
{
    struct work *k;
    struct ending *e;
    client_close(w->broker);
    client_close(w->queue);
    client_close(w->store); /* and with them all that is under way */
    w->broker = w->queue = w->store = NULL;
    w->call = NULL;
    w->pause_wanted = false;
    timer_cancel(w->loop, &w->timer);
    asked_drop_all(w);
    list_each(&w->works, struct work, link, k)
    {
        others_drop(k->others); /* its calls went with their client */
        k->others = NULL;
        work_free(k);
    }
    list_each(&w->ended, struct ending, link, e)
    {
        list_remove(&e->link);
        free(e);
    }
}

static void on_moved(void *self, const char *door)
{
    struct schedworker *w = self;
    struct reason why;
    if (door[0] == '\0' && !w->elsewhere && !w->idle_beside_leader)
        return; /* we began with our own */
    drop_round(w);
    w->elsewhere = door[0] != '\0';
    if (!w->elsewhere && w->idle_beside_leader) {
        w->phase = PHASE_IDLE;
        step_cancel(&w->step);
        return;
    }
    enum err e = w->elsewhere ? open_behind(w, door, &why) : open_own(w, &why);
    if (e != OK)
        log_error("leader_refused", "door=%s reason=%s", door, log_quote(why.text));
    else
        round_go_on(w, PHASE_ASKING);
}

enum err schedworker_start(void *self, struct loop *l, struct reason *why)
{
    struct schedworker *w = self;
    w->loop = l;
    w->fleet = fleet_new();
    w->history = history_new(w->replay_plans, w->replay_bytes);
    list_init(&w->works);
    list_init(&w->ended);
    list_init(&w->planned);
    list_init(&w->asked);
    memcpy(w->metrics, metrics_table, sizeof(metrics_table));
    split_types(w);
    if (w->type_count == 0 || w->batch == 0)
        return reason_set(why, ERR_INVALID, "types must name a type and batch be at least 1");
    enum err e =
        where_open(&w->where, l,
                   &(struct where_options){
                       .gateway = w->gateway, .servers = w->servers, .self = w, .moved = on_moved},
                   why);
    if (e != OK || w->servers[0] != '\0' || w->idle_beside_leader)
        return e; /* we begin when we know who leads */
    if ((e = open_own(w, why)) != OK)
        return e;
    round_go_on(w, PHASE_ASKING);
    return OK;
}

void schedworker_drain(void *self, void (*drained)(void *arg), void *arg)
{
    struct schedworker *w = self;
    w->draining = true;
    w->drained = drained;
    w->drained_arg = arg;
    /* A question that waits for work is taken back; anything else comes to its end first. */
    if (w->phase == PHASE_ASKING && w->call != NULL) {
        asking_cancel(w);
        round_go_on(w, PHASE_ASKING);
    } else if (w->phase == PHASE_IDLE) {
        timer_cancel(w->loop, &w->timer);
        round_go_on(w, PHASE_CHECKING);
    }
}

void schedworker_close(void *self)
{
    struct schedworker *w = self;
    if (w->fleet == NULL)
        return;
    timer_cancel(w->loop, &w->timer);
    step_cancel(&w->step);
    where_close(w->where);
    feed_close(w->feed);
    client_close(w->broker);
    client_close(w->queue);
    client_close(w->store);
    asked_drop_all(w);
    struct work *k;
    list_each(&w->works, struct work, link, k)
    {
        others_drop(k->others); /* its calls went with their client */
        k->others = NULL;
        work_free(k);
    }
    struct ending *e;
    list_each(&w->ended, struct ending, link, e) free(e);
    struct planned *p;
    list_each(&w->planned, struct planned, link, p) free(p);
    for (size_t i = 0; i < w->type_count; i++)
        free(w->type_names[i]);
    free(w->type_names);
    history_free(w->history);
    fleet_free(w->fleet);
}

void schedworker_summary_log(void *self)
{
    struct schedworker *w = self;
    log_info("summary", "nodes=%zu index=%llu phase=%d in_hand=%zu evals=%.0f placements=%.0f",
             fleet_count(w->fleet), (unsigned long long)fleet_index(w->fleet), (int)w->phase,
             w->work_count, w->metrics[SCHEDWORKER_EVALS].value,
             w->metrics[SCHEDWORKER_PLACEMENTS].value);
}

struct metric *schedworker_metrics(void *self, size_t *count)
{
    struct schedworker *w = self;
    metric_set(&w->metrics[SCHEDWORKER_IN_HAND], (double)w->work_count);
    metric_set(&w->metrics[SCHEDWORKER_VIEW_INDEX], (double)fleet_index(w->fleet));
    *count = SCHEDWORKER_METRIC_COUNT;
    return w->metrics;
}
