#include "base/duration.h"
#include "base/err.h"
#include <criterion/criterion.h>

#define SECOND INT64_C(1000000000)

Test(duration, reads_what_people_write)
{
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {
        {"0", 0},
        {"5s", 5 * SECOND},
        {"1h30m", 5400 * SECOND},
        {"250ms", SECOND / 4},
        {"1.5s", SECOND * 3 / 2},
        {"-2m", -120 * SECOND},
        {"3us", 3000},
        {"3\xc2\xb5s", 3000},
        {"1ns", 1},
        {".5s", SECOND / 2},
        {"2m30.5s", SECOND * 301 / 2},
        {"0s", 0},
    };
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        int64_t ns = -1;
        cr_assert(duration_parse(good[i].text, &ns), "%s", good[i].text);
        cr_assert_eq(ns, good[i].ns, "%s: %lld", good[i].text, (long long)ns);
    }
}

Test(duration, refuses_what_is_none)
{
    static const char *const bad[] = {"",     "5",    "s",           "-",    "5x", "5 s",
                                      "1h30", "..5s", "9999999999h", "1e3s", "5s "};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        int64_t ns = 77;
        cr_assert(!duration_parse(bad[i], &ns), "%s", bad[i]);
        cr_assert_eq(ns, 77);
    }
}

Test(duration, prints_what_it_reads)
{
    static const struct {
        int64_t ns;
        const char *text;
    } cases[] = {
        {0, "0s"},
        {1, "1ns"},
        {1500, "1.5\xc2\xb5s"},
        {250000000, "250ms"},
        {SECOND, "1s"},
        {90 * SECOND, "1m30s"},
        {5400 * SECOND, "1h30m0s"},
        {-1500000000, "-1.5s"},
        {INT64_MAX, "2562047h47m16.854775807s"},
        {INT64_MIN, "-2562047h47m16.854775808s"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[32];
        duration_format(cases[i].ns, text);
        cr_assert_str_eq(text, cases[i].text);
    }
}
