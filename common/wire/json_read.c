/* Tree -> message. Errors read as those of Go's encoding/json, since clients of Nomad know them. */
#include "wire/json.h"
#include "base/base64.h"
#include "base/id.h"
#include "wire/names.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct arena *arena;
    size_t limit; /* of arena_used */
    struct reason *why;
    enum err failed; /* the first error; reading goes on to nowhere */
    char path[256];  /* "Job.TaskGroups" */
    const char *go_name;
};

static void *take(struct reader *r, size_t size)
{
    void *p = arena_used(r->arena) > r->limit ? NULL : arena_try_alloc(r->arena, size);
    if (p != NULL)
        return memset(p, 0, size);
    if (r->failed == OK)
        r->failed = reason_set(r->why, ERR_NO_SPACE, "%s is too large", r->path);
    return NULL;
}

static void fail_type(struct reader *r, const json_t *value, const char *field, const char *go_type)
{
    char number[64];
    bool shows_number =
        strcmp(go_type, "string") != 0 && strcmp(go_type, "bool") != 0 && go_type[0] != '[';
    const char *kind = json_is_array(value)     ? "array"
                       : json_is_string(value)  ? "string"
                       : json_is_boolean(value) ? "bool"
                       : json_is_number(value)  ? "number"
                                                : "object";
    if (r->failed != OK)
        return;
    if (json_is_integer(value) && shows_number) {
        snprintf(number, sizeof(number), "number %lld", (long long)json_integer_value(value));
        kind = number;
    } else if (json_is_real(value) && shows_number) {
        snprintf(number, sizeof(number), "number %.17g", json_real_value(value));
        kind = number;
    }
    r->failed = reason_set(
        r->why, ERR_INVALID, "json: cannot unmarshal %s into Go struct field %s.%s%s%s of type %s",
        kind, r->go_name, r->path, r->path[0] == '\0' ? "" : ".", field, go_type);
}

static char *copy_text(struct reader *r, const json_t *value)
{
    size_t len = json_string_length(value);
    char *copy = take(r, len + 1);
    if (copy != NULL)
        memcpy(copy, json_string_value(value), len);
    return copy;
}

static bool fits(const ProtobufCFieldDescriptor *f, json_int_t v)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
        return v >= INT32_MIN && v <= INT32_MAX;
    case PROTOBUF_C_TYPE_UINT32: /* Go's int: a negative one is for validation to refuse */
        return v >= INT32_MIN && v <= INT32_MAX;
    case PROTOBUF_C_TYPE_UINT64:
        return v >= 0;
    default:
        return true;
    }
}

static bool read_number(struct reader *r, const struct json_field *jf, const json_t *value,
                        void *at)
{
    const ProtobufCFieldDescriptor *f = jf->field;
    json_int_t v = json_integer_value(value);
    if (f->type == PROTOBUF_C_TYPE_DOUBLE && json_is_number(value)) {
        *(double *)at = json_number_value(value);
        return true;
    }
    if (!json_is_integer(value) || !fits(f, v)) {
        fail_type(r, value, jf->name, jf->go_type);
        return false;
    }
    if (f->type == PROTOBUF_C_TYPE_INT64 || f->type == PROTOBUF_C_TYPE_UINT64)
        *(int64_t *)at = v;
    else
        *(int32_t *)at = (int32_t)v;
    return true;
}

bool json_base64_read(const char *text, size_t len, uint8_t *out, size_t *out_len, size_t *bad)
{
    *bad = 0;
    return len % 4 == 0 && base64_decode(out, out_len, text, len, BASE64, bad);
}

static bool read_base64(struct reader *r, const json_t *value, ProtobufCBinaryData *out)
{
    size_t len = json_string_length(value), bad;
    out->data = take(r, len / 4 * 3 + 4);
    if (out->data == NULL)
        return false;
    if (json_base64_read(json_string_value(value), len, out->data, &out->len, &bad))
        return true;
    r->failed = reason_set(r->why, ERR_INVALID, "illegal base64 data at input byte %zu", bad);
    return false;
}

static bool read_bytes(struct reader *r, const struct json_field *jf, const json_t *value,
                       ProtobufCBinaryData *out)
{
    if (!json_is_string(value)) {
        fail_type(r, value, jf->name, jf->kind == JSON_BASE64 ? "[]uint8" : "string");
        return false;
    }
    if (jf->kind == JSON_BASE64)
        return read_base64(r, value, out);
    if (json_string_length(value) == 0)
        return false;
    out->len = ID_SIZE;
    out->data = take(r, ID_SIZE);
    if (out->data == NULL || id_parse(json_string_value(value), out->data))
        return out->data != NULL;
    r->failed = reason_set(r->why, ERR_INVALID, "%s.%s is not an id", r->path, jf->name);
    return false;
}

