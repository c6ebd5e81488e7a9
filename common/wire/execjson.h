/* What a client and a server say to one another while a command runs in a task: the JSON messages
 * of the websocket at /v1/client/allocation/ID/exec. Both directions, for both ends. */
#ifndef WIRE_EXECJSON_H
#define WIRE_EXECJSON_H

#include "base/arena.h"
#include "base/err.h"
#include "base/strbuf.h"
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct exec_stream {
    ProtobufCBinaryData data;
    bool close; /* nothing follows */
};

/* All zero says nothing but that its sender is there. */
struct exec_message {
    struct exec_stream input;         /* to the command */
    struct exec_stream output, error; /* of the command */
    uint32_t rows, columns;           /* the client's terminal has this size; 0: it says nothing */
    bool exited;
    int32_t exit_code;
    bool handshake; /* only a browser's first message: it has a version */
    int64_t version;
};

/* What is read lives in a. Keys that are not known are ignored. */
enum err exec_message_read(struct arena *a, const char *text, size_t len, struct exec_message *out,
                           struct reason *why);
void exec_message_write(struct strbuf *out, const struct exec_message *m);

#endif
