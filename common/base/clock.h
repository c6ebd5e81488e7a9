#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Shells ask their loop for the time (loop_now_ms, loop_wall_ns), so that the simulator can turn
 * the clock; these two are for the loop itself, for tools and for the log. */
uint64_t clock_monotonic_ms(void);
int64_t clock_wall_ns(void);

#endif
