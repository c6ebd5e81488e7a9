#include "escape.h"
#include <criterion/criterion.h>
#include <string.h>

/* Pieces are separated by '|'. */
static bool filter(const char *pieces, int character, char *out)
{
    struct escape e = {.character = character};
    bool left = false;
    size_t len = 0, n;
    out[0] = '\0';
    for (const char *at = pieces; *at != '\0' && !left; at += n, at += *at == '|') {
        size_t got;
        n = strcspn(at, "|");
        left = escape_filter(&e, at, n, out + len, &got);
        len += got;
    }
    out[len] = '\0';
    return left;
}

Test(escape, leaves_at_the_beginning_of_a_line_only)
{
    static const struct {
        const char *in, *out;
        int character;
        bool left;
    } cases[] = {
        {"ls\r", "ls\r", '~', false},
        {"~.", "", '~', true},
        {"~|.", "", '~', true},
        {"ls\r~.", "ls\r", '~', true},
        {"ls\n|~|.more", "ls\n", '~', true},
        {"cd ~.", "cd ~.", '~', false},
        {"cd ~/x\r", "cd ~/x\r", '~', false},
        {"~/bin/x\r", "~/bin/x\r", '~', false},
        {"~~.", "~.", '~', false},
        {"~|~|.", "~.", '~', false},
        {"\r~x~.", "\r~x~.", '~', false},
        {"~\r~.", "~\r", '~', true},
        {"^.", "", '^', true},
        {"~.", "~.", '^', false},
        {"~.", "~.", -1, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[64];
        bool left = filter(cases[i].in, cases[i].character, out);
        cr_expect_eq(left, cases[i].left, "case %zu", i);
        cr_expect_str_eq(out, cases[i].out, "case %zu: %s", i, out);
    }
}
