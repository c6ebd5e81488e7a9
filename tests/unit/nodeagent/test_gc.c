#include "base/err.h"
#include "nodeagent/gc.h"
#include <criterion/criterion.h>

static const struct gc_limits limits = {.disk_percent = 80, .inode_percent = 70, .max_allocs = 3};

static size_t choose(struct gc_use use, struct gc_ended *ended, size_t count)
{
    return gc_choose(&limits, &use, ended, count);
}

Test(gc, nothing_goes_while_there_is_room)
{
    struct gc_ended ended[] = {{{1}, 10}, {{2}, 20}};
    cr_expect_eq(choose((struct gc_use){80, 70, 3}, ended, 2), 0);
    cr_expect_eq(choose((struct gc_use){99, 99, 9}, NULL, 0), 0, "what runs stays");
}

Test(gc, too_many_go_at_once_and_the_oldest_of_them)
{
    struct gc_ended ended[] = {{{1}, 30}, {{2}, 10}, {{3}, 20}, {{4}, 10}};
    cr_expect_eq(choose((struct gc_use){0, 0, 6}, ended, COUNT_OF(ended)), 3);
    cr_expect_eq(ended[0].id[0], 2);
    cr_expect_eq(ended[1].id[0], 4);
    cr_expect_eq(ended[2].id[0], 3);
    cr_expect_eq(choose((struct gc_use){0, 0, 60}, ended, COUNT_OF(ended)), 4,
                 "no more than there are");
}

Test(gc, a_full_disk_takes_them_one_by_one)
{
    struct gc_ended ended[] = {{{1}, 30}, {{2}, 10}};
    cr_expect_eq(choose((struct gc_use){80.5, 0, 2}, ended, 2), 1);
    cr_expect_eq(choose((struct gc_use){0, 71, 2}, ended, 2), 1);
    cr_expect_eq(ended[0].id[0], 2);
}
