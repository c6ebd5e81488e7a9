#include "base/err.h"
#include "gateway/params.h"
#include <criterion/criterion.h>
#include <string.h>

Test(params, wait_and_index_follow_nomad_s_rules)
{
    static const struct {
        const char *index, *wait, *problem;
        uint64_t want_index, want_wait_ms;
    } cases[] = {
        {NULL, NULL, NULL, 0, 300000},
        {"7", "1s", NULL, 7, 1000},
        {"7", "1500ms", NULL, 7, 1500},
        {"7", NULL, NULL, 7, 300000},
        {"7", "-1s", NULL, 7, 300000},
        {"7", "10h", NULL, 7, 300000},
        {"0", "5s", NULL, 0, 5000},
        {"18446744073709551615", "0s", NULL, UINT64_MAX, 300000},
        {"7", "1", "Invalid wait time", 0, 0},
        {"7", "abc", "Invalid wait time", 0, 0},
        {"abc", NULL, "Invalid index", 0, 0},
        {"-1", NULL, "Invalid index", 0, 0},
        {"1x", NULL, "Invalid index", 0, 0},
        {" 1", NULL, "Invalid index", 0, 0},
        {"18446744073709551616", NULL, "Invalid index", 0, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct params p;
        const char *problem = params_wait(cases[i].index, cases[i].wait, &p);
        if (cases[i].problem != NULL) {
            cr_expect_not_null(problem, "case %zu", i);
            cr_expect(problem == NULL || strcmp(problem, cases[i].problem) == 0);
            continue;
        }
        cr_expect_null(problem, "case %zu: %s", i, problem);
        cr_expect_eq(p.index, cases[i].want_index, "case %zu", i);
        cr_expect_eq(p.wait_ms, cases[i].want_wait_ms, "case %zu", i);
    }
}

Test(params, ids_and_their_prefixes_are_refused_in_nomad_s_words)
{
    char buffer[128];
    cr_expect_null(id_problem("01a20b0d-73f3-7000-8000-513c7e9a4108"));
    cr_expect_str_eq(id_problem("01a20b0d"), "index error: UUID must be 36 characters");
    cr_expect_not_null(id_problem("01a20b0d-73f3-7000-8000-513c7e9a410z"));
    cr_expect_null(id_prefix_problem("", buffer));
    cr_expect_null(id_prefix_problem("01a20b0d-73", buffer));
    cr_expect_str_eq(id_prefix_problem("01a", buffer),
                     "index error: Input (without hyphens) must be even length");
    cr_expect_str_eq(id_prefix_problem("zz", buffer),
                     "index error: Invalid UUID: encoding/hex: invalid byte: U+007A 'z'");
    cr_expect_str_eq(id_prefix_problem("-----", buffer), "index error: Input has too many hyphens");
}
