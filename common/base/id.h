/* Ids: 16 bytes, UUID version 7 (RFC 9562, 5.7): they grow with time, so tables grow at their end.
 */
#ifndef BASE_ID_H
#define BASE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ID_SIZE      16
#define ID_TEXT_SIZE 37

struct id {
    uint8_t bytes[ID_SIZE];
};

/* From the clock and the kernel's random numbers. Not for cores and apply. */
struct id id_new(void);

/* The count-th id that follows from a command: deterministic, growing with count, different for
 * every (request_id, count). The milliseconds of time_ns lead, then a counter of 12 bits that
 * carries into them, then a hash of request_id and count. So the first 18 characters, which is what
 * people are shown, tell the ids of one command apart. */
struct id id_derive(const uint8_t request_id[ID_SIZE], int64_t time_ns, uint32_t count);

void id_format(const uint8_t id[ID_SIZE], char out[ID_TEXT_SIZE]); /* lower case, dashed */
bool id_parse(const char *text, uint8_t out[ID_SIZE]); /* full ids only, dashes required */
/* An even or odd number of hex digits, dashes ignored: fills the lowest and the highest id that
 * begin so. False: not hex or longer than an id. */
bool id_prefix_range(const char *prefix, uint8_t low[ID_SIZE], uint8_t high[ID_SIZE]);
static inline bool id_equal(const uint8_t *a, const uint8_t *b)
{
    return __builtin_memcmp(a, b, ID_SIZE) == 0;
}

#endif
