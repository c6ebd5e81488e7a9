/* One server of the simulated cluster: the real core, a disk that keeps what a write promised and
 * nothing else, and a state machine that is a running hash. Knows no time and no network: what it
 * sends goes to a function, and its one write ends when somebody says so. */
#ifndef SIM_RAFT_NODE_H
#define SIM_RAFT_NODE_H

#include "raft/core.h"

#define RECORD_BYTES 96

struct record {
    uint64_t term;
    enum raft_kind kind;
    size_t len;
    uint8_t data[RECORD_BYTES];
};

/* The state after an entry. */
struct machine {
    uint64_t index, term, hash;
    struct raft_member members[RAFT_MAX_MEMBERS];
    size_t member_count;
};

struct disk {
    struct raft_hard_state hard;
    uint64_t first; /* index of records[0] */
    struct record *records;
    size_t count, room;
    struct machine checkpoint; /* what a start begins with */
};

struct node;

/* What the world hears of a node. */
struct node_hooks {
    void *self;
    void (*send)(void *self, struct node *n, const struct raft_message *m);
    void (*write_began)(void *self, struct node *n);
    void (*written)(void *self, struct node *n, const struct raft_ready *ready);
    void (*applied)(void *self, struct node *n, const struct raft_entry *e);
    void (*read)(void *self, struct node *n, uint64_t context, uint64_t index);
};

struct node {
    uint64_t id;
    struct disk disk;
    struct raft *raft; /* NULL: it is down */
    struct raft_config config;
    struct machine state; /* applied */
    bool writing;
    struct raft_ready write;  /* the one that is out */
    struct machine *incoming; /* a snapshot that waits for the end of a write */
    uint64_t unsaid;          /* applied, but raft_applied was not called yet */
    bool lazy;                /* raft_applied is called late */
    const struct node_hooks *hooks;
};

/* members NULL: an empty server. Not started. */
void node_init(struct node *n, const struct raft_config *config, const struct node_hooks *hooks);
void node_fini(struct node *n);
/* state_survived: the process was killed, not the machine: what was applied is still there. */
void node_start(struct node *n, bool state_survived, uint64_t seed);
/* write_happened: the write that was out reached the disk. */
void node_crash(struct node *n, bool write_happened);
/* Takes all effects. */
void node_pump(struct node *n);
void node_write_ends(struct node *n, bool ok);
/* The state becomes what a start begins with; of the log, keep entries before it stay. */
void node_checkpoint(struct node *n, uint64_t keep);
/* A snapshot came; it is installed as soon as no write is out. */
void node_take_snapshot(struct node *n, const struct machine *state);
const struct record *disk_record(const struct disk *d, uint64_t index); /* NULL: not there */
uint64_t disk_last(const struct disk *d);
/* Is the entry safe here, be it in the log or in the state? */
bool disk_has(const struct disk *d, uint64_t index, uint64_t term);
uint64_t mix(uint64_t hash, uint64_t value);
uint64_t mix_bytes(uint64_t hash, const void *data, size_t len);

#endif
