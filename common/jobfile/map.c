#include "map.h"
#include "base/duration.h"
#include "base/nearest.h"
#include "keys.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct map_run {
    struct arena *arena;
    bool native;
    char path[256]; /* of the key in hand; cut where it is longer */
    size_t path_len;
    size_t messages; /* made so far: a file of empty groups would take a hundred times its size */
    struct reason *why;
};
enum { MAX_MESSAGES = 20000 };

/* ---- where we are */

static size_t path_push(struct map_run *r, const char *separator, const char *key, size_t i)
{
    size_t before = r->path_len;
    char *at = r->path + before;
    size_t room = sizeof(r->path) - before;
    int n = key != NULL ? snprintf(at, room, "%s%.40s", separator, key)
                        : snprintf(at, room, "[%zu]", i);
    r->path_len += n < (int)room ? (size_t)n : room - 1;
    return before;
}

static void path_pop(struct map_run *r, size_t before)
{
    r->path_len = before;
    r->path[before] = '\0';
}

__attribute__((format(printf, 3, 4))) static enum err wrong(struct map_run *r, const struct node *n,
                                                            const char *format, ...)
{
    char text[240];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (n->line > 0)
        return reason_set(r->why, ERR_INVALID, "line %u: %s: %s", n->line, r->path, text);
    return reason_set(r->why, ERR_INVALID, "%s: %s", r->path, text);
}

static enum err wrong_kind(struct map_run *r, const struct node *n, const char *wanted)
{
    return wrong(r, n, "is %s, must be %s", node_kind_name(n), wanted);
}

/* ---- single values */

static enum err map_text(struct map_run *r, const struct node *n, char **out)
{
    if (n->kind != NODE_TEXT)
        return wrong_kind(r, n, r->native ? "a text in double quotes" : "a text");
    *out = (char *)n->text;
    return OK;
}

/* Of env, meta and the right side of a constraint: people write numbers there. */
static enum err map_text_or_number(struct map_run *r, const struct node *n, char **out)
{
    struct strbuf s = STRBUF_INIT;
    if (!r->native || n->kind == NODE_TEXT)
        return map_text(r, n, out);
    if (n->kind != NODE_BOOL && n->kind != NODE_INTEGER && n->kind != NODE_REAL)
        return wrong_kind(r, n, "a text, a number, or true or false");
    node_to_json(&s, n);
    *out = arena_strdup(r->arena, strbuf_text(&s));
    strbuf_free(&s);
    return OK;
}

static enum err map_duration(struct map_run *r, const struct node *n, int64_t *out)
{
    if (!r->native && n->kind == NODE_INTEGER) {
        *out = n->integer;
        return OK;
    }
    if (!r->native)
        return wrong_kind(r, n, "a whole number of nanoseconds");
    static const char right[] = "a duration such as \"5s\", \"250ms\" or \"1h30m\"";
    if (n->kind == NODE_INTEGER && n->integer == 0)
        *out = 0;
    else if (n->kind == NODE_INTEGER)
        return wrong(r, n, "%lld has no unit, must be %s", (long long)n->integer, right);
    else if (n->kind != NODE_TEXT)
        return wrong_kind(r, n, right);
    else if (!duration_parse(n->text, out))
        return wrong(r, n, "\"%.40s\" is not %s", n->text, right);
    if (*out < 0)
        return wrong(r, n, "\"%.40s\" is negative, must be %s", n->text, right);
    return OK;
}

static void number_range(const struct map_run *r, const struct job_key *key, int64_t *min,
                         int64_t *max)
{
    ProtobufCType type = key->field->type;
    bool wide = type == PROTOBUF_C_TYPE_UINT64 || type == PROTOBUF_C_TYPE_INT64;
    *max = wide ? INT64_MAX : INT32_MAX;
    *min =
        wide ? 0 : INT32_MIN; /* JSON: Nomad's numbers are signed; job_validate words the refusal */
    if (!r->native)
        return;
    if (key->max > 0)
        *max = key->max;
    *min = 0;
    if (type == PROTOBUF_C_TYPE_INT32)
        *min = key->field->name[0] == 't' ? -1 : -*max; /* port.to: -1 means "the same"; a weight */
    if (key->kind == VALUE_PLAIN && strcmp(key->name, "static") == 0)
        *min = 1;
}

