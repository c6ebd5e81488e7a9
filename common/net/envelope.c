#include "net/envelope.h"

#define LENGTH_DELIMITED 2 /* the wire type of a bytes field */

static size_t put_varint(uint8_t *out, uint64_t value)
{
    size_t len = 0;
    for (; value >= 0x80; value >>= 7)
        out[len++] = (uint8_t)(value | 0x80);
    out[len++] = (uint8_t)value;
    return len;
}

nng_msg *envelope_pack(const ProtobufCMessage *envelope, unsigned payload_field,
                       const ProtobufCMessage *body, size_t max)
{
    size_t head_len = protobuf_c_message_get_packed_size(envelope), body_len = 0, tag_len = 0;
    uint8_t tag[16];
    if (body != NULL) {
        body_len = protobuf_c_message_get_packed_size(body);
        tag_len = put_varint(tag, payload_field << 3 | LENGTH_DELIMITED);
        tag_len += put_varint(tag + tag_len, body_len);
    }
    nng_msg *msg;
    if (head_len + tag_len + body_len > max)
        return NULL;
    must(nng_msg_alloc(&msg, head_len + tag_len + body_len) == 0);
    uint8_t *out = nng_msg_body(msg);
    protobuf_c_message_pack(envelope, out);
    if (body != NULL) {
        __builtin_memcpy(out + head_len, tag, tag_len);
        protobuf_c_message_pack(body, out + head_len + tag_len);
    }
    return msg;
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
