/* The pool as people rely on it. Each message names the seed; the same seed gives the same run. */
#include "pool.h"
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>

#define SERVERS 50

/* NORN_SEEDS=10 runs ten times as many. */
static uint64_t seeds(uint64_t usual)
{
    const char *times = getenv("NORN_SEEDS");
    return times == NULL ? usual : usual * strtoull(times, NULL, 10);
}

/* How long something took, of many seeds: with --verbose what docs/gossip.md tells. */
struct times {
    uint64_t ms[10000];
    size_t count;
};

static int by_size(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void times_tell(struct times *t, const char *what)
{
    qsort(t->ms, t->count, sizeof(t->ms[0]), by_size);
    cr_log_info("%s: %zu seeds, median %" PRIu64 " ms, nine in ten within %" PRIu64
                " ms, longest %" PRIu64 " ms",
                what, t->count, t->ms[t->count / 2], t->ms[t->count * 9 / 10], t->ms[t->count - 1]);
}

static void times_add(struct times *t, uint64_t ms)
{
    if (t->count < sizeof(t->ms) / sizeof(t->ms[0]))
        t->ms[t->count++] = ms;
}

static struct pool *whole_pool(uint64_t seed, int count)
{
    struct pool *p = pool_new(seed, count);
    cr_assert(pool_until(p, 15000, pool_is_whole, 0) != UINT64_MAX,
              "seed %" PRIu64 ": the pool has not come together in 15 s", seed);
    return p;
}

Test(pool, a_failure_is_seen_by_all_of_fifty_within_5_s)
{
    static struct times times;
    for (uint64_t seed = 1; seed <= seeds(8); seed++) {
        struct pool *p = whole_pool(seed, SERVERS);
        pool_run(p, prng_below(&p->prng, 3000));
        int who = (int)prng_below(&p->prng, SERVERS);
        p->servers[who].dead = true;
        uint64_t took = pool_until(p, 5000, pool_all_see_failed, who);
        cr_assert(took < 5000, "seed %" PRIu64 ": not seen in 5 s", seed);
        cr_assert_eq(pool_false_deaths(p), 0, "seed %" PRIu64, seed);
        times_add(&times, took);
        pool_free(p);
    }
    times_tell(&times, "a failure is seen by all of 50");
}

Test(pool, nobody_is_given_up_while_a_fifth_of_all_packets_is_lost)
{
    for (uint64_t seed = 1; seed <= seeds(1); seed++) {
        struct pool *p = whole_pool(seed, SERVERS);
        p->loss = 0.2;
        pool_run(p, 60000);
        cr_assert_eq(pool_false_deaths(p), 0, "seed %" PRIu64 ": %u false deaths", seed,
                     pool_false_deaths(p));
        p->loss = 0;
        cr_assert(pool_until(p, 10000, pool_is_whole, 0) != UINT64_MAX, "seed %" PRIu64, seed);
        pool_free(p);
    }
}

Test(pool, nobody_is_given_up_who_stands_still_for_2_s)
{
    for (uint64_t seed = 1; seed <= seeds(3); seed++) {
        struct pool *p = whole_pool(seed, SERVERS);
        for (int round = 0; round < 5; round++) {
            int who = (int)prng_below(&p->prng, SERVERS);
            p->servers[who].paused_until_ms = p->now_ms + 2000;
            pool_run(p, 4000 + prng_below(&p->prng, 2000));
        }
        cr_assert_eq(pool_false_deaths(p), 0, "seed %" PRIu64 ": %u false deaths", seed,
                     pool_false_deaths(p));
        cr_assert(pool_until(p, 5000, pool_is_whole, 0) != UINT64_MAX, "seed %" PRIu64, seed);
        pool_free(p);
    }
}

static bool sides_see_each_other_failed(struct pool *p, int unused)
{
    for (int i = 0; i < p->count; i++)
        for (int j = 0; j < p->count; j++)
            if (p->servers[i].side != p->servers[j].side &&
                pool_sees(p, i, p->servers[j].name) != PB__MEMBER__STATUS__FAILED)
                return false;
    return true;
}

Test(pool, a_healed_partition_merges_by_itself)
{
    static struct times times;
    for (uint64_t seed = 1; seed <= seeds(4); seed++) {
        struct pool *p = whole_pool(seed, 20);
        for (int i = 0; i < p->count; i++)
            p->servers[i].side = prng_below(&p->prng, 3) == 0;
        cr_assert(pool_until(p, 60000, sides_see_each_other_failed, 0) != UINT64_MAX,
                  "seed %" PRIu64, seed);
        pool_run(p, 60000);
        for (int i = 0; i < p->count; i++)
            p->servers[i].side = 0;
        uint64_t took = pool_until(p, 30000, pool_is_whole, 0);
        cr_assert(took != UINT64_MAX,
                  "seed %" PRIu64 ": not one pool 30 s after the partition healed", seed);
        times_add(&times, took);
        pool_free(p);
    }
    times_tell(&times, "a healed partition of 20 is one pool");
}

Test(pool, who_leaves_is_not_called_failed_and_may_come_back)
{
    for (uint64_t seed = 1; seed <= seeds(4); seed++) {
        struct pool *p = whole_pool(seed, 12);
        swim_leave(p->servers[3].swim, p->now_ms);
        p->servers[3].left = true;
        pool_run(p, 1500);
        p->servers[3].dead = true;
        cr_assert(pool_until(p, 3000, pool_all_see_left, 3) != UINT64_MAX, "seed %" PRIu64, seed);
        cr_assert_eq(pool_false_deaths(p), 0, "seed %" PRIu64, seed);
        pool_start(p, 3, NULL);
        cr_assert(pool_until(p, 5000, pool_is_whole, 0) != UINT64_MAX, "seed %" PRIu64, seed);
        cr_assert_eq(p->servers[3].conflicts, 0, "seed %" PRIu64, seed);
        pool_free(p);
    }
}

Test(pool, who_crashed_and_starts_again_is_itself_at_once)
{
    for (uint64_t seed = 1; seed <= seeds(4); seed++) {
        struct pool *p = whole_pool(seed, 12);
        for (int round = 0; round < 4; round++) {
            p->servers[5].dead = true;
            pool_run(p, prng_below(&p->prng, 8000));
            pool_start(p, 5, NULL);
            cr_assert(pool_until(p, 6000, pool_is_whole, 0) != UINT64_MAX, "seed %" PRIu64, seed);
        }
        for (int i = 0; i < p->count; i++)
            cr_assert_eq(p->servers[i].conflicts, 0, "seed %" PRIu64, seed);
        pool_free(p);
    }
}

Test(pool, a_failed_one_that_is_made_to_leave_has_left_everywhere_and_a_live_one_contradicts)
{
    for (uint64_t seed = 1; seed <= seeds(4); seed++) {
        struct pool *p = whole_pool(seed, 12);
        struct reason why;
        p->servers[7].dead = true;
        cr_assert(pool_until(p, 6000, pool_all_see_failed, 7) != UINT64_MAX, "seed %" PRIu64, seed);
        cr_assert_eq(swim_force_leave(p->servers[2].swim, p->servers[7].name, p->now_ms, &why), OK);
        cr_assert_eq(swim_force_leave(p->servers[2].swim, p->servers[8].name, p->now_ms, &why), OK);
        cr_assert_eq(swim_force_leave(p->servers[2].swim, "nobody", p->now_ms, &why),
                     ERR_NOT_FOUND);
        /* The live one misses rumours while others think that it has left; it has them from the
         * next full exchange (seed 23: 8.7 s). */
        cr_assert(pool_until(p, 30000, pool_all_see_left, 7) != UINT64_MAX, "seed %" PRIu64, seed);
        cr_assert(pool_until(p, 5000, pool_is_whole, 0) != UINT64_MAX, "seed %" PRIu64, seed);
        pool_free(p);
    }
}

Test(pool, two_servers_of_one_name_are_told_of_and_the_first_stays)
{
    for (uint64_t seed = 1; seed <= seeds(4); seed++) {
        struct pool *p = whole_pool(seed, 10);
        p->count = 11;
        pool_start(p, 10, p->servers[4].name);
        pool_run(p, 20000);
        cr_assert(p->servers[10].conflicts > 0, "seed %" PRIu64 ": the second was not told", seed);
        const Pb__Members *all = swim_members(p->servers[0].swim);
        cr_assert_eq(all->n_members, 10, "seed %" PRIu64, seed);
        for (size_t i = 0; i < all->n_members; i++)
            if (strcmp(all->members[i]->name, p->servers[4].name) == 0)
                cr_assert_str_eq(all->members[i]->gossip_address, p->servers[4].address);
        cr_assert_eq(pool_false_deaths(p), 0, "seed %" PRIu64, seed);
        pool_free(p);
    }
}

static bool alone(struct pool *p, int i)
{
    return swim_members(p->servers[i].swim)->n_members == 11;
}

Test(pool, what_is_gone_for_long_is_forgotten_and_does_not_come_back_by_rumour)
{
    struct pool *p = pool_new_with(5, 12, 300000);
    cr_assert(pool_until(p, 15000, pool_is_whole, 0) != UINT64_MAX);
    p->servers[11].dead = true;
    pool_run(p, 290000);
    cr_assert(pool_all_see_failed(p, 11));
    cr_assert(pool_until(p, 60000, alone, 0) != UINT64_MAX);
    pool_run(p, 60000);
    for (int i = 0; i < 11; i++)
        cr_assert(alone(p, i), "server %d", i);
    pool_free(p);
}

static uint64_t trace_of(uint64_t seed)
{
    struct pool *p = pool_new(seed, 15);
    p->loss = 0.1;
    pool_run(p, 5000);
    p->servers[4].dead = true;
    pool_run(p, 10000);
    uint64_t trace = p->trace;
    pool_free(p);
    return trace;
}

Test(pool, one_seed_is_one_run)
{
    cr_assert_eq(trace_of(7), trace_of(7));
    cr_assert_neq(trace_of(7), trace_of(8));
}
