/* A pool of real swim cores on a virtual clock and a virtual network, all from one seed. Packets
 * are packed and unpacked on their way. Every core is checked after every event. */
#ifndef TESTS_POOL_H
#define TESTS_POOL_H

#include "base/prng.h"
#include "swim.h"
#include <stdbool.h>
#include <stdint.h>

#define POOL_MOST 64

struct pool_server {
    struct swim *swim;
    char name[32], region[16], address[32];
    uint8_t id[16];
    bool dead, left;
    uint64_t paused_until_ms;
    int side; /* packets between different sides are lost */
    uint32_t joined, conflicts, accused;
    uint32_t false_deaths; /* how often it saw one FAILED that was neither dead nor cut off */
};

struct pool_packet;

struct pool {
    struct prng prng;
    uint64_t seed, now_ms, trace; /* trace: a hash of all that happened */
    double loss;
    uint64_t reap_ms; /* 0: the usual */
    struct pool_server servers[POOL_MOST];
    int count;
    struct pool_packet *packets; /* a heap by time */
    size_t packet_count, packet_room;
    uint64_t sent;
};

/* count servers of several regions; server 0 is who the others join. */
struct pool *pool_new(uint64_t seed, int count);
struct pool *pool_new_with(uint64_t seed, int count, uint64_t reap_ms);
void pool_free(struct pool *p);
void pool_start(struct pool *p, int i, const char *name); /* anew, with another id */
void pool_run(struct pool *p, uint64_t ms);
/* Runs until done(p, arg) or the time is over; returns the time it took, or UINT64_MAX. */
uint64_t pool_until(struct pool *p, uint64_t most_ms, bool (*done)(struct pool *p, int arg),
                    int arg);

Pb__Member__Status pool_sees(struct pool *p, int viewer, const char *name);
/* Each server that is neither dead nor has left sees all such as ALIVE. */
bool pool_is_whole(struct pool *p, int unused);
bool pool_all_see_failed(struct pool *p, int who);
bool pool_all_see_left(struct pool *p, int who);
uint32_t pool_false_deaths(const struct pool *p);

#endif
