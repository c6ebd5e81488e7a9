/* Protobuf into arenas, behind size limits. Unpack only here: what a decoder lets through, a core
 * may trust. */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include "base/arena.h"
#include "base/err.h"
#include "bus.pb-c.h"
#include <stdbool.h>

#define WIRE_MAX_MESSAGE  (32u << 20)  /* bytes of one packed message on the bus or in the log */
#define WIRE_MAX_UNPACKED (512u << 20) /* what one may become in memory */

/* The message, or NULL: malformed, larger than the arena's cap, or with an id that is not 16 bytes
 * (every bytes field is an id but those named payload and data). Lives in a. */
ProtobufCMessage *wire_unpack(struct arena *a, const ProtobufCMessageDescriptor *type,
                              const void *data, size_t len);
#define WIRE_UNPACK(a, Type, type, data, len)                                                      \
    ((Type *)wire_unpack((a), &type##__descriptor, (data), (len)))

/* Packs into the arena. */
ProtobufCBinaryData wire_pack(struct arena *a, const ProtobufCMessage *message);
/* A deep copy in another arena. */
ProtobufCMessage *wire_clone(struct arena *a, const ProtobufCMessage *message);
/* True if they pack to the same bytes. */
bool wire_equal(const ProtobufCMessage *a, const ProtobufCMessage *b);

ProtobufCBinaryData wire_id(struct arena *a, const uint8_t id[16]); /* a copy, for a bytes field */

#endif
