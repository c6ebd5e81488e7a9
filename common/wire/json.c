#include "wire/json.h"
#include "base/base64.h"
#include "base/id.h"
#include "wire/names.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REAL_DIGITS 16 /* 17 would be exact but prints 0.1 as 0.10000000000000001 */

/* ---- pieces */

static size_t utf8_sequence(const unsigned char *s)
{
    size_t n = s[0] < 0x80                   ? 1
               : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
               : (s[0] & 0xf0) == 0xe0       ? 3
               : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                             : 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if (n == 3 && ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f)))
        return 0; /* overlong, or a surrogate */
    if (n == 4 && ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)))
        return 0;
    return n;
}

static char *with_valid_utf8(const char *text)
{
    struct strbuf s = STRBUF_INIT;
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0';) {
        size_t n = utf8_sequence(at);
        if (n == 0)
            strbuf_puts(&s, "\xef\xbf\xbd"); /* U+FFFD */
        else
            strbuf_add(&s, at, n);
        at += n == 0 ? 1 : n;
    }
    return s.data == NULL ? xstrdup("") : strbuf_take(&s);
}

json_t *json_text(const char *text)
{
    if (text == NULL)
        text = "";
    json_t *value = json_string(text);
    if (value != NULL)
        return value;
    char *clean = with_valid_utf8(text);
    value = json_string_nocheck(clean);
    free(clean);
    return value;
}

json_t *json_id(const uint8_t *id)
{
    char text[ID_TEXT_SIZE] = "";
    if (id != NULL)
        id_format(id, text);
    return json_string_nocheck(text);
}

json_t *json_id_of(ProtobufCBinaryData id)
{
    return json_id(id.len == ID_SIZE ? id.data : NULL);
}

json_t *json_rfc3339(int64_t ns)
{
    if (ns == 0)
        return json_null();
    time_t seconds = (time_t)(ns / 1000000000);
    long rest = (long)(ns % 1000000000);
    if (rest < 0) {
        rest += 1000000000;
        seconds--;
    }
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL)
        return json_null();
    char text[64], fraction[12] = "";
    if (rest != 0) {
        snprintf(fraction, sizeof(fraction), ".%09ld", rest);
        for (char *end = fraction + strlen(fraction); end[-1] == '0';)
            *--end = '\0';
    }
    size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, sizeof(text) - n, "%sZ", fraction);
    return json_string_nocheck(text);
}

json_t *json_number(double value)
{
    return json_real(isfinite(value) ? value : 0.0);
}

void json_put(json_t *object, const char *key, json_t *value)
{
    if (key == NULL)
        key = "";
    if (json_object_set(object, key, value) != 0) {
        char *clean = with_valid_utf8(key);
        json_object_set_nocheck(object, clean, value);
        free(clean);
    }
    json_decref(value);
}

json_t *json_base64(ProtobufCBinaryData data)
{
    struct strbuf s = STRBUF_INIT;
    base64_encode(&s, data.data, data.len, BASE64);
    json_t *text = json_string_nocheck(strbuf_text(&s));
    strbuf_free(&s);
    return text;
}

/* ---- message -> tree */

/* Where the first value of a field is, and how many there are. */
static size_t values_of(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                        const void **first)
{
    const char *base = (const char *)m, *at = base + f->offset;
    const void *quantifier = base + f->quantifier_offset;
    *first = at;
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        *first = *(void *const *)(const void *)at;
        return *(const size_t *)quantifier;
    }
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
        return *(const uint32_t *)quantifier == f->id;
    if (f->type == PROTOBUF_C_TYPE_MESSAGE || f->type == PROTOBUF_C_TYPE_STRING)
        return *(void *const *)(const void *)at != NULL;
    return *(const protobuf_c_boolean *)quantifier != 0;
}

static size_t width_of(const ProtobufCFieldDescriptor *f)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
    case PROTOBUF_C_TYPE_STRING:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return 8;
    default:
        return 4;
    }
}

static json_t *message_to_json(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *without);

/* at NULL: the value of an unset field. */
static json_t *scalar_to_json(const ProtobufCFieldDescriptor *f, const void *at)
{
    char buffer[32];
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        return json_text(at == NULL ? "" : *(const char *const *)at);
    case PROTOBUF_C_TYPE_BOOL:
        return json_boolean(at != NULL && *(const protobuf_c_boolean *)at);
    case PROTOBUF_C_TYPE_ENUM:
        return json_string_nocheck(
            json_enum_name(f->descriptor, at == NULL ? 0 : *(const int *)at, buffer));
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return json_integer(at == NULL ? 0 : *(const int32_t *)at);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32: /* what was read as a negative number is written as one */
        return json_integer(at == NULL ? 0 : (int32_t) * (const uint32_t *)at);
    case PROTOBUF_C_TYPE_DOUBLE:
        return json_number(at == NULL ? 0 : *(const double *)at);
    case PROTOBUF_C_TYPE_BYTES:
        return at == NULL ? json_id(NULL) : json_id_of(*(const ProtobufCBinaryData *)at);
    case PROTOBUF_C_TYPE_MESSAGE:
        return at == NULL ? json_null()
                          : message_to_json(*(const ProtobufCMessage *const *)at, NULL);
    default:
        return json_integer(at == NULL ? 0 : (json_int_t) * (const int64_t *)at);
    }
}

static json_t *with_reals(json_t *tree)
{
    const char *key;
    json_t *child;
    size_t i;
    void *next;
    if (json_is_integer(tree)) {
        json_t *real = json_number((double)json_integer_value(tree));
        json_decref(tree);
        return real;
    }
    json_object_foreach_safe(tree, next, key, child) if (!json_is_string(child))
        json_object_set_new_nocheck(tree, key, with_reals(json_incref(child)));
    json_array_foreach(tree, i, child) if (!json_is_string(child))
        json_array_set_new(tree, i, with_reals(json_incref(child)));
    return tree;
}

