/* What a task uses of the machine: read from its cgroups and from /proc of the processes in them.
 * Two looks, some time apart, give its shares of processor time. No state, no process. */
#ifndef NODEAGENT_USAGE_H
#define NODEAGENT_USAGE_H

#include "base/arena.h"
#include "gateway.pb-c.h"
#include <stdbool.h>
#include <stdint.h>

#define USAGE_MAX_PROCESSES 1024 /* of one task are looked at */

struct usage_places {
    const char *tree;   /* the cgroup that holds its processes */
    const char *memory; /* of its limits; "": none */
    const char *cpu;
};

struct usage_process {
    int32_t pid;
    uint64_t user_us, system_us, rss, swap;
};

struct usage_look {
    int64_t time_ns;
    uint64_t user_us,
        system_us; /* also of processes that have ended, where the kernel counts them */
    uint64_t memory, memory_max, throttled_periods, throttled_ns;
    struct usage_process *processes; /* by pid */
    size_t process_count;
};

/* What cannot be read is 0. */
void usage_look(struct arena *a, const struct usage_places *places, int64_t now_ns,
                struct usage_look *out);
/* Everything in a, but task and mhz, which are the caller's to set. */
Pb__TaskUsage *usage_between(struct arena *a, const struct usage_look *first,
                             const struct usage_look *second);

#endif
