/* Walking tables and their indexes. An index's key is what it is by, then the 16 bytes of an id. */
#include "state/internal.h"
#include <string.h>

static unsigned index_table(Pb__Table__Name table, Pb__List__By by)
{
    if (table == PB__TABLE__NAME__EVALS && by == PB__LIST__BY__JOB)
        return T_EVALS_BY_JOB;
    if (table == PB__TABLE__NAME__DEPLOYMENTS && by == PB__LIST__BY__JOB)
        return T_DEPLOYMENTS_BY_JOB;
    must(table == PB__TABLE__NAME__ALLOCS);
    switch (by) {
    case PB__LIST__BY__JOB:
        return T_ALLOCS_BY_JOB;
    case PB__LIST__BY__NODE:
        return T_ALLOCS_BY_NODE;
    case PB__LIST__BY__EVAL:
        return T_ALLOCS_BY_EVAL;
    default:
        must(false);
        return 0;
    }
}

void walk_open(struct walk *w, struct view *v, Pb__Table__Name table, Pb__List__By by,
               const char *ns, const char *name, const uint8_t *id, const uint8_t *after)
{
    struct key k = {.len = 0};
    memset(w, 0, sizeof *w);
    if (by == PB__LIST__BY__JOB) {
        if (!key_job_prefix(&k, ns, name))
            return; /* no job has such a name: the walk ends at once */
    } else {
        key_add(&k, id, ID_SIZE);
    }
    w->prefix_len = k.len;
    memcpy(w->prefix, k.data, k.len);
    if (after != NULL)
        key_add(&k, after, ID_SIZE);
    cursor_open(&w->cursor, v->txn, index_table(table, by));
    bool found = cursor_seek(&w->cursor, key_bytes(&k));
    if (found && after != NULL && w->cursor.key.len == k.len &&
        memcmp(w->cursor.key.data, k.data, k.len) == 0)
        found = cursor_next(&w->cursor);
    if (!found)
        walk_close(w);
}

const uint8_t *walk_next(struct walk *w)
{
    if (w->cursor.handle == NULL)
        return NULL;
    if (w->started && !cursor_next(&w->cursor)) {
        walk_close(w);
        return NULL;
    }
    w->started = true;
    if (!bytes_begin_with(w->cursor.key, bytes_of(w->prefix, w->prefix_len)) ||
        w->cursor.key.len != w->prefix_len + ID_SIZE) {
        walk_close(w);
        return NULL;
    }
    return (const uint8_t *)w->cursor.key.data + w->prefix_len;
}

void walk_close(struct walk *w)
{
    cursor_close(&w->cursor);
}

/* ---- single records by the bus's key */

bool table_has_ids(Pb__Table__Name table)
{
    return (table >= PB__TABLE__NAME__EVALS && table <= PB__TABLE__NAME__NODE_USAGE) ||
           table == PB__TABLE__NAME__DEPLOYMENTS;
}

static bool record_key(const Pb__Key *key, struct key *out)
{
    switch (key->table) {
    case PB__TABLE__NAME__JOBS:
    case PB__TABLE__NAME__JOB_SUMMARIES:
    case PB__TABLE__NAME__SCALING_EVENTS:
    case PB__TABLE__NAME__NAMESPACES:
    case PB__TABLE__NAME__NODE_POOLS:
        return key_job(out, key->namespace_, key->name);
    case PB__TABLE__NAME__JOB_VERSIONS:
        if (!key_job_prefix(out, key->namespace_, key->name))
            return false;
        key_add_u64(out, key->version);
        return true;
    case PB__TABLE__NAME__EVALS:
    case PB__TABLE__NAME__ALLOCS:
    case PB__TABLE__NAME__ALLOC_TASKS:
    case PB__TABLE__NAME__NODES:
    case PB__TABLE__NAME__NODE_USAGE:
    case PB__TABLE__NAME__DEPLOYMENTS:
        if (!key->has_id)
            return false;
        out->len = 0;
        key_add(out, key->id.data, ID_SIZE);
        return true;
    default:
        return false;
    }
}

bool state_record(struct view *v, const Pb__Key *key, struct record *out)
{
    struct key k;
    return record_key(key, &k) && record_get(v, (unsigned)key->table, key_bytes(&k), out);
}