static json_t *verbatim(const char *text, bool reals)
{
    json_t *tree = json_loads(text, JSON_DECODE_ANY, NULL);
    if (tree == NULL)
        return json_null();
    return reals ? with_reals(tree) : tree;
}

/* As verbatim, for the tables' own texts, nearly all of which are one of four. */
static json_t *constant_to_json(const char *text)
{
    if (text[0] == 'n')
        return json_null();
    if (text[0] == 'f')
        return json_false();
    if (text[0] == '0')
        return json_integer(0);
    return strcmp(text, "\"\"") == 0 ? json_string_nocheck("") : verbatim(text, false);
}

static json_t *map_to_json(const struct json_field *f, const void *first, size_t count)
{
    json_t *object = json_object();
    ProtobufCMessage *const *elements = first;
    for (size_t i = 0; i < count; i++) {
        const void *key, *value;
        const char *name = values_of(elements[i], f->key, &key) > 0 ? *(char *const *)key : "";
        if (f->kind == JSON_KEYED)
            json_put(object, name,
                     message_to_json(elements[i], (f->flags & JSON_KEEP_KEY) != 0 ? NULL : f->key));
        else if (values_of(elements[i], f->value, &value) > 0)
            json_put(object, name, scalar_to_json(f->value, value));
        else
            json_put(object, name, scalar_to_json(f->value, NULL));
    }
    return object;
}

static json_t *list_to_json(const ProtobufCFieldDescriptor *f, const void *first, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, scalar_to_json(f, (const char *)first + i * width_of(f)));
    return list;
}

static json_t *unset_to_json(const struct json_field *f)
{
    const ProtobufCFieldDescriptor *d = f->field;
    if (f->constant != NULL)
        return constant_to_json(f->constant);
    if ((f->flags & JSON_EMPTY_MAP) != 0)
        return json_object();
    if ((f->flags & JSON_ZERO_STRUCT) != 0) {
        const ProtobufCMessageDescriptor *type = d->descriptor;
        ProtobufCMessage *empty = xcalloc(1, type->sizeof_message);
        protobuf_c_message_init(type, empty);
        json_t *tree = message_to_json(empty, NULL);
        free(empty);
        return tree;
    }
    if (d->label == PROTOBUF_C_LABEL_REPEATED || (f->flags & JSON_NULLABLE) != 0 ||
        f->kind == JSON_TIME || f->kind == JSON_VERBATIM || f->kind == JSON_BASE64)
        return json_null();
    return scalar_to_json(d, NULL);
}

static bool is_empty(const struct json_field *f, const void *first, size_t count)
{
    if (count == 0)
        return true;
    if (f->field->label == PROTOBUF_C_LABEL_REPEATED)
        return false;
    switch (f->field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        return false;
    case PROTOBUF_C_TYPE_STRING:
        return (*(char *const *)first)[0] == '\0';
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)first)->len == 0;
    case PROTOBUF_C_TYPE_BOOL:
        return !*(const protobuf_c_boolean *)first;
    default:
        return width_of(f->field) == 8 ? *(const uint64_t *)first == 0
                                       : *(const uint32_t *)first == 0;
    }
}

static json_t *field_to_json(const struct json_field *f, const void *first, size_t count)
{
    if (count == 0)
        return unset_to_json(f);
    switch (f->kind) {
    case JSON_TIME:
        return json_rfc3339(*(const int64_t *)first);
    case JSON_BASE64:
        return json_base64(*(const ProtobufCBinaryData *)first);
    case JSON_VERBATIM:
        return verbatim(*(char *const *)first, (f->flags & JSON_FLOATS) != 0);
    case JSON_MAP:
    case JSON_KEYED:
        return map_to_json(f, first, count);
    default:
        return f->field->label == PROTOBUF_C_LABEL_REPEATED ? list_to_json(f->field, first, count)
                                                            : scalar_to_json(f->field, first);
    }
}

static json_t *message_to_json(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *without)
{
    const struct json_plan *plan = json_plan_of(m->descriptor);
    json_t *object = json_object();
    for (size_t i = 0; i < plan->count; i++) {
        const struct json_field *f = &plan->fields[i];
        const void *first = NULL;
        if (f->kind == JSON_CONSTANT) {
            json_object_set_new_nocheck(object, f->name, constant_to_json(f->constant));
            continue;
        }
        if (f->field == without || (f->flags & JSON_NO_OUTPUT) != 0)
            continue;
        size_t count = values_of(m, f->field, &first);
        if ((f->flags & JSON_OMIT_EMPTY) != 0 && is_empty(f, first, count))
            continue;
        json_object_set_new_nocheck(object, f->name, field_to_json(f, first, count));
    }
    return object;
}

json_t *wire_to_json(const ProtobufCMessage *message)
{
    return message_to_json(message, NULL);
}

static int append(const char *text, size_t len, void *out)
{
    strbuf_add(out, text, len);
    return 0;
}

void json_text_write(struct strbuf *out, const json_t *tree, bool pretty)
{
    size_t flags = JSON_ENCODE_ANY | JSON_SORT_KEYS | JSON_REAL_PRECISION(REAL_DIGITS) |
                   (pretty ? JSON_INDENT(4) : JSON_COMPACT);
    json_dump_callback(tree, append, out, flags);
    if (pretty)
        strbuf_putc(out, '\n');
}
