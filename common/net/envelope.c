#include "net/envelope.h"

enum { VARINT = 0, FIXED64 = 1, LENGTH_DELIMITED = 2, FIXED32 = 5 }; /* wire types of protobuf */

static size_t put_varint(uint8_t *out, uint64_t value)
{
    size_t len = 0;
    for (; value >= 0x80; value >>= 7)
        out[len++] = (uint8_t)(value | 0x80);
    out[len++] = (uint8_t)value;
    return len;
}

/* The message with the envelope, the payload's tag when there is one, and room for body_len bytes
 * at *body. */
static nng_msg *pack_head(const ProtobufCMessage *envelope, unsigned payload_field,
                          bool has_payload, size_t body_len, size_t max, uint8_t **body)
{
    size_t head_len = protobuf_c_message_get_packed_size(envelope), tag_len = 0;
    uint8_t tag[16];
    if (has_payload) {
        tag_len = put_varint(tag, payload_field << 3 | LENGTH_DELIMITED);
        tag_len += put_varint(tag + tag_len, body_len);
    }
    nng_msg *msg;
    if (head_len + tag_len + body_len > max)
        return NULL;
    must(nng_msg_alloc(&msg, head_len + tag_len + body_len) == 0);
    uint8_t *out = nng_msg_body(msg);
    protobuf_c_message_pack(envelope, out);
    __builtin_memcpy(out + head_len, tag, tag_len);
    *body = out + head_len + tag_len;
    return msg;
}

nng_msg *envelope_pack(const ProtobufCMessage *envelope, unsigned payload_field,
                       const ProtobufCMessage *body, size_t max)
{
    uint8_t *out;
    size_t len = body != NULL ? protobuf_c_message_get_packed_size(body) : 0;
    nng_msg *msg = pack_head(envelope, payload_field, body != NULL, len, max, &out);
    if (msg != NULL && body != NULL)
        protobuf_c_message_pack(body, out);
    return msg;
}

nng_msg *envelope_pack_raw(const ProtobufCMessage *envelope, unsigned payload_field,
                           const ProtobufCBinaryData *raw, size_t max)
{
    uint8_t *out;
    bool has_payload = raw->data != NULL;
    size_t len = has_payload ? raw->len : 0;
    nng_msg *msg = pack_head(envelope, payload_field, has_payload, len, max, &out);
    if (msg != NULL && len > 0)
        __builtin_memcpy(out, raw->data, len);
    return msg;
}

static bool read_varint(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        uint8_t byte = *(*at)++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return true;
    }
    return false;
}

/* Passes over a field's value; *value is its bytes where it has a length. */
static bool skip_value(const uint8_t **at, const uint8_t *end, unsigned wire_type,
                       ProtobufCBinaryData *value)
{
    uint64_t number = 0;
    switch (wire_type) {
    case VARINT:
        return read_varint(at, end, &number);
    case FIXED64:
        number = 8;
        break;
    case FIXED32:
        number = 4;
        break;
    case LENGTH_DELIMITED:
        if (!read_varint(at, end, &number))
            return false;
        break;
    default:
        return false;
    }
    if (number > (uint64_t)(end - *at))
        return false;
    *value = (ProtobufCBinaryData){.len = (size_t)number, .data = (uint8_t *)*at};
    *at += number;
    return true;
}

/* How many bytes of data stand before a payload that ends it; len when there is none such. */
static size_t find_payload(const uint8_t *data, size_t len, unsigned payload_field,
                           ProtobufCBinaryData *payload)
{
    const uint8_t *at = data, *end = data + len;
    while (at < end) {
        const uint8_t *field = at;
        uint64_t tag;
        ProtobufCBinaryData value = {0};
        if (!read_varint(&at, end, &tag) || !skip_value(&at, end, tag & 7, &value))
            return len;
        if (tag == (payload_field << 3 | LENGTH_DELIMITED) && at == end) {
            *payload = value;
            return (size_t)(field - data);
        }
    }
    return len;
}

ProtobufCMessage *envelope_unpack(struct arena *a, const ProtobufCMessageDescriptor *type,
                                  unsigned payload_field, const void *data, size_t len,
                                  ProtobufCBinaryData *payload)
{
    *payload = (ProtobufCBinaryData){0};
    size_t head = find_payload(data, len, payload_field, payload);
    ProtobufCMessage *envelope = wire_unpack(a, type, data, head);
    if (envelope == NULL || head < len)
        return envelope;
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field(type, payload_field);
    *payload = *(const ProtobufCBinaryData *)(const void *)((const char *)envelope + f->offset);
    return envelope;
}

struct arena *arena_pool_get(struct arena_pool *p)
{
    return p->count > 0 ? p->kept[--p->count] : arena_new(WIRE_MAX_UNPACKED);
}

void arena_pool_put(struct arena_pool *p, struct arena *a)
{
    if (p->count == COUNT_OF(p->kept)) {
        arena_free(a);
        return;
    }
    arena_reset(a);
    p->kept[p->count++] = a;
}

void arena_pool_fini(struct arena_pool *p)
{
    while (p->count > 0)
        arena_free(p->kept[--p->count]);
}
