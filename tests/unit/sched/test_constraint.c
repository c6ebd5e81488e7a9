#include "sched/constraint.h"
#include "sched/version.h"
#include "base/prng.h"
#include <criterion/criterion.h>
#include <string.h>

Test(constraint, operators_hold_as_the_table_says)
{
    static const struct {
        const char *operand, *left, *right;
        bool holds;
    } cases[] = {
        {"=", "linux", "linux", true},
        {"==", "linux", "linux", true},
        {"is", "linux", "linux", true},
        {"", "linux", "linux", true},
        {"=", "linux", "Linux", false},
        {"=", NULL, "linux", false},
        {"!=", "linux", "plan9", true},
        {"not", "linux", "linux", false},
        {"!=", NULL, "linux", true}, /* what is missing differs */
        {"<", "9", "10", true},      /* numbers as numbers */
        {"<", "9a", "10", false},    /* else as text */
        {"<=", "10", "10.0", true},
        {">", "abd", "abc", true},
        {">=", "abc", "abd", false},
        {">", NULL, "1", false},
        {"set_contains", "a,b, c", "c,a", true},
        {"set_contains", "a,b", "a,d", false},
        {"set_contains_all", "a", "a", true},
        {"set_contains_any", "a,b", "d, b", true},
        {"set_contains_any", "ab", "a", false},
        {"is_set", "x", "", true},
        {"is_set", NULL, "", false},
        {"is_not_set", NULL, "", true},
        {"is_not_set", "", "", false},
        {"version", "1.2.3", ">= 1.0, < 2", true},
        {"semver", "1.2.3-beta.1", ">= 1.2.3", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_assert_eq(operand_holds(operand_parse(cases[i].operand), cases[i].left, cases[i].right),
                     cases[i].holds, "case %zu: %s", i, cases[i].operand);
}

Test(constraint, what_is_not_supported_is_said_to_be_so)
{
    cr_assert(constraint_operand_supported("="));
    cr_assert(constraint_operand_supported(NULL));
    cr_assert(constraint_operand_supported("distinct_hosts"));
    cr_assert(!constraint_operand_supported("regexp"));
    cr_assert(!constraint_operand_supported("distinct_property"));
    cr_assert(!constraint_operand_supported("=~"));
}

Test(constraint, targets_are_taken_apart)
{
    char key[16];
    cr_assert(target_key("${attr.x}", key, sizeof(key)));
    cr_assert_str_eq(key, "attr.x");
    cr_assert(!target_key("attr.x", key, sizeof(key)));
    cr_assert(!target_key("${}", key, sizeof(key)));
    cr_assert(!target_key("${attr.much.too.long}", key, sizeof(key)));
    cr_assert(target_is_unique("${node.unique.id}"));
    cr_assert(target_is_unique("${attr.unique.hostname}"));
    cr_assert(!target_is_unique("${attr.cpu.arch}"));
    cr_assert(!target_is_unique("node.unique.id"));
}

Test(version, demands_are_met_as_the_table_says)
{
    static const struct {
        const char *version, *demands;
        bool loose, strict;
    } cases[] = {
        {"1.2.3", "1.2.3", true, true},
        {"1.2.3", "= 1.2.3", true, true},
        {"1.2.3", "!= 1.2.3", false, false},
        {"1.10.0", "> 1.9.0", true, true},
        {"1.10.0", ">= 1.9.0, < 1.10.0", false, false},
        {"1.2", "1.2.0", true, false},
        {"v1.2.0", "1.2.0", true, false},
        {"1.2.9", "~> 1.2.3", true, false},
        {"1.3.0", "~> 1.2.3", false, false},
        {"1.9", "~> 1.2", true, false},
        {"2.0", "~> 1.2", false, false},
        {"1.2.3-beta1", "< 1.2.3", false, true},
        {"1.2.3-beta2", "> 1.2.3-beta1", true, true},
        {"1.2.3-alpha.2", "< 1.2.3-alpha.10", true, true},
        {"1.2.3-alpha", "< 1.2.3-alpha.1", true, true},
        {"1.2.3+build7", "1.2.3", true, true},
        {"4.19.0-21-amd64", "> 4.0", false, false},
        {"nonsense", "> 1", false, false},
        {"1.2.3", "", false, false},
        {"1.2.3", "> x", false, false},
        {"99999999999999999999999.0", "> 1", false, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_assert_eq(version_satisfies(cases[i].version, cases[i].demands, false), cases[i].loose,
                     "%s loose %s", cases[i].version, cases[i].demands);
        cr_assert_eq(version_satisfies(cases[i].version, cases[i].demands, true), cases[i].strict,
                     "%s strict %s", cases[i].version, cases[i].demands);
    }
}

Test(version, survives_any_text)
{
    static const char letters[] = "0129.-+v~<>=!, ab\xff";
    struct prng r;
    prng_seed(&r, 7);
    for (int i = 0; i < 200000; i++) {
        char version[24], demands[24];
        for (char *s = version; s != version + 24; s++)
            *s = letters[prng_below(&r, sizeof(letters))]; /* NUL is among them */
        for (char *s = demands; s != demands + 24; s++)
            *s = letters[prng_below(&r, sizeof(letters))];
        version[23] = demands[23] = '\0';
        version_satisfies(version, demands, i % 2 == 0);
        operand_holds(OPERAND_SET_CONTAINS_ALL, version, demands);
        cr_assert(operand_holds(OPERAND_SET_CONTAINS_ALL, version, version));
    }
}
