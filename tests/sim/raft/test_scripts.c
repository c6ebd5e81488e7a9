/* Scripts: what random schedules find rarely or never, event by event. Each one holds with the core
 * as it is, and breaks with the fault that it is about: else it would prove nothing. */
#include "invariants.h"
#include <criterion/criterion.h>
#include <string.h>

enum raft_mutant raft_mutant = RAFT_MUTANT_NONE;

static struct world w;

static void end(void)
{
    raft_mutant = RAFT_MUTANT_NONE;
    world_fini(&w);
}

TestSuite(scripts, .fini = end);

/* ---- the stage */

static void begin(size_t nodes, size_t voters, size_t message_entries)
{
    struct raft_config c = {.election_ticks = 50,
                            .max_message_entries = message_entries,
                            .max_inflight = message_entries == 1 ? 1 : 8};
    world_init_scripted(&w, &c, nodes, voters);
}

static struct raft *raft_of(unsigned node)
{
    return w.nodes[node - 1].raft;
}

static void settle(void)
{
    while (world_step(&w))
        ;
}

static void start(unsigned node)
{
    world_start(&w, node - 1);
}

static void crash(unsigned node)
{
    node_goes_down(&w, node - 1);
}

/* Forgets the leader, as after a long silence. */
static void restart(unsigned node)
{
    crash(node);
    start(node);
}

/* NODE hears nothing, says nothing, or both. */
static void cut_to(unsigned node)
{
    for (size_t i = 0; i < w.node_count; i++)
        w.cut[i][node - 1] = true;
}

static void cut_from(unsigned node)
{
    for (size_t i = 0; i < w.node_count; i++)
        w.cut[node - 1][i] = true;
}

static void join_all(void)
{
    memset(w.cut, 0, sizeof w.cut);
}

static void campaign_of(unsigned node)
{
    raft_campaign(raft_of(node));
    after_step(&w, &w.nodes[node - 1]);
}

/* Leads, and has told nobody yet. The first tries may only tell it the term of the others. */
static void elect(unsigned node)
{
    for (int tries = 0; raft_of(node)->role != RAFT_LEADER && tries < 3; tries++) {
        campaign_of(node);
        while (raft_of(node)->role != RAFT_LEADER && world_step(&w))
            ;
    }
    cr_assert_eq(raft_of(node)->role, RAFT_LEADER);
}

static void tick(unsigned node)
{
    raft_tick(raft_of(node));
    after_step(&w, &w.nodes[node - 1]);
}

static void expect_sound(void)
{
    cr_assert_str_eq(w.failure, "");
}

static void expect_broken(void)
{
    cr_assert_str_neq(w.failure, "", "the fault went unseen");
}

static void expect_equal_logs(void)
{
    const struct disk *first = &w.nodes[0].disk;
    for (size_t i = 1; i < w.node_count; i++) {
        const struct disk *d = &w.nodes[i].disk;
        cr_assert_eq(disk_last(d), disk_last(first), "node %zu", i + 1);
        for (uint64_t k = 1; k <= disk_last(d); k++)
            cr_assert_eq(disk_record(d, k)->term, disk_record(first, k)->term);
    }
}

/* ---- figure 7 of the paper: followers that lack entries, have too many, or both */

static void give_log(unsigned node, const char *terms)
{
    struct disk *d = &w.nodes[node - 1].disk;
    d->first = 1;
    d->room = d->count = strlen(terms);
    d->records = xcalloc(d->count, sizeof *d->records);
    for (size_t i = 0; i < d->count; i++)
        d->records[i] = (struct record){.term = (uint64_t)(terms[i] - '0'), .kind = RAFT_NOOP};
    d->hard.term = 7;
}

static void figure_7(size_t message_entries)
{
    static const char *const logs[] = {"1114455666",   "111445566", "1114",       "11144556666",
                                       "111445566677", "1114444",   "11122233333"};
    begin(7, 7, message_entries);
    for (unsigned i = 1; i <= 7; i++) {
        give_log(i, logs[i - 1]);
        start(i);
    }
    elect(1);
    cr_assert_eq(raft_of(1)->role, RAFT_LEADER);
    cr_assert_eq(raft_of(1)->hard.term, 8);
    settle();
    expect_sound();
    expect_equal_logs();
    cr_assert_eq(disk_last(&w.nodes[0].disk), 11);
}

