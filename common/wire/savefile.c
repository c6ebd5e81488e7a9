#include "wire/savefile.h"
#include "base/crc32c.h"
#include <string.h>

static const char magic[8] = {'N', 'O', 'R', 'N', 'S', 'A', 'V', 'E'};

#define LARGEST ((uint64_t)1 << 46)

enum {
    AT_VERSION = 8,
    AT_INDEX = 16,
    AT_TERM = 24,
    AT_SIZE = 32,
    AT_CREATED = 40,
    AT_CLUSTER = 48,
    AT_CRC = 64
};

void savefile_encode(const struct savefile *f, uint8_t out[SAVEFILE_HEAD])
{
    uint32_t version = SAVEFILE_VERSION;
    memset(out, 0, SAVEFILE_HEAD);
    memcpy(out, magic, sizeof magic);
    memcpy(out + AT_VERSION, &version, sizeof version);
    memcpy(out + AT_INDEX, &f->index, sizeof f->index);
    memcpy(out + AT_TERM, &f->term, sizeof f->term);
    memcpy(out + AT_SIZE, &f->size, sizeof f->size);
    memcpy(out + AT_CREATED, &f->created, sizeof f->created);
    memcpy(out + AT_CLUSTER, f->cluster_id, sizeof f->cluster_id);
    uint32_t crc = crc32c(0, out, AT_CRC);
    memcpy(out + AT_CRC, &crc, sizeof crc);
}

enum err savefile_decode(const uint8_t head[SAVEFILE_HEAD], struct savefile *out,
                         struct reason *why)
{
    uint32_t version, crc;
    memcpy(&version, head + AT_VERSION, sizeof version);
    memcpy(&crc, head + AT_CRC, sizeof crc);
    if (memcmp(head, magic, sizeof magic) != 0)
        return reason_set(why, ERR_INVALID, "this is not the file of a saved state");
    if (crc32c(0, head, AT_CRC) != crc)
        return reason_set(why, ERR_CORRUPT, "the file's head is damaged");
    if (version != SAVEFILE_VERSION)
        return reason_set(why, ERR_INVALID,
                          "the file is of version %u, this program knows version %u: use the norn "
                          "that wrote it, or a newer one",
                          version, SAVEFILE_VERSION);
    memcpy(&out->index, head + AT_INDEX, sizeof out->index);
    memcpy(&out->term, head + AT_TERM, sizeof out->term);
    memcpy(&out->size, head + AT_SIZE, sizeof out->size);
    memcpy(&out->created, head + AT_CREATED, sizeof out->created);
    memcpy(out->cluster_id, head + AT_CLUSTER, sizeof out->cluster_id);
    if (out->size == 0 || out->size > LARGEST)
        return reason_set(why, ERR_CORRUPT, "the file names an impossible size");
    return OK;
}

/* Whether this part may be there: then no sum of these numbers runs over. */
static bool is_possible(const struct savefile_part *p)
{
    uint64_t whole = p->size + SAVEFILE_TAIL;
    return p->size > 0 && p->size <= LARGEST && p->offset < whole && p->len <= whole - p->offset &&
           p->len >= SAVEFILE_TAIL && p->offset % SAVEFILE_PIECE == 0;
}

enum err savefile_part_read(struct savefile_part *out, const uint8_t *bytes, size_t len,
                            uint64_t at, uint64_t size, struct reason *why)
{
    struct savefile f = {.size = size};
    size_t head = at == 0 ? SAVEFILE_HEAD : 0;
    enum err e = OK;
    if (len < head || (at > 0 && at < SAVEFILE_HEAD))
        return reason_set(why, ERR_INVALID, "the file is too short");
    if (at == 0 && (e = savefile_decode(bytes, &f, why)) != OK)
        return e;
    struct savefile_part p = {.data = bytes + head,
                              .len = len - head,
                              .offset = at == 0 ? 0 : at - SAVEFILE_HEAD,
                              .size = f.size};
    if (is_possible(&p) && p.offset + p.len == p.size + SAVEFILE_TAIL) {
        p.last = true;
        p.len -= SAVEFILE_TAIL;
        memcpy(&p.crc, p.data + p.len, sizeof p.crc);
    } else if (!is_possible(&p) || p.len % SAVEFILE_PIECE != 0) {
        return reason_set(why, ERR_INVALID, "the file is cut, or longer than it says");
    }
    *out = p;
    return OK;
}
