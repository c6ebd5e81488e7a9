/* Messages as JSON, by a walk over their descriptors; what differs from the rule is in names.c.
 * Text is jansson's business, and its trees are the other side of the mapping here. */
#ifndef WIRE_JSON_H
#define WIRE_JSON_H

#include "base/arena.h"
#include "base/err.h"
#include "base/strbuf.h"
#include <jansson.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

/* A new tree with every field of the message, in Nomad's names and types. */
json_t *wire_to_json(const ProtobufCMessage *message);

/* The tree as a message. Keys match without regard to case, unknown ones are ignored, null means
 * unset. path names the tree in errors ("Job"); the reason is worded as Go's decoder would.
 * ERR_NO_SPACE: the message would take more than `limit` bytes of memory. */
enum err wire_from_json(struct arena *a, const ProtobufCMessageDescriptor *type, const json_t *tree,
                        const char *path, size_t limit, ProtobufCMessage **out, struct reason *why);

/* Text -> tree. What follows the first value is ignored, as Go's decoder does. NULL: not JSON; the
 * reason is worded as Go's. */
json_t *json_text_parse(const char *text, size_t len, struct reason *why);
/* Tree -> text, appended. Keys are sorted, compact or indented by four. */
void json_text_write(struct strbuf *out, const json_t *tree, bool pretty);

/* Pieces for objects put together by hand. All new references. */
json_t *json_text(const char *text);        /* NULL is ""; bytes that are not UTF-8 are replaced */
json_t *json_id(const uint8_t *id);         /* NULL is "" */
json_t *json_id_of(ProtobufCBinaryData id); /* of 16 bytes; else "" */
json_t *json_rfc3339(int64_t ns);           /* 0 is null */
json_t *json_base64(ProtobufCBinaryData data);
/* Back again, into out, which has room for 3 bytes of each 4 begun. False: it is none, at byte
 * *bad. */
bool json_base64_read(const char *text, size_t len, uint8_t *out, size_t *out_len, size_t *bad);
json_t *json_number(double value); /* also for what is not finite: 0 */
void json_put(json_t *object, const char *key,
              json_t *value); /* takes value; key may be anything */

#endif
