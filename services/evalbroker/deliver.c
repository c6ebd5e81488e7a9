/* The broker's workers and timers: who has which evaluation, and what becomes of it. */
#include "base/err.h"
#include "base/fault.h"
#include "items.h"
#include <string.h>

#define DEATHS_PER_DELIVERY 3

/* ---- workers */

static struct item *most_urgent(const struct broker *b, char *const *types, size_t type_count)
{
    struct heap_item *best = NULL;
    for (size_t i = 0; i < type_count; i++) {
        const struct queue *q = map_get(b->queues, types[i], strlen(types[i]));
        struct heap_item *top = q != NULL ? heap_top(&q->ready) : NULL;
        if (top != NULL && (best == NULL || item_more_urgent(top, best)))
            best = top;
    }
    return best != NULL ? container_of(best, struct item, order) : NULL;
}

bool broker_dequeue(struct broker *b, char *const *types, size_t type_count, uint64_t owner,
                    struct moment now, struct delivery *out)
{
    struct item *it = b->reloading ? NULL : most_urgent(b, types, type_count);
    if (it == NULL)
        return false;
    heap_remove(&it->queue->ready, &it->order);
    item_move(b, it, OUT);
    it->owner = owner_get(b, owner);
    list_push_back(&it->owner->out, &it->link);
    it->token = b->set.token_seed + ++b->delivered;
    it->attempts++;
    it->delivered_index = it->modify_index;
    item_set_timer(b, it, now.mono_ms + b->set.ack_timeout_ms);
    *out = (struct delivery){
        .token = it->token,
        .attempt = it->attempts + it->lost,
        .min_index = it->woken_index > it->modify_index ? it->woken_index : it->modify_index,
        .eval = it->packed,
        .eval_len = it->packed_len,
    };
    return true;
}

size_t broker_ready(const struct broker *b, char *const *types, size_t type_count)
{
    size_t ready = 0;
    for (size_t i = 0; i < type_count && !b->reloading; i++) {
        const struct queue *q = map_get(b->queues, types[i], strlen(types[i]));
        ready += q != NULL ? q->ready.count : 0;
    }
    return ready;
}

static struct item *find_out(const struct broker *b, const uint8_t id[16], uint64_t token)
{
    struct item *it = map_get_id(b->items, id);
    return it != NULL && it->place == OUT && it->token == token ? it : NULL;
}

bool broker_ack(struct broker *b, const uint8_t id[16], uint64_t token, uint64_t index,
                struct moment now)
{
    struct item *it = find_out(b, id, token);
    if (it == NULL)
        return false;
    if (it->status == PB__EVAL__STATUS__BLOCKED && it->modify_index > it->delivered_index) {
        item_settle_blocked(b, it); /* the feed was faster than the worker */
    } else if (index != 0 && index <= b->reached) {
        item_retry(b, it, item_nack_delay(b, it), now); /* and knows nothing of an end */
    } else {
        struct job *j = it->job;
        item_leave(b, it);
        j->slot = it;
        it->acked_index = index;
        item_move(b, it, ACKED);
        list_push_back(&b->acked, &it->link);
        item_set_timer(b, it, now.mono_ms + b->set.settle_ms);
    }
    return true;
}

bool broker_nack(struct broker *b, const uint8_t id[16], uint64_t token, struct moment now)
{
    struct item *it = find_out(b, id, token);
    if (it != NULL)
        item_retry(b, it, item_nack_delay(b, it), now);
    return it != NULL;
}

/* A worker's end is seldom the evaluation's fault, so it takes more of them to fail it. */
static void retry_lost(struct broker *b, struct item *it, struct moment now)
{
    if (it->lost < DEATHS_PER_DELIVERY * b->set.max_deliveries) {
        it->lost++;
        it->attempts--;
    } else {
        it->attempts = b->set.max_deliveries;
    }
    item_retry(b, it, 0, now);
}

void broker_owner_gone(struct broker *b, uint64_t owner, struct moment now)
{
    struct owner *o; /* goes with the last of its items */
    if (MUTANT("ack-timer-forgotten"))
        return;
    while ((o = map_get(b->owners, &owner, sizeof(owner))) != NULL) {
        struct item *it = list_first(&o->out, struct item, link);
        must(it != NULL);
        retry_lost(b, it, now);
    }
}

/* ---- time */

static void timer_fired(struct broker *b, struct item *it, struct moment now)
{
    if (MUTANT("ack-timer-forgotten") && it->place == OUT)
        return;
    switch (it->place) {
    case DELAYED:
        item_move(b, it, NOWHERE);
        item_enter(b, it);
        break;
    case OUT:
    case ACKED:
        item_retry(b, it, 0, now);
        break;
    case BACKOFF:
        item_make_ready(b, it);
        break;
    case ENDING:
        list_push_back(&b->ending, &it->link);
        break;
    default:
        must(!"a timer fired for an evaluation that has none");
    }
}

void broker_tick(struct broker *b, struct moment now)
{
    struct heap_item *top;
    while ((top = heap_top(&b->timers)) != NULL) {
        struct item *it = container_of(top, struct item, timer);
        if (it->due_ms > now.mono_ms)
            break;
        heap_pop(&b->timers);
        timer_fired(b, it, now);
    }
}

uint64_t broker_next_due_ms(const struct broker *b)
{
    const struct heap_item *top = heap_top(&b->timers);
    return top != NULL ? container_of(top, const struct item, timer)->due_ms : UINT64_MAX;
}
