#include "base/base64.h"
#include "base/err.h"
#include "base/log.h"
#include "base/prng.h"
#include "base/strbuf.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

Test(strbuf, grows_and_always_ends_in_nul)
{
    struct strbuf s = STRBUF_INIT;
    cr_assert_str_eq(strbuf_text(&s), "");
    for (int i = 0; i < 1000; i++)
        strbuf_printf(&s, "%d,", i % 10);
    cr_assert_eq(s.len, 2000);
    cr_assert_eq(strlen(s.data), 2000);
    strbuf_clear(&s);
    strbuf_add(&s, "a\0b", 3);
    cr_assert_eq(s.len, 3);
    char *text = strbuf_take(&s);
    cr_assert_eq(memcmp(text, "a\0b", 4), 0);
    cr_assert_null(s.data);
    free(text);
}

Test(reason, puts_context_before_the_cause)
{
    struct reason why;
    errno = ENOENT;
    cr_assert_eq(reason_errno(&why, ERR_IO, "open %s", "/x"), ERR_IO);
    cr_assert_eq(reason_add(&why, ERR_UNAVAILABLE, "jobstore cannot open its state"),
                 ERR_UNAVAILABLE);
    cr_assert_str_eq(why.text,
                     "jobstore cannot open its state: open /x: No such file or directory");
    cr_assert_eq(reason_set(NULL, ERR_BUSY, "nobody listens"), ERR_BUSY);
}

Test(reason, is_cut_not_overrun)
{
    struct reason why;
    char long_text[2000];
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    reason_set(&why, ERR_IO, "%s", long_text);
    reason_add(&why, ERR_IO, "%s", long_text);
    cr_assert_eq(strlen(why.text), sizeof(why.text) - 1);
}

Test(log, quotes_what_would_break_a_line)
{
    cr_assert_str_eq(log_quote("a \"b\"\n\\"), "\"a \\\"b\\\"\\x0a\\\\\"");
    char long_text[2000];
    memset(long_text, '\n', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    cr_assert(strlen(log_quote(long_text)) <= 410);
}

Test(base64, is_what_the_rfc_says_and_comes_back)
{
    static const struct {
        const char *plain, *standard, *url;
    } cases[] = {
        {"", "", ""},
        {"f", "Zg==", "Zg=="},
        {"fo", "Zm8=", "Zm8="},
        {"foo", "Zm9v", "Zm9v"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xfb\xff\xbe", "+/++", "-_--"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        for (int digits = BASE64; digits <= BASE64_URL; digits++) {
            struct strbuf b = STRBUF_INIT;
            uint8_t back[16];
            size_t len, bad;
            base64_encode(&b, cases[i].plain, strlen(cases[i].plain), digits);
            cr_expect_str_eq(strbuf_text(&b), digits == BASE64 ? cases[i].standard : cases[i].url);
            cr_assert(base64_decode(back, &len, strbuf_text(&b), b.len, digits, &bad));
            cr_expect(len == strlen(cases[i].plain) && memcmp(back, cases[i].plain, len) == 0);
            size_t bare = strcspn(strbuf_text(&b), "=");
            cr_expect(base64_decode(back, &len, strbuf_text(&b), bare, digits, &bad) &&
                      len == strlen(cases[i].plain));
            strbuf_free(&b);
        }
}

Test(base64, says_where_it_is_none)
{
    static const struct {
        const char *text;
        size_t bad;
    } cases[] = {{"Zm9*", 3}, {"Zm-v", 2}, {"Zm9vZ", 5},    {"Zg=", 2},
                 {"Z===", 1}, {"====", 0}, {"Zg==Zg==", 2}, {"Z\ng==", 1}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint8_t out[16];
        size_t len, bad = 99;
        cr_expect_not(base64_decode(out, &len, cases[i].text, strlen(cases[i].text), BASE64, &bad));
        cr_expect_eq(bad, cases[i].bad, "%s: %zu", cases[i].text, bad);
    }
}

Test(prng, is_fair_below_a_bound)
{
    struct prng p;
    prng_seed(&p, 99);
    int counts[7] = {0};
    for (int i = 0; i < 70000; i++)
        counts[prng_below(&p, 7)]++;
    for (int i = 0; i < 7; i++)
        cr_assert(counts[i] > 9500 && counts[i] < 10500, "%d: %d", i, counts[i]);
    for (int i = 0; i < 1000; i++) {
        double unit = prng_unit(&p);
        cr_assert(unit >= 0 && unit < 1);
    }
}
