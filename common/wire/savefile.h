/* The file of a saved state: a head of fixed size, the state's bytes, and their sum (CRC32C, four
 * bytes). Numbers are little endian. All functions are pure. */
#ifndef WIRE_SAVEFILE_H
#define WIRE_SAVEFILE_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAVEFILE_HEAD    72u
#define SAVEFILE_TAIL    4u
#define SAVEFILE_VERSION 1u
/* Parts of a file begin at a multiple of it, behind the head. */
#define SAVEFILE_PIECE (512u << 10)

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

/* A part of such a file: the first has its head, the last its sum. */
struct savefile_part {
    const uint8_t *data; /* of the state, within the part */
    size_t len;
    uint64_t offset, size; /* in the state; of all of it */
    bool last;
    uint32_t crc; /* last: of all of it */
};
/* bytes are the file's from `at` on; size is how long the state is, which the first part (at 0)
 * tells itself. ERR_INVALID, ERR_CORRUPT: not whole pieces, or longer than they may be; *out is
 * untouched then. */
enum err savefile_part_read(struct savefile_part *out, const uint8_t *bytes, size_t len,
                            uint64_t at, uint64_t size, struct reason *why);

#endif
