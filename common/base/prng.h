/* Seeded, fast, the same on every machine (splitmix64 seeding xoshiro256**, Blackman and Vigna).
 * Not for secrets. */
#ifndef BASE_PRNG_H
#define BASE_PRNG_H

#include <stdint.h>

struct prng {
    uint64_t s[4];
};

void prng_seed(struct prng *p, uint64_t seed);
uint64_t prng_next(struct prng *p);
uint64_t prng_below(struct prng *p, uint64_t bound); /* 0 .. bound-1, unbiased; bound > 0 */
double prng_unit(struct prng *p);                    /* [0, 1) */

#endif
