/* The file of a saved state: a head of fixed size, the state's bytes, and their sum (CRC32C, four
 * bytes). Numbers are little endian. Both functions are pure. */
#ifndef WIRE_SAVEFILE_H
#define WIRE_SAVEFILE_H

#include "base/err.h"
#include <stdint.h>

#define SAVEFILE_HEAD    72u
#define SAVEFILE_TAIL    4u
#define SAVEFILE_VERSION 1u

struct savefile {
    uint64_t index, term; /* what the state holds */
    uint64_t size;        /* of the state's bytes */
    int64_t created;      /* ns since 1970 */
    uint8_t cluster_id[16];
};

void savefile_encode(const struct savefile *f, uint8_t out[SAVEFILE_HEAD]);
/* ERR_INVALID: no such file, or of a version that this program does not know. ERR_CORRUPT: changed
 * since it was written. */
enum err savefile_decode(const uint8_t head[SAVEFILE_HEAD], struct savefile *out,
                         struct reason *why);

#endif
