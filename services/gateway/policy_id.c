#include "policy_id.h"
#include <string.h>

#define PRIME 0x100000001b3ull

/* FNV-1a, 64 bits (Fowler, Noll, Vo), the end of each text counted too. */
static uint64_t mix(uint64_t hash, const char *text)
{
    for (size_t i = 0, n = strlen(text) + 1; i < n; i++)
        hash = (hash ^ (uint8_t)text[i]) * PRIME;
    return hash;
}

static uint64_t finish(uint64_t h)
{
    h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdull; /* MurmurHash3's finalizer */
    h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53ull;
    return h ^ (h >> 33);
}

void policy_id(const char *namespace, const char *job, const char *group, uint8_t out[ID_SIZE])
{
    static const uint64_t seeds[2] = {0xcbf29ce484222325ull, 0x9e3779b97f4a7c15ull};
    for (size_t half = 0; half < 2; half++) {
        uint64_t hash = mix(seeds[half], namespace == NULL ? "default" : namespace);
        hash = finish(mix(mix(hash, job), group));
        for (size_t i = 0; i < 8; i++)
            out[half * 8 + i] = (uint8_t)(hash >> (56 - 8 * i));
    }
    out[6] = (uint8_t)((out[6] & 0x0f) | 0x80);
    out[8] = (uint8_t)((out[8] & 0x3f) | 0x80);
}