Test(scripts, figure_7_all_followers_come_to_the_leaders_log)
{
    figure_7(1024);
}

Test(scripts, figure_7_with_messages_of_two_entries)
{
    figure_7(2);
}

/* ---- figure 8: an entry of an old term on a majority is not yet committed */

static void figure_8(void)
{
    const struct progress *second, *third;
    uint64_t index;
    begin(5, 5, 1);
    for (unsigned i = 1; i <= 5; i++)
        start(i);
    elect(1);
    settle();
    /* (a) S1 leads and puts an entry on S2 only */
    cut_to(3), cut_to(4), cut_to(5);
    cr_assert_eq(raft_propose(raft_of(1), "a", 1, &index), OK);
    after_step(&w, &w.nodes[0]);
    settle();
    cr_assert_not_null(disk_record(&w.nodes[1].disk, index));
    /* (b) S5 leads by the votes of S3 and S4, with another entry at that index */
    join_all();
    crash(1), crash(2);
    restart(3), restart(4), restart(5);
    elect(5);
    cut_from(5);
    settle();
    cr_assert_eq(disk_record(&w.nodes[4].disk, index)->term, 2);
    /* (c) S1 leads again and brings its old entry to S3, and no more */
    join_all();
    crash(5);
    start(1), start(2), restart(3), restart(4);
    elect(1);
    cut_to(4);
    second = member_of(raft_of(1), 2), third = member_of(raft_of(1), 3);
    do {
        w.cut[0][1] |= second->match >= index;
        w.cut[0][2] |= third->match >= index;
    } while (world_step(&w));
    cr_assert(disk_has(&w.nodes[2].disk, index, 1));
    cr_assert_null(disk_record(&w.nodes[2].disk, index + 1));
    if (w.failure[0] != '\0')
        return;
    /* (d) S5 leads by the votes of S2, S3 and S4, and replaces it */
    join_all();
    crash(1);
    restart(2), restart(3), restart(4), start(5);
    elect(5);
    settle();
    start(1);
    tick(5);
    settle();
}

Test(scripts, figure_8_an_old_entry_on_a_majority_may_still_be_replaced)
{
    figure_8();
    expect_sound();
    expect_equal_logs();
    cr_assert_eq(disk_record(&w.nodes[0].disk, 2)->term, 2);
}

Test(scripts, figure_8_breaks_a_core_that_counts_copies_of_old_entries)
{
    raft_mutant = RAFT_MUTANT_COMMIT_OLD_TERM;
    figure_8();
    expect_broken();
}

/* ---- one change at a time is not enough: the fault of the first description of single-server
 * changes (Ongaro, raft-dev, July 2015) */

static void change_before_own_commit(void)
{
    uint64_t index;
    begin(5, 4, 1024);
    for (unsigned i = 1; i <= 5; i++)
        start(i);
    elect(1);
    settle();
    /* S1 adds S5; only S5 hears of it */
    cut_to(2), cut_to(3), cut_to(4);
    cr_assert_eq(raft_change_members(raft_of(1), RAFT_SET_VOTER, 5, &index, NULL), OK);
    after_step(&w, &w.nodes[0]);
    settle();
    tick(1);
    settle();
    cr_assert(disk_has(&w.nodes[4].disk, index, 1));
    /* S2 leads by the votes of S3 and S4, and removes S1 before it has committed anything */
    join_all();
    cut_to(1), cut_from(1), cut_to(5);
    restart(2), restart(3), restart(4);
    elect(2);
    cut_to(4);
    enum err e = raft_change_members(raft_of(2), RAFT_REMOVE, 1, &index, NULL);
    if (raft_mutant == RAFT_MUTANT_NONE)
        cr_assert_eq(e, ERR_BUSY);
    after_step(&w, &w.nodes[1]);
    settle();
    /* S1 leads by the votes of S4 and S5, which know nothing of that */
    join_all();
    cut_to(2), cut_to(3);
    restart(1), restart(4), restart(5);
    campaign_of(1); /* once for the term that S2 had, */
    settle();
    campaign_of(1);
    settle();
}

Test(scripts, no_change_of_members_before_the_term_has_a_commit)
{
    change_before_own_commit();
    expect_sound();
}

Test(scripts, an_early_change_of_members_loses_a_committed_entry)
{
    raft_mutant = RAFT_MUTANT_CHANGE_BEFORE_OWN_COMMIT;
    change_before_own_commit();
    expect_broken();
}

