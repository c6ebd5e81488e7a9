#include "state/internal.h"
#include "base/fault.h"
#include <stdlib.h>
#include <string.h>

static const char *const table_names[T_COUNT] = {
    [T_META] = "meta",
    [T_JOBS] = "jobs",
    [T_JOB_VERSIONS] = "job_versions",
    [T_SUMMARIES] = "job_summaries",
    [T_EVALS] = "evals",
    [T_ALLOCS] = "allocs",
    [T_ALLOC_TASKS] = "alloc_tasks",
    [T_NODES] = "nodes",
    [T_NODE_USAGE] = "node_usage",
    [T_DEPLOYMENTS] = "deployments",
    [T_NAMESPACES] = "namespaces",
    [T_NODE_POOLS] = "node_pools",
    [T_SCALING_EVENTS] = "scaling_events",
    [T_JOB_COUNTS] = "job_counts",
    [T_EVALS_BY_JOB] = "evals_by_job",
    [T_ALLOCS_BY_JOB] = "allocs_by_job",
    [T_ALLOCS_BY_NODE] = "allocs_by_node",
    [T_ALLOCS_BY_EVAL] = "allocs_by_eval",
    [T_DEPLOYMENTS_BY_JOB] = "deployments_by_job",
    [T_LATEST_DEPLOYMENT] = "latest_deployment",
    [T_OUTCOMES] = "outcomes",
    [T_OUTCOME_ORDER] = "outcome_order",
    [T_CHANGES] = "changes",
    [T_SYSTEM_JOBS] = "system_jobs",
    [T_INCOMING] = "incoming",
    [T_QUEUE] = "dispatch_queue",
    [T_TOKENS] = "dispatch_tokens",
    [T_DEPENDENTS] = "dependents",
    [T_HELD] = "held_evals",
};

#define DEFAULT_CHANGES_KEPT 200000
#define DEFAULT_OUTCOMES     20000

enum err state_open(struct state **out, const char *dir, const struct state_options *o,
                    struct reason *why)
{
    struct store_options so = {.map_bytes = o->map_bytes,
                               .nosync = true,
                               .read_only = o->read_only,
                               .tables = table_names,
                               .table_count = T_COUNT};
    struct store *store;
    enum err e = store_open(&store, dir, &so, why);
    if (e != OK)
        return e;
    struct state *s = xcalloc(1, sizeof *s);
    s->store = store;
    s->options = *o;
    if (s->options.changes_kept == 0)
        s->options.changes_kept = DEFAULT_CHANGES_KEPT;
    if (s->options.outcomes_kept == 0)
        s->options.outcomes_kept = DEFAULT_OUTCOMES;
    *out = s;
    return OK;
}

static void view_free(struct view *v)
{
    if (v == NULL)
        return;
    map_free(v->usages);
    map_free(v->jobs);
    arena_free(v->arena);
    for (unsigned i = 0; i < FEED_TABLES; i++)
        strbuf_free(&v->touched[i]);
    free(v);
}

void state_close(struct state *s)
{
    if (s == NULL)
        return;
    view_free(s->spare);
    store_close(s->store);
    free(s);
}

struct store *state_store(struct state *s)
{
    return s->store;
}

/* ---- transactions */

static void meta_load(struct view *v)
{
    struct bytes b;
    v->meta = (struct state_meta){0};
    if (txn_get(v->txn, T_META, META_KEY, &b) && b.len == sizeof v->meta)
        memcpy(&v->meta, b.data, sizeof v->meta);
}

struct view *state_read(struct state *s)
{
    struct view *v = xcalloc(1, sizeof *v);
    v->state = s;
    v->txn = txn_read(s->store);
    meta_load(v);
    return v;
}

struct view *state_write(struct state *s)
{
    struct view *v = s->spare;
    s->spare = NULL;
    if (v == NULL) {
        v = xcalloc(1, sizeof *v);
        v->usages = map_new();
        v->jobs = map_new();
        v->arena = arena_new(WIRE_MAX_UNPACKED);
    }
    v->state = s;
    v->write = true;
    v->txn = txn_write(s->store);
    meta_load(v);
    return v;
}

static void view_end(struct view *v)
{
    must(!v->in_command);
    if (v->write && v->state->spare == NULL)
        v->state->spare = v;
    else
        view_free(v);
}

enum err view_commit(struct view *v, struct reason *why)
{
    if (v->write)
        txn_put(v->txn, T_META, META_KEY, bytes_of(&v->meta, sizeof v->meta));
    enum err e = txn_commit(v->txn, why);
    view_end(v);
    return e;
}

