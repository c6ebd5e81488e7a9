/* What goes on in both directions between a client at some gateway and something here, for as long
 * as both want: commands in running tasks, connections to their ports. An agent that ends takes its
 * sessions with it. */
#ifndef NODEAGENT_SESSIONS_H
#define NODEAGENT_SESSIONS_H

#include "gateway.pb-c.h"
#include "loop/loop.h"
#include "net/net.h"
#include "runner.h"

struct sessions;

struct sessions_options {
    const Pb__Node *node;
    struct runner *runner;
    struct client *(*client)(void *owner); /* whom to talk to */
    void *owner;
};

struct sessions *sessions_new(struct loop *l, const struct sessions_options *o);
void sessions_free(struct sessions *all);
/* Whether it is one of ours; one that is under way already is not begun twice. */
bool sessions_begin(struct sessions *all, const Pb__AgentRequest *request);
size_t sessions_count(const struct sessions *all);

/* ---- for the kinds of session */

struct session {
    struct sessions *all;
    uint8_t id[16]; /* of the request */
    struct channel *channel;
    void (*stop)(struct session *s); /* gives back what the kind keeps, and s itself */
    void (*resized)(struct session *s, unsigned rows, unsigned columns); /* NULL: no terminal */
};

struct loop *session_loop(const struct session *s);
struct runner *session_runner(const struct session *s);

/* exec_session.c. They answer the client by s->channel, also when nothing can be begun. */
struct session *exec_session_new(void);
void exec_session_begin(struct session *s, const Pb__AgentRequest *q);
/* forward_session.c */
struct session *forward_session_new(void);
void forward_session_begin(struct session *s, const Pb__AgentRequest *q);

/* snapshot_session.c */
struct session *snapshot_session_new(void);
void snapshot_session_begin(struct session *s, const Pb__AgentRequest *q);

#endif
