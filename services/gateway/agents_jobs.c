/* Jobs that an answer to an agent needs and the cache has not: each is fetched once, for all who
 * wait for it. */
#include "agents_parts.h"
#include "base/strbuf.h"
#include <stdlib.h>
#include <string.h>

#define SHORT_MS       5000u
#define MISSING_JOB_MS 2000u
#define LIST_AGAIN_MS  200u

struct fetch {
    struct agents *agents;
    struct arena *arena;
    struct job_ref ref;
    char *key;
    size_t key_len;
    struct call *call;
    struct node **nodes; /* whose answers wait for it; nodes stay while the door is open */
    size_t count, room;
    struct timer again;
};

static void fetch_end(struct fetch *f)
{
    timer_cancel(f->agents->loop, &f->again);
    map_remove(f->agents->fetches, f->key, f->key_len);
    free(f->nodes);
    arena_free(f->arena); /* f lives in it */
}

static void fetch_start(void *owner);

static void on_fetched(void *owner, const struct response *r)
{
    struct fetch *f = owner;
    struct agents *a = f->agents;
    const Pb__Object *object = (const Pb__Object *)r->body;
    bool found = r->code == PB__REPLY__CODE__OK && object != NULL &&
                 object->value_case == PB__OBJECT__VALUE_JOB;
    if (found)
        jobcache_put(a->jobs, object->job);
    uint64_t now = loop_now_ms(a->loop);
    f->call = NULL;
    if (!found && r->code != PB__REPLY__CODE__NOT_FOUND) {
        timer_arm(a->loop, &f->again, LIST_AGAIN_MS, fetch_start, f);
        return;
    }
    if (!jobcache_knows(a->jobs, f->ref, now)) /* gone, or another job of that name */
        jobcache_put_missing(a->jobs, f->ref, now + MISSING_JOB_MS);
    struct node **nodes = f->nodes;
    size_t count = f->count;
    f->nodes = NULL;
    fetch_end(f);
    for (size_t i = 0; i < count; i++)
        if (--nodes[i]->jobs_pending == 0)
            node_poll_step(nodes[i]);
    free(nodes);
}

static void fetch_start(void *owner)
{
    struct fetch *f = owner;
    Pb__Key wanted = PB__KEY__INIT;
    wanted.has_table = wanted.has_version = 1;
    wanted.table = PB__TABLE__NAME__JOB_VERSIONS;
    wanted.namespace_ = (char *)f->ref.namespace;
    wanted.name = (char *)f->ref.id;
    wanted.version = f->ref.version;
    f->call = client_call(f->agents->options.jobstore,
                          &(struct call_options){.method = PB__JOBSTORE__METHOD__GET,
                                                 .body = &wanted.base,
                                                 .reply = &pb__object__descriptor,
                                                 .budget_ms = SHORT_MS,
                                                 .retry = true,
                                                 .done = on_fetched,
                                                 .owner = f});
}

static struct fetch *fetch_get(struct agents *a, struct job_ref ref)
{
    struct arena *arena = arena_new(64u << 10);
    char *key = arena_printf(arena, "%s\n%s\n%llu\n%llu", ref.namespace, ref.id,
                             (unsigned long long)ref.version, (unsigned long long)ref.create_index);
    struct fetch *f = map_get(a->fetches, key, strlen(key));
    if (f != NULL) {
        arena_free(arena);
        return f;
    }
    f = arena_array(arena, struct fetch, 1);
    f->agents = a;
    f->arena = arena;
    f->ref = (struct job_ref){arena_strdup(arena, ref.namespace), arena_strdup(arena, ref.id),
                              ref.version, ref.create_index};
    f->key = key;
    f->key_len = strlen(key);
    map_put(a->fetches, key, f->key_len, f);
    fetch_start(f);
    return f;
}

/* n's next answer waits for the job. */
void node_fetch_job(struct node *n, struct job_ref ref)
{
    struct fetch *f = fetch_get(n->agents, ref);
    if (f->count > 0 && f->nodes[f->count - 1] == n)
        return;
    if (f->count == f->room) {
        f->room = f->room > 0 ? f->room * 2 : 4;
        f->nodes = xrealloc(f->nodes, f->room * sizeof(struct node *));
    }
    f->nodes[f->count++] = n;
    n->jobs_pending++;
}

void job_fetches_close(struct agents *a)
{
    size_t i = 0;
    void *item;
    while (map_next(a->fetches, &i, NULL, NULL, &item)) {
        struct fetch *f = item;
        if (f->call != NULL)
            call_cancel(f->call);
        fetch_end(f);
    }
}
