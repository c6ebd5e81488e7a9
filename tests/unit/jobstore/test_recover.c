#include "recover.h"
#include <criterion/criterion.h>
#include <string.h>

static struct raft_member m[RAFT_MAX_MEMBERS];
static size_t count;
static struct reason why;

Test(recover, a_file_names_servers_one_a_line)
{
    cr_assert_eq(recover_parse("# the two that are left\n"
                               "01936d7e-0000-7000-8000-00000000000a\n\n"
                               "  01936d7e-0000-7000-8000-00000000000b non_voting # reads\n",
                               m, &count, &why),
                 OK, "%s", why.text);
    cr_assert(count == 2 && m[0].voter && !m[1].voter);
    cr_assert_eq(m[0].id, 0x800000000000000a);
    cr_assert_eq(m[1].id, 0x800000000000000b);
}

static void expect_refused(const char *text, const char *word)
{
    cr_assert_eq(recover_parse(text, m, &count, &why), ERR_INVALID);
    cr_assert_not_null(strstr(why.text, word), "%s", why.text);
}

Test(recover, a_mistake_is_named_with_its_line)
{
    expect_refused("", "no server that votes");
    expect_refused("01936d7e-0000-7000-8000-00000000000a non_voting\n", "no server that votes");
    expect_refused("# x\ns1.global\n", "line 2: \"s1.global\" is not the id");
    expect_refused("01936d7e-0000-7000-8000-00000000000a voter\n", "only non_voting");
    expect_refused("01936d7e-0000-7000-8000-00000000000a\n01936d7e-0000-7000-8000-00000000000a\n",
                   "line 2: the same server again");
}
