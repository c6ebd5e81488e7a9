#include "base/clock.h"
#include <time.h>

static int64_t read_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

uint64_t clock_monotonic_ms(void)
{
    return (uint64_t)(read_ns(CLOCK_MONOTONIC) / 1000000);
}

int64_t clock_wall_ns(void)
{
    return read_ns(CLOCK_REALTIME);
}
