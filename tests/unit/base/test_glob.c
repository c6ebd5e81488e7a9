#include "base/glob.h"
#include "base/prng.h"
#include <criterion/criterion.h>
#include <string.h>

Test(glob, stars_and_question_marks_stand_for_others)
{
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = {
        {"dc1", "dc1", true},
        {"dc1", "dc10", false},
        {"dc*", "dc10", true},
        {"dc*", "dc", true},
        {"dc*", "adc1", false},
        {"*", "", true},
        {"*", "anything", true},
        {"", "", true},
        {"", "a", false},
        {"eu-?", "eu-1", true},
        {"eu-?", "eu-12", false},
        {"eu-?", "eu-", false},
        {"*-west-*", "a-west-1", true},
        {"*-west-*", "west-1", false},
        {"**a**", "bab", true},
        {"a*b*c", "a-c-b", false},
        {"a*b*c", "aXbYbZc", true},
        {"[ab]", "a", false},
        {"[ab]", "[ab]", true},
        {"a\\*", "a\\bc", true},
        {"DC1", "dc1", false},
        {"*aab", "aaaab", true},
        {"dc1", "", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_assert_eq(glob_matches(cases[i].pattern, cases[i].text), cases[i].matches, "%s on %s",
                     cases[i].pattern, cases[i].text);
}

/* The meaning, word for word. */
static bool naive(const char *pattern, const char *text)
{
    if (*pattern == '*')
        return naive(pattern + 1, text) || (*text != '\0' && naive(pattern, text + 1));
    if (*pattern == '\0' || *text == '\0')
        return *pattern == *text;
    return (*pattern == '?' || *pattern == *text) && naive(pattern + 1, text + 1);
}

static void random_text(struct prng *r, const char *letters, size_t most, char *out)
{
    size_t n = prng_below(r, most + 1);
    for (size_t i = 0; i < n; i++)
        out[i] = letters[prng_below(r, strlen(letters))];
    out[n] = '\0';
}

Test(glob, random_ones_mean_what_the_definition_says)
{
    char pattern[16], text[16];
    size_t matched = 0;
    for (unsigned seed = 1; seed <= 20000; seed++) {
        struct prng r;
        prng_seed(&r, seed);
        random_text(&r, "ab*?", 8, pattern);
        random_text(&r, "ab", 10, text);
        bool expected = naive(pattern, text);
        matched += expected;
        cr_assert_eq(glob_matches(pattern, text), expected, "seed %u: %s on %s", seed, pattern,
                     text);
    }
    cr_assert_gt(matched, 1000);
}

Test(glob, many_stars_take_no_time_to_speak_of, .timeout = 30)
{
    char pattern[2001], text[20001];
    for (size_t i = 0; i < 2000; i += 2)
        memcpy(pattern + i, "*a", 2);
    pattern[1999] = 'b';
    pattern[2000] = '\0';
    memset(text, 'a', 20000);
    text[20000] = '\0';
    cr_assert_not(glob_matches(pattern, text)); /* tried one after the other it would never end */
}
