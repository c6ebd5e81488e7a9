#include "base/prng.h"
#include "raft/raft.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct raft *r;
static struct raft_member self = {.id = 1, .voter = true};

static struct raft_config config(void)
{
    return (struct raft_config){.id = 1, .members = &self, .member_count = 1, .seed = 7};
}

static void begin(void)
{
    struct reason why;
    struct raft_config c = config();
    cr_assert_eq(raft_new(&r, &c, &why), OK, "%s", why.text);
}

static void end(void)
{
    raft_free(r);
}

TestSuite(raft, .init = begin, .fini = end);

static struct raft_status status(void)
{
    struct raft_status s;
    raft_check(r);
    raft_status(r, &s);
    return s;
}

/* One write to the disk; how many entries it had. */
static size_t store(void)
{
    struct raft_ready ready;
    if (!raft_ready(r, &ready))
        return 0;
    size_t n = ready.entry_count;
    raft_stored(r);
    raft_check(r);
    return n;
}

static void lead(void)
{
    raft_campaign(r);
    store();
    store();
    cr_assert_eq(status().role, RAFT_LEADER);
}

static size_t committed(void)
{
    struct raft_entry e;
    size_t n = 0;
    while (raft_next_committed(r, &e))
        n++;
    return n;
}

Test(raft, silence_makes_a_candidate_and_its_vote_counts_only_when_stored)
{
    struct raft_ready ready;
    for (int i = 0; i < 30; i++)
        raft_tick(r);
    cr_assert_eq(status().role, RAFT_CANDIDATE);
    cr_assert(raft_ready(r, &ready));
    cr_assert(ready.hard_changed);
    cr_assert_eq(ready.hard.vote, 1);
    cr_assert_eq(status().role, RAFT_CANDIDATE);
    raft_stored(r);
    cr_assert_eq(status().role, RAFT_LEADER);
    cr_assert_eq(status().term, ready.hard.term);
}

Test(raft, a_leader_begins_with_an_entry_of_its_own_term)
{
    struct raft_entry e;
    lead();
    cr_assert(raft_next_committed(r, &e));
    cr_assert_eq(e.kind, RAFT_NOOP);
    cr_assert_eq(e.term, status().term);
    cr_assert_not(raft_next_committed(r, &e));
}

Test(raft, a_proposal_is_committed_when_stored_and_not_before)
{
    uint64_t index;
    struct raft_ready ready;
    lead();
    cr_assert_eq(committed(), 1);
    cr_assert_eq(raft_propose(r, "x", 1, &index), OK);
    cr_assert_eq(index, 2);
    cr_assert_eq(committed(), 0);
    cr_assert(raft_ready(r, &ready));
    cr_assert_eq(committed(), 0);
    raft_stored(r);
    cr_assert_eq(committed(), 1);
}

Test(raft, what_comes_during_a_write_goes_with_the_next_one)
{
    uint64_t index;
    struct raft_ready ready, none = {.entry_count = 99};
    lead();
    raft_propose(r, "a", 1, &index);
    cr_assert(raft_ready(r, &ready));
    for (int i = 0; i < 10; i++)
        raft_propose(r, "b", 1, &index);
    cr_assert_not(raft_ready(r, &none));
    cr_assert_eq(none.entry_count, 99, "what is not given is not touched");
    cr_assert_eq(ready.entry_count, 1);
    cr_assert_eq(*ready.entries[0].data, 'a');
    raft_stored(r);
    cr_assert_eq(store(), 10);
    cr_assert_eq(committed(), 12);
}

Test(raft, only_a_leader_takes_proposals_and_reads)
{
    uint64_t index;
    cr_assert_eq(raft_propose(r, "x", 1, &index), ERR_NOT_LEADER);
    cr_assert_eq(raft_read_index(r, 1), ERR_NOT_LEADER);
}

Test(raft, a_new_leader_answers_no_read_before_its_first_commit)
{
    uint64_t context, index;
    raft_campaign(r);
    store();
    cr_assert_eq(raft_read_index(r, 5), ERR_BUSY);
    store();
    cr_assert_eq(raft_read_index(r, 5), OK);
    cr_assert(raft_next_read(r, &context, &index));
    cr_assert_eq(context, 5);
    cr_assert_eq(index, 1);
    cr_assert_not(raft_next_read(r, &context, &index));
}

Test(raft, too_much_uncommitted_pushes_back)
{
    struct reason why;
    uint64_t index;
    struct raft_config c = config();
    c.max_uncommitted = 10;
    raft_free(r);
    cr_assert_eq(raft_new(&r, &c, &why), OK);
    lead();
    cr_assert_eq(raft_propose(r, "12345678", 8, &index), OK);
    cr_assert_eq(raft_propose(r, "12345678", 8, &index), ERR_BUSY);
    store();
    cr_assert_eq(raft_propose(r, "12345678", 8, &index), OK);
}

Test(raft, a_write_that_failed_takes_its_entries_with_it)
{
    uint64_t index;
    struct raft_ready ready;
    struct raft_entry e;
    lead();
    committed();
    raft_propose(r, "lost", 4, &index);
    cr_assert(raft_ready(r, &ready));
    raft_propose(r, "lost too", 8, &index);
    raft_store_failed(r);
    cr_assert_eq(status().last, 1);
    cr_assert_eq(status().uncommitted, 0);
    cr_assert_eq(raft_propose(r, "kept", 4, &index), OK);
    cr_assert_eq(index, 2);
    store();
    cr_assert(raft_next_committed(r, &e));
    cr_assert_eq(memcmp(e.data, "kept", 4), 0);
}

