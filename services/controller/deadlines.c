#include "deadlines.h"
#include "base/err.h"
#include "base/heap.h"
#include "base/id.h"
#include "base/list.h"
#include "base/map.h"
#include "sched/deployment.h"
#include <stdlib.h>
#include <string.h>

struct running {
    uint8_t id[ID_SIZE];
    uint64_t modify_index;
    int64_t due_ns; /* its deadline, or when the proposal comes again */
    struct heap_item timer;
};

struct deadlines {
    int64_t retry_ns;
    struct map *by_id;
    struct heap timers; /* of all of them */
};

static bool due_earlier(const struct heap_item *x, const struct heap_item *y)
{
    const struct running *a = container_of(x, const struct running, timer);
    const struct running *b = container_of(y, const struct running, timer);
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : memcmp(a->id, b->id, ID_SIZE) < 0;
}

struct deadlines *deadlines_new(int64_t retry_ns)
{
    struct deadlines *d = xcalloc(1, sizeof *d);
    d->retry_ns = retry_ns;
    d->by_id = map_new();
    heap_init(&d->timers, due_earlier);
    return d;
}

void deadlines_drop(struct deadlines *d, const uint8_t id[16])
{
    struct running *r = map_remove(d->by_id, id, ID_SIZE);
    if (r == NULL)
        return;
    heap_remove(&d->timers, &r->timer);
    free(r);
}

void deadlines_reset(struct deadlines *d)
{
    struct heap_item *top;
    while ((top = heap_top(&d->timers)) != NULL)
        deadlines_drop(d, container_of(top, struct running, timer)->id);
}

void deadlines_free(struct deadlines *d)
{
    if (d == NULL)
        return;
    deadlines_reset(d);
    map_free(d->by_id);
    heap_fini(&d->timers);
    free(d);
}

static struct running *add(struct deadlines *d, const uint8_t *id)
{
    struct running *r = xcalloc(1, sizeof *r);
    memcpy(r->id, id, ID_SIZE);
    map_put(d->by_id, r->id, ID_SIZE, r);
    return r;
}

void deadlines_put(struct deadlines *d, const Pb__Deployment *deployment)
{
    int64_t due = deployment_due(deployment);
    if (deployment->id.len != ID_SIZE)
        return;
    if (due == 0) {
        deadlines_drop(d, deployment->id.data);
        return;
    }
    struct running *r = map_get_id(d->by_id, deployment->id.data);
    if (r == NULL)
        r = add(d, deployment->id.data);
    r->modify_index = deployment->modify_index;
    heap_remove(&d->timers, &r->timer);
    r->due_ns = due;
    heap_push(&d->timers, &r->timer);
}

static struct running *first(const struct deadlines *d)
{
    struct heap_item *top = heap_top(&d->timers);
    return top == NULL ? NULL : container_of(top, struct running, timer);
}

int64_t deadlines_next_ns(const struct deadlines *d)
{
    const struct running *r = first(d);
    return r == NULL ? INT64_MAX : r->due_ns;
}

Pb__DeploymentFail *deadlines_take(struct deadlines *d, struct arena *a, int64_t now_ns)
{
    struct running *r = first(d);
    if (r == NULL || r->due_ns > now_ns)
        return NULL;
    Pb__DeploymentFail *f = arena_alloc(a, sizeof *f);
    pb__deployment_fail__init(f);
    f->has_id = f->has_progress_deadline = f->has_modify_index = true;
    f->id = (ProtobufCBinaryData){ID_SIZE, arena_copy(a, r->id, ID_SIZE)};
    f->progress_deadline = true;
    f->modify_index = r->modify_index;
    heap_remove(&d->timers, &r->timer);
    r->due_ns = now_ns + d->retry_ns;
    heap_push(&d->timers, &r->timer);
    return f;
}

size_t deadlines_count(const struct deadlines *d)
{
    return map_count(d->by_id);
}

void deadlines_check(const struct deadlines *d)
{
    heap_check(&d->timers);
    must(map_count(d->by_id) == d->timers.count);
}
