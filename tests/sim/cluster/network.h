/* The simulated network: what its files share.
 *
 * network.c has connections and messages on their way, net_server.c and net_client.c what
 * common/net promises to those who serve and those who call; what holds for every transport they
 * take from net/rules.h. Each client has one connection to its server, as with nng; messages take
 * their time, each its own, so that they overtake one another; a lost message takes the connection
 * with it, as one between hosts would end by and by; what is cut off is silent, and what was sent
 * into a cut arrives when that ends, unless the connection was given up before. */
#ifndef SIM_NETWORK_H
#define SIM_NETWORK_H

#include "net/net.h"
#include "sim.h"

#define NOTICE_US 2000000 /* within so long an end that nobody told is noticed */

/* A request or a reply on its way; shared by copies. */
struct packet {
    unsigned references;
    uint8_t id[ID_SIZE];
    uint32_t method, budget_ms;
    Pb__Service__Name service;
    char *region, *namespace, *token;
    Pb__Reply__Code code;
    char *reason;
    uint64_t index;
    bool has_body;
    uint8_t *body;
    size_t len;
};

/* A connection. Gone from the map when either end is. */
struct pipe {
    uint32_t number;
    struct client *client;
    struct server *server;
    bool doomed; /* its end is on its way */
};

struct server {
    struct link link;
    struct process *process;
    struct server_options options;
    char *address;
    struct link requests;
    size_t unanswered;
};

struct request {
    struct link link;
    struct server *server;
    struct arena *arena;
    Pb__Request *envelope;
    const ProtobufCMessage *body;
    ProtobufCBinaryData payload;
    uint64_t deadline_ms;
    uint32_t pipe;
    uint64_t call; /* serial number */
    void (*gone)(void *owner, struct request *req);
    void *owner;
};

struct client {
    struct link link;
    uint64_t number;
    struct process *process;
    struct loop *loop;
    char *address;
    Pb__Service__Name service;
    struct pipe *pipe; /* NULL: not connected */
    struct link calls;
    struct timer dial;
    uint64_t dial_us;
};

struct call {
    struct link link;
    struct client *client;
    uint64_t serial;
    struct packet *packet;
    const ProtobufCMessageDescriptor *reply;
    response_fn *done;
    void *owner;
    uint64_t until_ms;
    uint32_t tries;
    bool retry, raw_reply, sent;
    struct timer over, again;
};

extern struct network {
    struct link servers, clients;
    struct map *pipes;
    uint32_t last_pipe;
    uint64_t last_call, last_client;
} net;

void net_begin(void);

/* ---- packets */
struct packet *packet_new(const ProtobufCMessage *body, const ProtobufCBinaryData *raw);
void packet_drop(struct packet *p);
char *copy_text(const char *text); /* NULL stays NULL */

/* ---- connections */
struct pipe *pipe_of(uint32_t number); /* NULL: gone */
struct pipe *pipe_new(struct client *c, struct server *s);
bool is_cut(const struct process *from, const struct process *to);
/* The pipe is no more; each end that still lives learns of it after a while. */
void pipe_end(struct pipe *pipe, bool tell_client, bool tell_server, uint64_t within_us);

/* A packet on its way, whatever becomes of it: fire(struct transit) at its end, which drops it. */
struct transit {
    struct packet *packet;
    uint32_t pipe;
    uint64_t call;
    bool to_server;
    void (*fire)(void *arg);
};
void transit_drop(void *arg);
/* copies: how often it arrives, if at all. */
void transit_send(struct packet *packet, struct pipe *pipe, uint64_t call, bool to_server,
                  unsigned copies, void (*fire)(void *arg));

/* ---- net_server.c */
struct server *server_at(const char *address);
void server_lost(struct server *s, uint32_t pipe); /* the connection has ended */
void on_request(void *arg);

/* ---- net_client.c */
struct client *client_numbered(uint64_t number);
void client_lost(struct client *c);
void on_reply(void *arg);

#endif