static enum err map_number(struct map_run *r, const struct job_key *key, const struct node *n,
                           int64_t *out)
{
    int64_t min, max;
    number_range(r, key, &min, &max);
    if (n->kind != NODE_INTEGER)
        return wrong(r, n, "is %s, must be a whole number from %lld to %lld", node_kind_name(n),
                     (long long)(min < 0 && !r->native ? 0 : min), (long long)max);
    if (n->integer < min || n->integer > max)
        return wrong(r, n, "%lld is out of range, must be from %lld to %lld", (long long)n->integer,
                     (long long)(min < 0 && !r->native ? 0 : min), (long long)max);
    *out = n->integer;
    return OK;
}

/* ---- putting values into a message */

static void *field_at(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    return (char *)m + f->offset;
}

static void set_has(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    *(protobuf_c_boolean *)((char *)m + f->quantifier_offset) = 1;
}

static void set_repeated(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, void *items,
                         size_t count)
{
    *(size_t *)((char *)m + f->quantifier_offset) = count;
    *(void **)field_at(m, f) = items;
}

static void set_number(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, int64_t value)
{
    set_has(m, f);
    if (f->type == PROTOBUF_C_TYPE_UINT64 || f->type == PROTOBUF_C_TYPE_INT64)
        *(int64_t *)field_at(m, f) = value;
    else
        *(int32_t *)field_at(m, f) = (int32_t)value;
}

static ProtobufCMessage *new_message(struct map_run *r, const ProtobufCMessageDescriptor *d)
{
    ProtobufCMessage *m = arena_alloc(r->arena, d->sizeof_message);
    d->message_init(m);
    return m;
}

/* ---- lists and groups */

static enum err map_message(struct map_run *r, const ProtobufCMessageDescriptor *d,
                            const struct node *n, ProtobufCMessage **out);

static enum err map_messages(struct map_run *r, const ProtobufCMessageDescriptor *d,
                             const struct node *n, ProtobufCMessage ***out, size_t *count)
{
    if (r->native && n->kind == NODE_MAP) { /* one group instead of a list of one */
        *out = arena_array(r->arena, ProtobufCMessage *, 1);
        *count = 1;
        return map_message(r, d, n, &(*out)[0]);
    }
    if (n->kind != NODE_LIST)
        return wrong_kind(r, n, r->native ? "a list of groups: ( { ... }, { ... } )" : "a list");
    *out = arena_array(r->arena, ProtobufCMessage *, n->count);
    *count = n->count;
    for (size_t i = 0; i < n->count; i++) {
        size_t before = path_push(r, "", NULL, i);
        enum err e = map_message(r, d, &n->items[i], &(*out)[i]);
        if (e != OK)
            return e;
        path_pop(r, before);
    }
    return OK;
}

static char **text_field(ProtobufCMessage *m, const char *name)
{
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name);
    return field_at(m, f);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct node *)a)->key, ((const struct node *)b)->key);
}

/* {name: message}: sorted by the name, which is the message's, whatever it says itself. */
static enum err map_named(struct map_run *r, const ProtobufCMessageDescriptor *d,
                          const struct node *n, ProtobufCMessage ***out, size_t *count)
{
    if (n->kind != NODE_MAP)
        return wrong_kind(r, n, "an object of objects");
    struct node *sorted = arena_array(r->arena, struct node, n->count);
    if (n->count > 0)
        memcpy(sorted, n->items, n->count * sizeof(*sorted));
    qsort(sorted, n->count, sizeof(*sorted), compare_names);
    *out = arena_array(r->arena, ProtobufCMessage *, n->count);
    *count = 0;
    for (size_t i = 0; i < n->count; i++) {
        if (sorted[i].kind == NODE_NULL)
            continue;
        size_t before = path_push(r, ".", sorted[i].key, i);
        ProtobufCMessage **m = &(*out)[(*count)++];
        enum err e = map_message(r, d, &sorted[i], m);
        if (e != OK)
            return e;
        *text_field(*m, "name") = (char *)sorted[i].key;
        path_pop(r, before);
    }
    return OK;
}

