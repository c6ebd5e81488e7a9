#include "broker.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/heap.h"
#include "base/id.h"
#include "base/list.h"
#include "base/map.h"
#include "base/strbuf.h"
#include "capacity.h"
#include <stdlib.h>
#include <string.h>

#define DEATHS_PER_DELIVERY 3

/* Where a tracked evaluation is. Each place says which of the item's links are in use. */
enum place {
    NOWHERE,
    DELAYED, /* wait_until has not come: timer */
    WAITING, /* the job's slot is taken: job->next */
    READY,   /* in the slot, in its type's heap */
    OUT,     /* in the slot, at a worker: owner's list, timer */
    ACKED,   /* in the slot until the feed shows how it ended: acked list, timer */
    BACKOFF, /* in the slot after a nack: timer */
    BLOCKED, /* job->blocked, blocked list */
    ENDING,  /* to be cancelled or failed: ending list, or proposed and on the timer */
};

struct queue { /* of one scheduler type */
    char *type;
    struct heap ready;
    size_t refs;
};

struct job {
    struct item *slot, *next, *blocked;
    size_t refs;
    size_t key_len;
    char key[]; /* namespace NUL id */
};

struct owner {
    uint64_t id;
    struct link out;
};

struct item {
    uint8_t id[ID_SIZE];
    enum place place;
    struct job *job;
    struct queue *queue;
    struct heap_item order; /* READY */
    struct heap_item timer;
    struct link link;
    uint64_t due_ms;
    uint64_t sequence; /* makes the order of timers total */

    uint8_t *packed; /* the evaluation, without its reports */
    size_t packed_len;
    Pb__Eval__Status status;
    uint32_t priority, deliveries_before;
    uint64_t create_index, modify_index;
    int64_t wait_until;
    uint64_t snapshot_index; /* BLOCKED: capacity freed later is news */
    bool escaped;
    struct findings *findings;

    uint64_t token;
    struct owner *owner;
    uint32_t attempts, lost;  /* deliveries that count, and those that died with their worker */
    uint64_t delivered_index; /* its modify_index then */
    uint64_t acked_index;
    uint64_t woken_index;
    bool fail; /* ENDING: fail it, rather than cancel */
    uint32_t epoch;
};

struct broker {
    struct broker_settings set;
    struct map *items;
    struct map *jobs;
    struct map *queues;
    struct map *owners;
    struct heap timers;
    struct link blocked, acked, ending;
    struct capacity *capacity;
    uint64_t reached;
    uint64_t capacity_seen; /* of the capacity's last_freed, by the blocked ones */
    uint64_t next_sequence;
    uint64_t delivered, failed;
    size_t in_place[ENDING + 1];
    uint32_t epoch;
    bool reloading, overflow;
};

/* ---- making and ending */

/* The rule of the queue: 1. priority, high first; 2. age, by index; 3. id. */
static bool more_urgent(const struct heap_item *x, const struct heap_item *y)
{
    const struct item *a = container_of(x, const struct item, order);
    const struct item *b = container_of(y, const struct item, order);
    if (a->priority != b->priority)
        return a->priority > b->priority;
    if (a->create_index != b->create_index)
        return a->create_index < b->create_index;
    return memcmp(a->id, b->id, ID_SIZE) < 0;
}

static bool due_earlier(const struct heap_item *x, const struct heap_item *y)
{
    const struct item *a = container_of(x, const struct item, timer);
    const struct item *b = container_of(y, const struct item, timer);
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->sequence < b->sequence;
}

struct broker *broker_new(const struct broker_settings *s)
{
    struct broker *b = xcalloc(1, sizeof(*b));
    b->set = *s;
    b->items = map_new();
    b->jobs = map_new();
    b->queues = map_new();
    b->owners = map_new();
    heap_init(&b->timers, due_earlier);
    list_init(&b->blocked);
    list_init(&b->acked);
    list_init(&b->ending);
    b->capacity = capacity_new();
    return b;
}

static struct queue *queue_get(struct broker *b, const char *type)
{
    struct queue *q = map_get(b->queues, type, strlen(type));
    if (q == NULL) {
        q = xcalloc(1, sizeof(*q));
        q->type = xstrdup(type);
        heap_init(&q->ready, more_urgent);
        map_put(b->queues, type, strlen(type), q);
    }
    q->refs++;
    return q;
}

