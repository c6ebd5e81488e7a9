/* The agents' door: what the gateway does for nodeagents. They register and send heartbeats here,
 * wait here for their allocations, report what became of them, and stream files and logs to
 * readers.
 *
 * It owns no durable state: parked polls, a small record per connected node, batches on their way
 * to jobstore and controller, and open readers. All callbacks run on the loop's thread; nothing is
 * called back before the call that asked for it has returned. */
#ifndef GATEWAY_AGENTS_H
#define GATEWAY_AGENTS_H

#include "base/err.h"
#include "command.pb-c.h"
#include "daemon/daemon.h"
#include "gateway.pb-c.h"
#include "jobstore.pb-c.h"
#include "leader.h"
#include "loop/loop.h"
#include "net/net.h"
#include "roster.h"

struct agents;

struct agents_options {
    struct client *jobstore; /* GET, LIST: of our own server; borrowed */
    struct leader *leader;   /* APPLY, SEEN; borrowed */
    struct roster *roster;   /* whom agents may ask besides us; borrowed */
    void *self;
    void (*reach)(void *self, uint64_t index); /* hurry the feed: an agent has seen that index */
    uint64_t heartbeat_batch_ms;               /* 0: 500 */
    uint64_t update_batch_ms; /* 0: 10; updates of many agents go into one log entry; five times as
                                 long while they come in storms */
    uint64_t news_delay_ms;   /* 0: 5; changes of one node within it go out in one answer */
    uint64_t ask_timeout_ms;  /* 0: 20000; a reader waits so long for the agent's next piece */
    uint64_t max_nodes;       /* 0: 20000; connected at once */
};

struct agents *agents_open(struct loop *l, const struct agents_options *o);
void agents_close(
    struct agents *a); /* before the servers are closed; fails what is parked, ends every ask */

/* Answers what agents ask, at whichever door (gateway.proto, 10 to 16), with its body unpacked.
 * Takes req. NODE_POLL and AGENT_RESULT are held for long, so max_parked of a door must exceed the
 * number of nodes. */
void agents_handle(struct agents *a, struct request *req);

/* ---- the changes feed. The gateway has one for everybody and tells the door what concerns it, in
 * order. */

/* The feed begins (again) at index; what changed before is not known here. Polls since an older
 * index get a full list. */
void agents_feed_reset(struct agents *a, uint64_t index);
/* An object of table ALLOCS or NODES; others are ignored. */
void agents_feed_object(struct agents *a, const Pb__Object *object);
/* All up to index has been told. */
void agents_feed_reached(struct agents *a, uint64_t index);

/* ---- files, logs and commands of a node */

/* One request to an agent and its stream of results. */
struct ask;

/* result is borrowed until the callback returns. The last call has result->last set, and the ask is
 * dead when it returns. Every failure comes as a last result with error set: 404 "No path to node"
 * when the node has no connection here, 504 when the agent stays silent, and whatever the agent
 * itself says. */
typedef void agents_result_fn(void *owner, const Pb__AgentResult *result);

/* request is copied; its id is set here. Never NULL. The first result is on its way without
 * agents_more. */
struct ask *agents_ask(struct agents *a, const uint8_t node_id[16], const Pb__AgentRequest *request,
                       agents_result_fn *on_result, void *owner);
/* The reader has room for the next result: at most one comes per call. Call it in or after each
 * result that is not the last. Until then the agent waits. */
void agents_more(struct ask *ask);
/* The reader has gone: on_result is not called again; the agent is told at its next result. */
void agents_cancel(struct ask *ask);

/* For a request that goes on in both directions: what the reader says, in order; copied, and joined
 * with what waits already. Data of more than 64 KiB goes in several. */
void agents_tell(struct ask *ask, const Pb__AgentInput *input);
/* Bytes that the agent has not yet taken: stop reading from the client when they are many. taken is
 * called, with the ask's owner, whenever they have become fewer. */
size_t agents_untold(const struct ask *ask);
void agents_on_taken(struct ask *ask, void (*taken)(void *owner));

/* ---- for metrics and status */

struct agents_stats {
    uint64_t connected; /* nodes with a poll parked or just answered */
    uint64_t parked;
    uint64_t asks;
    uint64_t updates; /* allocation updates committed */
    uint64_t batches; /* log entries they took */
    uint64_t news;    /* polls answered with something */
    uint64_t relists; /* polls that needed a full listing */
};
void agents_stats(const struct agents *a, struct agents_stats *out);
/* Whether the node's agent is in touch with this gateway. */
bool agents_is_connected(const struct agents *a, const uint8_t node_id[16]);
/* False: the region has more than one node, or none. */
bool agents_only_node(const struct agents *a, uint8_t node_id[16]);

#endif
