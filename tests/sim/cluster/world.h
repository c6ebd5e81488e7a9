/* A whole cluster in one process: servers with all their daemons, nodes with simulated agents,
 * clients that register, scale, stop and purge jobs, and chance that breaks things. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "sim.h"
#include "types.pb-c.h"

#define WORLD_SERVERS 5
#define WORLD_NODES   32
#define WORLD_WORKERS 8

struct world_options {
    uint64_t seed;
    uint32_t minutes;
    unsigned servers, workers, nodes;
    bool calm; /* no faults */
    bool verbose;
    const char *mutant;   /* a deliberate fault of the product; NULL: none */
    void (*script)(void); /* called when all runs: plans what is to happen; NULL: nothing */
};

struct verdict {
    unsigned invariant; /* 0: all hold */
    char text[400];
    uint64_t trace, events, applied, at_us;
    uint64_t acknowledged, faults; /* how much happened */
    uint64_t evals;                /* evaluations made */
};

/* Runs a cluster from its seed to its end: minutes of load and faults, then peace. */
void world_run(const struct world_options *o, struct verdict *out);
/* As world_run, but the last words (lines of the trace, how to replay) go to stdout if it fails. */
bool world_check(const struct world_options *o, struct verdict *out);

/* ---- between the files */

struct world {
    struct world_options options;
    struct process *jobstore[WORLD_SERVERS], *gateway[WORLD_SERVERS];
    struct host *server[WORLD_SERVERS], *node[WORLD_NODES];
    struct process *agent[WORLD_NODES];
    char doors[256];
    bool peace;
    struct verdict verdict;
};
extern struct world *world;

void world_fail(unsigned invariant, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* agents.c */
void agents_build(void);
void agents_free(void);
bool agents_node_runs(const uint8_t id[16]); /* its agent does */
/* clients.c */
void clients_begin(void);
void clients_free(void);
void clients_check_end(void); /* what was acknowledged is there */
/* faults.c */
void faults_begin(void);
void faults_end(void);
/* consensus.c */
void consensus_begin(void);
void consensus_state_changed(struct process *p);
void consensus_free(void);
/* launches.c */
struct view;
void world_launches(void); /* of world_options: a job is launched while leaders come and go */
void world_check_launches(struct view *v); /* no launch is lost, none was made twice */
/* operators.c */
void operators_build(void);
struct host *operators_leader(void); /* NULL: nobody leads */
void operators_transfer(void);
void operators_remove(void);
void operators_roll(void);
/* Whether the disk of server i may be lost for good. tell: its removal is then asked for. */
bool operators_may_lose(unsigned i, bool tell);
bool operators_settled(char *why, size_t size); /* every server is a voter */
/* invariants.c */
void invariants_begin(void);
void invariants_state_changed(struct process *p); /* a jobstore's state has moved on */
void invariants_remember(struct process *p); /* what it has, to compare with what it will have */
/* At the end: how many evaluations the job's registrations and stops made. */
uint32_t invariants_asked(const char *name);
void invariants_job(const char *name, bool *exists, uint64_t *modify_index, uint32_t *count);
bool invariants_settled(char *why, size_t size); /* every job is where it should be */
void invariants_tell_evals(void);
void invariants_end(void);
void invariants_free(void);

#endif
