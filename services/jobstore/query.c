#include "query.h"
#include "base/id.h"
#include "wire/wire.h"
#include <string.h>

/* ---- stored bytes as a field of an answer. protobuf-c packs "unknown" fields as they are: that
 * saves decoding. */

static void add_raw(struct arena *a, ProtobufCMessage *m, uint32_t tag, struct bytes message,
                    unsigned room)
{
    uint8_t prefix[10];
    size_t n = 0;
    for (uint64_t len = message.len; n == 0 || len > 0; len >>= 7)
        prefix[n++] = (uint8_t)(len & 0x7f) | (len > 0x7f ? 0x80 : 0);
    uint8_t *data = arena_alloc(a, n + message.len);
    memcpy(data, prefix, n);
    memcpy(data + n, message.data, message.len);
    if (m->unknown_fields == NULL)
        m->unknown_fields = arena_array(a, ProtobufCMessageUnknownField, room);
    m->unknown_fields[m->n_unknown_fields++] =
        (ProtobufCMessageUnknownField){.tag = tag,
                                       .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
                                       .len = n + message.len,
                                       .data = data};
}

static const uint32_t value_tag[] = {
    [PB__TABLE__NAME__JOBS] = 10,          [PB__TABLE__NAME__JOB_VERSIONS] = 10,
    [PB__TABLE__NAME__JOB_SUMMARIES] = 11, [PB__TABLE__NAME__EVALS] = 12,
    [PB__TABLE__NAME__ALLOCS] = 13,        [PB__TABLE__NAME__ALLOC_TASKS] = 14,
    [PB__TABLE__NAME__NODES] = 15,         [PB__TABLE__NAME__NODE_USAGE] = 16,
    [PB__TABLE__NAME__DEPLOYMENTS] = 17,   [PB__TABLE__NAME__NAMESPACES] = 18,
    [PB__TABLE__NAME__NODE_POOLS] = 19,    [PB__TABLE__NAME__SCALING_EVENTS] = 20,
};

static Pb__Object *object_new(struct arena *a, Pb__Table__Name table)
{
    Pb__Object *o = arena_alloc(a, sizeof *o);
    pb__object__init(o);
    o->has_table = true;
    o->table = table;
    return o;
}

static Pb__Object *object_of(struct arena *a, Pb__Table__Name table, const struct record *r)
{
    Pb__Object *o = object_new(a, table);
    add_raw(a, &o->base, value_tag[table], r->message, 1);
    return o;
}

/* Objects as they gather. */
struct gathering {
    struct arena *arena;
    Pb__Object **objects;
    size_t count, room, bytes, limit;
};

static void gather(struct gathering *g, Pb__Object *o, size_t bytes)
{
    if (g->count == g->room) {
        size_t room = g->room * 2 + 16;
        Pb__Object **objects = arena_array(g->arena, Pb__Object *, room);
        if (g->count > 0)
            memcpy(objects, g->objects, g->count * sizeof *objects);
        g->objects = objects;
        g->room = room;
    }
    g->objects[g->count++] = o;
    g->bytes += bytes + 16;
}

static bool is_full(const struct gathering *g)
{
    return g->bytes >= QUERY_SOFT_BYTES || (g->limit != 0 && g->count >= g->limit);
}

static bool is_table(Pb__Table__Name table)
{
    return table > PB__TABLE__NAME__NONE && table < STATE_TABLES;
}

uint64_t query_table_index(const struct state_meta *meta, Pb__Table__Name table)
{
    return is_table(table) ? meta->table_index[table] : 0;
}

/* ---- GET */

Pb__Object *query_get(struct view *v, struct arena *a, const Pb__Key *key, struct reason *why)
{
    struct record r;
    why->text[0] = '\0';
    if (!is_table(key->table)) {
        reason_set(why, ERR_INVALID, "no such table: %d", (int)key->table);
        return NULL;
    }
    bool by_name = !table_has_ids(key->table);
    if (by_name ? key->name == NULL : !key->has_id) {
        reason_set(why, ERR_INVALID, "a key of this table needs %s", by_name ? "a name" : "an id");
        return NULL;
    }
    bool found = key->table == PB__TABLE__NAME__JOB_VERSIONS ? state_version_record(v, key, &r)
                                                             : state_record(v, key, &r);
    return found ? object_of(a, key->table, &r) : NULL;
}

/* ---- LIST */

static Pb__Key *id_key(struct arena *a, Pb__Table__Name table, const uint8_t *id)
{
    Pb__Key *key = arena_alloc(a, sizeof *key);
    pb__key__init(key);
    key->has_table = key->has_id = true;
    key->table = table;
    key->id = wire_id(a, id);
    return key;
}

