/* Requests and replies over nng. This module hides nng: context pools, ids, deadlines, size limits,
 * the death of a peer, and the cures for nng 1.5.2's known faults. All callbacks run on the loop's
 * thread.
 *
 * Every request may arrive twice, and one that timed out may still be executed. A call that may be
 * retried is sent again under the same id by this module until its budget is spent; a mutation is
 * recognised by that id in replicated state. */
#ifndef NET_NET_H
#define NET_NET_H

#include "base/arena.h"
#include "base/err.h"
#include "base/id.h"
#include "loop/loop.h"
#include "net/tls.h"
#include "wire/wire.h"

/* ---- serving */

struct server;
struct request;

struct method {
    uint32_t number;
    const char *name; /* "dequeue" */
    const ProtobufCMessageDescriptor
        *body; /* unpacked before handle is called; a malformed one is refused INVALID */
    void (*handle)(void *self,
                   struct request *req); /* owns req: must reply or fail, now or later */
};

/* A method that only some may call. */
struct restriction {
    uint32_t method;
    unsigned peers; /* PEER_ of net/tls.h */
};

struct server_options {
    const struct method
        *methods; /* ends with one whose name is NULL; PING is answered by the server itself */
    void *self;
    uint32_t max_parked;  /* requests held unanswered at once; beyond it BUSY. 0: 4096 */
    uint32_t max_message; /* bytes; 0: WIRE_MAX_MESSAGE */
    bool any_uid;         /* ipc: accept peers of any uid. Default: root and our own */
    void (*peer_gone)(void *self, uint32_t peer); /* a connection has ended, after its parked
                                                     requests were told; may be NULL */
    /* A door: requests for other daemons (their service is set) come here, whatever their method:
     * their payload is not looked into. NULL: they are refused. */
    void (*relay)(void *self, struct request *req);
    /* tls+tcp: who may connect, a set of PEER_. 0: servers and clients of our region. By ipc and
     * plain tcp every peer is PEER_LOCAL, and may. */
    unsigned peers;
    const struct restriction *restricted; /* ends with one whose peers are 0; NULL: none */
    unsigned relay_peers; /* whose requests go to relay; 0: PEER_LOCAL and PEER_SERVER */
};

/* addr: "ipc:///path" (the directory must exist; a stale socket is replaced, one in use by a live
 * listener is an error that says so), "tls+tcp://host:port" (the loop must have been given
 * certificates: net_secure), or "tcp://host:port" (on loopback, unless net_secure allows more). */
enum err server_open(struct server **out, struct loop *l, const char *addr,
                     const struct server_options *o, struct reason *why);
void server_close(struct server *s); /* unanswered requests are failed UNAVAILABLE */

const ProtobufCMessage *request_body(const struct request *req); /* of the method's type */
/* Of a request to be relayed: as it came. Lives until the request has been answered. */
ProtobufCBinaryData request_payload(const struct request *req);
const Pb__Request *request_envelope(const struct request *req);
struct arena *request_arena(struct request *req);        /* ends with the request */
const uint8_t *request_id(const struct request *req);    /* 16 bytes */
uint64_t request_deadline_ms(const struct request *req); /* on loop_now_ms's clock */
uint32_t request_peer(const struct request *req);        /* names the connection; see peer_gone */
unsigned request_peer_kind(const struct request *req);   /* one of PEER_ */
/* From the peer's certificate: "server.eu.norn" and "eu". "" for PEER_LOCAL. In the request's
 * arena. */
const char *request_peer_name(const struct request *req);
const char *request_peer_region(const struct request *req);
/* A parked request: gone(owner, req) is called if the peer's connection ends first. req is then
 * dead once gone returns: forget it, do not reply. */
void request_park(struct request *req, void (*gone)(void *owner, struct request *req), void *owner);
void *request_owner(const struct request *req);

/* Both take req. index 0: none. body NULL: empty. */
void request_reply(struct request *req, const ProtobufCMessage *body, uint64_t index);
void request_fail(struct request *req, Pb__Reply__Code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* As request_fail, with an index and a body (a NOT_FOUND that tells the table's index, for
 * instance). */
void request_fail_with(struct request *req, Pb__Reply__Code code, const char *why, uint64_t index,
                       const ProtobufCMessage *body);
/* Passes another daemon's answer on. */
struct response;
void request_relay(struct request *req, const struct response *r);

/* ---- calling */

struct client; /* one address; one socket; reconnects by itself with back-off and jitter */
struct call;

struct response {
    Pb__Reply__Code code; /* TIMEOUT also when nobody answered in time */
    const char *reason;   /* "" when OK */
    uint64_t index;
    const ProtobufCMessage
        *body; /* of the expected type; NULL unless code is OK or the peer sent one */
    ProtobufCBinaryData payload; /* of a call that asked for it raw; data NULL: none */
    struct arena *arena;         /* all of it lives here, until the callback returns */
};
typedef void response_fn(void *owner, const struct response *r);

struct call_options {
    uint32_t method;
    const ProtobufCMessage *body;            /* NULL: empty; packed before client_call returns */
    const ProtobufCBinaryData *raw;          /* instead of body: packed already; copied */
    bool raw_reply;                          /* the answer's payload is not unpacked */
    const ProtobufCMessageDescriptor *reply; /* NULL: none expected */
    uint32_t budget_ms;                      /* for everything, retries included; 0: 5000 */
    bool retry;        /* send again under the same id after a lost connection; needs idempotence */
    const uint8_t *id; /* 16 bytes; NULL: a new one */
    Pb__Service__Name service;              /* SELF: whatever the client's address names */
    const char *region, *namespace, *token; /* NULL: unset */
    response_fn *done; /* exactly once, never before client_call returns; unless cancelled */
    void *owner;
};

/* addr: as for server_open, and behind it "#name" if a door is there and the daemon "name" behind
 * it is meant: "tcp://10.0.0.1:4647#jobstore-poll". */
enum err client_open(struct client **out, struct loop *l, const char *addr,
                     struct reason *why); /* does not wait */
/* The same, tls+tcp, for others than a server of our own region: peers is a set of PEER_. */
enum err client_open_to(struct client **out, struct loop *l, const char *addr, unsigned peers,
                        struct reason *why);
void client_close(struct client *c); /* cancels its calls */
struct call *client_call(struct client *c, const struct call_options *o);
void call_cancel(struct call *call); /* done is not called */
bool client_is_connected(const struct client *c);

/* For tools and tests without a loop of their own: runs one until the answer is there. The response
 * lives in a. */
enum err net_call_wait(const char *addr, const struct call_options *o, struct arena *a,
                       struct response *out, struct reason *why);

/* Once per process: calls stuck when nng cannot end connections any more, which it does not recover
 * from: lost peers would neither be noticed nor found again. The process should end. */
void net_watch(struct loop *l, void (*stuck)(void *owner), void *owner);

#endif
