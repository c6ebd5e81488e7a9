/* A message as one line of text: only what is set, by the proto's own names. */
#ifndef NDUMP_TEXT_H
#define NDUMP_TEXT_H

#include "base/strbuf.h"
#include <protobuf-c/protobuf-c.h>

void text_of_message(struct strbuf *out, const ProtobufCMessage *m);

#endif
