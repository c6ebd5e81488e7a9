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
