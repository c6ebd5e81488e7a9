#include "sched/constraint.h"
#include "sched/pattern.h"
#include "sched/version.h"
#include "base/arena.h"
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
        {"<", "9007199254740992", "9007199254740993", true}, /* and whole ones without rounding */
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
        {"semver", "1.2.4-beta.1", ">= 1.2.3", true}, /* where "version" takes no pre-release */
        {"version", "1.2.4-beta.1", ">= 1.2.3", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_assert_eq(operand_holds(operand_parse(cases[i].operand), cases[i].left, cases[i].right),
                     cases[i].holds, "case %zu: %s", i, cases[i].operand);
}

Test(constraint, an_operator_that_nobody_knows_is_unknown)
{
    cr_assert_eq(operand_parse("=~"), OPERAND_UNKNOWN);
    cr_assert(!operand_is_of_node(OPERAND_UNKNOWN));
    cr_assert(operand_is_of_node(operand_parse(NULL)));
    cr_assert(operand_is_of_node(operand_parse("regexp")));
    cr_assert(!operand_is_of_node(operand_parse("distinct_hosts")));
    cr_assert(!operand_is_of_node(operand_parse("distinct_property")));
}

Test(constraint, a_pattern_is_found_anywhere_in_the_text)
{
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = {
        {"r[12]", "rack-r2", true},
        {"^r[12]$", "rack-r2", false},
        {"^(eu|us)-\\d+$", "eu-17", true},
        {"(?i)SSD", "nvme,ssd", true},
        {"\\bssd\\b", "ssds", false},
        {"", "anything", true},
        {"^.$", "\xc3\xa4", true}, /* a letter, not a byte */
        {"a", "\xff", false},
    };
    struct arena *a = arena_new(1 << 20);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pattern *p = pattern_new(a, cases[i].pattern, NULL, 0);
        cr_assert_not_null(p, "case %zu", i);
        cr_assert_eq(pattern_matches(p, cases[i].text), cases[i].matches, "case %zu", i);
    }
    arena_free(a);
}

Test(constraint, a_bad_pattern_says_what_is_wrong_and_where)
{
    struct arena *a = arena_new(1 << 20);
    char why[128] = "", longest[PATTERN_LONGEST + 2];
    cr_assert_null(pattern_new(a, "ab(", why, sizeof(why)));
    cr_assert_str_eq(why, "missing closing parenthesis (at byte 3)");
    memset(longest, 'a', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    cr_assert_null(pattern_new(a, longest, why, sizeof(why)));
    cr_assert_str_eq(why, "longer than 1024 bytes");
    arena_free(a);
}

Test(constraint, a_pattern_that_would_take_for_ever_does_not_match)
{
    struct arena *a = arena_new(8 << 20);
    struct pattern *p = pattern_new(a, "^(a+)+$", NULL, 0);
    cr_assert_not_null(p);
    cr_assert(pattern_matches(p, "aaaa"));
    cr_assert(
        !pattern_matches(p, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"));
    arena_free(a);
}

Test(constraint, targets_that_no_node_can_have_are_told_apart)
{
    static const char *const good[] = {"${node.datacenter}",
                                       "${node.class}",
                                       "${node.unique.id}",
                                       "${node.unique.name}",
                                       "${attr.cpu.arch}",
                                       "${meta.rack}",
                                       "literal",
                                       "",
                                       "$5"};
    static const char *const bad[] = {
        "${node.clas}", "${atr.kernel.name}", "${attr.}", "${attr.x", "${}", "${meta}"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_assert(!target_is_mistaken(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert(target_is_mistaken(bad[i]), "%s", bad[i]);
}

Test(constraint, distinct_property_allows_as_many_as_it_says)
{
    cr_assert_eq(distinct_property_limit(NULL), 1);
    cr_assert_eq(distinct_property_limit(""), 1);
    cr_assert_eq(distinct_property_limit("3"), 3);
    cr_assert_eq(distinct_property_limit("0"), 0);
    cr_assert_eq(distinct_property_limit("-1"), 0);
    cr_assert_eq(distinct_property_limit("two"), 0);
    cr_assert_eq(distinct_property_limit("99999999999"), 0);
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
