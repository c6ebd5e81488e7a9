/* A record on the agent's own disk: a packed message, and behind it a checksum in the form of one
 * more field, which a decoder that does not know it passes over. */
#ifndef NODEAGENT_RECORD_H
#define NODEAGENT_RECORD_H

#include "base/arena.h"
#include "store/store.h"
#include <protobuf-c/protobuf-c.h>

/* In a. */
struct bytes record_seal(struct arena *a, const ProtobufCMessage *message);
/* The message, in a. NULL: it is not what was sealed, or not of this type. A record without a
 * checksum (of an agent that made none) is taken as it is. */
ProtobufCMessage *record_open(struct arena *a, const ProtobufCMessageDescriptor *type,
                              struct bytes sealed);

#endif
