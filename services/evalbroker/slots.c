/* The places of an evaluation and the rules of its job's slot. */
#include "items.h"
#include <string.h>

void item_move(struct broker *b, struct item *it, enum place to)
{
    b->in_place[it->place]--;
    b->in_place[to]++;
    it->place = to;
}

void item_set_timer(struct broker *b, struct item *it, uint64_t due_ms)
{
    heap_remove(&b->timers, &it->timer);
    it->due_ms = due_ms;
    it->sequence = b->next_sequence++;
    heap_push(&b->timers, &it->timer);
}

void item_unorder(struct item *it)
{
    if (it->place == READY)
        heap_remove(&it->queue->ready, &it->order);
    else if (it->place == BLOCKED)
        heap_remove(&it->shape->waiting, &it->order);
}

/* Takes it out of wherever it is. Whoever calls this advances the job afterwards. */
void item_leave(struct broker *b, struct item *it)
{
    struct job *j = it->job;
    item_unorder(it);
    heap_remove(&b->timers, &it->timer);
    list_remove(&it->link);
    if (it->owner != NULL)
        owner_release_if_idle(b, it->owner);
    it->owner = NULL;
    j->slot = j->slot == it ? NULL : j->slot;
    j->next = j->next == it ? NULL : j->next;
    j->blocked = j->blocked == it ? NULL : j->blocked;
    item_move(b, it, NOWHERE);
}

void item_make_ready(struct broker *b, struct item *it)
{
    it->job->slot = it;
    item_move(b, it, READY);
    heap_push(&it->queue->ready, &it->order);
}

void item_end(struct broker *b, struct item *it, bool fail)
{
    item_leave(b, it);
    it->fail = fail;
    item_move(b, it, ENDING);
    list_push_back(&b->ending, &it->link);
}

/* Fills an empty slot: by the one that waits, else by the blocked one if there may be room for it
 * now. */
void job_advance(struct broker *b, struct job *j)
{
    if (j->slot != NULL)
        return;
    struct item *it = j->next;
    if (it == NULL && j->blocked != NULL) {
        uint64_t freed = item_await_capacity(b, j->blocked);
        if (freed == 0)
            return;
        it = j->blocked;
        it->woken_index = freed;
    }
    if (it == NULL)
        return;
    item_leave(b, it);
    item_make_ready(b, it);
}

static bool newer(const struct item *a, const struct item *b)
{
    return a->create_index != b->create_index ? a->create_index > b->create_index
                                              : memcmp(a->id, b->id, ID_SIZE) > 0;
}

/* A pending one whose time has come. One that was refused lately gives its place to whatever comes
 * later. */
void item_enter(struct broker *b, struct item *it)
{
    struct job *j = it->job;
    if (j->slot != NULL && j->slot->place == BACKOFF && newer(it, j->slot))
        item_end(b, j->slot, false);
    if (j->slot == NULL && j->next == NULL) {
        item_make_ready(b, it);
        return;
    }
    struct item *older = j->next;
    if (older != NULL && newer(older, it)) {
        item_end(b, it, false);
    } else {
        if (older != NULL)
            item_end(b, older, false);
        j->next = it;
        item_move(b, it, WAITING);
    }
    job_advance(b, j);
}

static void item_enter_blocked(struct broker *b, struct item *it)
{
    struct job *j = it->job;
    if (j->slot != NULL && j->slot->place == READY &&
        j->slot->status == PB__EVAL__STATUS__BLOCKED && newer(it, j->slot))
        item_end(b, j->slot, false);
    struct item *older = j->blocked;
    if (older != NULL && newer(older, it)) {
        item_end(b, it, false);
    } else {
        if (older != NULL)
            item_end(b, older, false);
        it->attempts = it->lost = 0;
        j->blocked = it;
        item_move(b, it, BLOCKED);
    }
    job_advance(b, j);
}

/* The state's clock never goes back and may be ahead of ours: nobody waits for longer than was
 * meant when the evaluation was made. */
static int64_t left_to_wait(const struct item *it, struct moment now)
{
    int64_t left = it->wait_until - now.wall_ns, meant = it->wait_until - it->create_time;
    return left < meant ? left : meant;
}

void item_admit(struct broker *b, struct item *it, struct moment now)
{
    if (it->status == PB__EVAL__STATUS__BLOCKED) {
        item_enter_blocked(b, it);
    } else if (left_to_wait(it, now) > 0) {
        item_move(b, it, DELAYED);
        item_set_timer(b, it, now.mono_ms + (uint64_t)left_to_wait(it, now) / 1000000 + 1);
    } else {
        item_enter(b, it);
    }
}

/* A delivery came to nothing. */
void item_retry(struct broker *b, struct item *it, uint64_t delay_ms, struct moment now)
{
    struct job *j = it->job;
    if (it->attempts >= b->set.max_deliveries) {
        b->failed++;
        item_end(b, it, true);
        job_advance(b, j);
    } else if (j->next != NULL) {
        item_end(b, it, false); /* the one that waits sees all that this one would */
        job_advance(b, j);
    } else {
        item_leave(b, it);
        if (delay_ms == 0) {
            item_make_ready(b, it);
            return;
        }
        j->slot = it;
        item_move(b, it, BACKOFF);
        item_set_timer(b, it, now.mono_ms + delay_ms);
    }
}

uint64_t item_nack_delay(const struct broker *b, const struct item *it)
{
    uint32_t doublings = it->attempts > 1 ? it->attempts - 1 : 0;
    return b->set.nack_delay_ms << (doublings < 6 ? doublings : 6);
}

void item_settle_blocked(struct broker *b, struct item *it)
{
    struct job *j = it->job;
    item_leave(b, it);
    item_enter_blocked(b, it);
    job_advance(b, j);
}
