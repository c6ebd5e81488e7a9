#include "raft/raft.h"
#include <criterion/criterion.h>
#include <string.h>

static struct raft *r;
static struct raft_member three[] = {{3, true}, {1, true}, {2, true}};

static void make(const struct raft_member *members, size_t count)
{
    struct reason why;
    struct raft_config c = {.id = 1, .members = members, .member_count = count, .seed = 7};
    raft_free(r);
    cr_assert_eq(raft_new(&r, &c, &why), OK, "%s", why.text);
}

static void end(void)
{
    raft_free(r);
    r = NULL;
}

TestSuite(raft_members, .fini = end);

static struct raft_status status(void)
{
    struct raft_status s;
    raft_check(r);
    raft_status(r, &s);
    return s;
}

static struct raft_peer peer(uint64_t id)
{
    struct raft_peer peers[RAFT_MAX_MEMBERS];
    size_t n = raft_peers(r, peers);
    for (size_t i = 0; i < n; i++)
        if (peers[i].id == id)
            return peers[i];
    return (struct raft_peer){.id = 0};
}

/* The disk writes at once; the last message of a type is kept. */
static struct raft_message last[RAFT_TIMEOUT_NOW + 1];

static void keep(const struct raft_message *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        last[list[i].type] = list[i];
}

static void pump(void)
{
    struct raft_ready ready;
    struct raft_entry e;
    while (raft_ready(r, &ready)) {
        keep(ready.messages, ready.message_count);
        if (!ready.must_store)
            continue;
        keep(ready.held, ready.held_count);
        raft_stored(r);
    }
    while (raft_next_committed(r, &e))
        raft_applied(r, e.index);
}

static void hear(struct raft_message m)
{
    m.from = m.from == 0 ? 2 : m.from;
    m.to = 1;
    m.term = m.term == 0 ? status().term : m.term;
    raft_step(r, &m);
    pump();
}

static void lead(void)
{
    memset(last, 0, sizeof last);
    raft_campaign(r);
    pump();
    hear((struct raft_message){.type = RAFT_PRE_VOTE_REPLY, .term = status().term + 1});
    hear((struct raft_message){.type = RAFT_VOTE_REPLY});
    cr_assert_eq(status().role, RAFT_LEADER);
}

static void ack(uint64_t from, uint64_t index)
{
    hear((struct raft_message){
        .type = RAFT_APPEND_REPLY, .from = from, .index = index, .context = 99});
}

Test(raft_members, nobody_leads_three_alone)
{
    make(three, 3);
    for (int i = 0; i < 100; i++) {
        raft_tick(r);
        pump();
    }
    cr_assert_eq(status().role, RAFT_PRE_CANDIDATE);
    cr_assert_eq(status().term, 0, "a pre-vote begins no term");
}

Test(raft_members, two_of_three_elect_and_commit)
{
    uint64_t index;
    make(three, 3);
    lead();
    cr_assert_eq(raft_propose(r, "x", 1, &index), OK);
    pump();
    cr_assert_eq(status().commit, 0);
    ack(2, index);
    cr_assert_eq(status().commit, index);
    cr_assert_eq(peer(2).match, index);
    cr_assert(peer(2).heard);
    cr_assert_not(peer(3).heard);
}

Test(raft_members, a_leader_that_hears_no_majority_steps_down)
{
    make(three, 3);
    lead();
    for (int i = 0; i < 20; i++)
        raft_tick(r);
    cr_assert_eq(status().role, RAFT_FOLLOWER);
}

Test(raft_members, who_hears_a_leader_votes_for_nobody_else)
{
    make(three, 3);
    hear((struct raft_message){.type = RAFT_APPEND, .term = 3});
    hear((struct raft_message){.type = RAFT_VOTE, .from = 3, .term = 9, .index = 9});
    cr_assert_eq(status().term, 3);
    hear((struct raft_message){
        .type = RAFT_VOTE, .from = 3, .term = 9, .index = 9, .log_term = 8, .transfer = true});
    cr_assert_eq(status().term, 9, "unless the leader asked for it");
    cr_assert_not(last[RAFT_VOTE_REPLY].refused);
}

Test(raft_members, a_read_waits_for_a_majority)
{
    uint64_t context, index;
    make(three, 3);
    lead();
    ack(2, 1);
    cr_assert_eq(raft_read_index(r, 7), OK);
    pump();
    cr_assert_not(raft_next_read(r, &context, &index));
    hear((struct raft_message){
        .type = RAFT_APPEND_REPLY, .index = 1, .context = last[RAFT_APPEND].context});
    cr_assert(raft_next_read(r, &context, &index));
    cr_assert_eq(context, 7);
    cr_assert_eq(index, 1);
}

