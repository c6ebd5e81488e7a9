#include "gc.h"
#include <stdlib.h>
#include <string.h>

static int by_age(const void *a, const void *b)
{
    const struct gc_ended *x = a, *y = b;
    if (x->ended_at != y->ended_at)
        return x->ended_at < y->ended_at ? -1 : 1;
    return memcmp(x->id, y->id, sizeof x->id);
}

size_t gc_choose(const struct gc_limits *limits, const struct gc_use *use, struct gc_ended *ended,
                 size_t count)
{
    size_t wanted = use->allocs > limits->max_allocs ? use->allocs - limits->max_allocs : 0;
    if (wanted == 0 &&
        (use->disk_percent > limits->disk_percent || use->inode_percent > limits->inode_percent))
        wanted = 1;
    if (count > 0)
        qsort(ended, count, sizeof *ended, by_age);
    return wanted < count ? wanted : count;
}
