#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Castagnoli's polynomial (RFC 3720, B.4); start with crc = 0. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

#endif
