#include "base/crc32c.h"
#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* reversed */

static uint32_t crc_byte(uint32_t crc, uint8_t byte)
{
    crc ^= byte;
    for (int bit = 0; bit < 8; bit++)
        crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
    return crc;
}

static uint32_t crc_portable(uint32_t crc, const uint8_t *p, size_t len)
{
    while (len-- > 0)
        crc = crc_byte(crc, *p++);
    return crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t crc, const uint8_t *p,
                                                            size_t len)
{
    uint64_t wide = crc;
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof(word));
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    while (len-- > 0)
        crc = _mm_crc32_u8(crc, *p++);
    return crc;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
    return ~(__builtin_cpu_supports("sse4.2") ? crc_sse42(~crc, data, len)
                                              : crc_portable(~crc, data, len));
}
#else
uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
    return ~crc_portable(~crc, data, len);
}
#endif
