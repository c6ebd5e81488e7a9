/* What the files of the simulator share: virtual time, hosts, processes, chance, the trace.
 *
 * One simulation runs at a time in a process. The daemons are linked as they are; what they use of
 * common/loop, common/net, base/clock and base/log is defined here over virtual time instead (the
 * linker takes ours and leaves the archives' objects out), LMDB runs on real files, and what a
 * crash loses is lost by disk.c. All chance comes from one seed. */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "base/heap.h"
#include "base/list.h"
#include "base/prng.h"
#include "daemon/daemon.h"
#include "loop/loop.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_MOST_HOSTS     64
#define SIM_MOST_PROCESSES 128

/* A machine: what its processes share. */
struct host {
    char name[16];
    unsigned number;
    int64_t wall_shift_ns; /* its clock against the true time */
    unsigned boots;        /* its boot id */
    uint64_t disk_us;      /* a write takes up to so long */
    bool disk_full;
};

/* A daemon, or a simulated one (an agent): started, killed and started again. */
struct process {
    char name[32]; /* "s1/jobstore" */
    struct host *host;
    const struct service *service;
    char **argv;
    int argc;
    void *image; /* of its settings; NULL: none */
    void *self;  /* NULL: it does not run */
    struct loop *loop;
    bool dying;             /* killed: nothing it does from here on reaches anybody */
    bool ending;            /* it asked for its own end */
    bool drained;           /* it was asked to stop, and may */
    uint64_t hung_until_us; /* stopped, as by SIGSTOP */
    uint64_t starts;
    bool wanted; /* its keeper starts it again */
};

/* Knobs of the faults; all zero: a perfect world. */
struct weather {
    uint64_t local_us, remote_us; /* mean delay of a message inside a host, between hosts */
    double lost;                  /* of messages between hosts: the connection breaks with it */
    double lost_local;
    double failing;                           /* of the product's rare places (base/fault.h) */
    double repeated;                          /* of requests that may be sent again */
    bool cut[SIM_MOST_HOSTS][SIM_MOST_HOSTS]; /* from, to: nothing passes */
};

struct sim {
    uint64_t seed;
    struct prng prng;
    uint64_t now_us;
    uint64_t events, order;
    uint64_t trace; /* hash of all that happened */
    bool verbose, muted;
    struct weather weather;
    struct host hosts[SIM_MOST_HOSTS];
    unsigned host_count;
    struct process processes[SIM_MOST_PROCESSES];
    unsigned process_count;
    struct process *current; /* whose turn it is; NULL: the world's */
    struct heap queue, loops;
    char dir[64];
};

extern struct sim *sim; /* the one that runs */

/* ---- time.c */
void sim_new(uint64_t seed, bool verbose);
void sim_free(void);
/* Calls fire(arg) later: in a turn of the loop of p, unless p has died meanwhile, or of nobody's.
 */
void sim_after(uint64_t delay_us, struct process *p, void (*fire)(void *arg), void *arg,
               void (*drop)(void *arg));
/* One step. False: nothing is left to happen before until_us. */
bool sim_step(uint64_t until_us);
/* A turn of p's loop: what is called between the two is p's doing. */
void turn_begin(struct process *p);
void turn_end(struct process *p);
struct loop *sim_loop_new(struct process *p);
void sim_loop_free(struct loop *l);
struct process *loop_process(const struct loop *l);
/* Chance. */
uint64_t sim_below(uint64_t bound);
bool sim_chance(double p);
uint64_t sim_between(uint64_t low, uint64_t high); /* both included */
uint64_t sim_about(uint64_t mean);                 /* exponential, at most eight times the mean */

/* ---- log.c: the trace */
void trace_mix(const void *data, size_t len);
void trace_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void trace_print_last(void);

/* ---- net.c */
void net_process_gone(struct process *p); /* before its close: all its connections break */
void net_heal(void);                      /* what was cut off finds out */
void net_free(void);

/* ---- disk.c */
void disk_crash(struct host *h);    /* the machine lost its power: what was not synced is gone */
void disk_lose(struct host *h);     /* all that it ever held */
void disk_remove(const char *path); /* a directory and what is in it */
void disk_free(void);
/* world.c: something was committed to a store of p's. */
void world_state_changed(struct process *p);
void world_process_ends(struct process *p); /* while it is still whole */

/* ---- process.c */
struct host *sim_host(const char *name);
struct process *sim_process(struct host *h, const char *name, const struct service *s, int argc,
                            const char *const *argv);
void process_start(struct process *p);
void process_kill(struct process *p);
void process_stop(struct process *p); /* asks it to drain, then ends it */
void process_end_maybe(struct process *p);
struct process *process_named(const char *name);

#endif
