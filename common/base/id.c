#include "base/id.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/map.h"
#include <ctype.h>
#include <string.h>
#include <sys/random.h>

static void put_version_7(struct id *id, int64_t time_ns)
{
    uint64_t ms = (uint64_t)(time_ns / 1000000);
    for (int i = 0; i < 6; i++)
        id->bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
    id->bytes[6] = (uint8_t)(0x70 | (id->bytes[6] & 0x0f));
    id->bytes[8] = (uint8_t)(0x80 | (id->bytes[8] & 0x3f));
}

struct id id_new(void)
{
    struct id id;
    must(getrandom(id.bytes, sizeof(id.bytes), 0) == (ssize_t)sizeof(id.bytes));
    put_version_7(&id, clock_wall_ns());
    return id;
}

struct id id_derive(const uint8_t request_id[ID_SIZE], int64_t time_ns, uint32_t count)
{
    must(count < (1u << 26));
    struct id id;
    uint64_t high = hash_bytes(request_id, ID_SIZE, count),
             low = hash_bytes(request_id, ID_SIZE, ~(uint64_t)count);
    memcpy(id.bytes, &high, 8);
    memcpy(id.bytes + 8, &low, 8);
    /* The counter of RFC 9562, 6.2: it starts anywhere in the lower half, so that ids of two
     * commands in one millisecond differ early too, and carries into the milliseconds. */
    uint64_t sequence = (hash_bytes(request_id, ID_SIZE, 0) & 0x7ff) + count;
    id.bytes[6] = (uint8_t)(sequence >> 8) & 0x0f;
    id.bytes[7] = (uint8_t)sequence;
    put_version_7(&id, time_ns + (int64_t)(sequence >> 12) * 1000000);
    return id;
}

void id_format(const uint8_t id[ID_SIZE], char out[ID_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    char *p = out;
    for (int i = 0; i < ID_SIZE; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        *p++ = digits[id[i] >> 4];
        *p++ = digits[id[i] & 15];
    }
    *p = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    int lower = tolower((unsigned char)c);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool id_parse(const char *text, uint8_t out[ID_SIZE])
{
    uint8_t id[ID_SIZE];
    const char *p = text;
    for (int i = 0; i < ID_SIZE; i++) {
        if ((i == 4 || i == 6 || i == 8 || i == 10) && *p++ != '-')
            return false;
        int high = hex_value(p[0]), low = high < 0 ? -1 : hex_value(p[1]);
        if (low < 0)
            return false;
        id[i] = (uint8_t)(high << 4 | low);
        p += 2;
    }
    if (*p != '\0')
        return false;
    memcpy(out, id, ID_SIZE);
    return true;
}

bool id_prefix_range(const char *prefix, uint8_t low[ID_SIZE], uint8_t high[ID_SIZE])
{
    int digits = 0;
    memset(low, 0x00, ID_SIZE);
    memset(high, 0xff, ID_SIZE);
    for (const char *p = prefix; *p != '\0'; p++) {
        if (*p == '-')
            continue;
        int value = hex_value(*p);
        if (value < 0 || digits == 2 * ID_SIZE)
            return false;
        int shift = digits % 2 == 0 ? 4 : 0, i = digits / 2;
        low[i] = (uint8_t)(low[i] | value << shift);
        high[i] = (uint8_t)((high[i] & ~(15 << shift)) | value << shift);
        digits++;
    }
    return true;
}