void view_abort(struct view *v)
{
    if (v == NULL)
        return;
    txn_abort(v->txn);
    v->in_command = false;
    view_end(v);
}

bool view_failed(const struct view *v)
{
    return txn_failed(v->txn);
}

const struct state_meta *view_meta(const struct view *v)
{
    return &v->meta;
}

/* ---- commands */

/* Clearing costs what the map once held: after a big command a new one is cheaper. */
static void map_empty(struct map **m)
{
    if (map_count(*m) < 512) {
        map_clear(*m);
        return;
    }
    map_free(*m);
    *m = map_new();
}

static void edits_forget(struct view *v)
{
    map_empty(&v->usages);
    map_empty(&v->jobs);
    v->usage_first = NULL;
    v->usage_last = &v->usage_first;
    v->job_first = NULL;
    v->job_last = &v->job_first;
}

void state_command_begin(struct view *v, uint64_t index, uint64_t term, int64_t time,
                         const uint8_t *request_id)
{
    must(v->write && !v->in_command && index > v->meta.applied_index);
    v->in_command = true;
    v->index = index;
    v->term = term;
    v->time = time;
    v->fresh = 0;
    v->has_request_id = request_id != NULL;
    if (request_id != NULL)
        memcpy(v->request_id, request_id, ID_SIZE);
    arena_reset(v->arena);
    edits_forget(v);
    for (unsigned i = 0; i < FEED_TABLES; i++) {
        strbuf_clear(&v->touched[i]);
        v->touched_count[i] = 0;
    }
}

void state_command_reset(struct view *v)
{
    edits_forget(v);
}

void state_command_end(struct view *v)
{
    must(v->in_command);
    usage_edits_flush(v);
    job_edits_flush(v);
    changes_flush(v);
    v->meta.applied_index = v->index - MUTANT("applied-twice");
    v->meta.applied_term = v->term;
    if (v->time > v->meta.last_time)
        v->meta.last_time = v->time;
    v->in_command = false;
}

struct arena *state_command_arena(struct view *v)
{
    return v->arena;
}

uint64_t state_command_index(const struct view *v)
{
    return v->index;
}

int64_t state_command_time(const struct view *v)
{
    return v->time;
}

ProtobufCBinaryData state_fresh_id(struct view *v)
{
    must(v->in_command && v->has_request_id);
    struct id id = id_derive(v->request_id, v->time, v->fresh++);
    return wire_id(v->arena, id.bytes);
}

/* ---- records: the index of the last change, then the message */

bool record_get(struct view *v, unsigned table, struct bytes key, struct record *out)
{
    struct bytes b;
    if (!txn_get(v->txn, table, key, &b))
        return false;
    if (b.len < sizeof out->modify_index) {
        txn_fail(v->txn, ERR_CORRUPT, "a record is too short");
        return false;
    }
    memcpy(&out->modify_index, b.data, sizeof out->modify_index);
    out->message =
        bytes_of((const char *)b.data + sizeof out->modify_index, b.len - sizeof out->modify_index);
    return true;
}

ProtobufCMessage *record_message(struct view *v, struct arena *a, unsigned table, struct bytes key,
                                 const ProtobufCMessageDescriptor *type)
{
    struct record r;
    if (!record_get(v, table, key, &r))
        return NULL;
    ProtobufCMessage *m = wire_unpack(a, type, r.message.data, r.message.len);
    if (m == NULL)
        txn_fail(v->txn, ERR_CORRUPT, "a record cannot be decoded");
    return m;
}

void record_raw(struct view *v, unsigned table, struct bytes key, struct bytes message)
{
    size_t len = sizeof v->index + message.len;
    uint8_t *b = arena_try_alloc(v->arena, len);
    must(b != NULL);
    memcpy(b, &v->index, sizeof v->index);
    memcpy(b + sizeof v->index, message.data, message.len);
    txn_put(v->txn, table, key, bytes_of(b, len));
    changes_touch(v, table, key);
}

void record_put(struct view *v, unsigned table, struct bytes key, const ProtobufCMessage *message)
{
    must(v->in_command);
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t small[1024];
    uint8_t *b = len + sizeof v->index <= sizeof small ? small : xmalloc(len + sizeof v->index);
    memcpy(b, &v->index, sizeof v->index);
    protobuf_c_message_pack(message, b + sizeof v->index);
    txn_put(v->txn, table, key, bytes_of(b, len + sizeof v->index));
    changes_touch(v, table, key);
    if (b != small)
        free(b);
}

void record_del(struct view *v, unsigned table, struct bytes key)
{
    must(v->in_command);
    if (txn_del(v->txn, table, key))
        changes_touch(v, table, key);
}
