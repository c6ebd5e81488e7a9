#include "names.h"
#include "base/list.h"
#include "base/map.h"
#include "wire/wire.h"
#include "objects.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES_MAX     20000u
#define TYPES_MAX     20000u
#define JOBS_MAX      256u
#define JOB_BYTES_MAX (4u << 20) /* packed */
#define JOB_ARENA     (256u << 20)
#define KEY_MAX       1024u

struct kept_job {
    struct link link;
    struct arena *arena;
    const Pb__Job *job; /* NULL: there is none */
    size_t bytes, key_len;
    char key[];
};

struct names {
    struct gateway *gateway;
    struct map *nodes;  /* id -> name */
    struct map *types;  /* namespace, id -> type */
    struct map *jobs;   /* namespace, id, version -> kept_job */
    struct link recent; /* kept_jobs, last used first */
    size_t job_bytes;
};

struct names *names_new(struct gateway *g)
{
    struct names *n = xcalloc(1, sizeof(*n));
    n->gateway = g;
    n->nodes = map_new();
    n->types = map_new();
    n->jobs = map_new();
    list_init(&n->recent);
    return n;
}

static void forget_texts(struct map *m)
{
    size_t i = 0;
    void *value;
    while (map_next(m, &i, NULL, NULL, &value))
        free(value);
    map_clear(m);
}

static void drop_job(struct names *n, struct kept_job *k)
{
    map_remove(n->jobs, k->key, k->key_len);
    list_remove(&k->link);
    n->job_bytes -= k->bytes;
    arena_free(k->arena);
    free(k);
}

void names_forget(struct names *n)
{
    struct kept_job *k;
    forget_texts(n->nodes);
    forget_texts(n->types);
    list_each(&n->recent, struct kept_job, link, k) drop_job(n, k);
}

void names_free(struct names *n)
{
    if (n == NULL)
        return;
    names_forget(n);
    map_free(n->nodes);
    map_free(n->types);
    map_free(n->jobs);
    free(n);
}

static void remember(struct map *m, size_t max, const void *key, size_t len, const char *text)
{
    if (map_count(m) >= max)
        forget_texts(m);
    free(map_put(m, key, len, xstrdup(text == NULL ? "" : text)));
}

/* Name and address behind one another. */
static void remember_node(struct names *n, const uint8_t id[16], const Pb__Node *node)
{
    const char *name = node == NULL || node->name == NULL ? "" : node->name, *ip = NULL;
    for (size_t i = 0; node != NULL && i < node->n_attributes; i++)
        if (strcmp(node->attributes[i]->key, "unique.network.ip-address") == 0)
            ip = node->attributes[i]->value;
    if (ip == NULL && node != NULL && node->n_networks > 0 && node->networks[0]->n_addresses > 0)
        ip = node->networks[0]->addresses[0]->address;
    if (ip == NULL)
        ip = "";
    size_t name_len = strlen(name), ip_len = strlen(ip);
    char *both = xmalloc(name_len + ip_len + 2);
    memcpy(both, name, name_len + 1);
    memcpy(both + name_len + 1, ip, ip_len + 1);
    if (map_count(n->nodes) >= NODES_MAX)
        forget_texts(n->nodes);
    free(map_put(n->nodes, id, ID_SIZE, both));
}

const char *names_node_ip(const char *name)
{
    return name + strlen(name) + 1;
}

void names_object(struct names *n, const Pb__Object *o)
{
    if (object_node(o) != NULL && object_node(o)->id.len == ID_SIZE)
        remember_node(n, object_node(o)->id.data, object_node(o));
}

static size_t job_key(const Pb__Alloc *a, char key[KEY_MAX], bool version)
{
    const char *namespace = a->namespace_ == NULL ? "default" : a->namespace_;
    int len =
        version
            ? snprintf(key, KEY_MAX, "%s%c%s%c%llu.%llu", namespace, 0,
                       a->job_id == NULL ? "" : a->job_id, 0, (unsigned long long)a->job_version,
                       (unsigned long long)a->job_create_index)
            : snprintf(key, KEY_MAX, "%s%c%s", namespace, 0, a->job_id == NULL ? "" : a->job_id);
    return len < (int)KEY_MAX ? (size_t)len : KEY_MAX - 1;
}

bool names_node(struct names *n, const uint8_t id[16], const char **out)
{
    return (*out = map_get_id(n->nodes, id)) != NULL;
}

bool names_job_type(struct names *n, const Pb__Alloc *alloc, const char **out)
{
    char key[KEY_MAX];
    return (*out = map_get(n->types, key, job_key(alloc, key, false))) != NULL;
}

bool names_job(struct names *n, const Pb__Alloc *alloc, const Pb__Job **out)
{
    char key[KEY_MAX];
    struct kept_job *k = map_get(n->jobs, key, job_key(alloc, key, true));
    if (k == NULL)
        return false;
    list_remove(&k->link);
    list_push_front(&n->recent, &k->link);
    *out = k->job;
    return true;
}

