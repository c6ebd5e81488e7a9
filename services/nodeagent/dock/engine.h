/* Requests to a container engine that speaks Docker's API on a socket of this machine: docker and
 * podman do. Blocks, each wait with a deadline: for programs of their own, and for one question at
 * the agent's start. */
#ifndef NODEAGENT_DOCK_ENGINE_H
#define NODEAGENT_DOCK_ENGINE_H

#include "base/err.h"
#include "base/strbuf.h"
#include "message.h"
#include <jansson.h>
#include <sys/types.h>

struct answer {
    int fd;
    unsigned status; /* 0: its head has not come */
    struct body body;
    char bytes[HEAD_MOST];
    size_t have, at; /* of bytes: read, and taken */
};

struct question {
    const char *socket, *method, *path;
    const json_t *json; /* NULL: none */
    int file;           /* -1: none; else its bytes are the body, as a tar */
    int timeout_ms;     /* of each wait; -1: none */
    const char *auth;   /* the header X-Registry-Auth; NULL: none */
};

/* Sends it. The answer's fd is readable when some of it has come: then answer_step. */
enum err engine_send(const struct question *q, struct answer *out, struct reason *why);
/* Takes what has come, without waiting, and adds the body's to text. 1: that was all of it; 0:
 * there must be more; -1: it is cut short or malformed. */
int answer_step(struct answer *a, struct strbuf *text);
/* Sends it and reads the answer's head, whatever its status; the body is yours to read. */
enum err engine_ask(const struct question *q, struct answer *out, struct reason *why);
void answer_close(struct answer *a);
/* What comes of the body: 0 at its end, -1 when it is cut short, malformed, or late. */
ssize_t answer_read(struct answer *a, void *out, size_t room, int timeout_ms);
/* Whether answer_read would give something without waiting for the socket. */
bool answer_has_more(const struct answer *a);

/* Of an answer with a status of 400 or above, whose body is to be read: the error, with the
 * engine's words. */
enum err engine_refusal(struct answer *a, int timeout_ms, struct reason *why);
/* The whole at once; a status of 400 and above is an error with the engine's words. *out NULL: the
 * body is not wanted. */
enum err engine_call(const struct question *q, json_t **out, struct reason *why);
/* Its version, or why it does not answer. */
enum err engine_version(const char *socket, char *out, size_t room, struct reason *why);

#endif
