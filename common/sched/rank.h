/* Which of the feasible nodes is best for the next allocation of a group. Every one of them is
 * looked at; after a placement only one score has changed, so a winner tree finds the next best in
 * O(log n).
 *
 * Order: 1. the higher score; 2. the lower node id.
 * The score is the mean of those parts that have something to say, as in Nomad:
 *   binpack            BestFit v3: (20 - 10^free_cpu - 10^free_memory) / 18, within 0..1, with the
 *                      shares free once the allocation is there
 *   job-anti-affinity  -(allocations of the group already there + 1) / the group's count; silent
 *                      where there is none */
#ifndef SCHED_RANK_H
#define SCHED_RANK_H

#include "base/arena.h"
#include "sched/ask.h"
#include "sched/fleet.h"
#include <stdbool.h>
#include <stdint.h>

struct rank {
    const struct ask *ask;
    uint32_t group_count; /* for anti-affinity */
    bool distinct_hosts;  /* a node that has `others` is no candidate */
    /* candidates, in order of their nodes' ids */
    uint32_t count;
    uint32_t *slots;
    int32_t *cpu, *memory, *disk;      /* left */
    int32_t *cpu_total, *memory_total; /* capacity */
    uint32_t *collisions;              /* allocations of this group there */
    uint32_t *others;                  /* those that distinct_hosts minds */
    uint32_t *dynamic_ports;           /* left */
    struct taken_port **taken;         /* ports given out by this plan */
    double *scores;                    /* RANK_NONE: no room */
    uint32_t leaves;                   /* of the tree; a power of two */
    uint32_t *winners;                 /* winners[1] is the best of all */
};

#define RANK_NONE (-1e9)

/* Room for this many candidates; the caller fills in the arrays but scores, then calls rank_build.
 */
void rank_init(struct rank *r, struct arena *a, const struct ask *ask, uint32_t room);
void rank_build(struct rank *r, struct arena *a, const struct fleet *f);
/* Its place among the candidates; UINT32_MAX: no node has room. */
uint32_t rank_best(const struct rank *r);
/* What is left there has changed: one was placed. */
void rank_update(struct rank *r, const struct fleet *f, uint32_t candidate);

/* Why there is no room for one more at candidate i; EXHAUSTED_STATIC + i: for the ask's i-th static
 * port. */
enum exhausted {
    EXHAUSTED_NOT,
    EXHAUSTED_CPU,
    EXHAUSTED_MEMORY,
    EXHAUSTED_DISK,
    EXHAUSTED_CONFLICT,
    EXHAUSTED_DYNAMIC,
    EXHAUSTED_HOSTS, /* distinct_hosts */
    EXHAUSTED_STATIC,
};
size_t rank_exhausted(const struct rank *r, const struct fleet *f, uint32_t i);
/* The parts of candidate i's score. */
double rank_binpack(const struct rank *r, uint32_t i);
double rank_anti_affinity(const struct rank *r, uint32_t i);

/* 10^x for 0 <= x <= 1, within 1e-9; the same on every machine. */
double rank_pow10(double x);

#endif