static enum err map_texts(struct map_run *r, const struct node *n, char ***out, size_t *count)
{
    if (n->kind != NODE_LIST)
        return wrong_kind(r, n,
                          r->native ? "a list of texts: [ \"a\", \"b\" ]" : "a list of texts");
    *out = arena_array(r->arena, char *, n->count);
    *count = n->count;
    for (size_t i = 0; i < n->count; i++) {
        size_t before = path_push(r, "", NULL, i);
        enum err e = map_text(r, &n->items[i], &(*out)[i]);
        if (e != OK)
            return e;
        path_pop(r, before);
    }
    return OK;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp((*(Pb__KeyValue *const *)a)->key, (*(Pb__KeyValue *const *)b)->key);
}

/* A pair whose name cannot be a key of libconfig: { key = "a.b"; value = "x"; } */
static enum err map_listed_pair(struct map_run *r, const struct node *n, Pb__KeyValue *pair)
{
    const struct node *key = n->kind == NODE_MAP ? node_get(n, "key") : NULL;
    const struct node *value = n->kind == NODE_MAP ? node_get(n, "value") : NULL;
    if (key == NULL || value == NULL || n->count != 2 || key->kind != NODE_TEXT)
        return wrong(r, n, "must be { key = \"...\"; value = \"...\"; }");
    pair->key = (char *)key->text;
    return map_text_or_number(r, value, &pair->value);
}

static enum err map_pairs(struct map_run *r, const struct node *n, Pb__KeyValue ***out,
                          size_t *count)
{
    bool listed = r->native && n->kind == NODE_LIST;
    if (n->kind != NODE_MAP && !listed)
        return wrong_kind(r, n,
                          r->native ? "a group: { name = \"value\"; }" : "an object of texts");
    *out = arena_array(r->arena, Pb__KeyValue *, n->count);
    *count = 0;
    for (size_t i = 0; i < n->count; i++) {
        const struct node *item = &n->items[i];
        if (item->kind == NODE_NULL)
            continue;
        size_t before = path_push(r, ".", item->key, i);
        Pb__KeyValue *pair = (Pb__KeyValue *)new_message(r, &pb__key_value__descriptor);
        pair->key = (char *)item->key;
        enum err e =
            listed ? map_listed_pair(r, item, pair) : map_text_or_number(r, item, &pair->value);
        if (e != OK)
            return e;
        (*out)[(*count)++] = pair;
        path_pop(r, before);
    }
    qsort(*out, *count, sizeof(**out), compare_keys);
    for (size_t i = 1; i < *count; i++)
        if (strcmp((*out)[i - 1]->key, (*out)[i]->key) == 0)
            return wrong(r, n, "\"%.40s\" is given twice", (*out)[i]->key);
    return OK;
}

/* ---- what only the native form has */

/* A port with `static` is reserved, one without is the scheduler's choice. */
static enum err map_ports(struct map_run *r, Pb__Network *net, const struct node *n)
{
    ProtobufCMessage **ports;
    size_t count;
    enum err e = map_messages(r, &pb__port__descriptor, n, &ports, &count);
    if (e != OK)
        return e;
    net->reserved_ports = arena_array(r->arena, Pb__Port *, count);
    net->dynamic_ports = arena_array(r->arena, Pb__Port *, count);
    for (size_t i = 0; i < count; i++) {
        Pb__Port *port = (Pb__Port *)ports[i];
        if (port->has_value)
            net->reserved_ports[net->n_reserved_ports++] = port;
        else
            net->dynamic_ports[net->n_dynamic_ports++] = port;
    }
    return OK;
}

/* version = ">= 4" and the like: the key is the operator. */
static enum err map_operand(struct map_run *r, ProtobufCMessage *m, const struct job_key *key,
                            const struct node *n)
{
    char **operand = text_field(m, "operand"), *text = NULL;
    if (*operand != NULL)
        return wrong(r, n, "the operator is already given as %.40s", *operand);
    if (key->kind == VALUE_FLAG && n->kind != NODE_BOOL)
        return wrong_kind(r, n, "true or false");
    if (key->kind == VALUE_FLAG)
        text = n->boolean ? NULL : (char *)"false";
    else {
        enum err e = map_text_or_number(r, n, &text);
        if (e != OK)
            return e;
    }
    *operand = arena_strdup(r->arena, key->name);
    *(char **)field_at(m, key->field) = text;
    return OK;
}

