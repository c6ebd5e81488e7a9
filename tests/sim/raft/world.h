/* A cluster in one process: nodes, the network between them, clients and the faults, all from one
 * seed. Every step checks what must hold (invariants.h). */
#ifndef SIM_RAFT_WORLD_H
#define SIM_RAFT_WORLD_H

#include "node.h"
#include <stdio.h>

#define WORLD_NODES 7

/* What a schedule may do to the cluster; a random part of it is switched on in each (swarm
 * testing: Groce et al., "Swarm Testing", 2012). Chances are per thousand. */
struct faults {
    unsigned drop, duplicate;         /* of a message */
    unsigned delay_min, delay_max;    /* of a message, in time units */
    unsigned straggler;               /* a message that comes very much later */
    bool fifo;                        /* messages of a pair keep their order */
    unsigned disk_min, disk_max;      /* time of a write */
    unsigned disk_stall, disk_fails;  /* a write that takes long, that fails */
    unsigned crash_writing;           /* of a write that is out */
    unsigned crash, cut, skew, pause; /* of the events that the fault clock makes */
    unsigned change, transfer, campaign, checkpoint;
    unsigned kept_entries; /* of the disk's log at a checkpoint */
    bool lazy_apply;
    bool one_way; /* cuts of one direction */
    bool lost_snapshots;
};

struct packet {
    struct raft_message message;
    struct raft_entry *entries;
    struct machine *state; /* of a snapshot stream */
};

enum event_kind {
    EVENT_TICK,
    EVENT_MESSAGE,
    EVENT_WRITTEN,
    EVENT_CLIENT,
    EVENT_FAULT,
    EVENT_START,
    EVENT_CRASH,
    EVENT_SNAPSHOT_COMES,
    EVENT_SNAPSHOT_ENDS,
};

struct event {
    uint64_t time, order;
    enum event_kind kind;
    unsigned node;  /* slot */
    uint64_t epoch; /* of the node's life; a written event of an earlier one is void */
    uint64_t peer, index;
    bool ok;
    struct packet *packet;
};

/* What is known of an index by the first who committed it. */
struct committed {
    uint64_t term, hash, by_term;
    bool applied;
};

struct pending_read {
    uint64_t context, least;
    unsigned node;
    uint64_t epoch;
};

struct counts {
    uint64_t events, elections, acks, reads, crashes, messages, snapshots, changes, transfers, cuts,
        failed_writes, pauses;
};

struct world {
    uint64_t seed;
    struct prng chance;
    struct faults faults;
    struct node nodes[WORLD_NODES];
    struct node_hooks hooks;
    size_t node_count;
    uint64_t epoch[WORLD_NODES];
    unsigned tick_every[WORLD_NODES];   /* the node's clock */
    uint64_t paused_until[WORLD_NODES]; /* as by SIGSTOP */
    bool cut[WORLD_NODES][WORLD_NODES]; /* [from][to] */
    uint64_t fifo_last[WORLD_NODES][WORLD_NODES];
    uint64_t now, order;
    struct event *queue; /* a heap */
    size_t queue_count, queue_room;
    bool healing, scripted;
    bool disk_held[WORLD_NODES]; /* scripted: its writes end when the script says so */
    /* what must hold */
    uint64_t *leaders; /* by term */
    size_t leader_room;
    struct committed *log; /* by index */
    size_t log_room;
    uint64_t max_commit, max_acked;
    uint64_t seen_term[WORLD_NODES], seen_commit[WORLD_NODES];
    enum raft_role seen_role[WORLD_NODES];
    uint64_t *pairs; /* an open table: (index, term) to what it must hold */
    size_t pair_count, pair_room;
    struct pending_read *reads;
    size_t read_count, read_room;
    uint64_t next_value;
    /* proposals that wait: index, term, by node */
    struct waiting {
        uint64_t index, term;
        unsigned node;
        uint64_t epoch;
    } * waiting;
    size_t waiting_count, waiting_room;
    char failure[200]; /* "": all is well */
    uint64_t trace_hash;
    FILE *trace;
    struct counts counts;
};

/* Without faults, clients and clocks: a script makes everything happen. config: the core's, members
 * are the nodes 1 to voters. Nodes are not started. */
void world_init_scripted(struct world *w, const struct raft_config *config, size_t nodes,
                         size_t voters);
void world_start(struct world *w, unsigned slot);
/* The next event; false: nothing more is on its way. */
bool world_step(struct world *w);
/* Chooses size and faults by the seed. */
void world_init(struct world *w, uint64_t seed);
void world_fini(struct world *w);
/* False: an invariant broke, see failure. */
bool world_run(struct world *w, uint64_t events);
/* Everything is whole again: within bounded time all agree and a new entry is committed. */
bool world_heal(struct world *w);

/* ---- shared by the files of the world */
unsigned slot_of(const struct world *w, const struct node *n);
struct node *world_leader(struct world *w);       /* of the highest term, that runs; NULL */
struct node *world_stale_leader(struct world *w); /* one that believes to lead still; NULL */
void world_schedule(struct world *w, struct event e, uint64_t delay);
bool one_in_thousand(struct world *w, unsigned chances);
uint64_t between(struct world *w, uint64_t low, uint64_t high);
void trace(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void after_step(struct world *w, struct node *n); /* takes effects and checks */
/* net.c */
void net_send(struct world *w, struct node *n, const struct raft_message *m);
void net_deliver(struct world *w, struct event *e);
void net_snapshot_comes(struct world *w, struct event *e);
void packet_free(struct packet *p);
/* faults.c */
void faults_choose(struct world *w);
void faults_happen(struct world *w);
void faults_end(struct world *w);
void node_goes_down(struct world *w, unsigned slot);
/* clients.c */
void clients_act(struct world *w);
bool clients_propose(struct world *w, struct node *n);
bool clients_ask(struct world *w, struct node *n);
void clients_applied(struct world *w, struct node *n, const struct raft_entry *e);
void clients_answered(struct world *w, struct node *n, uint64_t context, uint64_t index);

#endif
