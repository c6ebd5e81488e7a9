#include "base/nearest.h"
#include <criterion/criterion.h>

Test(nearest, distance_counts_what_a_typist_does)
{
    static const struct {
        const char *a, *b;
        size_t distance;
    } rows[] = {
        {"", "", 0},           {"", "abc", 3},           {"count", "count", 0},
        {"cuont", "count", 1}, {"coutn", "count", 1},    {"driver", "drivr", 1},
        {"CPU", "cpu", 0},     {"kitten", "sitting", 3},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_assert_eq(edit_distance(rows[i].a, rows[i].b), rows[i].distance, "%s %s", rows[i].a,
                     rows[i].b);
        cr_assert_eq(edit_distance(rows[i].b, rows[i].a), rows[i].distance, "%s %s", rows[i].b,
                     rows[i].a);
    }
}

Test(nearest, finds_what_was_meant_and_nothing_far_off)
{
    static const char *const names[] = {"count", "constraints", "networks", "cpu", "memory"};
    cr_assert_str_eq(nearest_name("coutn", names, 5), "count");
    cr_assert_str_eq(nearest_name("network", names, 5), "networks");
    cr_assert_str_eq(nearest_name("Constraint", names, 5), "constraints");
    cr_assert_str_eq(nearest_name("memroy", names, 5), "memory");
    cr_assert_null(nearest_name("banana", names, 5));
    cr_assert_null(nearest_name("x", names, 0));
}

Test(nearest, a_very_long_word_is_no_trouble)
{
    static char word[100000];
    for (size_t i = 0; i + 1 < sizeof(word); i++)
        word[i] = 'x';
    static const char *const names[] = {"count"};
    cr_assert_null(nearest_name(word, names, 1));
}