/* ---- one field, one message */

static enum err map_list_field(struct map_run *r, ProtobufCMessage *m, const struct job_key *key,
                               const struct node *n)
{
    const ProtobufCFieldDescriptor *f = key->field;
    void *items = NULL;
    size_t count = 0;
    enum err e;
    if (key->kind == VALUE_PAIRS)
        e = map_pairs(r, n, (Pb__KeyValue ***)&items, &count);
    else if (key->kind == VALUE_NAMED && !r->native)
        e = map_named(r, f->descriptor, n, (ProtobufCMessage ***)&items, &count);
    else if (f->type == PROTOBUF_C_TYPE_STRING)
        e = map_texts(r, n, (char ***)&items, &count);
    else
        e = map_messages(r, f->descriptor, n, (ProtobufCMessage ***)&items, &count);
    set_repeated(m, f, items, count);
    return e;
}

static enum err map_json(struct map_run *r, ProtobufCMessage *m, const struct job_key *key,
                         const struct node *n)
{
    struct strbuf s = STRBUF_INIT;
    if (r->native && n->kind != NODE_MAP)
        return wrong_kind(r, n, "a group: { ... }");
    node_to_json(&s, n);
    *(char **)field_at(m, key->field) = arena_strdup(r->arena, strbuf_text(&s));
    strbuf_free(&s);
    return OK;
}

static enum err map_plain(struct map_run *r, ProtobufCMessage *m, const struct job_key *key,
                          const struct node *n)
{
    const ProtobufCFieldDescriptor *f = key->field;
    int64_t number = 0;
    enum err e = OK;
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        if (strcmp(f->name, "r_target") == 0)
            return map_text_or_number(r, n, field_at(m, f));
        return map_text(r, n, field_at(m, f));
    case PROTOBUF_C_TYPE_BOOL:
        if (n->kind != NODE_BOOL)
            return wrong_kind(r, n, "true or false");
        set_has(m, f);
        *(protobuf_c_boolean *)field_at(m, f) = n->boolean;
        return OK;
    case PROTOBUF_C_TYPE_MESSAGE:
        return map_message(r, f->descriptor, n, field_at(m, f));
    default:
        e = key->kind == VALUE_DURATION ? map_duration(r, n, &number)
                                        : map_number(r, key, n, &number);
        if (e == OK)
            set_number(m, f, number);
        return e;
    }
}

static enum err map_field(struct map_run *r, ProtobufCMessage *m, const struct job_key *key,
                          const struct node *n)
{
    switch (key->kind) {
    case VALUE_PORTS:
        return map_ports(r, (Pb__Network *)m, n);
    case VALUE_OPERAND:
    case VALUE_TARGET:
    case VALUE_FLAG:
        return map_operand(r, m, key, n);
    case VALUE_JSON:
        return map_json(r, m, key, n);
    default:
        break;
    }
    if (key->field->label == PROTOBUF_C_LABEL_REPEATED)
        return map_list_field(r, m, key, n);
    return map_plain(r, m, key, n);
}

static enum err unknown_key(struct map_run *r, const ProtobufCMessageDescriptor *d,
                            const struct node *n)
{
    size_t count;
    const struct job_key *keys = native_keys(d, &count);
    const char *names[64];
    for (size_t i = 0; i < count; i++)
        names[i] = keys[i].name;
    const char *near = nearest_name(n->key, names, count);
    if (near != NULL)
        return wrong(r, n, "unknown key \"%.40s\": did you mean \"%s\"?", n->key, near);
    struct strbuf all = STRBUF_INIT;
    for (size_t i = 0; i < count && all.len < 150; i++)
        if (!keys[i].alias)
            strbuf_printf(&all, "%s%s", all.len > 0 ? ", " : "", names[i]);
    enum err e = wrong(r, n, "unknown key \"%.40s\": known here are %s", n->key, strbuf_text(&all));
    strbuf_free(&all);
    return e;
}

