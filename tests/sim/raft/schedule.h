/* One schedule from one seed, whole. */
#ifndef SIM_RAFT_SCHEDULE_H
#define SIM_RAFT_SCHEDULE_H

#include "world.h"

#define SCHEDULE_EVENTS 3000

struct outcome {
    bool ok;
    char failure[200];
    uint64_t trace_hash;
    struct counts counts;
};

/* trace NULL: quiet. A check of the core that fails is a failure of the schedule like any other. */
struct outcome schedule_run(uint64_t seed, uint64_t events, FILE *trace);

#endif
