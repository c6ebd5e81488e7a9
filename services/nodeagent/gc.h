/* Which ended allocations must make room on this node: the oldest first, when there are too many or
 * the disk is too full. Pure. */
#ifndef NODEAGENT_GC_H
#define NODEAGENT_GC_H

#include <stddef.h>
#include <stdint.h>

struct gc_limits {
    uint32_t disk_percent, inode_percent; /* more than that in use: one goes at a time */
    size_t max_allocs;                    /* kept, those that run included */
};

struct gc_use {
    double disk_percent, inode_percent; /* of the file system that allocations lie on */
    size_t allocs;
};

struct gc_ended {
    uint8_t id[16];
    int64_t ended_at;
};

/* Sorts ended, the oldest first, and returns how many of them go. */
size_t gc_choose(const struct gc_limits *limits, const struct gc_use *use, struct gc_ended *ended,
                 size_t count);

#endif
