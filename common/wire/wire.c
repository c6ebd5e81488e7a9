#include "wire/wire.h"
#include <string.h>

static void *alloc_from_arena(void *arena, size_t size)
{
    return arena_try_alloc(arena, size);
}

static void free_nothing(void *arena, void *p) {}

static bool field_is_id(const ProtobufCFieldDescriptor *f)
{
    return f->type == PROTOBUF_C_TYPE_BYTES && strcmp(f->name, "payload") != 0 &&
           strcmp(f->name, "data") != 0 && strcmp(f->name, "hash") != 0;
}

/* How many values the field has, and where the first is. */
static size_t field_values(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                           const void **first)
{
    const char *base = (const char *)m, *at = base + f->offset;
    const char *quantifier = base + f->quantifier_offset;
    *first = at;
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        *first = *(void *const *)(const void *)at;
        return *(const size_t *)(const void *)quantifier;
    }
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
        return *(const uint32_t *)(const void *)quantifier == f->id;
    if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        return *(void *const *)(const void *)at != NULL;
    return *(const protobuf_c_boolean *)(const void *)quantifier != 0;
}

/* Every id in it, however deep, is 16 bytes long, and it can be packed and unpacked again:
 * protobuf-c takes field number 0 when it is spelled in two bytes, and refuses what it then packs
 * itself. */
static bool is_sound(const ProtobufCMessage *m)
{
    for (unsigned i = 0; i < m->n_unknown_fields; i++)
        if (m->unknown_fields[i].tag == 0)
            return false;
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        bool is_id = field_is_id(f);
        if (!is_id && f->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        const void *values;
        size_t count = field_values(m, f, &values);
        for (size_t k = 0; k < count; k++)
            if (is_id ? ((const ProtobufCBinaryData *)values)[k].len != 16
                      : !is_sound(((ProtobufCMessage *const *)values)[k]))
                return false;
    }
    return true;
}

ProtobufCMessage *wire_unpack(struct arena *a, const ProtobufCMessageDescriptor *type,
                              const void *data, size_t len)
{
    ProtobufCAllocator from_arena = {
        .alloc = alloc_from_arena, .free = free_nothing, .allocator_data = a};
    ProtobufCMessage *m = protobuf_c_message_unpack(type, &from_arena, len, data);
    return m != NULL && is_sound(m) ? m : NULL;
}

ProtobufCBinaryData wire_pack(struct arena *a, const ProtobufCMessage *message)
{
    ProtobufCBinaryData out = {.len = protobuf_c_message_get_packed_size(message)};
    out.data = arena_alloc(a, out.len);
    protobuf_c_message_pack(message, out.data);
    return out;
}

ProtobufCMessage *wire_clone(struct arena *a, const ProtobufCMessage *message)
{
    ProtobufCBinaryData packed = wire_pack(a, message);
    ProtobufCMessage *copy = wire_unpack(a, message->descriptor, packed.data, packed.len);
    must(copy != NULL);
    return copy;
}

bool wire_equal(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
    size_t len = protobuf_c_message_get_packed_size(a);
    if (a->descriptor != b->descriptor || len != protobuf_c_message_get_packed_size(b))
        return false;
    struct arena *scratch =
        arena_new(2 * len + 4096); /* an arena's first block may be larger than asked */
    ProtobufCBinaryData packed_a = wire_pack(scratch, a), packed_b = wire_pack(scratch, b);
    bool equal = memcmp(packed_a.data, packed_b.data, len) == 0;
    arena_free(scratch);
    return equal;
}

ProtobufCBinaryData wire_id(struct arena *a, const uint8_t id[16])
{
    return (ProtobufCBinaryData){.len = 16, .data = arena_copy(a, id, 16)};
}