Test(raft, a_leader_whose_first_entry_found_no_room_writes_another)
{
    struct raft_ready ready;
    raft_campaign(r);
    store();
    cr_assert(raft_ready(r, &ready));
    raft_store_failed(r);
    raft_check(r);
    store();
    store();
    uint64_t index;
    cr_assert_eq(raft_propose(r, "x", 1, &index), OK);
    store();
    cr_assert_geq(committed(), 1);
}

/* nsim --seed 101395: all of the log was applied before, and so the term never had an entry. */
Test(raft, a_leader_of_a_log_that_was_all_applied_writes_an_entry_when_there_is_room_again)
{
    struct raft_ready ready;
    struct reason why;
    struct raft_config c = config();
    c.hard = (struct raft_hard_state){.term = 4, .vote = 1};
    c.snapshot_index = 10;
    c.snapshot_term = 4;
    raft_free(r);
    cr_assert_eq(raft_new(&r, &c, &why), OK, "%s", why.text);
    raft_campaign(r);
    store();
    cr_assert_eq(status().role, RAFT_LEADER);
    cr_assert(raft_ready(r, &ready));
    raft_store_failed(r);
    store();
    cr_assert_eq(status().commit, 11);
    cr_assert_eq(raft_read_index(r, 1), OK);
}

Test(raft, a_vote_that_was_not_stored_is_asked_for_again)
{
    struct raft_ready ready;
    raft_campaign(r);
    cr_assert(raft_ready(r, &ready));
    raft_store_failed(r);
    cr_assert_eq(status().role, RAFT_CANDIDATE);
    cr_assert(raft_ready(r, &ready));
    cr_assert(ready.hard_changed);
    raft_stored(r);
    cr_assert_eq(status().role, RAFT_LEADER);
}

Test(raft, a_restart_goes_on_with_term_log_and_snapshot)
{
    struct reason why;
    struct raft_entry log[] = {{11, 3, RAFT_COMMAND, (const uint8_t *)"a", 1},
                               {12, 4, RAFT_COMMAND, (const uint8_t *)"b", 1}};
    struct raft_config c = config();
    c.hard = (struct raft_hard_state){.term = 4, .vote = 1};
    c.snapshot_index = 10;
    c.snapshot_term = 3;
    c.entries = log;
    c.entry_count = 2;
    raft_free(r);
    cr_assert_eq(raft_new(&r, &c, &why), OK, "%s", why.text);
    cr_assert_eq(committed(), 0, "not before a leader's own entry");
    lead();
    cr_assert_eq(status().term, 5);
    cr_assert_eq(committed(), 3);
    raft_applied(r, 13);
    cr_assert_eq(status().first, 14);
}

Test(raft, a_log_with_gaps_or_of_a_future_term_is_refused)
{
    struct reason why;
    struct raft *other;
    struct raft_entry log[] = {{1, 1, RAFT_COMMAND, NULL, 0}, {3, 1, RAFT_COMMAND, NULL, 0}};
    struct raft_config c = config();
    c.hard.term = 1;
    c.entries = log;
    c.entry_count = 2;
    cr_assert_eq(raft_new(&other, &c, &why), ERR_INVALID);
    log[1].index = 2;
    log[1].term = 2;
    cr_assert_eq(raft_new(&other, &c, &why), ERR_INVALID);
}

Test(raft, an_applied_entry_is_forgotten_while_a_write_is_out)
{
    uint64_t index;
    struct raft_ready ready;
    lead();
    for (int i = 0; i < 200; i++)
        raft_propose(r, "data", 4, &index);
    store();
    cr_assert_eq(committed(), 201);
    raft_propose(r, "more", 4, &index);
    cr_assert(raft_ready(r, &ready));
    raft_applied(r, 201);
    for (int i = 0; i < 500; i++) /* the log's array moves */
        raft_propose(r, "data", 4, &index);
    cr_assert_eq(memcmp(ready.entries[0].data, "more", 4), 0);
    raft_stored(r);
    cr_assert_eq(status().first, 202);
}

/* Against a plain list: what is stored stays, in order, once. */
Test(raft, random_events_lose_and_repeat_nothing_stored)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct prng chance;
        struct reason why;
        struct raft_config c = config();
        struct raft_ready ready;
        struct raft_entry e;
        uint64_t index, expected = 1;
        bool out = false;
        prng_seed(&chance, seed);
        c.seed = seed;
        raft_free(r);
        cr_assert_eq(raft_new(&r, &c, &why), OK);
        for (int i = 0; i < 500; i++) {
            switch (prng_below(&chance, 6)) {
            case 0:
                raft_tick(r);
                break;
            case 1:
            case 2:
                raft_propose(r, &i, sizeof i, &index);
                break;
            case 3:
                if (!out)
                    out = raft_ready(r, &ready);
                break;
            case 4:
                if (out && prng_below(&chance, 4) == 0)
                    raft_store_failed(r);
                else if (out)
                    raft_stored(r);
                out = false;
                break;
            default:
                while (raft_next_committed(r, &e)) {
                    cr_assert_eq(e.index, expected, "seed %d", (int)seed);
                    expected++;
                }
                if (prng_below(&chance, 2) == 0)
                    raft_applied(r, expected - 1);
            }
            raft_check(r);
        }
    }
}