static void queue_release(struct broker *b, struct queue *q)
{
    if (--q->refs > 0)
        return;
    map_remove(b->queues, q->type, strlen(q->type));
    heap_fini(&q->ready);
    free(q->type);
    free(q);
}

static void job_key(struct strbuf *key, const Pb__Eval *e)
{
    strbuf_puts(key, e->namespace_ != NULL && e->namespace_[0] != '\0' ? e->namespace_ : "default");
    strbuf_putc(key, '\0');
    strbuf_puts(key, e->job_id != NULL ? e->job_id : "");
}

static struct job *job_find(const struct broker *b, const Pb__Eval *e)
{
    struct strbuf key = STRBUF_INIT;
    job_key(&key, e);
    struct job *j = map_get(b->jobs, key.data, key.len);
    strbuf_free(&key);
    return j;
}

static struct job *job_get(struct broker *b, const Pb__Eval *e)
{
    struct job *j = job_find(b, e);
    if (j == NULL) {
        struct strbuf key = STRBUF_INIT;
        job_key(&key, e);
        j = xcalloc(1, sizeof(*j) + key.len);
        j->key_len = key.len;
        memcpy(j->key, key.data, key.len);
        map_put(b->jobs, j->key, j->key_len, j);
        strbuf_free(&key);
    }
    j->refs++;
    return j;
}

static void job_release(struct broker *b, struct job *j)
{
    if (--j->refs > 0)
        return;
    must(j->slot == NULL && j->next == NULL && j->blocked == NULL);
    map_remove(b->jobs, j->key, j->key_len);
    free(j);
}

static struct owner *owner_get(struct broker *b, uint64_t id)
{
    struct owner *o = map_get(b->owners, &id, sizeof(id));
    if (o == NULL) {
        o = xcalloc(1, sizeof(*o));
        o->id = id;
        list_init(&o->out);
        map_put(b->owners, &id, sizeof(id), o);
    }
    return o;
}

static void owner_release_if_idle(struct broker *b, struct owner *o)
{
    if (!list_empty(&o->out))
        return;
    map_remove(b->owners, &o->id, sizeof(o->id));
    free(o);
}

/* ---- moving between places */

static void move(struct broker *b, struct item *it, enum place to)
{
    b->in_place[it->place]--;
    b->in_place[to]++;
    it->place = to;
}

static void timer_set(struct broker *b, struct item *it, uint64_t due_ms)
{
    heap_remove(&b->timers, &it->timer);
    it->due_ms = due_ms;
    it->sequence = b->next_sequence++;
    heap_push(&b->timers, &it->timer);
}

/* Takes it out of wherever it is. Whoever calls this advances the job afterwards. */
static void leave(struct broker *b, struct item *it)
{
    struct job *j = it->job;
    if (it->place == READY)
        heap_remove(&it->queue->ready, &it->order);
    heap_remove(&b->timers, &it->timer);
    list_remove(&it->link);
    if (it->owner != NULL)
        owner_release_if_idle(b, it->owner);
    it->owner = NULL;
    j->slot = j->slot == it ? NULL : j->slot;
    j->next = j->next == it ? NULL : j->next;
    j->blocked = j->blocked == it ? NULL : j->blocked;
    move(b, it, NOWHERE);
}

static void make_ready(struct broker *b, struct item *it)
{
    it->job->slot = it;
    move(b, it, READY);
    heap_push(&it->queue->ready, &it->order);
}

static void end(struct broker *b, struct item *it, bool fail)
{
    leave(b, it);
    it->fail = fail;
    move(b, it, ENDING);
    list_push_back(&b->ending, &it->link);
}

static uint64_t freed_for(const struct broker *b, const struct item *it)
{
    return capacity_freed_after(b->capacity, it->findings, it->escaped, it->snapshot_index);
}

/* Fills an empty slot: by the one that waits, else by the blocked one if there may be room for it
 * now. */
static void advance(struct broker *b, struct job *j)
{
    if (j->slot != NULL)
        return;
    struct item *it = j->next;
    if (it == NULL && j->blocked != NULL && !b->reloading) {
        uint64_t freed = freed_for(b, j->blocked);
        if (freed == 0)
            return;
        it = j->blocked;
        it->woken_index = freed;
    }
    if (it == NULL)
        return;
    leave(b, it);
    make_ready(b, it);
}

