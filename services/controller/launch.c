#include "launch.h"
#include "base/heap.h"
#include "base/map.h"
#include "sched/periodic.h"
#include <stdlib.h>
#include <string.h>

#define SECOND_NS INT64_C(1000000000)

struct entry {
    struct heap_item item; /* in the heap unless a launch of it is taken, or none will come */
    char *ns, *id;
    struct periodic *schedule;
    uint64_t job_modify_index;
    int64_t base; /* launches until then are history */
    int64_t due;  /* the first one after base */
    int64_t not_before;
    bool taken;
};

struct launches {
    struct map *jobs;
    struct heap due;
};

static struct entry *entry_of(const struct heap_item *i)
{
    return (struct entry *)((uintptr_t)i - offsetof(struct entry, item));
}

static int64_t time_of(const struct entry *e)
{
    return e->due < e->not_before ? e->not_before : e->due;
}

static bool before(const struct heap_item *a, const struct heap_item *b)
{
    const struct entry *x = entry_of(a), *y = entry_of(b);
    if (time_of(x) != time_of(y))
        return time_of(x) < time_of(y);
    int c = strcmp(x->ns, y->ns);
    return c != 0 ? c < 0 : strcmp(x->id, y->id) < 0;
}

struct launches *launches_new(void)
{
    struct launches *l = xcalloc(1, sizeof *l);
    l->jobs = map_new();
    heap_init(&l->due, before);
    return l;
}

/* ---- entries by their names */

#define MAX_KEY 1024

static size_t key_of(char key[MAX_KEY], const char *ns, const char *id)
{
    size_t n = strlen(ns) + 1, m = strlen(id);
    if (n + m > MAX_KEY)
        return 0;
    memcpy(key, ns, n);
    memcpy(key + n, id, m);
    return n + m;
}

static const char *namespace_of(const char *ns)
{
    return ns == NULL || ns[0] == '\0' ? "default" : ns;
}

static struct entry *find(const struct launches *l, const char *ns, const char *id)
{
    char key[MAX_KEY];
    size_t len = key_of(key, namespace_of(ns), id);
    return len > 0 ? map_get(l->jobs, key, len) : NULL;
}

static void entry_free(struct launches *l, struct entry *e)
{
    heap_remove(&l->due, &e->item);
    periodic_free(e->schedule);
    free(e->ns);
    free(e->id);
    free(e);
}

static struct entry *entry_new(struct launches *l, const char *ns, const char *id)
{
    char key[MAX_KEY];
    size_t len = key_of(key, ns, id);
    if (len == 0)
        return NULL;
    struct entry *e = xcalloc(1, sizeof *e);
    e->ns = xstrdup(ns);
    e->id = xstrdup(id);
    map_put(l->jobs, key, len, e);
    return e;
}

/* Where it stands after its base or its schedule has changed. */
static void settle(struct launches *l, struct entry *e)
{
    heap_remove(&l->due, &e->item);
    e->due = periodic_next(e->schedule, e->base);
    if (!e->taken && e->due != CRON_NEVER)
        heap_push(&l->due, &e->item);
}

/* ---- the feed */

static int64_t history_of(const Pb__Job *job)
{
    int64_t ns = job->last_launch > job->submit_time ? job->last_launch : job->submit_time;
    return ns / SECOND_NS;
}

enum err launches_put(struct launches *l, const Pb__Job *job, struct reason *why)
{
    const char *ns = namespace_of(job->namespace_);
    struct periodic *schedule = NULL;
    struct entry *e = find(l, ns, job->id);
    if (!job_is_launched(job)) {
        launches_drop(l, ns, job->id);
        return OK;
    }
    if (e == NULL || e->job_modify_index != job->job_modify_index) {
        enum err error = periodic_new(&schedule, job->periodic, why);
        if (error != OK) {
            launches_drop(l, ns, job->id);
            return error;
        }
    }
    if (e == NULL && (e = entry_new(l, ns, job->id)) == NULL) {
        periodic_free(schedule);
        return reason_set(why, ERR_INVALID, "its name is too long");
    }
    if (schedule != NULL) {
        periodic_free(e->schedule);
        e->schedule = schedule;
        e->job_modify_index = job->job_modify_index;
    }
    if (history_of(job) > e->base)
        e->base = history_of(job);
    settle(l, e);
    return OK;
}

void launches_drop(struct launches *l, const char *ns, const char *id)
{
    char key[MAX_KEY];
    size_t len = key_of(key, namespace_of(ns), id);
    struct entry *e = len > 0 ? map_remove(l->jobs, key, len) : NULL;
    if (e != NULL)
        entry_free(l, e);
}

void launches_reset(struct launches *l)
{
    const void *key;
    size_t i = 0, len;
    void *value;
    while (map_next(l->jobs, &i, &key, &len, &value))
        entry_free(l, value);
    map_clear(l->jobs);
}

void launches_free(struct launches *l)
{
    if (l == NULL)
        return;
    launches_reset(l);
    map_free(l->jobs);
    heap_fini(&l->due);
    free(l);
}

size_t launches_count(const struct launches *l)
{
    return map_count(l->jobs);
}

/* ---- launches */

int64_t launches_next_due(const struct launches *l)
{
    const struct heap_item *top = heap_top(&l->due);
    return top != NULL ? time_of(entry_of(top)) : LAUNCH_NEVER;
}

/* What is made up for first, of an entry that is due. */
static int64_t first_to_make(const struct entry *e, int64_t now)
{
    int64_t late = now - LAUNCH_LATE_S;
    if (e->due >= late)
        return e->due;
    int64_t recent = periodic_next(e->schedule, late - 1);
    return recent <= now ? recent : periodic_last(e->schedule, e->base, late - 1);
}

bool launches_take(struct launches *l, int64_t now, struct launch *out)
{
    if (launches_next_due(l) > now)
        return false;
    struct entry *e = entry_of(heap_pop(&l->due));
    e->taken = true;
    *out = (struct launch){e->ns, e->id, first_to_make(e, now), e->job_modify_index};
    return true;
}

void launches_done(struct launches *l, const char *ns, const char *id, int64_t time)
{
    struct entry *e = find(l, ns, id);
    if (e == NULL)
        return;
    e->taken = false;
    heap_remove(&l->due, &e->item); /* first: its place depends on not_before */
    e->not_before = 0;
    if (time > e->base)
        e->base = time;
    settle(l, e);
}

void launches_failed(struct launches *l, const char *ns, const char *id, int64_t retry_at)
{
    struct entry *e = find(l, ns, id);
    if (e == NULL)
        return;
    e->taken = false;
    heap_remove(&l->due, &e->item);
    e->not_before = retry_at;
    settle(l, e);
}

void launches_check(const struct launches *l)
{
    const void *key;
    size_t i = 0, len;
    void *value;
    heap_check(&l->due);
    while (map_next(l->jobs, &i, &key, &len, &value)) {
        const struct entry *e = value;
        must(find(l, e->ns, e->id) == e);
        must((e->item.slot != 0) == (!e->taken && e->due != CRON_NEVER));
        must(e->due > e->base);
    }
}
