/* What the whole machine uses: two looks, some time apart, as /v1/client/stats shows it. */
#ifndef NODEAGENT_HOSTSTATS_H
#define NODEAGENT_HOSTSTATS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define HOST_MAX_CPUS 512

struct host_cpu {
    uint64_t user, system, idle, total; /* ticks since the machine began */
};

struct host_look {
    int64_t time_ns;
    size_t cpu_count;
    struct host_cpu cpus[HOST_MAX_CPUS];
    uint64_t memory_total, memory_available, memory_free; /* bytes */
    double uptime_s;
};

/* Reads ROOT/proc; what cannot be read is 0. */
void host_look_at(struct host_look *out, const char *root, int64_t now_ns);
/* Shares of processor time between the looks; the rest is of the second. mhz: of one core. */
json_t *host_stats_json(const struct host_look *first, const struct host_look *second,
                        const char *data_dir, double mhz);

#endif
