/* Looks now and then whether ended allocations must make room, and removes them. */
#ifndef NODEAGENT_GCWATCH_H
#define NODEAGENT_GCWATCH_H

#include "gc.h"
#include "local.h"
#include "loop/loop.h"
#include "runner.h"

struct gcwatch;

struct gcwatch_options {
    struct gc_limits limits;
    uint64_t interval_ms;
    const char *data_dir;
    struct local *local;
    struct runner *runner;
};

struct gcwatch *gcwatch_new(struct loop *l, const struct gcwatch_options *o);
void gcwatch_free(struct gcwatch *g);

#endif