bool state_version_record(struct view *v, const Pb__Key *key, struct record *out)
{
    struct key k;
    if (state_record(v, key, out))
        return true;
    struct arena *a = arena_new(WIRE_MAX_UNPACKED);
    Pb__Job *job = state_job(v, a, key->namespace_, key->name);
    bool current = job != NULL && job->version == key->version;
    arena_free(a);
    return current && key_job(&k, key->namespace_, key->name) &&
           record_get(v, T_JOBS, key_bytes(&k), out);
}

/* ---- whole tables */

/* Where the table's part begins and how far it goes. False: nothing can match. */
static bool scan_bounds(struct scan *s, const char *ns, const char *prefix)
{
    if (!table_has_ids(s->table)) {
        bool every = ns == NULL || ns[0] == '\0' || strcmp(ns, "*") == 0;
        size_t ns_len = every ? 0 : strlen(ns), prefix_len = strlen(prefix);
        if (ns_len > STATE_MAX_NAMESPACE || prefix_len > STATE_MAX_JOB_ID)
            return false;
        if (every)
            return true; /* the prefix of the id is looked at record by record */
        memcpy(s->low, ns, ns_len + 1);
        memcpy(s->low + ns_len + 1, prefix, prefix_len);
        s->low_len = s->prefix_len = ns_len + 1 + prefix_len;
        return true;
    }
    if (prefix[0] == '\0')
        return true;
    if (!id_prefix_range(prefix, s->low, s->high))
        return false;
    s->low_len = s->high_len = ID_SIZE;
    return true;
}

void scan_open(struct scan *s, struct view *v, Pb__Table__Name table, const char *ns,
               const char *prefix, const Pb__Key *after)
{
    struct key k;
    memset(s, 0, sizeof *s);
    s->table = table;
    if (!scan_bounds(s, ns, prefix == NULL ? "" : prefix))
        return;
    if (after != NULL) {
        Pb__Key of_table = *after;
        of_table.table = table;
        /* A key below the bounds (another prefix) must not widen them. */
        if (record_key(&of_table, &k) &&
            (k.len >= s->low_len ? memcmp(k.data, s->low, s->low_len) >= 0 : s->low_len == 0)) {
            memcpy(s->low, k.data, k.len);
            s->low_len = k.len;
            s->skip_low = true;
        }
    }
    cursor_open(&s->cursor, v->txn, (unsigned)table);
}

static bool in_bounds(const struct scan *s, struct bytes key)
{
    if (s->high_len > 0)
        return memcmp(key.data, s->high, s->high_len) <= 0;
    return bytes_begin_with(key, bytes_of(s->low, s->prefix_len));
}

bool scan_next(struct scan *s)
{
    if (s->cursor.handle == NULL)
        return false;
    bool found;
    if (s->started)
        found = cursor_next(&s->cursor);
    else if (s->low_len == 0)
        found = cursor_first(&s->cursor);
    else
        found = cursor_seek(&s->cursor, bytes_of(s->low, s->low_len));
    if (!s->started && found && s->skip_low && s->cursor.key.len == s->low_len &&
        memcmp(s->cursor.key.data, s->low, s->low_len) == 0)
        found = cursor_next(&s->cursor);
    s->started = true;
    if (!found || !in_bounds(s, s->cursor.key) || s->cursor.value.len < 8) {
        scan_close(s);
        return false;
    }
    memcpy(&s->record.modify_index, s->cursor.value.data, 8);
    s->record.message = bytes_of((const char *)s->cursor.value.data + 8, s->cursor.value.len - 8);
    return true;
}

Pb__Key *scan_key(const struct scan *s, struct arena *a)
{
    Pb__Key *key = arena_alloc(a, sizeof *key);
    pb__key__init(key);
    key->has_table = true;
    key->table = s->table;
    if (table_has_ids(s->table)) {
        key->has_id = true;
        key->id = wire_id(a, s->cursor.key.data);
        return key;
    }
    struct bytes k = s->cursor.key;
    if (s->table == PB__TABLE__NAME__JOB_VERSIONS) {
        key->has_version = true;
        key->version = u64_load_be((const uint8_t *)k.data + k.len - 8);
        k.len -= 9;
    }
    char *text = arena_alloc(a, k.len + 1);
    memcpy(text, k.data, k.len);
    key->namespace_ = text;
    key->name = text + strlen(text) + 1;
    return key;
}

void scan_close(struct scan *s)
{
    cursor_close(&s->cursor);
}
