#include "base/prng.h"
#include "controller/heartbeat.h"
#include <criterion/criterion.h>
#include <string.h>

#define NODES 30

static const struct heartbeat_settings settings = {
    .min_ttl_ms = 1000, .grace_ms = 500, .max_per_second = 10, .settle_ms = 300};

static void node_id(uint8_t id[16], int n)
{
    memset(id, 0, 16);
    id[15] = (uint8_t)n;
}

static void put(struct heartbeat *h, int n, bool ready, uint64_t now)
{
    uint8_t id[16];
    node_id(id, n);
    Pb__Node m = PB__NODE__INIT;
    m.has_id = 1;
    m.id = (ProtobufCBinaryData){16, id};
    m.status = ready ? PB__NODE__STATUS__READY : PB__NODE__STATUS__DOWN;
    heartbeat_put_node(h, &m, now);
    heartbeat_check(h);
}

static bool seen(struct heartbeat *h, int n, uint64_t now)
{
    uint8_t id[16];
    node_id(id, n);
    bool known = heartbeat_seen(h, id, now);
    heartbeat_check(h);
    return known;
}

/* The status that is proposed for the one node, 0: none. */
static Pb__Node__Status proposed(struct heartbeat *h, uint64_t now)
{
    struct arena *a = arena_new(1 << 20);
    heartbeat_tick(h, now);
    heartbeat_check(h);
    Pb__NodeStatusUpdates *u = heartbeat_take_updates(h, a, 100, now);
    Pb__Node__Status status = u != NULL ? u->nodes[0]->status : PB__NODE__STATUS__UNKNOWN;
    arena_free(a);
    heartbeat_check(h);
    return status;
}

Test(heartbeat, a_silent_node_is_down_after_ttl_and_grace)
{
    struct heartbeat *h = heartbeat_new(&settings);
    put(h, 1, true, 0);
    cr_assert_eq(proposed(h, 1499), PB__NODE__STATUS__UNKNOWN);
    cr_assert(seen(h, 1, 1499));
    cr_assert_eq(heartbeat_next_due_ms(h), 2999);
    cr_assert_eq(proposed(h, 2998), PB__NODE__STATUS__UNKNOWN);
    cr_assert_eq(proposed(h, 2999), PB__NODE__STATUS__DOWN);
    cr_assert_eq(proposed(h, 3000), PB__NODE__STATUS__UNKNOWN);
    cr_assert_eq(proposed(h, 3299), PB__NODE__STATUS__DOWN, "again while nothing shows");
    put(h, 1, false, 3300);
    cr_assert_eq(heartbeat_next_due_ms(h), UINT64_MAX);
    heartbeat_free(h);
}

Test(heartbeat, a_node_that_is_heard_again_is_ready)
{
    struct heartbeat *h = heartbeat_new(&settings);
    put(h, 1, false, 0);
    cr_assert(seen(h, 1, 100));
    cr_assert_eq(proposed(h, 100), PB__NODE__STATUS__READY);
    put(h, 1, true, 150);
    cr_assert_eq(heartbeat_next_due_ms(h), 1650);
    cr_assert_not(seen(h, 2, 200), "nobody knows it");
    heartbeat_free(h);
}

Test(heartbeat, one_heard_while_it_is_taken_for_dead_comes_back_by_itself)
{
    struct heartbeat *h = heartbeat_new(&settings);
    put(h, 1, true, 0);
    cr_assert_eq(proposed(h, 1500), PB__NODE__STATUS__DOWN);
    cr_assert(seen(h, 1, 1510));
    put(h, 1, false, 1520);
    cr_assert_eq(proposed(h, 1530), PB__NODE__STATUS__READY);
    heartbeat_free(h);
}

