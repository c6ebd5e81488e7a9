#include "apply.h"
#include "autopilot.h"
#include "base/prng.h"
#include <criterion/criterion.h>
#include <string.h>

static struct autopilot *ap;
static Pb__Autopilot config;
static struct autopilot_server servers[8];
static struct autopilot_input in;

static void begin(void)
{
    ap = autopilot_new();
    autopilot_defaults(&config);
    memset(servers, 0, sizeof servers);
    in = (struct autopilot_input){.now_ms = 1000,
                                  .last_index = 1000,
                                  .config = &config,
                                  .dead_after_ms = 60000,
                                  .servers = servers};
}
static void end(void)
{
    autopilot_free(ap);
}
TestSuite(autopilot, .init = begin, .fini = end);

static struct autopilot_server *member(unsigned id, bool voter)
{
    struct autopilot_server *s = &servers[in.count++];
    *s = (struct autopilot_server){.raft_id = id,
                                   .name = "",
                                   .member = true,
                                   .voter = voter,
                                   .leader = id == 1,
                                   .match = 1000,
                                   .alive = true,
                                   .may_join = true};
    return s;
}

static struct autopilot_action step(void)
{
    return autopilot_step(ap, &in);
}

Test(autopilot, a_server_that_is_seen_is_added)
{
    member(1, true);
    struct autopilot_server *s = member(2, false);
    s->member = false;
    struct autopilot_action act = step();
    cr_assert(act.kind == AUTOPILOT_ADD && act.raft_id == 2);
    s->may_join = false;
    cr_assert_eq(step().kind, AUTOPILOT_NOTHING, "one of another cluster is left alone");
    s->may_join = true;
    s->alive = false;
    cr_assert_eq(step().kind, AUTOPILOT_NOTHING);
    s->alive = in.change_out = true;
    cr_assert_eq(step().kind, AUTOPILOT_NOTHING, "one change at a time");
}

Test(autopilot, a_new_one_votes_when_it_was_healthy_for_a_while)
{
    member(1, true);
    struct autopilot_server *s = member(2, false);
    s->match = 10;
    cr_assert_eq(step().kind, AUTOPILOT_NOTHING);
    in.now_ms += 20000;
    cr_assert_eq(step().kind, AUTOPILOT_NOTHING, "it has not caught up");
    s->match = 990;
    cr_assert_eq(step().kind, AUTOPILOT_NOTHING, "only just");
    in.now_ms += 9000;
    s->last_contact_ms = 500;
    cr_assert_eq(step().kind, AUTOPILOT_NOTHING, "a lapse begins the time anew");
    s->last_contact_ms = 10;
    in.now_ms += 2000;
    cr_assert_eq(step().kind, AUTOPILOT_NOTHING);
    in.now_ms += 10000;
    struct autopilot_action act = step();
    cr_assert(act.kind == AUTOPILOT_PROMOTE && act.raft_id == 2);
    s->non_voting = true;
    cr_assert_eq(step().kind, AUTOPILOT_NOTHING, "unless it does not want to");
}

static struct autopilot_server *kill_member(unsigned i)
{
    servers[i].alive = false;
    servers[i].last_contact_ms = 70000;
    return &servers[i];
}

Test(autopilot, a_dead_one_is_removed_when_those_who_remain_can_decide)
{
    for (unsigned id = 1; id <= 5; id++)
        member(id, true);
    kill_member(4)->last_contact_ms = 50000;
    cr_assert_eq(step().kind, AUTOPILOT_NOTHING, "not yet");
    kill_member(4);
    struct autopilot_action act = step();
    cr_assert(act.kind == AUTOPILOT_REMOVE && act.raft_id == 5, "%u %llu", act.kind,
              (unsigned long long)act.raft_id);
    config.cleanup_dead_servers = false;
    cr_assert_eq(step().kind, AUTOPILOT_NOTHING);
    config.cleanup_dead_servers = true;
    config.min_quorum = 5;
    cr_assert_eq(step().kind, AUTOPILOT_NOTHING, "so many must remain");
}

Test(autopilot, a_dead_one_stays_while_another_is_silent)
{
    for (unsigned id = 1; id <= 3; id++)
        member(id, true);
    kill_member(2);
    servers[1].last_contact_ms = 3000;
    cr_assert_eq(step().kind, AUTOPILOT_NOTHING, "of the two that remain one might be dead too");
    servers[1].last_contact_ms = 100;
    cr_assert_eq(step().kind, AUTOPILOT_REMOVE);
}

Test(autopilot, one_whose_directory_was_made_anew_is_removed_before_it_is_added_again)
{
    for (unsigned id = 1; id <= 3; id++)
        member(id, true);
    servers[2].name = "s3.global";
    servers[2].last_contact_ms = 3000;
    struct autopilot_server *s = member(9, false);
    s->member = false;
    s->name = "s3.global";
    struct autopilot_action act = step();
    cr_assert(act.kind == AUTOPILOT_REMOVE && act.raft_id == 3);
    in.count = 3;
    servers[2] = *s;
    act = step();
    cr_assert(act.kind == AUTOPILOT_ADD && act.raft_id == 9);
}

/* nsim --servers 3 --seed 16: it could not be removed at first, and stayed until it was dead for
 * long. */
Test(autopilot, one_whose_successor_was_added_already_is_removed_too)
{
    for (unsigned id = 1; id <= 3; id++)
        member(id, true);
    servers[2].name = "s3.global";
    servers[2].last_contact_ms = 3000;
    struct autopilot_server *s = member(9, false);
    s->name = "s3.global";
    struct autopilot_action act = step();
    cr_assert(act.kind == AUTOPILOT_REMOVE && act.raft_id == 3);
    s->last_contact_ms = 3000;
    cr_assert_eq(step().kind, AUTOPILOT_NOTHING, "which of two silent ones is the newer?");
}

/* Whatever is seen: the leader stays, and those who vote after a removal can decide. */
Test(autopilot, no_action_ever_costs_the_quorum)
{
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        struct prng p;
        prng_seed(&p, seed);
        in.count = 0;
        size_t n = 1 + prng_below(&p, 7);
        for (unsigned id = 1; id <= n; id++) {
            struct autopilot_server *s = member(id, id == 1 || prng_below(&p, 4) > 0);
            s->last_contact_ms = id == 1 || prng_below(&p, 2) ? prng_below(&p, 100) : 100000;
            s->alive = id == 1 || prng_below(&p, 2);
            s->member = id == 1 || prng_below(&p, 5) > 0;
        }
        in.now_ms += prng_below(&p, 20000);
        struct autopilot_action act = step();
        if (act.kind != AUTOPILOT_REMOVE)
            continue;
        cr_assert_neq(act.raft_id, 1, "seed %llu", (unsigned long long)seed);
        size_t voters = 0, answer = 0;
        for (size_t i = 0; i < n; i++) {
            const struct autopilot_server *s = &servers[i];
            if (!s->member || !s->voter || s->raft_id == act.raft_id)
                continue;
            voters++;
            answer += s->last_contact_ms < 2000;
        }
        cr_assert(!servers[act.raft_id - 1].voter || answer > voters / 2, "seed %llu",
                  (unsigned long long)seed);
    }
}
