#include "gateway/unsent.h"
#include <criterion/criterion.h>
#include <stdint.h>

Test(unsent, gives_back_what_was_added_in_order)
{
    struct unsent u = {0};
    uint8_t next_in = 0, next_out = 0;
    for (unsigned round = 0; round < 20000; round++) {
        char piece[997];
        for (size_t i = 0; i < sizeof(piece); i++)
            piece[i] = (char)next_in++;
        unsent_add(&u, piece, round % 3 == 0 ? 0 : sizeof(piece));
        next_in = round % 3 == 0 ? (uint8_t)(next_in - sizeof(piece)) : next_in;
        size_t n = unsent_len(&u) < 701 ? unsent_len(&u) : 701;
        for (size_t i = 0; i < n; i++)
            cr_assert_eq((uint8_t)unsent_data(&u)[i], next_out++, "round %u", round);
        unsent_take(&u, n);
    }
    unsent_free(&u);
}

Test(unsent, does_not_grow_while_a_slow_client_never_empties_it)
{
    static const char piece[65536];
    struct unsent u = {0};
    unsent_add(&u, piece, sizeof(piece));
    for (unsigned round = 0; round < 1000; round++) {
        unsent_add(&u, piece, sizeof(piece));
        for (unsigned i = 0; i < 4; i++)
            unsent_take(&u, sizeof(piece) / 4);
        cr_assert_eq(unsent_len(&u), sizeof(piece));
        cr_assert(u.bytes.room <= 16 * sizeof(piece), "%zu bytes after %u rounds", u.bytes.room,
                  round);
    }
    unsent_free(&u);
}