static ProtobufCMessage *read_message(struct reader *r, const ProtobufCMessageDescriptor *type,
                                      const json_t *tree, const struct json_field *from);

/* One value that is not null into `at`. False: it stays unset. */
static bool read_value(struct reader *r, const struct json_field *jf, const json_t *value, void *at)
{
    switch (jf->field->type) {
    case PROTOBUF_C_TYPE_STRING:
        if (json_is_string(value))
            return (*(char **)at = copy_text(r, value)) != NULL;
        fail_type(r, value, jf->name, "string");
        return false;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)at = json_is_true(value);
        if (!json_is_boolean(value))
            fail_type(r, value, jf->name, "bool");
        return json_is_boolean(value);
    case PROTOBUF_C_TYPE_BYTES:
        return read_bytes(r, jf, value, at);
    case PROTOBUF_C_TYPE_ENUM:
        if (json_is_string(value) &&
            json_enum_value(jf->field->descriptor, json_string_value(value), at))
            return true;
        fail_type(r, value, jf->name, "string");
        return false;
    case PROTOBUF_C_TYPE_MESSAGE:
        return (*(void **)at = read_message(r, jf->field->descriptor, value, jf)) != NULL;
    default:
        return read_number(r, jf, value, at);
    }
}

static bool read_verbatim(struct reader *r, const struct json_field *jf, const json_t *value,
                          char **out)
{
    bool is_config = (jf->flags & JSON_FLOATS) != 0;
    if (is_config && !json_is_object(value)) {
        fail_type(r, value, jf->name, jf->go_type);
        return false;
    }
    struct strbuf text = STRBUF_INIT;
    json_text_write(&text, value, false);
    *out = take(r, text.len + 1);
    if (*out != NULL)
        memcpy(*out, strbuf_text(&text), text.len);
    strbuf_free(&text);
    return *out != NULL;
}

struct entry {
    const char *key;
    const json_t *value;
};

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->key, ((const struct entry *)b)->key);
}

/* The entries of an object, sorted by key. */
static struct entry *sorted(struct reader *r, const json_t *object)
{
    struct entry *entries = take(r, json_object_size(object) * sizeof(*entries));
    const char *key;
    json_t *value;
    size_t n = 0;
    if (entries == NULL)
        return NULL;
    json_object_foreach((json_t *)object, key, value) entries[n++] =
        (struct entry){.key = key, .value = value};
    qsort(entries, n, sizeof(*entries), by_key);
    return entries;
}

static ProtobufCMessage *read_entry(struct reader *r, const struct json_field *jf,
                                    const struct entry *entry)
{
    const ProtobufCMessageDescriptor *type = jf->field->descriptor;
    ProtobufCMessage *m;
    if (jf->kind == JSON_KEYED) {
        m = read_message(r, type, entry->value, jf);
    } else {
        m = take(r, type->sizeof_message);
        if (m == NULL)
            return NULL;
        protobuf_c_message_init(type, m);
        struct json_field value = {.field = jf->value, .go_type = "string"};
        snprintf(value.name, sizeof(value.name), "%s", jf->name);
        char *at = (char *)m + jf->value->offset;
        bool set = json_is_null(entry->value)
                       ? jf->value->type == PROTOBUF_C_TYPE_STRING &&
                             (*(char **)(void *)at = take(r, 1)) != NULL /* "": as Go reads it */
                       : read_value(r, &value, entry->value, at);
        if (set && jf->value->type != PROTOBUF_C_TYPE_STRING)
            *(protobuf_c_boolean *)(void *)((char *)m + jf->value->quantifier_offset) = 1;
    }
    char *key = m == NULL ? NULL : take(r, strlen(entry->key) + 1);
    if (key == NULL)
        return NULL;
    memcpy(key, entry->key, strlen(entry->key)); /* take cleared it: the NUL is there */
    *(char **)(void *)((char *)m + jf->key->offset) = key;
    return m;
}

