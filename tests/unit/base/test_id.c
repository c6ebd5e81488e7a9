#include "base/id.h"
#include "base/prng.h"
#include <criterion/criterion.h>
#include <string.h>

#define TIME INT64_C(1790000000123456789)

Test(id, is_a_version_7_uuid)
{
    for (int i = 0; i < 100; i++) {
        struct id id = id_new();
        cr_assert_eq(id.bytes[6] >> 4, 7);
        cr_assert_eq(id.bytes[8] >> 6, 2);
    }
}

Test(id, derived_ones_are_equal_for_equal_input_and_grow_with_the_count)
{
    uint8_t request[16] = "0123456789abcde";
    struct id last = {{0}};
    for (uint32_t count = 0; count < 20000; count++) {
        struct id id = id_derive(request, TIME, count), again = id_derive(request, TIME, count);
        cr_assert(id_equal(id.bytes, again.bytes));
        cr_assert(memcmp(id.bytes, last.bytes, 16) > 0, "count %u", count);
        cr_assert(memcmp(id.bytes, last.bytes, 8) > 0, "the first 18 characters tell %u", count);
        cr_assert_eq(id.bytes[6] >> 4, 7);
        cr_assert_eq(id.bytes[8] >> 6, 2);
        last = id;
    }
    struct id later = id_derive(request, TIME + 10000000, 0);
    cr_assert(memcmp(later.bytes, last.bytes, 16) > 0, "time leads");
    request[0] ^= 1;
    struct id other = id_derive(request, TIME, 5),
              one = id_derive((const uint8_t *)"0123456789abcde", TIME, 5);
    cr_assert(!id_equal(other.bytes, one.bytes));
}

Test(id, survives_printing_and_reading)
{
    struct prng p;
    prng_seed(&p, 1);
    for (int i = 0; i < 1000; i++) {
        uint8_t id[16], back[16];
        char text[ID_TEXT_SIZE];
        for (int k = 0; k < 16; k++)
            id[k] = (uint8_t)prng_next(&p);
        id_format(id, text);
        cr_assert_eq(strlen(text), 36);
        cr_assert(id_parse(text, back));
        cr_assert(id_equal(id, back));
    }
}

Test(id, reads_only_whole_ids)
{
    static const char *const bad[] = {"",
                                      "0192f3c4",
                                      "0192f3c4-a1b2-7001-8000-00000000000",
                                      "0192f3c4a1b2700180000000000000aa",
                                      "0192f3c4-a1b2-7001-8000-00000000000g",
                                      "0192f3c4-a1b2-7001-8000-0000000000001"};
    uint8_t out[16];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert(!id_parse(bad[i], out), "%s", bad[i]);
    cr_assert(id_parse("0192F3C4-a1b2-7001-8000-000000000000", out), "upper case is read");
}

Test(id, a_prefix_bounds_the_ids_that_begin_so)
{
    uint8_t low[16], high[16];
    char text[ID_TEXT_SIZE];
    cr_assert(id_prefix_range("0192f3c4-a", low, high));
    id_format(low, text);
    cr_assert_str_eq(text, "0192f3c4-a000-0000-0000-000000000000");
    id_format(high, text);
    cr_assert_str_eq(text, "0192f3c4-afff-ffff-ffff-ffffffffffff");
    cr_assert(id_prefix_range("", low, high));
    cr_assert(!id_prefix_range("xyz", low, high));
    cr_assert(!id_prefix_range("0192f3c4-a1b2-7001-8000-0000000000000", low, high));
}
