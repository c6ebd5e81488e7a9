#include "base/err.h"
#include "nodeagent/restart.h"
#include <criterion/criterion.h>

#define S 1000000000ll

Test(restart, attempts_within_an_interval_then_fails)
{
    const struct restart_policy p = {2, 60 * S, 4 * S, false, false};
    struct restart_window w = {0, 0};
    for (int i = 0; i < 2; i++) {
        struct restart_decision d = restart_decide(&p, &w, RESTART_FAILURE, (100 + i) * S, 77);
        cr_assert_eq(d.verdict, RESTART_AGAIN);
        cr_assert(d.delay_ns >= 4 * S && d.delay_ns < 5 * S, "jitter of up to a quarter");
        cr_assert_str_eq(d.reason, "Restart within policy");
    }
    struct restart_decision d = restart_decide(&p, &w, RESTART_FAILURE, 103 * S, 0);
    cr_assert_eq(d.verdict, RESTART_NOT);
    cr_assert_str_eq(d.reason, "Exceeded allowed attempts 2 in interval 1m0s and mode is \"fail\"");
}

Test(restart, a_new_interval_begins_anew)
{
    const struct restart_policy p = {1, 60 * S, S, false, false};
    struct restart_window w = {0, 0};
    for (int i = 0; i < 5; i++)
        cr_assert_eq(restart_decide(&p, &w, RESTART_FAILURE, (100 + 61 * i) * S, 0).verdict,
                     RESTART_AGAIN);
}

Test(restart, mode_delay_waits_for_the_rest_of_the_interval)
{
    const struct restart_policy p = {1, 60 * S, S, true, false};
    struct restart_window w = {0, 0};
    restart_decide(&p, &w, RESTART_FAILURE, 100 * S, 0);
    struct restart_decision d = restart_decide(&p, &w, RESTART_FAILURE, 110 * S, 0);
    cr_assert_eq(d.verdict, RESTART_AGAIN);
    cr_assert_eq(d.delay_ns, 50 * S);
    cr_assert_str_eq(d.reason, "Exceeded allowed attempts, applying a delay");
}

Test(restart, cases)
{
    static const struct {
        struct restart_policy policy;
        enum restart_cause cause;
        enum restart_verdict verdict;
        const char *reason;
    } cases[] = {
        {{3, S, S, false, false},
         RESTART_SUCCESS,
         RESTART_DONE,
         "Restart unnecessary as task terminated successfully"},
        {{3, S, S, false, true}, RESTART_SUCCESS, RESTART_AGAIN, "Restart within policy"},
        {{0, S, S, false, true}, RESTART_SUCCESS, RESTART_NOT, "Policy allows no restarts"},
        {{0, S, S, false, false},
         RESTART_SUCCESS,
         RESTART_DONE,
         "Restart unnecessary as task terminated successfully"},
        {{0, S, S, false, false}, RESTART_FAILURE, RESTART_NOT, "Policy allows no restarts"},
        {{3, S, S, false, true}, RESTART_UNRECOVERABLE, RESTART_NOT, "Error was unrecoverable"},
        {{3, S, 0, false, true}, RESTART_FAILURE, RESTART_AGAIN, "Restart within policy"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct restart_window w = {0, 0};
        struct restart_decision d =
            restart_decide(&cases[i].policy, &w, cases[i].cause, 100 * S, 5);
        cr_assert_eq(d.verdict, cases[i].verdict, "case %zu", i);
        cr_assert_str_eq(d.reason, cases[i].reason, "case %zu", i);
    }
}
