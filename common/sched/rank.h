/* Which of the feasible nodes is best for the next allocation of a group. Every one of them is
 * looked at; after a placement only one score has changed, and the shares of what is spread
 * (sched/cells.h), so a winner tree finds the next best in O(log n).
 *
 * Order: 1. the higher score; 2. the lower node id.
 *
 * The score is the mean of those parts that have something to say, as in Nomad. "binpack" is
 * BestFit v3, (20 - 10^free_cpu - 10^free_memory) / 18, within 0..1, with the shares that are free
 * once the allocation is there; of a job that asks for the algorithm "spread" it is 1 less that.
 * "job-anti-affinity" is -(allocations of the group already there + 1) / the group's count, silent
 * where there is none. "node-reschedule-penalty" is -1 where the allocation that it follows has
 * failed, or one before that in the same row, else silent. "node-affinity" is the weights of the
 * affinities that hold there, as a share of all; silent where the group has none. "devices" is the
 * same for the affinities of its requests for devices, and of the devices that it would get there.
 *
 * And then, where the group asks for spread, the mean of that and "allocation-spread". */
#ifndef SCHED_RANK_H
#define SCHED_RANK_H

#include "base/arena.h"
#include "sched/ask.h"
#include "sched/cells.h"
#include "sched/fleet.h"
#include "sched/winner.h"
#include <stdbool.h>
#include <stdint.h>

#define RANK_PENALIZED 6 /* candidates at once */

struct rank {
    const struct ask *ask;
    uint32_t group_count; /* for anti-affinity */
    bool distinct_hosts;  /* a node that has `others` is no candidate */
    bool spreads_load;    /* the algorithm "spread" */
    bool likes_devices;   /* the score has the part "devices" */
    struct cells *cells;  /* NULL: nothing is to be shared out */
    /* candidates, in order of their nodes' ids */
    uint32_t count;
    uint32_t *slots;
    int32_t *cpu, *memory, *disk;      /* left */
    int32_t *cpu_total, *memory_total; /* capacity */
    uint32_t *collisions;              /* allocations of this group there */
    uint32_t *others;                  /* those that distinct_hosts minds */
    uint32_t *dynamic_ports;           /* left */
    double *affinity;                  /* NULL: the group has none */
    /* Of a group that asks for cores or devices; else NULL. Of its cores' MHz, those of the next
     * allocation are already taken off `cpu` above. */
    int32_t *cores_cpu;                 /* what the cores of one allocation are there, in MHz */
    struct pieces_room *find;           /* what the next one would find */
    struct given **given;               /* by this plan */
    struct taken_port **taken;          /* ports given out by this plan */
    uint32_t penalized[RANK_PENALIZED]; /* candidates */
    uint32_t n_penalized;
    double *scores;       /* but for spread; KEY_NONE: no room */
    struct winner winner; /* without cells */
};

/* Room for this many candidates; the caller fills in the arrays but scores, then calls rank_build.
 */
void rank_init(struct rank *r, struct arena *a, const struct ask *ask, uint32_t room);
void rank_build(struct rank *r, struct arena *a, const struct fleet *f);
/* Its place among the candidates; UINT32_MAX: no node has room. */
uint32_t rank_best(const struct rank *r);
/* Where that node is among them; UINT32_MAX: it is none. */
uint32_t rank_find(const struct rank *r, const struct fleet *f, const uint8_t *node_id);
/* What is left there has changed. */
void rank_update(struct rank *r, const struct fleet *f, uint32_t candidate);
/* One was placed there: what is left has been counted already. */
void rank_placed(struct rank *r, const struct fleet *f, uint32_t candidate);
/* Those are to be avoided, and those before no longer; what is no candidate is left out. Of more
 * than RANK_PENALIZED the first count. */
void rank_penalize(struct rank *r, const struct fleet *f, const uint32_t *candidates, uint32_t n);

/* Why there is no room for one more at candidate i; EXHAUSTED_STATIC + i: for the ask's i-th static
 * port. */
enum exhausted {
    EXHAUSTED_NOT,
    EXHAUSTED_CORES,
    EXHAUSTED_DEVICES,
    EXHAUSTED_CPU,
    EXHAUSTED_MEMORY,
    EXHAUSTED_DISK,
    EXHAUSTED_CONFLICT,
    EXHAUSTED_DYNAMIC,
    EXHAUSTED_HOSTS, /* distinct_hosts */
    EXHAUSTED_STATIC,
};
size_t rank_exhausted(const struct rank *r, const struct fleet *f, uint32_t i);
/* The whole score; KEY_NONE: no room. */
double rank_score(const struct rank *r, uint32_t i);
/* The parts of candidate i's score; 0 where they are silent. */
double rank_binpack(const struct rank *r, uint32_t i);
double rank_anti_affinity(const struct rank *r, uint32_t i);
double rank_affinity(const struct rank *r, uint32_t i);
double rank_penalty(const struct rank *r, uint32_t i);
double rank_devices(const struct rank *r, uint32_t i);
/* Looks again at the cores and devices of candidate i, after `given` has changed. */
void rank_look(struct rank *r, const struct fleet *f, uint32_t i);

/* 10^x for 0 <= x <= 1, within 1e-9; the same on every machine. */
double rank_pow10(double x);

#endif