/* The allocation's tasks behind it, if it is wanted and there are any. */
static void gather_tasks(struct view *v, const Pb__List *list, struct gathering *g,
                         const uint8_t *id)
{
    struct record r;
    Pb__Key key = PB__KEY__INIT;
    if (!list->with_tasks || list->table != PB__TABLE__NAME__ALLOCS)
        return;
    key.table = PB__TABLE__NAME__ALLOC_TASKS;
    key.has_id = true;
    key.id = (ProtobufCBinaryData){.len = ID_SIZE, .data = (uint8_t *)(uintptr_t)id};
    if (state_record(v, &key, &r))
        gather(g, object_of(g->arena, key.table, &r), r.message.len);
}

static void list_scan(struct view *v, const Pb__List *list, struct gathering *g, Pb__Key **next)
{
    struct scan s;
    Pb__Key *last = NULL;
    bool every_namespace = list->namespace_ == NULL || list->namespace_[0] == '\0' ||
                           strcmp(list->namespace_, "*") == 0;
    bool by_name = !table_has_ids(list->table);
    const char *prefix = list->prefix != NULL ? list->prefix : "";
    scan_open(&s, v, list->table, list->namespace_, prefix, list->after);
    while (scan_next(&s)) {
        if (by_name && every_namespace && prefix[0] != '\0' &&
            strncmp(scan_key(&s, g->arena)->name, prefix, strlen(prefix)) != 0)
            continue;
        if (is_full(g)) {
            *next = last;
            break;
        }
        gather(g, object_of(g->arena, list->table, &s.record), s.record.message.len);
        if (!by_name)
            gather_tasks(v, list, g, s.cursor.key.data);
        if (is_full(g))
            last = scan_key(&s, g->arena);
    }
    scan_close(&s);
}

static void list_walk(struct view *v, const Pb__List *list, struct gathering *g, Pb__Key **next)
{
    struct walk w;
    const uint8_t *id;
    uint8_t last[ID_SIZE];
    const uint8_t *after = list->after != NULL && list->after->has_id ? list->after->id.data : NULL;
    walk_open(&w, v, list->table, list->by, list->namespace_, list->name, list->id.data, after);
    while ((id = walk_next(&w)) != NULL) {
        struct record r;
        Pb__Key key = PB__KEY__INIT;
        if (is_full(g)) {
            *next = id_key(g->arena, list->table, last);
            break;
        }
        memcpy(last, id, ID_SIZE);
        key.table = list->table;
        key.has_id = true;
        key.id = (ProtobufCBinaryData){.len = ID_SIZE, .data = last};
        if (!state_record(v, &key, &r))
            continue;
        gather(g, object_of(g->arena, list->table, &r), r.message.len);
        gather_tasks(v, list, g, last);
    }
    walk_close(&w);
}

/* The newest first, the current one before all. */
static void list_versions(struct view *v, const Pb__List *list, struct gathering *g)
{
    struct record r;
    Pb__Job *job = state_job(v, g->arena, list->namespace_, list->name);
    if (job == NULL)
        return;
    Pb__Key key = PB__KEY__INIT;
    key.table = PB__TABLE__NAME__JOB_VERSIONS;
    key.namespace_ = list->namespace_;
    key.name = list->name;
    key.has_version = true;
    size_t missing = 0;
    /* Kept ones are the newest few and older ones in use: look on for as long as there may be some.
     */
    for (uint64_t version = job->version + 1; version-- > 0 && missing < 4096;) {
        key.version = version;
        if (!state_version_record(v, &key, &r)) {
            missing++;
            continue;
        }
        gather(g, object_of(g->arena, key.table, &r), r.message.len);
    }
}

