#include "record.h"
#include "base/crc32c.h"
#include "wire/wire.h"
#include <string.h>

/* Field 2047, of type fixed32. */
static const uint8_t tag[2] = {0xfd, 0x7f};
#define TRAILER (sizeof tag + sizeof(uint32_t))

struct bytes record_seal(struct arena *a, const ProtobufCMessage *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *out = arena_alloc(a, len + TRAILER);
    protobuf_c_message_pack(message, out);
    uint32_t sum = crc32c(0, out, len);
    memcpy(out + len, tag, sizeof tag);
    for (size_t i = 0; i < sizeof sum; i++)
        out[len + sizeof tag + i] = (uint8_t)(sum >> 8 * i);
    return bytes_of(out, len + TRAILER);
}

ProtobufCMessage *record_open(struct arena *a, const ProtobufCMessageDescriptor *type,
                              struct bytes sealed)
{
    const uint8_t *data = sealed.data;
    size_t len = sealed.len;
    if (len >= TRAILER && memcmp(data + len - TRAILER, tag, sizeof tag) == 0) {
        uint32_t sum = 0;
        len -= TRAILER;
        for (size_t i = 0; i < sizeof sum; i++)
            sum |= (uint32_t)data[len + sizeof tag + i] << 8 * i;
        if (sum != crc32c(0, data, len))
            return NULL;
    }
    return wire_unpack(a, type, data, len);
}
