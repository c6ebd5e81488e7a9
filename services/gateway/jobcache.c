#include "jobcache.h"
#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "base/strbuf.h"
#include "wire/wire.h"
#include <stdlib.h>
#include <string.h>

struct cached {
    struct link link; /* the most recently used first */
    uint8_t *packed;  /* NULL: there is none */
    uint64_t job_modify_index, until_ms;
    size_t bytes, key_len;
    char key[];
};

struct jobcache {
    struct map *by_key;
    struct link used;
    size_t bytes, max_jobs, max_bytes;
};

static struct job_ref ref_of(const char *namespace, const char *id, uint64_t version,
                             uint64_t create_index)
{
    namespace = namespace != NULL && namespace[0] != '\0' ? namespace : "default";
    return (struct job_ref){namespace, id != NULL ? id : "", version, create_index};
}

struct job_ref alloc_job_ref(const Pb__Alloc *alloc)
{
    return ref_of(alloc->namespace_, alloc->job_id, alloc->job_version, alloc->job_create_index);
}

struct job_ref job_ref_of(const Pb__Job *job)
{
    return ref_of(job->namespace_, job->id, job->version, job->create_index);
}

bool job_ref_equal(struct job_ref a, struct job_ref b)
{
    return a.version == b.version && a.create_index == b.create_index && strcmp(a.id, b.id) == 0 &&
           strcmp(a.namespace, b.namespace) == 0;
}

static struct strbuf key_of(struct job_ref ref)
{
    struct strbuf key = STRBUF_INIT;
    strbuf_puts(&key, ref.namespace);
    strbuf_putc(&key, '\0');
    strbuf_puts(&key, ref.id);
    strbuf_putc(&key, '\0');
    strbuf_add(&key, &ref.version, sizeof(ref.version));
    strbuf_add(&key, &ref.create_index, sizeof(ref.create_index));
    return key;
}

struct jobcache *jobcache_new(size_t max_jobs, size_t max_bytes)
{
    struct jobcache *c = xcalloc(1, sizeof(*c));
    c->by_key = map_new();
    list_init(&c->used);
    c->max_jobs = max_jobs;
    c->max_bytes = max_bytes;
    return c;
}

static void forget(struct jobcache *c, struct cached *j)
{
    map_remove(c->by_key, j->key, j->key_len);
    list_remove(&j->link);
    c->bytes -= j->bytes;
    free(j->packed);
    free(j);
}

void jobcache_free(struct jobcache *c)
{
    if (c == NULL)
        return;
    struct cached *j;
    list_each(&c->used, struct cached, link, j) forget(c, j);
    map_free(c->by_key);
    free(c);
}

static struct cached *put(struct jobcache *c, struct job_ref ref, size_t bytes)
{
    struct strbuf key = key_of(ref);
    struct cached *old = map_get(c->by_key, key.data, key.len);
    if (old != NULL)
        forget(c, old);
    while (map_count(c->by_key) > 0 &&
           (map_count(c->by_key) >= c->max_jobs || c->bytes + bytes > c->max_bytes))
        forget(c, container_of(c->used.prev, struct cached, link));
    struct cached *j = xcalloc(1, sizeof(*j) + key.len);
    j->bytes = bytes;
    j->key_len = key.len;
    memcpy(j->key, key.data, key.len);
    c->bytes += bytes;
    map_put(c->by_key, j->key, j->key_len, j);
    list_push_front(&c->used, &j->link);
    strbuf_free(&key);
    return j;
}

static struct cached *find(const struct jobcache *c, struct job_ref ref)
{
    struct strbuf key = key_of(ref);
    struct cached *j = map_get(c->by_key, key.data, key.len);
    strbuf_free(&key);
    return j;
}

void jobcache_put(struct jobcache *c, const Pb__Job *job)
{
    struct job_ref ref = job_ref_of(job);
    const struct cached *known = find(c, ref);
    if (known != NULL && known->packed != NULL && known->job_modify_index == job->job_modify_index)
        return; /* its specification is the same: agents look at nothing else */
    struct cached *j = put(c, ref, protobuf_c_message_get_packed_size(&job->base));
    j->job_modify_index = job->job_modify_index;
    j->packed = xmalloc(j->bytes);
    protobuf_c_message_pack(&job->base, j->packed);
}

void jobcache_put_missing(struct jobcache *c, struct job_ref ref, uint64_t until_ms)
{
    put(c, ref, 0)->until_ms = until_ms;
}

bool jobcache_knows(const struct jobcache *c, struct job_ref ref, uint64_t now_ms)
{
    const struct cached *j = find(c, ref);
    return j != NULL && (j->packed != NULL || now_ms < j->until_ms);
}

bool jobcache_get(struct jobcache *c, struct job_ref ref, uint64_t now_ms, struct arena *a,
                  Pb__Job **out)
{
    if (!jobcache_knows(c, ref, now_ms))
        return false;
    struct cached *j = find(c, ref);
    list_remove(&j->link);
    list_push_front(&c->used, &j->link);
    *out = NULL;
    if (j->packed == NULL)
        return true;
    *out = WIRE_UNPACK(a, Pb__Job, pb__job, j->packed, j->bytes);
    must(*out != NULL);
    return true;
}

void jobcache_check(const struct jobcache *c)
{
    size_t bytes = 0, count = 0;
    for (const struct link *l = c->used.next; l != &c->used; l = l->next, count++)
        bytes += container_of(l, struct cached, link)->bytes;
    must(bytes == c->bytes && count == map_count(c->by_key));
    must(count <= c->max_jobs && (bytes <= c->max_bytes || count <= 1));
}
