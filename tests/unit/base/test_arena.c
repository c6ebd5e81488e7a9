#include "base/arena.h"
#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

Test(arena, gives_aligned_memory_that_does_not_overlap)
{
    struct arena *a = arena_new(1 << 20);
    unsigned char *previous = NULL;
    for (size_t size = 1; size < 300; size++) {
        unsigned char *p = arena_alloc(a, size);
        cr_assert((uintptr_t)p % 16 == 0);
        for (size_t i = 0; i < size; i++)
            cr_assert(p[i] == 0, "arena_alloc clears");
        memset(p, 0xaa, size);
        if (previous != NULL)
            cr_assert(previous[0] == 0xaa);
        previous = p;
    }
    arena_free(a);
}

Test(arena, refuses_what_goes_beyond_its_cap)
{
    struct arena *a = arena_new(10000);
    cr_assert_null(arena_try_alloc(a, 10001));
    size_t got = 0;
    while (arena_try_alloc(a, 100) != NULL)
        got += 112; /* rounded up to 16 */
    cr_assert(got >= 9500 && got <= 10000, "got %zu", got);
    cr_assert_null(arena_try_alloc(a, SIZE_MAX));
    arena_free(a);
}

Test(arena, is_empty_again_after_a_reset)
{
    struct arena *a = arena_new(100000);
    for (int round = 0; round < 1000; round++) {
        cr_assert_not_null(arena_try_alloc(a, 50000));
        cr_assert(arena_used(a) >= 50000);
        arena_reset(a);
        cr_assert(arena_used(a) == 0);
    }
    arena_free(a);
}

Test(arena, copies_texts)
{
    struct arena *a = arena_new(1 << 20);
    cr_assert_str_eq(arena_strdup(a, ""), "");
    cr_assert_str_eq(arena_strdup(a, "norn"), "norn");
    cr_assert_str_eq(arena_printf(a, "%s-%d", "web", 3), "web-3");
    cr_assert_eq(memcmp(arena_copy(a, "ab\0c", 4), "ab\0c", 4), 0);
    arena_free(a);
    arena_free(NULL);
}
