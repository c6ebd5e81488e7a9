#include "base/err.h"
#include "resolve.h"
#include <criterion/criterion.h>
#include <string.h>

Test(prefix, one_match_is_enough_and_a_whole_name_goes_first)
{
    static const struct {
        const char *prefix;
        bool dashed;
        size_t count;
        const char *only;
    } rows[] = {
        {"ab", true, 2, NULL},
        {"ab12", true, 1, "ab12-34"},
        {"AB12", true, 1, "ab12-34"},
        {"ab1234", true, 1, "ab12-34"},
        {"ab-12-3", true, 1, "ab12-34"},
        {"ab13", true, 1, "ab13-99"},
        {"abcd", true, 0, NULL},
        {"web", false, 1, "web"}, /* although "web-2" begins so too */
        {"web-", false, 1, "web-2"},
        {"we", false, 2, NULL},
        {"WEB", false, 0, NULL},
    };
    json_t *list = json_pack("[{s:s}, {s:s}, {s:s}, {s:s}]", "ID", "ab12-34", "ID", "ab13-99", "ID",
                             "web-2", "ID", "web");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        json_t *only = NULL;
        size_t count = match_prefix(list, rows[i].prefix, rows[i].dashed, &only);
        cr_expect_eq(count, rows[i].count, "%s: %zu", rows[i].prefix, count);
        if (rows[i].only != NULL)
            cr_expect_str_eq(json_string_value(json_object_get(only, "ID")), rows[i].only);
    }
    json_decref(list);
}