static bool newer(const struct item *a, const struct item *b)
{
    return a->create_index != b->create_index ? a->create_index > b->create_index
                                              : memcmp(a->id, b->id, ID_SIZE) > 0;
}

/* A pending one whose time has come. One that was refused lately gives its place to whatever comes
 * later. */
static void enter(struct broker *b, struct item *it)
{
    struct job *j = it->job;
    if (j->slot != NULL && j->slot->place == BACKOFF && newer(it, j->slot))
        end(b, j->slot, false);
    if (j->slot == NULL && j->next == NULL) {
        make_ready(b, it);
        return;
    }
    struct item *older = j->next;
    if (older != NULL && newer(older, it)) {
        end(b, it, false);
    } else {
        if (older != NULL)
            end(b, older, false);
        j->next = it;
        move(b, it, WAITING);
    }
    advance(b, j);
}

static void enter_blocked(struct broker *b, struct item *it)
{
    struct job *j = it->job;
    if (j->slot != NULL && j->slot->place == READY &&
        j->slot->status == PB__EVAL__STATUS__BLOCKED && newer(it, j->slot))
        end(b, j->slot, false);
    struct item *older = j->blocked;
    if (older != NULL && newer(older, it)) {
        end(b, it, false);
    } else {
        if (older != NULL)
            end(b, older, false);
        it->attempts = it->lost = 0;
        j->blocked = it;
        move(b, it, BLOCKED);
        list_push_back(&b->blocked, &it->link);
    }
    advance(b, j);
}

static void admit(struct broker *b, struct item *it, struct moment now)
{
    if (it->status == PB__EVAL__STATUS__BLOCKED) {
        enter_blocked(b, it);
    } else if (it->wait_until > now.wall_ns) {
        move(b, it, DELAYED);
        timer_set(b, it, now.mono_ms + (uint64_t)(it->wait_until - now.wall_ns) / 1000000 + 1);
    } else {
        enter(b, it);
    }
}

/* A delivery came to nothing. */
static void retry(struct broker *b, struct item *it, uint64_t delay_ms, struct moment now)
{
    struct job *j = it->job;
    if (it->attempts >= b->set.max_deliveries) {
        b->failed++;
        end(b, it, true);
        advance(b, j);
    } else if (j->next != NULL) {
        end(b, it, false); /* the one that waits sees all that this one would */
        advance(b, j);
    } else {
        leave(b, it);
        if (delay_ms == 0) {
            make_ready(b, it);
            return;
        }
        j->slot = it;
        move(b, it, BACKOFF);
        timer_set(b, it, now.mono_ms + delay_ms);
    }
}

static uint64_t nack_delay(const struct broker *b, const struct item *it)
{
    uint32_t doublings = it->attempts > 1 ? it->attempts - 1 : 0;
    return b->set.nack_delay_ms << (doublings < 6 ? doublings : 6);
}

/* ---- the feed */

static bool is_live(const Pb__Eval *e)
{
    return e->status == PB__EVAL__STATUS__PENDING || e->status == PB__EVAL__STATUS__BLOCKED;
}

/* Workers need neither the reports of the last plan nor who else is to be told. */
static void item_pack(struct item *it, const Pb__Eval *e)
{
    Pb__Eval bare = *e;
    bare.n_failed_groups = bare.n_placed_groups = 0;
    free(it->packed);
    it->packed_len = protobuf_c_message_get_packed_size(&bare.base);
    it->packed = xmalloc(it->packed_len + 1);
    protobuf_c_message_pack(&bare.base, it->packed);
}

static void item_read(struct broker *b, struct item *it, const Pb__Eval *e)
{
    item_pack(it, e);
    it->status = e->status;
    it->priority = e->priority;
    it->deliveries_before = e->deliveries;
    it->create_index = e->create_index;
    it->modify_index = e->modify_index;
    it->wait_until = e->wait_until;
    it->snapshot_index = e->snapshot_index != 0 ? e->snapshot_index : e->modify_index;
    it->escaped = e->escaped_class;
    findings_free(b->capacity, it->findings);
    it->findings = e->n_classes > 0 ? findings_new(b->capacity, e->classes, e->n_classes) : NULL;
    it->epoch = b->epoch;
}