enum err query_list(struct view *v, struct arena *a, const Pb__List *list, Pb__Objects *out,
                    struct reason *why)
{
    struct gathering g = {.arena = a, .limit = list->limit};
    Pb__Table__Name table = list->table;
    Pb__List__By by = list->by;
    bool of_job = by == PB__LIST__BY__JOB;
    if (!is_table(table))
        return reason_set(why, ERR_INVALID, "no such table: %d", (int)table);
    if (of_job && list->name == NULL)
        return reason_set(why, ERR_INVALID, "a list by job needs the job's name");
    bool by_id = by == PB__LIST__BY__NODE || by == PB__LIST__BY__EVAL;
    if (by_id && !list->has_id)
        return reason_set(why, ERR_INVALID, "a list by node or evaluation needs its id");
    out->has_table_index = true;
    out->table_index = query_table_index(view_meta(v), table);
    if (by == PB__LIST__BY__ALL)
        list_scan(v, list, &g, &out->next);
    else if (table == PB__TABLE__NAME__ALLOCS ||
             (of_job && (table == PB__TABLE__NAME__EVALS || table == PB__TABLE__NAME__DEPLOYMENTS)))
        list_walk(v, list, &g, &out->next);
    else if (table == PB__TABLE__NAME__JOB_VERSIONS && of_job)
        list_versions(v, list, &g);
    else
        return reason_set(why, ERR_INVALID, "table %d has no such index", (int)table);
    out->objects = g.objects;
    out->n_objects = g.count;
    return OK;
}

/* ---- CHANGES */

bool query_has_changes(const struct state_meta *meta, uint64_t since, uint32_t tables)
{
    if (since < meta->changes_low || since > meta->applied_index)
        return true; /* too old, or of another history: to be told at once */
    for (unsigned t = 1; t < sizeof meta->table_index / sizeof meta->table_index[0]; t++)
        if ((tables == 0 || (tables & (1u << t)) != 0) && meta->table_index[t] > since)
            return true;
    return false;
}

static void gather_change(struct view *v, struct gathering *g, const struct change *c)
{
    struct record r;
    if (state_record(v, &c->key, &r)) {
        /* It changed again later, and comes then. */
        if (r.modify_index <= c->index)
            gather(g, object_of(g->arena, c->table, &r), r.message.len);
        return;
    }
    Pb__Object *o = object_new(g->arena, c->table);
    o->deleted = (Pb__Key *)wire_clone(g->arena, &c->key.base);
    gather(g, o, sizeof *o);
}

/* Where an answer ends that could not take all: whole indexes if possible. */
static void end_at(Pb__ChangesReply *out, uint64_t index, uint32_t given, const struct change *next)
{
    out->reached = index;
    if (next->index == index) {
        out->reached = index - 1;
        out->has_skip = true;
        out->skip = given;
    }
}

void query_changes(struct view *v, struct arena *a, const Pb__Changes *q, Pb__ChangesReply *out)
{
    struct gathering g = {.arena = a, .limit = q->limit};
    const struct state_meta *meta = view_meta(v);
    out->has_reached = true;
    out->reached = meta->applied_index;
    if (q->since < meta->changes_low || q->since > meta->applied_index) {
        out->has_too_old = true;
        out->too_old = true;
        return;
    }
    struct change_walk w;
    struct change c;
    uint64_t index = q->since + 1;
    uint32_t given = 0; /* of index */
    change_walk_open(&w, v, q->since, q->tables);
    while (change_walk_next(&w, &c)) {
        if (is_full(&g)) {
            end_at(out, index, given, &c);
            break;
        }
        given = c.index == index ? given + 1 : 1;
        index = c.index;
        if (index == q->since + 1 && given <= q->skip)
            continue;
        gather_change(v, &g, &c);
    }
    change_walk_close(&w);
    out->objects = g.objects;
    out->n_objects = g.count;
}

/* ---- JOB_VIEWS */

/* What planning may still need: all that is live, and of this job all that ended by itself. */
static bool alloc_matters(const Pb__Alloc *alloc, const Pb__Job *job)
{
    if (!alloc_has_ended(alloc))
        return true;
    return job != NULL && alloc->job_create_index == job->create_index &&
           alloc->desired == PB__ALLOC__DESIRED__RUN;
}

struct version_set {
    uint64_t *versions;
    size_t count, room;
};

static void version_note(struct arena *a, struct version_set *s, uint64_t version)
{
    for (size_t i = s->count; i-- > 0;)
        if (s->versions[i] == version)
            return;
    if (s->count == s->room) {
        s->room = s->room * 2 + 8;
        uint64_t *versions = arena_array(a, uint64_t, s->room);
        if (s->count > 0)
            memcpy(versions, s->versions, s->count * sizeof *versions);
        s->versions = versions;
    }
    s->versions[s->count++] = version;
}

static size_t add_version(struct view *v, struct arena *a, Pb__JobView *out, const Pb__JobKey *k,
                          uint64_t version, size_t room)
{
    struct record r;
    Pb__Key key = PB__KEY__INIT;
    key.table = PB__TABLE__NAME__JOB_VERSIONS;
    key.namespace_ = k->namespace_;
    key.name = k->id;
    key.has_version = true;
    key.version = version;
    if (!state_version_record(v, &key, &r))
        return 0;
    add_raw(a, &out->base, 3, r.message, (unsigned)room);
    return r.message.len;
}

