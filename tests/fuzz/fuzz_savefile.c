/* The file of a saved state as somebody sends it: its head, and a part of it from any place on.
 * What is taken for a part lies within the bytes, and a head that is taken is what was written. The
 * first 16 bytes are the place and the size that come beside it; where the last is odd, the head's
 * sum is made right, or no change of a head would come further. */
#include "base/crc32c.h"
#include "wire/savefile.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BESIDE 16u
#define AT_SUM 64u

static void check_head(const uint8_t *bytes)
{
    struct savefile f;
    struct reason why;
    uint8_t again[SAVEFILE_HEAD];
    if (savefile_decode(bytes, &f, &why) != OK)
        return;
    savefile_encode(&f, again);
    struct savefile g;
    must(savefile_decode(again, &g, &why) == OK && g.index == f.index && g.term == f.term &&
         g.size == f.size && g.created == f.created && memcmp(g.cluster_id, f.cluster_id, 16) == 0);
}

static void check_part(const uint8_t *bytes, size_t len, uint64_t at, uint64_t size)
{
    struct savefile_part p;
    struct reason why;
    if (savefile_part_read(&p, bytes, len, at, size, &why) != OK)
        return;
    size_t head = (size_t)(p.data - bytes);
    must(head == (at == 0 ? SAVEFILE_HEAD : 0) &&
         head + p.len + (p.last ? SAVEFILE_TAIL : 0) == len);
    must(p.offset < p.size + SAVEFILE_TAIL &&
         p.len <= p.size - (p.offset < p.size ? p.offset : p.size));
    must(p.last || p.len % SAVEFILE_PIECE == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t beside[2];
    if (size < BESIDE)
        return 0;
    memcpy(beside, data, sizeof beside);
    size_t len = size - BESIDE;
    uint8_t *bytes = xmalloc(len + 1); /* its end is where the sanitizer looks */
    memcpy(bytes, data + BESIDE, len);
    if (len >= SAVEFILE_HEAD) {
        uint32_t sum = crc32c(0, bytes, AT_SUM);
        if (data[BESIDE - 1] & 1)
            memcpy(bytes + AT_SUM, &sum, sizeof sum);
        check_head(bytes);
    }
    check_part(bytes, len, 0, 0);
    check_part(bytes, len, beside[0], beside[1]);
    free(bytes);
    return 0;
}
