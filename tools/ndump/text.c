#include "text.h"
#include "base/id.h"
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

static void put_quoted(struct strbuf *out, const char *s)
{
    strbuf_putc(out, '"');
    for (; s != NULL && *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            strbuf_printf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            strbuf_printf(out, "\\x%02x", c);
        else
            strbuf_putc(out, (char)c);
    }
    strbuf_putc(out, '"');
}

static void put_bytes(struct strbuf *out, const ProtobufCBinaryData *b)
{
    char id[ID_TEXT_SIZE];
    if (b->len == ID_SIZE) {
        id_format(b->data, id);
        strbuf_puts(out, id);
        return;
    }
    strbuf_printf(out, "<%zu bytes>", b->len);
}

static void put_enum(struct strbuf *out, const ProtobufCFieldDescriptor *f, int value)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(f->descriptor, value);
    if (v != NULL)
        strbuf_puts(out, v->name);
    else
        strbuf_printf(out, "%d", value);
}

static void put_value(struct strbuf *out, const ProtobufCFieldDescriptor *f, const void *at)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        strbuf_printf(out, "%" PRId32, *(const int32_t *)at);
        return;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        strbuf_printf(out, "%" PRIu32, *(const uint32_t *)at);
        return;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        strbuf_printf(out, "%" PRId64, *(const int64_t *)at);
        return;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        strbuf_printf(out, "%" PRIu64, *(const uint64_t *)at);
        return;
    case PROTOBUF_C_TYPE_FLOAT:
        strbuf_printf(out, "%g", (double)*(const float *)at);
        return;
    case PROTOBUF_C_TYPE_DOUBLE:
        strbuf_printf(out, "%g", *(const double *)at);
        return;
    case PROTOBUF_C_TYPE_BOOL:
        strbuf_puts(out, *(const protobuf_c_boolean *)at ? "true" : "false");
        return;
    case PROTOBUF_C_TYPE_ENUM:
        put_enum(out, f, *(const int *)at);
        return;
    case PROTOBUF_C_TYPE_STRING:
        put_quoted(out, *(char *const *)at);
        return;
    case PROTOBUF_C_TYPE_BYTES:
        put_bytes(out, at);
        return;
    case PROTOBUF_C_TYPE_MESSAGE:
        text_of_message(out, *(ProtobufCMessage *const *)at);
        return;
    }
}

/* How far the values of a repeated field are apart. */
static size_t stride(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    default:
        return 4;
    }
}

static bool is_set(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    const char *base = (const char *)m;
    const void *quantifier = base + f->quantifier_offset;
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
        return *(const uint32_t *)quantifier == f->id;
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return *(const size_t *)quantifier > 0;
    if (f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE)
        return *(void *const *)(const void *)(base + f->offset) != NULL;
    return *(const protobuf_c_boolean *)quantifier != 0;
}

static void put_field(struct strbuf *out, const ProtobufCMessage *m,
                      const ProtobufCFieldDescriptor *f)
{
    const char *at = (const char *)m + f->offset;
    strbuf_printf(out, "%s: ", f->name);
    if (f->label != PROTOBUF_C_LABEL_REPEATED) {
        put_value(out, f, at);
        return;
    }
    size_t n = *(const size_t *)(const void *)((const char *)m + f->quantifier_offset);
    const char *values = *(char *const *)(const void *)at;
    strbuf_putc(out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            strbuf_puts(out, ", ");
        put_value(out, f, values + i * stride(f->type));
    }
    strbuf_putc(out, ']');
}

void text_of_message(struct strbuf *out, const ProtobufCMessage *m)
{
    bool first = true;
    strbuf_putc(out, '{');
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        if (!is_set(m, f))
            continue;
        if (!first)
            strbuf_puts(out, ", ");
        first = false;
        put_field(out, m, f);
    }
    if (m->n_unknown_fields > 0)
        strbuf_printf(out, "%s%u unknown fields", first ? "" : ", ", m->n_unknown_fields);
    strbuf_putc(out, '}');
}