struct alloc_list {
    struct bytes *messages;
    size_t count, room, bytes;
};

static void alloc_note(struct arena *a, struct alloc_list *l, struct bytes message)
{
    if (l->count == l->room) {
        l->room = l->room * 2 + 16;
        struct bytes *messages = arena_array(a, struct bytes, l->room);
        if (l->count > 0)
            memcpy(messages, l->messages, l->count * sizeof *messages);
        l->messages = messages;
    }
    l->messages[l->count++] = message;
    l->bytes += message.len + 8;
}

/* The records point into the store: they stay while the view is open and nothing is written. */
static void collect_allocs(struct view *v, struct arena *a, const Pb__JobKey *k, const Pb__Job *job,
                           struct alloc_list *allocs, struct version_set *versions)
{
    struct walk w;
    const uint8_t *id;
    struct arena *scratch = arena_new(WIRE_MAX_UNPACKED);
    walk_open(&w, v, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, k->namespace_, k->id, NULL, NULL);
    while ((id = walk_next(&w)) != NULL) {
        struct record r;
        Pb__Key key = PB__KEY__INIT;
        key.table = PB__TABLE__NAME__ALLOCS;
        key.has_id = true;
        key.id = (ProtobufCBinaryData){.len = ID_SIZE, .data = (uint8_t *)(uintptr_t)id};
        if (!state_record(v, &key, &r))
            continue;
        arena_reset(scratch);
        Pb__Alloc *alloc =
            WIRE_UNPACK(scratch, Pb__Alloc, pb__alloc, r.message.data, r.message.len);
        if (alloc == NULL || !alloc_matters(alloc, job))
            continue;
        alloc_note(a, allocs, r.message);
        if (job != NULL && alloc->job_version != job->version &&
            alloc->job_create_index == job->create_index)
            version_note(a, versions, alloc->job_version);
    }
    walk_close(&w);
    arena_free(scratch);
}

static size_t view_of(struct view *v, struct arena *a, const Pb__JobKey *k, Pb__JobView *out)
{
    struct record r;
    struct alloc_list allocs = {0};
    struct version_set versions = {0};
    size_t bytes = 0;
    pb__job_view__init(out);
    out->key = (Pb__JobKey *)(uintptr_t)k;
    Pb__Job *job = state_job(v, a, k->namespace_, k->id);
    collect_allocs(v, a, k, job, &allocs, &versions);
    if (allocs.bytes > QUERY_HARD_BYTES)
        return allocs.bytes; /* does not fit anyhow */
    size_t room = 1 + versions.count + allocs.count;
    Pb__Key key = PB__KEY__INIT;
    key.table = PB__TABLE__NAME__JOBS;
    key.namespace_ = k->namespace_;
    key.name = k->id;
    if (job != NULL && state_record(v, &key, &r)) {
        add_raw(a, &out->base, 2, r.message, (unsigned)room);
        bytes += r.message.len;
    }
    for (size_t i = 0; i < versions.count; i++)
        bytes += add_version(v, a, out, k, versions.versions[i], room);
    for (size_t i = 0; i < allocs.count; i++)
        add_raw(a, &out->base, 4, allocs.messages[i], (unsigned)room);
    out->deployment = state_latest_deployment(v, a, k->namespace_, k->id);
    out->has_time = true;
    out->time = view_meta(v)->last_time;
    return bytes + allocs.bytes;
}

enum err query_job_views(struct view *v, struct arena *a, const Pb__JobViewsRequest *q,
                         Pb__JobViews *out, struct reason *why)
{
    size_t bytes = 0;
    out->has_index = true;
    out->index = view_meta(v)->applied_index;
    out->scheduler = query_scheduler(v, a);
    out->jobs = arena_array(a, Pb__JobView *, q->n_jobs + 1);
    for (size_t i = 0; i < q->n_jobs; i++) {
        Pb__JobView *view = arena_alloc(a, sizeof *view);
        size_t more = view_of(v, a, q->jobs[i], view);
        if (bytes + more > QUERY_HARD_BYTES && i == 0)
            return reason_set(why, ERR_UNAVAILABLE,
                              "job %s has more allocations than fit into one message",
                              q->jobs[i]->id != NULL ? q->jobs[i]->id : "");
        if (bytes + more > QUERY_HARD_BYTES)
            break;
        bytes += more;
        out->jobs[out->n_jobs++] = view;
    }
    return OK;
}
