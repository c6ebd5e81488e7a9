/* Envelopes in nng messages: shared by server and client, nobody else. */
#ifndef NET_ENVELOPE_H
#define NET_ENVELOPE_H

#include "wire/wire.h"
#include <nng/nng.h>
#include <stdbool.h>

/* Packs envelope (whose payload is unset) and behind it body as its last field, payload, straight
 * into an nng message. body may be NULL. NULL: larger than max bytes. */
nng_msg *envelope_pack(const ProtobufCMessage *envelope, unsigned payload_field,
                       const ProtobufCMessage *body, size_t max);
/* The same with a body that is packed already; raw->data NULL: none. */
nng_msg *envelope_pack_raw(const ProtobufCMessage *envelope, unsigned payload_field,
                           const ProtobufCBinaryData *raw, size_t max);

/* The envelope at data, in a; *payload is borrowed from data where it stands last, as envelope_pack
 * puts it, so that a large body is not copied. NULL: malformed. */
ProtobufCMessage *envelope_unpack(struct arena *a, const ProtobufCMessageDescriptor *type,
                                  unsigned payload_field, const void *data, size_t len,
                                  ProtobufCBinaryData *payload);

#define REQUEST_PAYLOAD 7
#define REPLY_PAYLOAD   5

/* Arenas for requests and responses: a few are kept, since most messages are small. */
struct arena_pool {
    struct arena *kept[64];
    size_t count;
};
struct arena *arena_pool_get(struct arena_pool *p);
void arena_pool_put(struct arena_pool *p, struct arena *a); /* takes a */
void arena_pool_fini(struct arena_pool *p);

/* nng_close that gives up: nng 1.5.2 may wait there for ever, once it has lost a message (see
 * syscalls.c). False: it still waits, and what its callbacks use must stay. */
bool socket_close(nng_socket socket);

#endif
