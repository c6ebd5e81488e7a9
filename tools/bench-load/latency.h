/* A sample of durations, for percentiles. */
#ifndef BENCH_LATENCY_H
#define BENCH_LATENCY_H

#include <stddef.h>
#include <stdint.h>

struct latency {
    int64_t *ns;
    size_t count, room;
};

void latency_add(struct latency *l, int64_t ns);
/* q in [0, 1]; in milliseconds; 0 if there is none. Sorts. */
double latency_ms(struct latency *l, double q);
void latency_fini(struct latency *l);

#endif