static void read_map(struct reader *r, const struct json_field *jf, const json_t *value,
                     ProtobufCMessage *m)
{
    if (!json_is_object(value)) {
        fail_type(r, value, jf->name, jf->go_type);
        return;
    }
    size_t n = json_object_size(value);
    struct entry *entries = n == 0 ? NULL : sorted(r, value);
    ProtobufCMessage **elements = n == 0 ? NULL : take(r, n * sizeof(ProtobufCMessage *));
    if (entries == NULL || elements == NULL)
        return;
    for (size_t i = 0; i < n && r->failed == OK; i++)
        elements[i] = read_entry(r, jf, &entries[i]);
    if (r->failed != OK)
        return;
    *(ProtobufCMessage ***)(void *)((char *)m + jf->field->offset) = elements;
    *(size_t *)(void *)((char *)m + jf->field->quantifier_offset) = n;
}

static size_t element_size(const ProtobufCFieldDescriptor *f)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_ENUM:
    case PROTOBUF_C_TYPE_BOOL:
        return 4;
    default:
        return 8;
    }
}

static void read_list(struct reader *r, const struct json_field *jf, const json_t *value,
                      ProtobufCMessage *m)
{
    if (!json_is_array(value)) {
        fail_type(r, value, jf->name, jf->go_type);
        return;
    }
    size_t n = json_array_size(value), size = element_size(jf->field), kept = 0;
    char *elements = n == 0 ? NULL : take(r, n * size);
    for (size_t i = 0; elements != NULL && i < n && r->failed == OK; i++) {
        const json_t *element = json_array_get(value, i);
        if (json_is_null(element))
            continue; /* Go would keep a nil; no field of ours has a meaning for it */
        kept += read_value(r, jf, element, elements + kept * size);
    }
    if (kept == 0 || r->failed != OK)
        return;
    *(void **)(void *)((char *)m + jf->field->offset) = elements;
    *(size_t *)(void *)((char *)m + jf->field->quantifier_offset) = kept;
}

static void read_field(struct reader *r, const struct json_field *jf, const json_t *value,
                       ProtobufCMessage *m)
{
    const ProtobufCFieldDescriptor *f = jf->field;
    char *at = (char *)m + f->offset;
    if (jf->kind == JSON_VERBATIM) {
        read_verbatim(r, jf, value, (char **)(void *)at);
    } else if (jf->kind == JSON_MAP || jf->kind == JSON_KEYED) {
        read_map(r, jf, value, m);
    } else if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        read_list(r, jf, value, m);
    } else if (read_value(r, jf, value, at) && f->type != PROTOBUF_C_TYPE_MESSAGE &&
               f->type != PROTOBUF_C_TYPE_STRING) {
        *(protobuf_c_boolean *)(void *)((char *)m + f->quantifier_offset) = 1;
    }
}

static void read_fields(struct reader *r, const struct json_plan *plan, const json_t *tree,
                        ProtobufCMessage *m)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)tree, key, value)
    {
        const struct json_field *jf = json_plan_find(plan, key);
        if (r->failed != OK)
            return;
        if (jf == NULL || json_is_null(value) || (jf->flags & JSON_NO_INPUT) != 0 ||
            jf->kind == JSON_TIME)
            continue;
        read_field(r, jf, value, m);
    }
}

static ProtobufCMessage *read_message(struct reader *r, const ProtobufCMessageDescriptor *type,
                                      const json_t *tree, const struct json_field *from)
{
    const struct json_plan *plan = json_plan_of(type);
    if (!json_is_object(tree)) {
        char go_type[64];
        snprintf(go_type, sizeof(go_type), "api.%s", plan->go_name);
        fail_type(r, tree, from == NULL ? "" : from->name, go_type);
        return NULL;
    }
    ProtobufCMessage *m = take(r, type->sizeof_message);
    if (m == NULL)
        return NULL;
    protobuf_c_message_init(type, m);
    size_t outer = strlen(r->path);
    const char *outer_name = r->go_name;
    if (from != NULL)
        snprintf(r->path + outer, sizeof(r->path) - outer, "%s%s", outer == 0 ? "" : ".",
                 from->name);
    r->go_name = plan->go_name;
    read_fields(r, plan, tree, m);
    r->go_name = outer_name;
    r->path[outer] = '\0';
    return r->failed == OK ? m : NULL;
}

enum err wire_from_json(struct arena *a, const ProtobufCMessageDescriptor *type, const json_t *tree,
                        const char *path, size_t limit, ProtobufCMessage **out, struct reason *why)
{
    struct reader r = {
        .arena = a, .limit = arena_used(a) + limit, .why = why, .go_name = "request"};
    snprintf(r.path, sizeof(r.path), "%s", path);
    ProtobufCMessage *m = read_message(&r, type, tree, NULL);
    if (r.failed == OK)
        *out = m;
    return r.failed;
}