/* ---- the own vote, where it alone is a majority */

static void lone_vote(void)
{
    uint64_t index;
    begin(2, 2, 1024);
    start(1), start(2);
    elect(1);
    settle();
    /* S1 removes S2; the entry is not stored yet */
    w.disk_held[0] = true;
    cr_assert_eq(raft_change_members(raft_of(1), RAFT_REMOVE, 2, &index, NULL), OK);
    after_step(&w, &w.nodes[0]);
    /* a late word of S1 makes S2 campaign, so S1 follows; then it campaigns, alone with itself */
    struct raft_message late = {.type = RAFT_TIMEOUT_NOW, .from = 1, .to = 2, .term = 1};
    raft_step(raft_of(2), &late);
    after_step(&w, &w.nodes[1]);
    settle();
    campaign_of(1);
    /* and loses everything that was not stored */
    node_crash(&w.nodes[0], false);
    w.disk_held[0] = false;
    start(1);
    campaign_of(2);
    settle();
}

Test(scripts, a_lone_voter_leads_only_when_its_vote_is_stored)
{
    lone_vote();
    expect_sound();
    cr_assert_eq(raft_of(2)->role, RAFT_LEADER);
    cr_assert_eq(raft_of(2)->hard.term, 3);
}

Test(scripts, a_lone_vote_that_counts_before_it_is_stored_makes_two_leaders)
{
    raft_mutant = RAFT_MUTANT_OWN_VOTE_UNSTORED;
    lone_vote();
    expect_broken();
}

/* ---- a lone leader that has begun to add a member */

static void lone_leader(void)
{
    uint64_t index, again;
    begin(2, 1, 1024);
    start(1), start(2);
    elect(1);
    settle();
    /* S2 gets entries that S1 has not stored */
    w.disk_held[0] = true;
    cr_assert_eq(raft_change_members(raft_of(1), RAFT_SET_LEARNER, 2, &index, NULL), OK);
    after_step(&w, &w.nodes[0]);
    settle();
    cr_assert(disk_has(&w.nodes[1].disk, index, 1));
    /* whose write fails, and the member is none any more */
    node_write_ends(&w.nodes[0], false);
    w.disk_held[0] = false;
    after_step(&w, &w.nodes[0]);
    enum err e = raft_propose(raft_of(1), "another", 7, &again);
    if (raft_mutant == RAFT_MUTANT_NONE)
        cr_assert_eq(e, ERR_NOT_LEADER);
    after_step(&w, &w.nodes[0]);
    settle();
}

Test(scripts, a_lone_leader_steps_down_when_a_write_fails_that_a_new_member_saw)
{
    lone_leader();
    expect_sound();
    elect(1);
    settle();
    expect_sound();
}

Test(scripts, a_lone_leader_that_goes_on_gives_an_index_twice)
{
    raft_mutant = RAFT_MUTANT_LONE_LEADER_GOES_ON;
    lone_leader();
    expect_broken();
}

/* ---- a crash inside the installation of a snapshot */

Test(scripts, a_crash_before_the_log_is_reset_drops_the_old_log)
{
    begin(3, 3, 1024);
    give_log(1, "1113333");
    give_log(2, "1113333");
    give_log(3, "1112222");
    for (unsigned i = 1; i <= 3; i++)
        start(i);
    cut_to(3);
    elect(1);
    settle();
    node_checkpoint(&w.nodes[0], 0);
    join_all();
    restart(1), restart(2);
    elect(1);
    /* S3 gets the state, and dies before it writes again */
    const struct disk *third = &w.nodes[2].disk;
    for (int i = 0; i < 10 && third->checkpoint.index == 0; i++) {
        tick(1);
        while (third->checkpoint.index == 0 && world_step(&w))
            ;
    }
    cr_assert_geq(third->checkpoint.index, 7);
    cr_assert_eq(disk_record(third, 4)->term, 2, "the log is still the old one");
    node_crash(&w.nodes[2], false);
    start(3);
    for (int i = 0; i < 4; i++) {
        tick(1);
        settle();
    }
    expect_sound();
    cr_assert_eq(w.nodes[2].state.index, w.nodes[0].state.index);
    cr_assert_eq(w.nodes[2].state.hash, w.nodes[0].state.hash);
}
