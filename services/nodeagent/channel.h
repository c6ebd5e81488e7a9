/* One conversation with a client at some gateway, for as long as an AgentRequest goes on in both
 * directions: what descriptors here give goes up as results, and what the client says comes down
 * into one. Each way a piece of at most 64 KiB is under way at a time, so neither end can drown the
 * other, and a channel costs no more memory than that. */
#ifndef NODEAGENT_CHANNEL_H
#define NODEAGENT_CHANNEL_H

#include "gateway.pb-c.h"
#include "loop/loop.h"
#include "net/net.h"
#include <stdbool.h>
#include <stdint.h>

struct channel;

struct channel_options {
    const uint8_t *id; /* of the AgentRequest; copied */
    const Pb__Node *node;
    struct client *(*client)(void *owner); /* whom to talk to */
    void *client_owner;
    /* The client's terminal has another size; NULL: of no interest. */
    void (*resized)(void *owner, unsigned rows, unsigned columns);
    /* The client has gone, or has got the last result. Free it, now or later. */
    void (*over)(void *owner);
    void *owner;
};

/* Nothing is called back before it has returned. Now and then it sends an empty result, the first
 * at once. */
struct channel *channel_new(struct loop *l, const struct channel_options *o);
void channel_free(struct channel *c);

/* From now on what fd gives goes up, under that name (NULL: none; it lives as long as c) until its
 * end. Takes fd. Two at most. */
void channel_output(struct channel *c, int fd, const char *stream);
/* What the client sends goes into fd. How its end is passed on: a pipe is closed, a terminal gets
 * the letter that stands for it, of a socket one half is shut. Takes fd. Once. */
enum channel_end { CHANNEL_CLOSE, CHANNEL_TERMINAL, CHANNEL_SHUT };
void channel_input(struct channel *c, int fd, enum channel_end how);

/* The last result, once the outputs have given all they had. */
void channel_finish(struct channel *c, int32_t exit_code);
/* The last result, at once: it failed. */
void channel_fail(struct channel *c, uint32_t http_status, const char *why);
/* Whether all outputs have ended. */
bool channel_is_drained(const struct channel *c);

#endif
