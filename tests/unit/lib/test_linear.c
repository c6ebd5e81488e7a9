/* The checker of histories must let good ones pass, and must not let bad ones. */
#include "base/prng.h"
#include "linear.h"
#include <criterion/criterion.h>

#define WRITE(b, e, v)                                                                             \
    {                                                                                              \
        b, e, LINEAR_WRITE, v, false                                                               \
    }
#define STOP(b, e)                                                                                 \
    {                                                                                              \
        b, e, LINEAR_STOP, 0, false                                                                \
    }
#define READ(b, e, v)                                                                              \
    {                                                                                              \
        b, e, LINEAR_READ, v, false                                                                \
    }
#define STOPPED(b, e, v)                                                                           \
    {                                                                                              \
        b, e, LINEAR_READ, v, true                                                                 \
    }
#define GOOD(...)                                                                                  \
    do {                                                                                           \
        struct linear_op ops[] = {__VA_ARGS__};                                                    \
        cr_assert(linear_check(ops, sizeof(ops) / sizeof(*ops), NULL));                            \
    } while (0)
#define BAD(...)                                                                                   \
    do {                                                                                           \
        struct linear_op ops[] = {__VA_ARGS__};                                                    \
        cr_assert(!linear_check(ops, sizeof(ops) / sizeof(*ops), NULL));                           \
    } while (0)

Test(linear, one_after_the_other_reads_tell_the_last_write)
{
    GOOD(READ(0, 1, LINEAR_ABSENT), WRITE(2, 3, 1), READ(4, 5, 1), WRITE(6, 7, 2), READ(8, 9, 2));
}

Test(linear, an_old_value_after_a_newer_write_was_answered_is_refused)
{
    BAD(WRITE(0, 1, 1), WRITE(2, 3, 2), READ(4, 5, 1));
}

Test(linear, an_acknowledged_write_that_is_not_there_is_refused)
{
    BAD(WRITE(0, 1, 1), READ(2, 3, LINEAR_ABSENT));
}

Test(linear, a_value_that_nobody_wrote_is_refused)
{
    BAD(WRITE(0, 1, 1), READ(2, 3, 7));
}

Test(linear, a_read_during_a_write_may_tell_either)
{
    GOOD(WRITE(0, 1, 1), WRITE(2, 9, 2), READ(3, 4, 1));
    GOOD(WRITE(0, 1, 1), WRITE(2, 9, 2), READ(3, 4, 2));
}

Test(linear, a_value_once_read_is_not_unread)
{
    BAD(WRITE(0, 1, 1), WRITE(2, 9, 2), READ(3, 4, 2), READ(5, 6, 1));
}

Test(linear, two_readers_of_two_writes_under_way_must_agree_on_their_order)
{
    GOOD(WRITE(0, 9, 1), WRITE(0, 9, 2), READ(1, 2, 1), READ(3, 4, 2));
    BAD(WRITE(0, 9, 1), WRITE(0, 9, 2), READ(1, 2, 1), READ(3, 4, 2), READ(5, 6, 1));
}

Test(linear, a_write_without_an_answer_may_have_happened_late_or_never)
{
    GOOD(WRITE(0, 1, 1), WRITE(2, LINEAR_UNKNOWN, 2), READ(3, 4, 1), READ(5, 6, 2));
    GOOD(WRITE(0, 1, 1), WRITE(2, LINEAR_UNKNOWN, 2), READ(3, 4, 1), READ(5, 6, 1));
    BAD(WRITE(0, 1, 1), READ(1, 2, 2), WRITE(3, LINEAR_UNKNOWN, 2));
    BAD(WRITE(0, 1, 1), WRITE(2, LINEAR_UNKNOWN, 2), READ(3, 4, 2), READ(5, 6, 1));
}

Test(linear, a_stop_keeps_the_value_until_the_next_write)
{
    GOOD(WRITE(0, 1, 1), STOP(2, 3), STOPPED(4, 5, 1), WRITE(6, 7, 2), READ(8, 9, 2));
    BAD(WRITE(0, 1, 1), STOP(2, 3), READ(4, 5, 1));
    BAD(WRITE(0, 1, 1), STOPPED(2, 3, 1));
}

Test(linear, a_stop_of_what_is_not_there_changes_nothing)
{
    GOOD(STOP(0, 1), READ(2, 3, LINEAR_ABSENT));
}

/* A register in truth, with each operation's effect at a moment between its beginning and its end.
 */
static size_t record(struct prng *p, struct linear_op *ops, size_t n)
{
    int64_t value = LINEAR_ABSENT;
    bool stopped = false;
    for (size_t i = 0; i < n; i++) {
        uint64_t effect = 10 * (i + 1);
        struct linear_op *op = &ops[i];
        op->begin = effect - prng_below(p, 40 < effect ? 40 : effect);
        op->end = effect + prng_below(p, 40);
        op->kind = (enum linear_kind)prng_below(p, 3);
        op->value = (int64_t)i;
        op->stopped = false;
        if (op->kind == LINEAR_WRITE) {
            value = op->value;
            stopped = false;
        } else if (op->kind == LINEAR_STOP) {
            stopped = value != LINEAR_ABSENT;
        } else {
            op->value = value;
            op->stopped = stopped;
        }
        if (op->kind != LINEAR_READ && prng_below(p, 12) == 0)
            op->end = LINEAR_UNKNOWN;
    }
    return n;
}

Test(linear, histories_of_a_true_register_pass_and_with_one_read_falsified_do_not)
{
    static struct linear_op ops[30];
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct prng p;
        prng_seed(&p, seed);
        size_t n = record(&p, ops, 30);
        cr_assert(linear_check(ops, n, NULL), "seed %llu", (unsigned long long)seed);
        size_t i = prng_below(&p, n);
        while (ops[i].kind != LINEAR_READ)
            i = (i + 1) % n;
        ops[i].value = 1000000; /* nobody wrote it */
        cr_assert(!linear_check(ops, n, NULL), "seed %llu, falsified", (unsigned long long)seed);
    }
}
