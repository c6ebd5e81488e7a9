/* What the files of the agents' door share; nobody else includes it. */
#ifndef GATEWAY_AGENTS_PARTS_H
#define GATEWAY_AGENTS_PARTS_H

#include "agents.h"
#include "base/list.h"
#include "base/map.h"
#include "jobcache.h"
#include "outbox.h"

/* A node that is registered, and its agent as far as it is in touch. */
struct node {
    struct agents *agents;
    uint8_t id[ID_SIZE], secret[ID_SIZE];
    bool has_secret;
    bool purged;           /* no longer known; should it register again it is as before */
    bool down;             /* silent for too long, as the controller found */
    bool seen;             /* noted for the next SEEN */
    bool listing;          /* a LIST is under way */
    unsigned jobs_pending; /* fetches that its answer waits for */
    uint64_t awaits; /* the agent has news of another server up to here, and we have not yet */
    struct outbox box;
    struct request *poll; /* parked */
    uint64_t polled_ms;   /* when it last asked; 0: never */
    struct timer wait_over, news_due;
    struct link asks; /* struct ask.of_node */
    struct call *list_call;
    struct update *queued; /* its report that is in no batch yet; NULL: none */
    struct known *known;   /* NULL, or what its agent asks */
};

struct agents {
    struct loop *loop;
    struct agents_options options;
    struct map *nodes;   /* id -> struct node */
    unsigned changes;    /* told since the last feed_reached */
    uint64_t feed_index; /* all up to here has been told; 0: the feed has not begun */
    size_t awaiting;     /* nodes with awaits */
    struct jobcache *jobs;
    struct map *fetches; /* key of a job -> struct fetch */
    struct map *asks;    /* id -> struct ask */
    struct agents_stats stats;
    uint64_t portion_ms; /* the turn in which */
    unsigned portion;    /* so many nodes' news were due */

    /* heartbeats */
    uint8_t (*seen_ids)[ID_SIZE];
    size_t seen_count, seen_room;
    struct timer seen_due;
    struct leader_call *seen_call;
    uint64_t unheard_ms; /* since when the leader's controller does not hear us; 0: it does */
    uint32_t ttl_ms;

    /* updates */
    struct link updates; /* struct update, not yet sent */
    size_t update_count; /* allocations in them */
    struct timer updates_due;
    struct link batches; /* struct batch, under way */
    size_t batch_count;
    size_t last_batch;      /* allocations in the last one, */
    uint64_t last_batch_ms; /* sent at */
};

/* Who speaks, as its request says. */
struct speaker {
    const ProtobufCBinaryData *node_id, *secret; /* NULL: not given */
};
#define SPEAKER(body)                                                                              \
    ((struct speaker){(body)->has_node_id ? &(body)->node_id : NULL,                               \
                      (body)->has_secret_id ? &(body)->secret_id : NULL})

typedef void admitted_fn(struct node *n, struct request *req); /* takes req */

/* Calls go_on when the speaker is known and is who it says, now or after asking jobstore; else
 * fails req. Takes req. */
void agents_admit(struct agents *a, struct request *req, struct speaker s, admitted_fn *go_on);
void node_saw(struct node *n); /* a sign of life */
/* As the servers know it. */
void node_set(struct agents *a, const Pb__Node *node);
void reply_heartbeat(struct agents *a, struct request *req, uint64_t index);
/* Something to tell the agent has come up: answers its poll soon. */
void node_has_news(struct node *n, uint64_t delay_ms);

/* A request to an agent. */
struct ask {
    struct agents *agents;
    struct node *node; /* NULL: there is none, or it has gone */
    struct link of_node;
    struct arena *arena; /* of request, and of the ask itself */
    Pb__AgentRequest *request;
    agents_result_fn *on_result;
    void *owner;
    struct timer timer;   /* the agent is silent; or the failure that is to be told */
    uint64_t sent_ms;     /* 0: not yet */
    uint32_t expected;    /* sequence of the next result */
    struct request *held; /* the last result, answered by agents_more */
    /* agents_input.c */
    struct link inputs;   /* struct input that the agent does not have yet, in order */
    uint32_t input_first; /* sequence of the first of them */
    uint32_t input_count;
    size_t input_bytes;
    bool input_sent;       /* the first of them has been sent, so that it changes no more */
    struct request *asked; /* the agent waits for input */
    struct timer asked_over;
    void (*taken)(void *owner);
};

/* ---- agents_jobs.c */
/* Has the job fetched; when all that n waits for are there, its poll goes on. */
void node_fetch_job(struct node *n, struct job_ref ref);
void job_fetches_close(struct agents *a);

/* ---- agents_poll.c */
void on_poll(void *self, struct request *req);
/* Answers n's poll, if there is one, as far as can be. */
void node_poll_step(struct node *n);
/* Its poll, which is the caller's to answer; it must be there. */
struct request *node_take_poll(struct node *n);
/* The feed has moved on: those whose agents had heard of more look again. */
void agents_settle_awaiting(struct agents *a);

/* ---- agents_ask.c */
void on_agent_result(void *self, struct request *req);
/* The requests to hand to n's agent now, in req's arena; *count of them. */
Pb__AgentRequest **asks_to_send(struct node *n, struct arena *arena, size_t *count);
bool asks_are_waiting(const struct node *n);
/* Its agent has gone: what was not sent yet fails. */
void asks_lose_node(struct node *n);
void asks_close(struct agents *a);

/* ---- agents_input.c */
void on_agent_input(void *self, struct request *req);
/* The ask is over: nobody says anything more. */
void inputs_end(struct ask *ask);

/* ---- agents_known.c */
void on_allocs_kept(void *self, struct request *req);
void known_close(struct node *n);

/* ---- agents_node.c */
void on_node_register(void *self, struct request *req);
void on_node_leave(void *self, struct request *req);

/* ---- agents_update.c */
void on_alloc_update(void *self, struct request *req);
void updates_close(struct agents *a);

#endif
