/* What runs in this process; between the skeleton's own files. */
#ifndef DAEMON_PROCESS_H
#define DAEMON_PROCESS_H

#include "daemon/daemon.h"

struct process {
    const struct service *service;
    void *self;
    struct loop *loop;
    uint64_t started_ms;
};

/* This process: only METRICS needs it, from a handler that knows no more than its own self. */
const struct process *process_current(void);

#endif