Test(heartbeat, a_heartbeat_between_timeout_and_proposal_is_enough)
{
    struct heartbeat *h = heartbeat_new(&settings);
    put(h, 1, true, 0);
    heartbeat_tick(h, 1500);
    cr_assert(seen(h, 1, 1500));
    cr_assert_eq(proposed(h, 1501), PB__NODE__STATUS__UNKNOWN);
    heartbeat_free(h);
}

Test(heartbeat, the_time_to_live_grows_with_the_fleet)
{
    struct heartbeat *h = heartbeat_new(&settings);
    cr_assert_eq(heartbeat_ttl_ms(h), 1000);
    for (int i = 0; i < NODES; i++)
        put(h, i, true, 0);
    cr_assert_eq(heartbeat_ttl_ms(h), NODES * 1000 / 10);
    heartbeat_forgive(h, 100);
    cr_assert_eq(heartbeat_next_due_ms(h), 100 + 3000 + 500, "all have the time that holds now");
    heartbeat_free(h);
}

Test(heartbeat, nothing_is_proposed_while_nodes_are_listed)
{
    struct heartbeat *h = heartbeat_new(&settings);
    put(h, 1, true, 0);
    put(h, 2, true, 0);
    heartbeat_reload_begin(h);
    cr_assert_eq(proposed(h, 5000), PB__NODE__STATUS__UNKNOWN);
    put(h, 1, true, 5000);
    heartbeat_reload_end(h);
    heartbeat_check(h);
    struct heartbeat_stats s;
    heartbeat_stats(h, &s);
    cr_assert_eq(s.nodes, 1);
    heartbeat_free(h);
}

/* Against a naive fleet: a node that beats in time is never proposed down; one that stopped is down
 * in bounded time; one that began again is ready in bounded time; whatever gets lost between
 * proposal and state. */
static void run(uint64_t seed)
{
    struct prng p;
    prng_seed(&p, seed);
    struct heartbeat *h = heartbeat_new(&settings);
    bool alive[NODES], ready[NODES];
    uint64_t since[NODES], beat[NODES], now = 0;
    for (int i = 0; i < NODES; i++) {
        alive[i] = ready[i] = prng_below(&p, 2);
        since[i] = beat[i] = 0;
        put(h, i, ready[i], now);
    }
    for (; now < 60000; now += 10) {
        uint64_t ttl = heartbeat_ttl_ms(h);
        for (int i = 0; i < NODES; i++) {
            if (prng_below(&p, 1000) == 0) {
                alive[i] = !alive[i];
                since[i] = now;
            }
            if (alive[i] && now >= beat[i]) {
                seen(h, i, now);
                beat[i] = now + 800; /* less than the shortest ttl */
            }
        }
        heartbeat_tick(h, now);
        struct arena *a = arena_new(1 << 20);
        Pb__NodeStatusUpdates *u = heartbeat_take_updates(h, a, 1 + prng_below(&p, 5), now);
        for (size_t k = 0; u != NULL && k < u->n_nodes; k++) {
            int i = u->nodes[k]->node_id.data[15];
            bool up = u->nodes[k]->status == PB__NODE__STATUS__READY;
            cr_assert_neq(up, ready[i], "seed %llu: node %d is that already",
                          (unsigned long long)seed, i);
            cr_assert(up || !alive[i] || now - since[i] < 1000, "seed %llu: node %d beats",
                      (unsigned long long)seed, i);
            if (prng_below(&p, 4) != 0) {
                ready[i] = up;
                put(h, i, up, now);
            }
        }
        arena_free(a);
        for (int i = 0; i < NODES; i++) {
            uint64_t late = now - since[i];
            cr_assert(ready[i] == alive[i] ||
                          late < ttl + 3000 + settings.grace_ms + 10 * settings.settle_ms,
                      "seed %llu: node %d at %llu", (unsigned long long)seed, i,
                      (unsigned long long)now);
        }
        heartbeat_check(h);
    }
    heartbeat_free(h);
}

Test(heartbeat, whatever_is_lost_every_node_gets_its_status)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        run(seed);
}
