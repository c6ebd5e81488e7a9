/* Random writes of operators: reverts, stable marks, scalings, allocations stopped by hand. */
#ifndef TESTS_RESCALING_H
#define TESTS_RESCALING_H

#include "base/prng.h"
#include "cluster.h"

/* One of them, on that job, and what must hold after it. */
void rescaling_command(struct cluster *c, struct prng *chance, const char *job);

#endif
