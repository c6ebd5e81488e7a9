#include "base/prng.h"
#include "wire/savefile.h"
#include <criterion/criterion.h>
#include <string.h>

static uint8_t head[SAVEFILE_HEAD];
static struct savefile out;
static struct reason why;

static void a_head(void)
{
    struct savefile f = {
        .index = 77, .term = 3, .size = 123456, .created = 1795427798860000000, .cluster_id = {9}};
    savefile_encode(&f, head);
}

Test(savefile, a_head_comes_out_as_it_went_in)
{
    a_head();
    cr_assert_eq(savefile_decode(head, &out, &why), OK, "%s", why.text);
    cr_assert(out.index == 77 && out.term == 3 && out.size == 123456 && out.cluster_id[0] == 9);
    cr_assert_eq(out.created, 1795427798860000000);
}

Test(savefile, a_head_changed_by_one_byte_is_refused)
{
    for (unsigned i = 0; i < SAVEFILE_HEAD - 4; i++) {
        a_head();
        head[i] ^= 0x10;
        cr_assert_neq(savefile_decode(head, &out, &why), OK, "byte %u", i);
    }
}

Test(savefile, random_bytes_are_no_such_file)
{
    for (uint64_t seed = 1; seed < 20000; seed++) {
        struct prng p;
        prng_seed(&p, seed);
        for (unsigned i = 0; i < SAVEFILE_HEAD; i++)
            head[i] = (uint8_t)prng_below(&p, 256);
        cr_assert_neq(savefile_decode(head, &out, &why), OK, "seed %llu", (unsigned long long)seed);
    }
}

static uint8_t bytes[SAVEFILE_HEAD + 2 * SAVEFILE_PIECE + SAVEFILE_TAIL];
static struct savefile_part part;

Test(savefile, a_file_is_read_in_parts_of_whole_pieces_and_the_last)
{
    savefile_encode(&(struct savefile){.size = SAVEFILE_PIECE + 10}, bytes);
    cr_assert_eq(savefile_part_read(&part, bytes, SAVEFILE_HEAD + SAVEFILE_PIECE, 0, 0, &why), OK,
                 "%s", why.text);
    cr_assert(part.data == bytes + SAVEFILE_HEAD && part.len == SAVEFILE_PIECE &&
              part.size == SAVEFILE_PIECE + 10 && part.offset == 0 && !part.last);
    cr_assert_eq(savefile_part_read(&part, (const uint8_t *)"0123456789abcd", 14,
                                    SAVEFILE_HEAD + SAVEFILE_PIECE, SAVEFILE_PIECE + 10, &why),
                 OK, "%s", why.text);
    cr_assert(part.last && part.len == 10 && part.offset == SAVEFILE_PIECE &&
              memcmp(&part.crc, "abcd", 4) == 0);
}

/* Each of these once made a length run over, or would. */
Test(savefile, a_part_that_cannot_be_is_refused)
{
    static const struct {
        size_t len;
        uint64_t at, size;
    } bad[] = {{0, SAVEFILE_HEAD + SAVEFILE_PIECE, SAVEFILE_PIECE - SAVEFILE_TAIL},
               {2, SAVEFILE_HEAD + SAVEFILE_PIECE, SAVEFILE_PIECE - 2},
               {4, SAVEFILE_HEAD - 1, 100},
               {4, SAVEFILE_HEAD, UINT64_MAX - 3},
               {4, SAVEFILE_HEAD, 0},
               {10, SAVEFILE_HEAD, 100},
               {100, SAVEFILE_HEAD + 1, 97},
               {SAVEFILE_PIECE, SAVEFILE_HEAD, 100},
               {4, UINT64_MAX, 100}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_neq(savefile_part_read(&part, bytes, bad[i].len, bad[i].at, bad[i].size, &why),
                      OK, "case %zu", i);
    cr_assert_neq(savefile_part_read(&part, bytes, SAVEFILE_HEAD - 1, 0, 0, &why), OK);
}
