/* What the broker tracks: evaluations, and their jobs, queues and workers by name. */
#include "items.h"
#include "base/err.h"
#include "base/strbuf.h"
#include <stdlib.h>
#include <string.h>

/* ---- their order */

/* The rule of the queue: 1. priority, high first; 2. age, by index; 3. id. */
bool item_more_urgent(const struct heap_item *x, const struct heap_item *y)
{
    const struct item *a = container_of(x, const struct item, order);
    const struct item *b = container_of(y, const struct item, order);
    if (a->priority != b->priority)
        return a->priority > b->priority;
    if (a->create_index != b->create_index)
        return a->create_index < b->create_index;
    return memcmp(a->id, b->id, ID_SIZE) < 0;
}

bool item_due_earlier(const struct heap_item *x, const struct heap_item *y)
{
    const struct item *a = container_of(x, const struct item, timer);
    const struct item *b = container_of(y, const struct item, timer);
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->sequence < b->sequence;
}

/* ---- queues, jobs and owners, each for as long as an item needs it */

static struct queue *queue_get(struct broker *b, const char *type)
{
    struct queue *q = map_get(b->queues, type, strlen(type));
    if (q == NULL) {
        q = xcalloc(1, sizeof(*q));
        q->type = xstrdup(type);
        heap_init(&q->ready, item_more_urgent);
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

struct job *job_find(const struct broker *b, const Pb__Eval *e)
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

struct owner *owner_get(struct broker *b, uint64_t id)
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

void owner_release_if_idle(struct broker *b, struct owner *o)
{
    if (!list_empty(&o->out))
        return;
    map_remove(b->owners, &o->id, sizeof(o->id));
    free(o);
}

/* ---- an item */

/* Workers need none of the reports of the last plan. */
static void item_pack(struct item *it, const Pb__Eval *e)
{
    Pb__Eval bare = *e;
    bare.n_failed_groups = bare.n_placed_groups = bare.n_classes = 0;
    free(it->packed);
    it->packed_len = protobuf_c_message_get_packed_size(&bare.base);
    it->packed = xmalloc(it->packed_len + 1);
    protobuf_c_message_pack(&bare.base, it->packed);
}

void item_read(struct broker *b, struct item *it, const Pb__Eval *e)
{
    item_pack(it, e);
    it->status = e->status;
    it->priority = e->priority;
    it->deliveries_before = e->deliveries;
    it->create_index = e->create_index;
    it->modify_index = e->modify_index;
    it->wait_until = e->wait_until;
    it->create_time = e->create_time;
    it->snapshot_index = e->snapshot_index != 0 ? e->snapshot_index : e->modify_index;
    shape_release(b, it->shape);
    it->shape = shape_get(b, e);
    it->epoch = b->epoch;
}

struct item *item_new(struct broker *b, const Pb__Eval *e)
{
    struct item *it = xcalloc(1, sizeof(*it));
    memcpy(it->id, e->id.data, ID_SIZE);
    it->job = job_get(b, e);
    it->queue = queue_get(b, e->type != NULL ? e->type : "service");
    map_put(b->items, it->id, ID_SIZE, it);
    b->in_place[NOWHERE]++;
    return it;
}

void item_free(struct broker *b, struct item *it)
{
    item_leave(b, it);
    b->in_place[NOWHERE]--;
    job_release(b, it->job);
    queue_release(b, it->queue);
    shape_release(b, it->shape);
    free(it->packed);
    free(it);
}
