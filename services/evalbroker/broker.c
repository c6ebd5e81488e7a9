#include "broker.h"
#include "base/err.h"
#include "items.h"
#include "wire/held.h"
#include <stdlib.h>
#include <string.h>

/* ---- making and ending */

struct broker *broker_new(const struct broker_settings *s)
{
    struct broker *b = xcalloc(1, sizeof(*b));
    b->set = *s;
    b->items = map_new();
    b->jobs = map_new();
    b->queues = map_new();
    b->owners = map_new();
    heap_init(&b->timers, item_due_earlier);
    b->shapes = map_new();
    list_init(&b->acked);
    list_init(&b->ending);
    b->capacity = capacity_new();
    return b;
}

void broker_free(struct broker *b)
{
    if (b == NULL)
        return;
    void *it;
    for (size_t i = 0; map_next(b->items, &i, NULL, NULL, &it);)
        item_free(b, it);
    map_free(b->items);
    map_free(b->jobs);
    map_free(b->queues);
    map_free(b->owners);
    map_free(b->shapes);
    heap_fini(&b->timers);
    capacity_free(b->capacity);
    free(b);
}

/* ---- the feed */

/* One that waits for other jobs is not ours until the state makes it pending: no room helps it. */
static bool is_live(const Pb__Eval *e)
{
    return e->status == PB__EVAL__STATUS__PENDING ||
           (e->status == PB__EVAL__STATUS__BLOCKED && !eval_is_held(e));
}

static void item_forget(struct broker *b, struct item *it)
{
    item_leave(b, it);
    job_advance(b, it->job);
    map_remove(b->items, it->id, ID_SIZE);
    item_free(b, it);
}

/* A plan of this evaluation saw more than the blocked one of the job did, and left nothing that
 * needs it. */
static void supersede_blocked(struct broker *b, const Pb__Eval *done)
{
    struct job *j = job_find(b, done);
    struct item *it = j != NULL ? j->blocked : NULL;
    if (it == NULL || it->create_index > done->snapshot_index || id_equal(it->id, done->id.data) ||
        (done->has_blocked_eval && id_equal(it->id, done->blocked_eval.data)))
        return;
    item_end(b, it, false);
}

static void update(struct broker *b, struct item *it, const Pb__Eval *e, struct moment now)
{
    bool same = it->modify_index == e->modify_index;
    struct job *j = it->job;
    if (it->modify_index > e->modify_index || same) {
        it->epoch = b->epoch;
        return;
    }
    item_unorder(it);
    item_read(b, it, e);
    switch (it->place) {
    case OUT:
    case BACKOFF:
        break;
    case READY:
        heap_push(&it->queue->ready, &it->order);
        break;
    case ACKED:
        if (it->status == PB__EVAL__STATUS__BLOCKED)
            item_settle_blocked(b, it);
        break;
    case ENDING: /* what was proposed named an older index */
        heap_remove(&b->timers, &it->timer);
        list_remove(&it->link);
        list_push_back(&b->ending, &it->link);
        break;
    default:
        item_leave(b, it);
        item_admit(b, it, now);
        job_advance(b, j);
    }
}

void broker_put_eval(struct broker *b, const Pb__Eval *e, struct moment now)
{
    if (!e->has_id)
        return;
    struct item *it = map_get_id(b->items, e->id.data);
    if (!is_live(e)) {
        if (e->status == PB__EVAL__STATUS__COMPLETE)
            supersede_blocked(b, e);
        if (it != NULL)
            item_forget(b, it);
    } else if (it != NULL) {
        update(b, it, e, now);
    } else if (map_count(b->items) >= b->set.max_evals) {
        b->overflow = true;
    } else {
        it = item_new(b, e);
        item_read(b, it, e);
        item_admit(b, it, now);
    }
}

void broker_drop_eval(struct broker *b, const uint8_t id[16], struct moment now)
{
    struct item *it = map_get_id(b->items, id);
    if (it != NULL)
        item_forget(b, it);
}

void broker_put_node(struct broker *b, const Pb__Node *node)
{
    capacity_put_node(b->capacity, node);
}

void broker_drop_node(struct broker *b, const uint8_t id[16])
{
    capacity_drop_node(b->capacity, id);
}

void broker_put_usage(struct broker *b, const Pb__NodeUsage *usage)
{
    capacity_put_usage(b->capacity, usage);
}

void broker_reached(struct broker *b, uint64_t index, struct moment now)
{
    if (index > b->reached)
        b->reached = index;
    broker_wake_blocked(b);
    struct item *it;
    list_each(&b->acked, struct item, link, it)
    {
        if (it->acked_index != 0 && it->acked_index <= b->reached)
            item_retry(b, it, item_nack_delay(b, it), now);
    }
}

void broker_reload_begin(struct broker *b)
{
    b->epoch++;
    b->reloading = true;
    b->overflow = false;
    capacity_reload_begin(b->capacity);
}

void broker_reload_end(struct broker *b, struct moment now)
{
    void *value;
    b->reloading = false;
    capacity_reload_end(b->capacity);
    for (size_t i = 0; map_next(b->items, &i, NULL, NULL, &value);)
        if (((struct item *)value)->epoch != b->epoch)
            item_forget(b, value);
    b->capacity_seen = 0;
    broker_wake_blocked(b);
}

