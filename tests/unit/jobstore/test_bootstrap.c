#include "bootstrap.h"
#include <criterion/criterion.h>
#include <string.h>

static const uint8_t ids[6][16] = {{1}, {2}, {3}, {4}, {5}, {6}};
static const char *const names[] = {"s1.global", "s2.global", "s3.global",
                                    "s4.global", "s5.global", "s6.global"};
static struct bootstrap_set set;
static struct reason why;

static struct candidate server(unsigned n, unsigned expect)
{
    return (struct candidate){
        .raft_id = n, .server_id = ids[n - 1], .name = names[n - 1], .expect = expect};
}

Test(bootstrap, one_server_that_expects_itself_begins_at_once)
{
    struct candidate all[] = {server(1, 1)};
    cr_assert_eq(bootstrap_decide(all, 1, &set, &why), BOOTSTRAP_ASK);
    cr_assert_eq(set.count, 1);
}

Test(bootstrap, the_lowest_of_three_asks_and_the_others_wait)
{
    struct candidate one[] = {server(1, 3), server(2, 3), server(3, 3)};
    struct candidate two[] = {server(2, 3), server(3, 3), server(1, 3)};
    cr_assert_eq(bootstrap_decide(one, 3, &set, &why), BOOTSTRAP_ASK);
    uint8_t cluster[16];
    memcpy(cluster, set.cluster_id, 16);
    cr_assert_eq(bootstrap_decide(two, 3, &set, &why), BOOTSTRAP_WAIT);
    cr_assert_eq(memcmp(cluster, set.cluster_id, 16), 0, "all mean the same cluster");
}

Test(bootstrap, too_few_wait_and_say_how_many_are_seen)
{
    struct candidate all[] = {server(1, 3), server(2, 3)};
    cr_assert_eq(bootstrap_decide(all, 2, &set, &why), BOOTSTRAP_WAIT);
    cr_assert_str_eq(why.text, "2 of 3 servers are seen");
}

Test(bootstrap, a_server_that_sees_a_cluster_waits_to_be_added)
{
    static const uint8_t cluster[16] = {7};
    struct candidate all[] = {server(1, 3), server(2, 3), server(3, 3), server(4, 3)};
    all[3].cluster_id = cluster;
    cr_assert_eq(bootstrap_decide(all, 4, &set, &why), BOOTSTRAP_JOIN);
    all[1].cluster_id = cluster;
    cr_assert_eq(bootstrap_decide(all, 4, &set, &why), BOOTSTRAP_JOIN);
}

Test(bootstrap, one_that_expects_nobody_or_does_not_vote_never_begins)
{
    struct candidate all[] = {server(1, 0), server(2, 3), server(3, 3)};
    cr_assert_eq(bootstrap_decide(all, 3, &set, &why), BOOTSTRAP_JOIN);
    all[0] = server(1, 3);
    all[0].non_voting = true;
    cr_assert_eq(bootstrap_decide(all, 3, &set, &why), BOOTSTRAP_JOIN);
}

Test(bootstrap, those_who_do_not_vote_do_not_count)
{
    struct candidate all[] = {server(2, 3), server(1, 3), server(3, 3)};
    all[1].non_voting = true;
    cr_assert_eq(bootstrap_decide(all, 3, &set, &why), BOOTSTRAP_WAIT);
    cr_assert_str_eq(why.text, "2 of 3 servers are seen");
}

Test(bootstrap, different_expectations_are_for_a_person_to_mend)
{
    struct candidate all[] = {server(1, 3), server(2, 5), server(3, 3)};
    cr_assert_eq(bootstrap_decide(all, 3, &set, &why), BOOTSTRAP_STOP);
    cr_assert_not_null(strstr(why.text, "bootstrap_expect is 3 here and 5 at s2.global"), "%s",
                       why.text);
}

Test(bootstrap, two_with_one_name_or_one_id_are_for_a_person_to_mend)
{
    struct candidate all[] = {server(1, 3), server(2, 3), server(3, 3)};
    all[2].name = "s1.global";
    cr_assert_eq(bootstrap_decide(all, 3, &set, &why), BOOTSTRAP_STOP);
    cr_assert_not_null(strstr(why.text, "two servers are called s1.global"));
    all[2] = server(3, 3);
    all[2].server_id = ids[0];
    cr_assert_eq(bootstrap_decide(all, 3, &set, &why), BOOTSTRAP_STOP);
    cr_assert_not_null(strstr(why.text, "copied"));
}

Test(bootstrap, whoever_promised_to_this_set_may_ask_again_after_a_restart)
{
    struct candidate all[] = {server(1, 3), server(2, 3), server(3, 3)};
    cr_assert_eq(bootstrap_decide(all, 3, &set, &why), BOOTSTRAP_ASK);
    struct bootstrap_set before = set;
    all[0].cluster_id = all[1].cluster_id = before.cluster_id;
    cr_assert_eq(bootstrap_decide(all, 3, &set, &why), BOOTSTRAP_ASK);
}
