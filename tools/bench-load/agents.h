/* Simulated node agents: each has connections of its own to the gateway's door, registers, sends
 * heartbeats, waits for its allocations in long polls and reports them running, and complete after
 * a while if they are to end. */
#ifndef BENCH_AGENTS_H
#define BENCH_AGENTS_H

#include "base/err.h"
#include "loop/loop.h"
#include <stddef.h>
#include <stdint.h>

struct agents;

struct agents_options {
    const char *gateway, *gateway_poll; /* addresses */
    size_t nodes;
    uint32_t node_cpu, node_memory_mb; /* what each has */
    bool watch;                        /* wait for allocations at all */
    uint64_t run_for_ms;               /* 0: allocations run for ever */
    /* An allocation of this job has reached its agent, for the first time. */
    void (*received)(void *owner, const char *job_id);
    /* The servers have taken the report that an allocation runs; that it is complete. */
    void (*reported)(void *owner);
    void (*ended)(void *owner);
    void *owner;
};

struct agents *agents_open(struct loop *l, const struct agents_options *o);
/* How many nodes are registered, and wait for news if they are to. */
size_t agents_ready(const struct agents *a);
/* Each node registers again so often, as initializing and as ready in turns; as many are under way
 * as at the start. */
void agents_flap(struct agents *a, size_t times);
size_t agents_flapped(const struct agents *a); /* of all nodes together */
/* Requests that failed: anything but 0 makes a measurement doubtful. */
size_t agents_failures(const struct agents *a);
/* Reports that had to be told again since nobody answered in time. */
size_t agents_late(const struct agents *a);

#endif