Test(raft_members, changes_come_one_at_a_time_and_after_the_first_commit)
{
    uint64_t index;
    make(three, 3);
    cr_assert_eq(raft_change_members(r, RAFT_SET_VOTER, 4, &index, NULL), ERR_NOT_LEADER);
    lead();
    cr_assert_eq(raft_change_members(r, RAFT_SET_VOTER, 4, &index, NULL), ERR_BUSY);
    ack(2, 1);
    cr_assert_eq(raft_change_members(r, RAFT_SET_VOTER, 3, &index, NULL), ERR_EXISTS);
    cr_assert_eq(raft_change_members(r, RAFT_REMOVE, 9, &index, NULL), ERR_NOT_FOUND);
    cr_assert_eq(raft_change_members(r, RAFT_SET_LEARNER, 4, &index, NULL), OK);
    cr_assert_eq(raft_change_members(r, RAFT_SET_VOTER, 4, &index, NULL), ERR_BUSY);
    pump();
    ack(2, index);
    cr_assert(status().members_committed);
    cr_assert_not(peer(4).voter);
    cr_assert_eq(raft_change_members(r, RAFT_SET_VOTER, 4, &index, NULL), OK);
}

Test(raft_members, the_last_voter_stays)
{
    static const struct raft_member members[] = {{1, true}, {2, false}};
    uint64_t index;
    make(members, 2);
    raft_campaign(r);
    pump();
    cr_assert_eq(status().role, RAFT_LEADER);
    cr_assert_eq(raft_change_members(r, RAFT_REMOVE, 1, &index, NULL), ERR_INVALID);
    cr_assert_eq(raft_change_members(r, RAFT_SET_LEARNER, 1, &index, NULL), ERR_INVALID);
    cr_assert_eq(raft_transfer(r, 2, NULL), ERR_INVALID, "a learner cannot lead");
}

Test(raft_members, a_leader_that_removed_itself_leads_until_that_is_committed)
{
    uint64_t index;
    make(three, 3);
    lead();
    ack(2, 1);
    cr_assert_eq(raft_change_members(r, RAFT_REMOVE, 1, &index, NULL), OK);
    pump();
    ack(2, index);
    cr_assert_eq(status().role, RAFT_LEADER, "one of the two that are left is no majority");
    ack(3, index);
    cr_assert_eq(status().role, RAFT_FOLLOWER);
    cr_assert_not(status().voter);
    cr_assert_eq(last[RAFT_TIMEOUT_NOW].type, RAFT_TIMEOUT_NOW, "a successor is called");
}

Test(raft_members, handing_over_refuses_proposals_until_it_is_given_up)
{
    uint64_t index;
    make(three, 3);
    lead();
    ack(2, 1);
    ack(3, 1);
    cr_assert_eq(raft_transfer(r, 9, NULL), ERR_NOT_FOUND);
    cr_assert_eq(raft_transfer(r, 1, NULL), OK);
    cr_assert_eq(raft_transfer(r, 2, NULL), OK);
    pump();
    cr_assert_eq(last[RAFT_TIMEOUT_NOW].to, 2);
    cr_assert_eq(raft_propose(r, "x", 1, &index), ERR_BUSY);
    cr_assert_eq(raft_transfer(r, 3, NULL), ERR_BUSY);
    for (int i = 0; i < 10; i++) {
        raft_tick(r);
        ack(2, 1);
        ack(3, 1);
    }
    cr_assert_eq(raft_propose(r, "x", 1, &index), OK);
}

/* Member 2 lacks everything; the leader's memory begins behind entry 2. */
static void lead_with_a_slow_member(void)
{
    struct reason why;
    struct raft_config c = {.id = 1,
                            .members = three,
                            .member_count = 3,
                            .hard = {.term = 1},
                            .snapshot_index = 2,
                            .snapshot_term = 1};
    cr_assert_eq(raft_new(&r, &c, &why), OK, "%s", why.text);
    lead();
    hear((struct raft_message){.type = RAFT_APPEND_REPLY, .index = 2, .refused = true});
}

Test(raft_members, entries_that_only_the_disk_has_are_loaded_and_sent)
{
    struct raft_load want = {.peer = 0};
    struct raft_entry e[] = {{1, 1, RAFT_COMMAND, (const uint8_t *)"a", 1},
                             {2, 1, RAFT_COMMAND, (const uint8_t *)"b", 1}};
    lead_with_a_slow_member();
    cr_assert(raft_next_load(r, &want));
    cr_assert_eq(want.peer, 2);
    cr_assert_eq(want.after, 0);
    raft_loaded(r, 2, 0, 0, e, 2);
    pump();
    hear((struct raft_message){.type = RAFT_APPEND_REPLY, .index = 0});
    cr_assert_geq(peer(2).next, 3);
    cr_assert_eq(peer(2).flow, RAFT_REPLICATE);
}

