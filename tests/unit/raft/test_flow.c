/* What the simulator found in the core, each as the shortest case that shows it. */
#include "raft/raft.h"
#include <criterion/criterion.h>
#include <string.h>

static struct raft *r;
static size_t appends, entries_sent;
static struct raft_message heartbeat; /* the last append without entries */

static void make(struct raft_config c)
{
    static const struct raft_member two[] = {{1, true}, {2, true}};
    struct reason why;
    c.id = 1;
    c.members = two;
    c.member_count = 2;
    cr_assert_eq(raft_new(&r, &c, &why), OK, "%s", why.text);
}

static void end(void)
{
    raft_free(r);
    r = NULL;
}

TestSuite(raft_flow, .fini = end);

static struct raft_status status(void)
{
    struct raft_status s;
    raft_check(r);
    raft_status(r, &s);
    return s;
}

static void pump(void)
{
    struct raft_ready ready;
    struct raft_entry e;
    while (raft_ready(r, &ready)) {
        for (size_t i = 0; i < ready.message_count; i++) {
            const struct raft_message *m = &ready.messages[i];
            if (m->type != RAFT_APPEND)
                continue;
            appends++;
            entries_sent += m->entry_count;
            if (m->entry_count == 0)
                heartbeat = *m;
        }
        if (ready.must_store)
            raft_stored(r);
    }
    while (raft_next_committed(r, &e))
        raft_applied(r, e.index);
}

static void hear(struct raft_message m)
{
    m.from = 2;
    m.to = 1;
    m.term = m.term == 0 ? status().term : m.term;
    raft_step(r, &m);
    pump();
}

static void lead(void)
{
    raft_campaign(r);
    pump();
    hear((struct raft_message){.type = RAFT_PRE_VOTE_REPLY, .term = status().term + 1});
    hear((struct raft_message){.type = RAFT_VOTE_REPLY});
    cr_assert_eq(status().role, RAFT_LEADER);
}

static void propose(size_t count)
{
    uint64_t index;
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(raft_propose(r, "data", 4, &index), OK);
    pump();
}

static void refuse(uint64_t index, uint64_t hint)
{
    hear((struct raft_message){.type = RAFT_APPEND_REPLY,
                               .index = index,
                               .hint = hint,
                               .log_term = status().term,
                               .refused = true});
}

/* A window that arrives in another order is refused piece by piece; each refusal made the leader
 * send the window again, without end. */
Test(raft_flow, a_window_of_refusals_sends_one_window_again)
{
    make((struct raft_config){.max_message_entries = 1});
    lead();
    hear((struct raft_message){.type = RAFT_APPEND_REPLY, .index = 0});
    propose(40);
    entries_sent = 0;
    for (uint64_t i = 10; i < 40; i++) {
        refuse(i, 1);
        hear((struct raft_message){.type = RAFT_APPEND_REPLY, .index = 1});
    }
    cr_assert_leq(entries_sent, 41);
    cr_assert_geq(entries_sent, 40);
}

/* Entries that could not be committed yet filled the bound on what is not applied, and what would
 * have committed them was not taken. */
Test(raft_flow, what_is_not_committed_does_not_count_as_unapplied)
{
    struct raft_entry e[100];
    make((struct raft_config){.max_unapplied = 200});
    for (size_t i = 0; i < COUNT_OF(e); i++)
        e[i] = (struct raft_entry){i + 1, 1, RAFT_COMMAND, (const uint8_t *)"0123456789", 10};
    for (size_t i = 0; i < COUNT_OF(e); i += 10)
        hear((struct raft_message){.type = RAFT_APPEND,
                                   .term = 1,
                                   .index = i,
                                   .log_term = i == 0 ? 0 : 1,
                                   .entries = &e[i],
                                   .entry_count = 10});
    cr_assert_eq(status().last, COUNT_OF(e));
}

/* Sent, lost, and gone from memory: the heartbeat named nothing, and the loss stayed unnoticed. */
Test(raft_flow, a_heartbeat_names_what_was_sent_though_its_term_left_memory)
{
    struct raft_load want;
    struct raft_entry e[] = {{1, 1, RAFT_NOOP, NULL, 0}, {2, 1, RAFT_NOOP, NULL, 0}};
    make((struct raft_config){
        .hard = {.term = 1}, .snapshot_index = 5, .snapshot_term = 1, .max_inflight = 1});
    lead();
    refuse(5, 0);
    cr_assert(raft_next_load(r, &want));
    raft_loaded(r, 2, 0, 0, e, 2);
    pump();
    entries_sent = 0;
    hear((struct raft_message){.type = RAFT_APPEND_REPLY, .index = 0});
    cr_assert_eq(entries_sent, 2);
    raft_tick(r);
    pump();
    cr_assert_eq(heartbeat.index, 2);
    cr_assert_eq(heartbeat.log_term, 1);
}

/* sim-raft --seed 7203 --events 8000: alone again by the cut, it led on and gave an index that the
 * new member had seen to another entry of the same term. */
Test(raft_flow, a_leader_that_told_a_new_member_steps_down_when_its_write_fails)
{
    static const struct raft_member self[] = {{1, true}};
    struct raft_config c = {.id = 1, .members = self, .member_count = 1};
    struct raft_ready ready;
    struct reason why;
    uint64_t index;
    cr_assert_eq(raft_new(&r, &c, &why), OK);
    raft_campaign(r);
    pump();
    cr_assert_eq(raft_change_members(r, RAFT_SET_LEARNER, 2, &index, NULL), OK);
    cr_assert(raft_ready(r, &ready));
    raft_store_failed(r);
    cr_assert_eq(status().role, RAFT_FOLLOWER);
}

/* From the test of any messages, seed 63. */
Test(raft_flow, a_state_that_contradicts_what_is_committed_is_not_taken)
{
    static const struct raft_member two[] = {{1, true}, {2, true}};
    struct raft_entry e = {1, 1, RAFT_NOOP, NULL, 0};
    struct raft_message m = {.type = RAFT_APPEND,
                             .from = 2,
                             .to = 1,
                             .term = 3,
                             .commit = 1,
                             .entries = &e,
                             .entry_count = 1};
    struct raft_ready ready;
    make((struct raft_config){.seed = 1});
    raft_step(r, &m);
    cr_assert(raft_ready(r, &ready));
    raft_stored(r);
    cr_assert_eq(status().commit, 1);
    cr_assert_not(raft_snapshot_installed(r, 1, 2, two, 2));
    cr_assert_eq(status().last, 1);
}