static struct item *item_new(struct broker *b, const Pb__Eval *e)
{
    struct item *it = xcalloc(1, sizeof(*it));
    memcpy(it->id, e->id.data, ID_SIZE);
    it->job = job_get(b, e);
    it->queue = queue_get(b, e->type != NULL ? e->type : "service");
    map_put(b->items, it->id, ID_SIZE, it);
    b->in_place[NOWHERE]++;
    return it;
}

static void item_forget(struct broker *b, struct item *it)
{
    struct job *j = it->job;
    leave(b, it);
    advance(b, j);
    map_remove(b->items, it->id, ID_SIZE);
    b->in_place[NOWHERE]--;
    job_release(b, j);
    queue_release(b, it->queue);
    findings_free(b->capacity, it->findings);
    free(it->packed);
    free(it);
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
    end(b, it, false);
}

static void item_settle_blocked(struct broker *b, struct item *it)
{
    struct job *j = it->job;
    leave(b, it);
    enter_blocked(b, it);
    advance(b, j);
}

static void update(struct broker *b, struct item *it, const Pb__Eval *e, struct moment now)
{
    bool same = it->modify_index == e->modify_index;
    struct job *j = it->job;
    if (it->modify_index > e->modify_index || same) {
        it->epoch = b->epoch;
        return;
    }
    if (it->place == READY)
        heap_remove(&it->queue->ready, &it->order);
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
        leave(b, it);
        admit(b, it, now);
        advance(b, j);
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
        admit(b, it, now);
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

static void wake_blocked(struct broker *b)
{
    uint64_t freed = capacity_last_freed(b->capacity);
    if (MUTANT("blocked-never-woken"))
        return;
    if (b->reloading || freed == b->capacity_seen)
        return;
    b->capacity_seen = freed;
    struct item *it;
    list_each(&b->blocked, struct item, link, it) advance(b, it->job);
}

void broker_reached(struct broker *b, uint64_t index, struct moment now)
{
    if (index > b->reached)
        b->reached = index;
    wake_blocked(b);
    struct item *it;
    list_each(&b->acked, struct item, link, it)
    {
        if (it->acked_index != 0 && it->acked_index <= b->reached)
            retry(b, it, nack_delay(b, it), now);
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
    wake_blocked(b);
}

bool broker_wants_reload(const struct broker *b)
{
    return b->overflow && !b->reloading && map_count(b->items) <= b->set.max_evals / 2;
}

/* ---- workers */

static struct item *most_urgent(const struct broker *b, char *const *types, size_t type_count)
{
    struct heap_item *best = NULL;
    for (size_t i = 0; i < type_count; i++) {
        const struct queue *q = map_get(b->queues, types[i], strlen(types[i]));
        struct heap_item *top = q != NULL ? heap_top(&q->ready) : NULL;
        if (top != NULL && (best == NULL || more_urgent(top, best)))
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
    move(b, it, OUT);
    it->owner = owner_get(b, owner);
    list_push_back(&it->owner->out, &it->link);
    it->token = b->set.token_seed + ++b->delivered;
    it->attempts++;
    it->delivered_index = it->modify_index;
    timer_set(b, it, now.mono_ms + b->set.ack_timeout_ms);
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
        retry(b, it, nack_delay(b, it), now); /* and knows nothing of an end */
    } else {
        struct job *j = it->job;
        leave(b, it);
        j->slot = it;
        it->acked_index = index;
        move(b, it, ACKED);
        list_push_back(&b->acked, &it->link);
        timer_set(b, it, now.mono_ms + b->set.settle_ms);
    }
    return true;
}

bool broker_nack(struct broker *b, const uint8_t id[16], uint64_t token, struct moment now)
{
    struct item *it = find_out(b, id, token);
    if (it != NULL)
        retry(b, it, nack_delay(b, it), now);
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
    retry(b, it, 0, now);
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
        move(b, it, NOWHERE);
        enter(b, it);
        break;
    case OUT:
    case ACKED:
        retry(b, it, 0, now);
        break;
    case BACKOFF:
        make_ready(b, it);
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
        timer_set(b, it, now.mono_ms + b->set.settle_ms);
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
    must((it->order.slot != 0) == (it->place == READY));
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

static void item_free(struct broker *b, struct item *it)
{
    leave(b, it);
    job_release(b, it->job);
    queue_release(b, it->queue);
    findings_free(b->capacity, it->findings);
    free(it->packed);
    free(it);
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
    heap_fini(&b->timers);
    capacity_free(b->capacity);
    free(b);
}