bool broker_wants_reload(const struct broker *b)
{
    return b->overflow && !b->reloading && map_count(b->items) <= b->set.max_evals / 2;
}

/* ---- proposals */

static int64_t follow_up_delay_ms(const struct broker *b, const struct item *it)
{
    uint32_t before =
        it->deliveries_before / (b->set.max_deliveries > 0 ? b->set.max_deliveries : 1);
    return (int64_t)(b->set.follow_up_delay_ms << (before < 4 ? before : 4));
}

static Pb__EvalUpdate *propose_end(const struct broker *b, struct arena *a, const struct item *it,
                                   struct moment now)
{
    Pb__EvalUpdate *u = arena_alloc(a, sizeof(*u));
    pb__eval_update__init(u);
    u->has_id = u->has_status = u->has_modify_index = true;
    u->id = (ProtobufCBinaryData){ID_SIZE, arena_copy(a, it->id, ID_SIZE)};
    u->modify_index = it->modify_index;
    if (!it->fail) {
        u->status = PB__EVAL__STATUS__CANCELLED;
        u->status_description = arena_strdup(a, "cancelled after more recent eval was processed");
        return u;
    }
    u->status = PB__EVAL__STATUS__FAILED;
    u->status_description =
        arena_printf(a, "evaluation reached delivery limit (%u)", b->set.max_deliveries);
    if (it->job->slot == NULL &&
        it->job->next == NULL) { /* else the next one looks at the job anyway */
        u->has_follow_up_at = true;
        u->follow_up_at = now.wall_ns + follow_up_delay_ms(b, it) * 1000000;
    }
    return u;
}

Pb__EvalUpdates *broker_take_updates(struct broker *b, struct arena *a, size_t max,
                                     struct moment now)
{
    if (list_empty(&b->ending) || max == 0)
        return NULL;
    size_t count = b->in_place[ENDING] < max ? b->in_place[ENDING] : max;
    Pb__EvalUpdates *out = arena_alloc(a, sizeof(*out));
    pb__eval_updates__init(out);
    out->evals = arena_array(a, Pb__EvalUpdate *, count);
    while (out->n_evals < count && !list_empty(&b->ending)) {
        struct item *it = list_first(&b->ending, struct item, link);
        list_remove(&it->link);
        item_set_timer(b, it, now.mono_ms + b->set.settle_ms);
        out->evals[out->n_evals++] = propose_end(b, a, it, now);
    }
    return out;
}

/* ---- what is seen from outside */

void broker_stats(const struct broker *b, Pb__BrokerStats *out)
{
    pb__broker_stats__init(out);
    out->has_ready = out->has_unacked = out->has_waiting = out->has_blocked = true;
    out->has_delayed = out->has_failed = out->has_delivered = true;
    out->ready = b->in_place[READY];
    out->unacked = b->in_place[OUT] + b->in_place[ACKED];
    out->waiting = b->in_place[WAITING];
    out->blocked = b->in_place[BLOCKED];
    out->delayed = b->in_place[DELAYED] + b->in_place[BACKOFF];
    out->failed = b->failed;
    out->delivered = b->delivered;
}

static void item_check(const struct broker *b, const struct item *it)
{
    const struct job *j = it->job;
    bool in_slot =
        it->place == READY || it->place == OUT || it->place == ACKED || it->place == BACKOFF;
    bool timed =
        it->place == DELAYED || it->place == OUT || it->place == ACKED || it->place == BACKOFF;
    must(it->place != NOWHERE);
    must((j->slot == it) == in_slot);
    must((j->next == it) == (it->place == WAITING));
    must((j->blocked == it) == (it->place == BLOCKED));
    must(it->order.slot == 0 || it->place == READY || it->place == BLOCKED);
    must(it->order.slot != 0 || !(it->place == READY || (it->place == BLOCKED && j->slot == NULL)));
    must((it->owner != NULL) == (it->place == OUT));
    must(it->place == ENDING ? (it->timer.slot != 0) != link_is_linked(&it->link)
                             : (it->timer.slot != 0) == timed);
    must(it->place != BLOCKED || it->status == PB__EVAL__STATUS__BLOCKED);
    must(it->place != WAITING || j->slot != NULL);
    must(it->attempts <= b->set.max_deliveries);
    must(it->packed != NULL);
}

void broker_check(const struct broker *b)
{
    size_t count[ENDING + 1] = {0}, total = 0;
    void *value;
    for (size_t i = 0; map_next(b->items, &i, NULL, NULL, &value); total++) {
        const struct item *it = value;
        item_check(b, it);
        count[it->place]++;
    }
    must(total == map_count(b->items) && total <= b->set.max_evals);
    must(memcmp(count, b->in_place, sizeof(count)) == 0);
    for (size_t i = 0; map_next(b->queues, &i, NULL, NULL, &value);)
        heap_check(&((const struct queue *)value)->ready);
    for (size_t i = 0; map_next(b->jobs, &i, NULL, NULL, &value);)
        must(((const struct job *)value)->refs > 0);
    for (size_t i = 0; map_next(b->owners, &i, NULL, NULL, &value);)
        must(!list_empty(&((const struct owner *)value)->out));
    heap_check(&b->timers);
    capacity_check(b->capacity);
}
