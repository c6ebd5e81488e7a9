/* Answers of HTTP/1.1, taken apart as they come. Pure. */
#ifndef NODEAGENT_DOCK_MESSAGE_H
#define NODEAGENT_DOCK_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAD_MOST 16384u /* bytes of an answer's head */

/* How much of a body is still to come, and how it is told. All zero: there is none. */
struct body {
    enum body_kind { BODY_NONE, BODY_SIZED, BODY_CHUNKED, BODY_OPEN } kind;
    uint64_t left; /* of what is sized, or of the chunk */
    enum { CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_DATA, CHUNK_END, CHUNK_TRAILER } at;
    unsigned digits, line;
    bool ended, broken;
};

struct head {
    unsigned status;
    struct body body;
    size_t size; /* bytes of the head itself */
};

/* 1: it is there; 0: there must be more of it; -1: it is none. */
int head_read(const char *text, size_t len, struct head *out);
/* Takes in of the input what it can and says how much that is; *data of *data_len within it are of
 * the body. Ask again with the rest. */
size_t body_take(struct body *b, const char *in, size_t len, const char **data, size_t *data_len);

#endif