/* ---- fetching */

struct fetch {
    struct names *names;
    names_done_fn *done;
    void *owner;
    uint8_t node_id[ID_SIZE];
    Pb__Key key;
    bool older_asked;
    uint64_t create_index; /* of the job: a name may be used again after a purge */
    size_t job_key_len, type_key_len;
    char job_key[KEY_MAX], type_key[KEY_MAX], namespace[KEY_MAX], job_id[KEY_MAX];
};

static void on_node(void *owner, const struct response *r)
{
    struct fetch *f = owner;
    const Pb__Object *o = (const Pb__Object *)r->body;
    bool found = r->code == PB__REPLY__CODE__OK && object_node(o) != NULL;
    bool known = found || r->code == PB__REPLY__CODE__NOT_FOUND;
    if (known)
        remember_node(f->names, f->node_id, found ? object_node(o) : NULL);
    f->done(f->owner, known ? NULL : r);
    free(f);
}

void names_fetch_node(struct names *n, const uint8_t id[16], names_done_fn *done, void *owner)
{
    struct fetch *f = xcalloc(1, sizeof(*f));
    *f = (struct fetch){.names = n, .done = done, .owner = owner};
    memcpy(f->node_id, id, ID_SIZE);
    pb__key__init(&f->key);
    f->key.has_table = f->key.has_id = 1;
    f->key.table = PB__TABLE__NAME__NODES;
    f->key.id = (ProtobufCBinaryData){.len = ID_SIZE, .data = f->node_id};
    gateway_get(n->gateway, true, &f->key, on_node, f);
}

static void keep_job(struct names *n, const struct fetch *f, const Pb__Job *job)
{
    struct kept_job *k = xcalloc(1, sizeof(*k) + f->job_key_len);
    memcpy(k->key, f->job_key, f->job_key_len);
    k->key_len = f->job_key_len;
    k->arena = arena_new(JOB_ARENA);
    if (job != NULL) {
        k->bytes = protobuf_c_message_get_packed_size(&job->base);
        k->job = (const Pb__Job *)wire_clone(k->arena, &job->base);
    }
    struct kept_job *old = map_get(n->jobs, k->key, k->key_len);
    if (old != NULL)
        drop_job(n, old);
    while (!list_empty(&n->recent) &&
           (map_count(n->jobs) >= JOBS_MAX || n->job_bytes + k->bytes > JOB_BYTES_MAX))
        drop_job(n, container_of(n->recent.prev, struct kept_job, link));
    map_put(n->jobs, k->key, k->key_len, k);
    list_push_front(&n->recent, &k->link);
    n->job_bytes += k->bytes;
}

static void on_job(void *owner, const struct response *r)
{
    struct fetch *f = owner;
    const Pb__Object *o = (const Pb__Object *)r->body;
    bool known = r->code == PB__REPLY__CODE__OK || r->code == PB__REPLY__CODE__NOT_FOUND;
    const Pb__Job *job = r->code == PB__REPLY__CODE__OK ? object_job(o) : NULL;
    if (job != NULL && job->create_index != f->create_index && f->create_index != 0)
        job = NULL;
    if (job == NULL && known && !f->older_asked) {
        f->older_asked = true; /* the version is gone: the newest tells most of it */
        f->key.table = PB__TABLE__NAME__JOBS;
        gateway_get(f->names->gateway, true, &f->key, on_job, f);
        return;
    }
    if (known) {
        keep_job(f->names, f, job);
        remember(f->names->types, TYPES_MAX, f->type_key, f->type_key_len,
                 job == NULL ? "" : job->type);
    }
    f->done(f->owner, known ? NULL : r);
    free(f);
}

void names_fetch_job(struct names *n, const Pb__Alloc *alloc, names_done_fn *done, void *owner)
{
    struct fetch *f = xcalloc(1, sizeof(*f));
    f->names = n;
    f->done = done;
    f->owner = owner;
    f->create_index = alloc->job_create_index;
    f->job_key_len = job_key(alloc, f->job_key, true);
    f->type_key_len = job_key(alloc, f->type_key, false);
    snprintf(f->namespace, KEY_MAX, "%s",
             alloc->namespace_ == NULL ? "default" : alloc->namespace_);
    snprintf(f->job_id, KEY_MAX, "%s", alloc->job_id == NULL ? "" : alloc->job_id);
    pb__key__init(&f->key);
    f->key.has_table = f->key.has_version = 1;
    f->key.table = PB__TABLE__NAME__JOB_VERSIONS;
    f->key.namespace_ = f->namespace;
    f->key.name = f->job_id;
    f->key.version = alloc->job_version;
    gateway_get(n->gateway, true, &f->key, on_job, f);
}
