#include "nodeagent/fetch/source.h"
#include <criterion/criterion.h>
#include <string.h>

static struct source parse(struct arena *a, const char *text)
{
    struct source s;
    struct reason why;
    cr_assert_eq(source_parse(a, text, NULL, &s, &why), OK, "%s: %s", text, why.text);
    return s;
}

Test(source, a_url_is_taken_apart)
{
    struct arena *a = arena_new(1 << 20);
    struct source s = parse(a, "https://h/a/x.tar.gz//in/ner?checksum=md5:"
                               "00112233445566778899aabbccddeeff&token=a%26b&filename=y");
    cr_expect_eq(s.kind, SOURCE_HTTP);
    cr_expect_str_eq(s.url, "https://h/a/x.tar.gz?token=a%26b", "what is not ours stays");
    cr_expect_str_eq(s.subdir, "in/ner");
    cr_expect_str_eq(s.file_name, "y");
    cr_expect_str_eq(s.digest, "md5");
    cr_expect_eq(s.archive, ARCHIVE_TREE);
    s = parse(a, "file:///srv/a%20b.gz");
    cr_expect_eq(s.kind, SOURCE_FILE);
    cr_expect_str_eq(s.url, "/srv/a b.gz");
    cr_expect_eq(s.archive, ARCHIVE_SINGLE);
    s = parse(a, "git::ssh://git@h/r.git//part?ref=v1&depth=3");
    cr_expect_eq(s.kind, SOURCE_GIT);
    cr_expect_str_eq(s.url, "ssh://git@h/r.git");
    cr_expect_str_eq(s.subdir, "part");
    cr_expect_str_eq(s.ref, "v1");
    cr_expect_eq(s.depth, 3);
    s = parse(a, "http://h/x.zip?archive=false");
    cr_expect_eq(s.archive, ARCHIVE_NONE);
    s = parse(a, "http://h/");
    cr_expect_str_eq(s.file_name, "artifact", "one without a name gets one");
    arena_free(a);
}

Test(source, what_is_wrong_is_named)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "must begin with"},
        {"ftp://h/x", "must begin with"},
        {"s3::https://h/x", "\"s3::\" is not supported"},
        {"https://h/x?checksum=abc", "is not TYPE:HEX"},
        {"https://h/x?checksum=crc:00", "is not known"},
        {"https://h/x?checksum=md5:00", "must be 32 hex digits"},
        {"https://h/x?archive=rar", "is not known"},
        {"https://h/x?filename=%zz", "is no part of a URL"},
        {"https://h/x.zip//../y", "leads out"},
        {"git::https://h/r?checksum=md5:00112233445566778899aabbccddeeff", "no checksum"},
        {"file://host/x", "must be file:///PATH"},
    };
    struct arena *a = arena_new(1 << 20);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct source s;
        struct reason why = {""};
        cr_expect_eq(source_parse(a, cases[i].text, NULL, &s, &why), ERR_INVALID, "%s",
                     cases[i].text);
        cr_expect(strstr(why.text, cases[i].words) != NULL, "%s: %s", cases[i].text, why.text);
    }
    arena_free(a);
}

Test(source, options_count_as_the_query_does_and_unknown_ones_are_refused)
{
    struct arena *a = arena_new(1 << 20);
    struct source s;
    struct reason why;
    json_t *options = json_pack("{ss}", "archive", "tar.gz");
    cr_assert_eq(source_parse(a, "https://h/x", options, &s, &why), OK);
    cr_expect_eq(s.archive, ARCHIVE_TREE);
    json_object_set_new(options, "region", json_string("x"));
    cr_expect_eq(source_parse(a, "https://h/x", options, &s, &why), ERR_INVALID);
    json_decref(options);
    arena_free(a);
}

Test(source, is_pinned_by_a_checksum_or_a_whole_commit)
{
    struct arena *a = arena_new(1 << 20);
    struct source s = parse(a, "https://h/x?checksum=md5:00112233445566778899aabbccddeeff");
    cr_expect(source_is_pinned(&s));
    s = parse(a, "https://h/x");
    cr_expect_not(source_is_pinned(&s));
    s = parse(a, "git::https://h/r?ref=0123456789012345678901234567890123456789");
    cr_expect(source_is_pinned(&s));
    s = parse(a, "git::https://h/r?ref=v1");
    cr_expect_not(source_is_pinned(&s));
    s = parse(a, "git::https://h/r?ref=01234567890123456789012345678901234567890");
    cr_expect_not(source_is_pinned(&s), "one digit more is a name");
    arena_free(a);
}
