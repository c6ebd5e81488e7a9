#include "controller/deadlines.h"
#include "base/id.h"
#include "base/prng.h"
#include <criterion/criterion.h>
#include <string.h>

#define S       1000000000ll
#define RUNNING PB__DEPLOYMENT__STATUS__RUNNING
#define KNOWN   8u

static struct arena *a;
static struct deadlines *d;

static void set_up(void)
{
    a = arena_new(32u << 20);
    d = deadlines_new(2 * S);
}

static void tear_down(void)
{
    deadlines_free(d);
    arena_free(a);
}

TestSuite(deadlines, .init = set_up, .fini = tear_down);

static const uint8_t *an_id(uint8_t number)
{
    static uint8_t id[ID_SIZE];
    id[0] = number;
    return id;
}

/* Of one group that wants one more than is healthy. */
static void put(uint8_t number, int64_t by, Pb__Deployment__Status status, uint64_t index)
{
    Pb__DeploymentGroup g = PB__DEPLOYMENT_GROUP__INIT, *groups[] = {&g};
    Pb__Deployment one = PB__DEPLOYMENT__INIT;
    g.desired_total = 2;
    g.healthy_allocs = 1;
    g.require_progress_by = by;
    one.id = (ProtobufCBinaryData){ID_SIZE, (uint8_t *)(uintptr_t)an_id(number)};
    one.status = status;
    one.modify_index = index;
    one.n_task_groups = 1;
    one.task_groups = groups;
    deadlines_put(d, &one);
    deadlines_check(d);
}

static int taken(int64_t now)
{
    Pb__DeploymentFail *f = deadlines_take(d, a, now);
    deadlines_check(d);
    return f == NULL ? -1 : f->id.data[0];
}

Test(deadlines, come_in_their_order_when_they_are_due)
{
    cr_assert_eq(deadlines_next_ns(d), INT64_MAX);
    put(1, 30 * S, RUNNING, 5);
    put(2, 20 * S, RUNNING, 6);
    cr_assert_eq(deadlines_next_ns(d), 20 * S);
    cr_assert_eq(taken(20 * S - 1), -1);
    Pb__DeploymentFail *f = deadlines_take(d, a, 20 * S);
    cr_assert(f->progress_deadline && f->modify_index == 6 && f->id.data[0] == 2);
    cr_assert_eq(taken(20 * S), -1, "it is proposed");
    cr_assert_eq(taken(22 * S), 2, "without effect");
    cr_assert_eq(taken(40 * S), 2);
    cr_assert_eq(taken(40 * S), 1);
}

Test(deadlines, follow_what_becomes_of_a_deployment)
{
    put(1, 20 * S, RUNNING, 5);
    put(1, 50 * S, RUNNING, 6);
    cr_assert_eq(deadlines_next_ns(d), 50 * S);
    put(1, 50 * S, PB__DEPLOYMENT__STATUS__PAUSED, 7);
    cr_assert_eq(deadlines_count(d), 0);
    put(1, 60 * S, RUNNING, 8);
    cr_assert_eq(taken(60 * S), 1);
    put(1, 60 * S, PB__DEPLOYMENT__STATUS__FAILED, 9);
    put(2, 0, RUNNING, 9);
    cr_assert_eq(deadlines_count(d), 0);
    put(3, 70 * S, RUNNING, 10);
    deadlines_drop(d, an_id(3));
    deadlines_drop(d, an_id(3));
    cr_assert_eq(deadlines_count(d), 0);
}

/* Random news and times, against a table that is looked through. */
Test(deadlines, are_those_of_a_naive_table)
{
    struct prng chance;
    int64_t due[KNOWN] = {0}, now = 0;
    prng_seed(&chance, 7);
    for (int step = 0; step < 20000; step++) {
        uint8_t n = (uint8_t)prng_below(&chance, KNOWN);
        now += (int64_t)prng_below(&chance, 3);
        if (prng_below(&chance, 3) == 0) {
            due[n] = prng_below(&chance, 4) == 0 ? 0 : now + 1 + (int64_t)prng_below(&chance, 20);
            put(n, due[n], RUNNING, 1);
        } else if (prng_below(&chance, 200) == 0) {
            deadlines_reset(d);
            memset(due, 0, sizeof due);
        }
        int least = -1;
        for (uint8_t i = 0; i < KNOWN; i++)
            if (due[i] != 0 && due[i] <= now && (least < 0 || due[i] < due[least]))
                least = i;
        int found = taken(now);
        cr_assert_eq(found, least, "step %d: %d, not %d", step, found, least);
        if (found >= 0)
            due[found] = now + 2 * S;
        arena_reset(a);
    }
}