Test(raft_members, who_lacks_what_no_log_has_is_offered_the_state)
{
    struct raft_load want;
    lead_with_a_slow_member();
    cr_assert(raft_next_load(r, &want));
    raft_load_failed(r, 2);
    pump();
    cr_assert_eq(last[RAFT_SNAPSHOT].to, 2);
    cr_assert_eq(peer(2).flow, RAFT_SNAPSHOT_SENT);
    cr_assert_not(raft_next_load(r, &want));
    raft_snapshot_done(r, 2, 2);
    pump();
    ack(2, 2);
    cr_assert_eq(peer(2).flow, RAFT_REPLICATE);
}

Test(raft_members, an_installed_state_replaces_log_and_members)
{
    static const struct raft_member others[] = {{1, false}, {5, true}};
    struct raft_ready ready;
    make(NULL, 0);
    hear((struct raft_message){.type = RAFT_APPEND, .from = 5, .term = 4});
    cr_assert(raft_snapshot_wanted(r, 10));
    cr_assert(raft_snapshot_installed(r, 10, 3, others, 2));
    cr_assert(status().log_reset_due);
    cr_assert(raft_ready(r, &ready));
    cr_assert(ready.reset_log);
    cr_assert_eq(ready.message_count, 1, "the state is safe: the leader may know at once");
    cr_assert_eq(ready.messages[0].index, 10);
    raft_stored(r);
    cr_assert_not(status().log_reset_due);
    cr_assert_eq(status().commit, 10);
    cr_assert_eq(status().first, 11);
    cr_assert_not(peer(1).voter);
    cr_assert_not(raft_snapshot_wanted(r, 10));
}

Test(raft_members, a_log_of_before_a_snapshot_is_dropped_at_the_start)
{
    struct reason why;
    struct raft_ready ready;
    struct raft_entry old[] = {{10, 2, RAFT_NOOP, NULL, 0}, {11, 2, RAFT_NOOP, NULL, 0}};
    struct raft_config c = {.id = 1,
                            .members = three,
                            .member_count = 3,
                            .hard = {.term = 2},
                            .snapshot_index = 10,
                            .snapshot_term = 3,
                            .entries = old,
                            .entry_count = 2};
    cr_assert_eq(raft_new(&r, &c, &why), OK, "%s", why.text);
    cr_assert_eq(status().last, 10);
    cr_assert_eq(status().term, 3);
    cr_assert(raft_ready(r, &ready));
    cr_assert(ready.reset_log);
    raft_stored(r);
}

Test(raft_members, the_bytes_of_members_are_checked)
{
    struct raft_member out[RAFT_MAX_MEMBERS];
    uint8_t bytes[RAFT_MEMBERS_SIZE];
    size_t count, len = raft_members_encode(three, 3, bytes);
    cr_assert(raft_members_decode(bytes, len, out, &count));
    cr_assert_eq(count, 3);
    cr_assert_eq(out[0].id, 3);
    cr_assert_not(raft_members_decode(bytes, len - 1, out, &count));
    cr_assert_not(raft_members_decode(bytes, 0, out, &count));
    bytes[8] = 2;
    cr_assert_not(raft_members_decode(bytes, len, out, &count));
    bytes[8] = bytes[17] = bytes[26] = 0;
    cr_assert_not(raft_members_decode(bytes, len, out, &count), "no voter");
}

Test(raft_members, members_that_make_no_cluster_are_refused)
{
    static const struct raft_member twice[] = {{1, true}, {1, true}}, learners[] = {{1, false}},
                                    zero[] = {{0, true}};
    struct raft_member many[RAFT_MAX_MEMBERS + 1];
    struct reason why;
    for (size_t i = 0; i < COUNT_OF(many); i++)
        many[i] = (struct raft_member){i + 1, true};
    const struct raft_config bad[] = {
        {.id = 1, .members = twice, .member_count = 2},
        {.id = 1, .members = learners, .member_count = 1},
        {.id = 1, .members = zero, .member_count = 1},
        {.id = 1, .members = many, .member_count = COUNT_OF(many)},
        {.id = 0, .members = three, .member_count = 3},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        cr_assert_eq(raft_new(&r, &bad[i], &why), ERR_INVALID, "case %zu", i);
    cr_assert_null(r);
}
