/* The agent's conversation with the servers: it registers the node, keeps its heartbeat, waits for
 * news and reports what became of allocations. It never gives up, and loses nothing: what is not
 * acknowledged stays to be reported. */
#ifndef NODEAGENT_UPLINK_H
#define NODEAGENT_UPLINK_H

#include "base/err.h"
#include "gateway.pb-c.h"
#include "loop/loop.h"
#include "net/net.h"

struct uplink;

struct uplink_options {
    const char *gateways;      /* addresses, comma separated */
    const char *poll_gateways; /* the same gateways' sockets for long polls, in the same order */
    const char *servers;       /* doors of servers instead, if not "": one address for both */
    const Pb__Node *node;      /* with its secret */
    void (*on_news)(void *owner, const Pb__NodeNews *news);
    /* What is to be reported; NULL: nothing. Then what became of it. */
    Pb__AllocUpdates *(*updates)(void *owner, struct arena *a);
    void (*sent)(void *owner, bool acknowledged);
    void *owner;
};

enum err uplink_open(struct uplink **out, struct loop *l, const struct uplink_options *o,
                     struct reason *why);
void uplink_close(struct uplink *u);
void uplink_start(struct uplink *u);
/* There is something for `updates`; urgent: at once, else a little later with what else comes. */
void uplink_report(struct uplink *u, bool urgent);
/* The next poll asks for everything. */
void uplink_resync(struct uplink *u);
/* Likewise, of a state no older than index. */
void uplink_look_again(struct uplink *u, uint64_t index);
/* Up to where news have come; 0: those to come are all there is. */
uint64_t uplink_news_index(const struct uplink *u);
/* The node has changed: the servers are told as soon as they can be. */
void uplink_node_changed(struct uplink *u);
bool uplink_is_registered(const struct uplink *u);
/* For how long the servers must have thought that the node is down. */
uint64_t uplink_silence_ms(const struct uplink *u);
/* For readers: the gateway in use. It may change when calls end. */
struct client *uplink_client(struct uplink *u);

#endif
