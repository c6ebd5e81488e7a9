/* A client's websocket and something at an allocation's node that it talks with: a command in a
 * task, a connection to a port. What the client says goes to the agent piece by piece, what comes
 * from there goes to the client, and neither is read ahead of the other's end. Any server does:
 * one that has not the node's agent sends the request on to the one that has. */
#ifndef GATEWAY_TALK_H
#define GATEWAY_TALK_H

#include "base/id.h"
#include "routes.h"
#include "websocket.h"

struct talk;

struct talk_kind {
    size_t longest; /* message of the client */
    /* The websocket is open: call talk_ask, now or when the client has said who it is. NULL: now.
     */
    void (*opened)(struct talk *t);
    void (*message)(struct talk *t, bool text, const void *data, size_t len);
    void (*result)(struct talk *t, const Pb__AgentResult *r); /* with data */
    /* The last, and no error: says what there is to say before the goodbye. NULL: nothing. */
    void (*ended)(struct talk *t, const Pb__AgentResult *r);
};

struct talk {
    const struct talk_kind *kind;
    struct call_context *context;
    Pb__AgentRequest request; /* alloc_id is set by talk_begin */
    struct websocket *socket; /* NULL: not yet */
    struct timer timer;       /* the kind's own */
    /* talk.c's own */
    struct ask *ask; /* NULL: not yet */
    bool wanting;    /* the agent waits for agents_more */
    uint8_t alloc_id[ID_SIZE], node_id[ID_SIZE];
};

struct talk *talk_new(const struct talk_kind *kind, struct call_context *c);
void talk_free(struct talk *t); /* before it has begun; the client must have been answered */
/* Takes t and the exchange, which asks for a websocket; the allocation is the one of the path. */
void talk_begin(struct talk *t);
/* Instead: opens the websocket only to say why not. */
void talk_refuse(struct talk *t, const char *why);

bool talk_has_asked(const struct talk *t);
void talk_ask(struct talk *t);
void talk_tell(struct talk *t, const Pb__AgentInput *input); /* the agent; after talk_ask */
void talk_say(struct talk *t, bool text, const void *data, size_t len); /* the client */
/* To the client. Takes t: it is dead when the callback that it is in returns. */
void talk_end(struct talk *t, unsigned code, const char *why);

#endif
