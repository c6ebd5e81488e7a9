#include "gateway/urls.h"
#include "base/err.h"
#include <criterion/criterion.h>
#include <string.h>

Test(urls, percent_escapes_are_decoded_and_a_nul_is_refused)
{
    char good[] = "a%2Fb%20c%e2%98%83", bad[] = "a%2", none[] = "a%zz", nul[] = "a%00b";
    cr_expect(url_unescape(good));
    cr_expect_str_eq(good, "a/b c\xe2\x98\x83");
    cr_expect_not(url_unescape(bad));
    cr_expect_not(url_unescape(none));
    cr_expect_not(url_unescape(nul));
}

Test(urls, paths_are_cleaned_as_go_does)
{
    static const struct {
        const char *path, *clean;
        bool changed;
    } cases[] = {
        {"/v1/jobs", "/v1/jobs", false},
        {"/v1/jobs/", "/v1/jobs/", false},
        {"//v1//jobs", "/v1/jobs", true},
        {"/v1/../v1/jobs", "/v1/jobs", true},
        {"/v1/./jobs", "/v1/jobs", true},
        {"/../../etc", "/etc", true},
        {"/", "/", false},
        {"", "/", true},
        {"/v1/job/a..b", "/v1/job/a..b", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct strbuf out = STRBUF_INIT;
        cr_expect_eq(url_clean(cases[i].path, &out), cases[i].changed, "%s", cases[i].path);
        cr_expect_str_eq(strbuf_text(&out), cases[i].clean);
        strbuf_free(&out);
    }
}

Test(urls, gzip_is_taken_when_it_is_offered)
{
    cr_expect(url_accepts_gzip("gzip"));
    cr_expect(url_accepts_gzip("deflate, gzip;q=1.0, *;q=0.5"));
    cr_expect(url_accepts_gzip("GZIP"));
    cr_expect_not(url_accepts_gzip("gzip;q=0"));
    cr_expect_not(url_accepts_gzip("deflate"));
    cr_expect_not(url_accepts_gzip(""));
}

Test(urls, booleans_are_those_of_go)
{
    bool b = false;
    cr_expect(parse_bool("T", &b) && b);
    cr_expect(parse_bool("false", &b) && !b);
    cr_expect_not(parse_bool("maybe", &b));
    cr_expect_not(parse_bool("yes", &b));
}