/* What the native form leaves unsaid. */
static void complete(struct map_run *r, ProtobufCMessage *m)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    if (d == &pb__constraint__descriptor || d == &pb__affinity__descriptor) {
        char **operand = text_field(m, "operand");
        if (*operand == NULL)
            *operand = arena_strdup(r->arena, "=");
    } else if (d == &pb__periodic__descriptor)
        ((Pb__Periodic *)m)->spec_type = arena_strdup(r->arena, "cron");
    else if (d == &pb__job__descriptor) {
        Pb__Job *job = (Pb__Job *)m;
        if (job->id == NULL)
            job->id = job->name;
    }
}

static enum err map_key(struct map_run *r, ProtobufCMessage *m, const struct node *n,
                        uint64_t *seen)
{
    struct job_key found;
    const struct job_key *key = NULL;
    if (r->native)
        key = native_key(m->descriptor, n->key);
    else if (json_key(m->descriptor, n->key, &found))
        key = &found;
    if (key == NULL)
        return r->native ? unknown_key(r, m->descriptor, n) : OK;
    if (n->kind == NODE_NULL)
        return OK;
    uint64_t bit = 1ull << (key->field - m->descriptor->fields);
    if (r->native && (*seen & bit) != 0)
        return wrong(r, n, "is given twice, here under another name");
    *seen |= bit;
    return map_field(r, m, key, n);
}

static enum err map_message(struct map_run *r, const ProtobufCMessageDescriptor *d,
                            const struct node *n, ProtobufCMessage **out)
{
    uint64_t seen = 0;
    if (!r->native && n->kind == NODE_NULL) {
        *out = new_message(r, d);
        return OK;
    }
    if (n->kind != NODE_MAP)
        return wrong_kind(r, n, r->native ? "a group: { ... }" : "an object");
    if (++r->messages > MAX_MESSAGES)
        return wrong(r, n, "more than %d groups in one job", MAX_MESSAGES);
    *out = new_message(r, d);
    must(d->n_fields <= 64);
    for (size_t i = 0; i < n->count; i++) {
        size_t before = path_push(r, ".", n->items[i].key, 0);
        enum err e = map_key(r, *out, &n->items[i], &seen);
        if (e != OK)
            return e;
        path_pop(r, before);
    }
    if (r->native)
        complete(r, *out);
    return OK;
}

/* ---- the outermost level */

static const struct node *get_without_case(const struct node *map, const char *key)
{
    for (size_t i = map->count; i-- > 0;)
        if (strcasecmp(map->items[i].key, key) == 0)
            return &map->items[i];
    return NULL;
}

/* The job is the file itself, or what the file's only key `job` holds. */
static enum err job_node(struct map_run *r, const struct node *root, const struct node **out)
{
    *out = root;
    if (root->kind != NODE_MAP)
        return wrong_kind(r, root, "an object");
    const struct node *inner = r->native ? node_get(root, "job") : get_without_case(root, "Job");
    if (inner == NULL)
        return OK;
    if (r->native && root->count > 1) {
        const struct node *other = &root->items[inner == &root->items[0] ? 1 : 0];
        path_pop(r, 0);
        path_push(r, "", other->key, 0);
        return wrong(r, other, "stands beside \"job\": put it into the braces of job = { ... }");
    }
    if (inner->kind == NODE_NULL)
        return wrong(r, inner, "the job is missing");
    *out = inner;
    return OK;
}

enum err map_job(struct arena *a, enum jobfile_format format, const struct node *root,
                 Pb__Job **out, struct reason *why)
{
    struct map_run r = {.arena = a, .native = format == JOBFILE_LIBCONFIG, .why = why};
    const struct node *job;
    ProtobufCMessage *message = NULL;
    path_push(&r, "", r.native ? "job" : "Job", 0);
    enum err e = job_node(&r, root, &job);
    if (e == OK)
        e = map_message(&r, &pb__job__descriptor, job, &message);
    if (e == OK)
        *out = (Pb__Job *)message;
    return e;
}
