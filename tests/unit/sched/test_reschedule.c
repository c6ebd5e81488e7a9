/* When a failed allocation is placed anew: a table of cases. */
#include "base/arena.h"
#include "base/err.h"
#include "sched/reschedule.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define SECOND 1000000000ll

/* All in seconds. past: "TIME:DELAY", those that were placed anew before it. It failed at `failed`;
 * now is always 1000. delay: what the next one has waited, or is to wait. */
static const struct {
    const char *name, *function;
    int attempts; /* below 0: unlimited */
    int interval, delay, most;
    const char *past;
    int failed;
    enum reschedule when;
    int at, waits;
} cases[] = {
    {"the first time", "constant", -1, 0, 30, 0, "", 980, RESCHEDULE_LATER, 1010, 30},
    {"its time has come", "constant", -1, 0, 30, 0, "", 970, RESCHEDULE_NOW, 1000, 30},
    {"long ago", "constant", -1, 0, 30, 0, "", 500, RESCHEDULE_NOW, 530, 30},
    {"constant stays so", "constant", -1, 0, 30, 0, "900:30 940:30", 990, RESCHEDULE_LATER, 1020,
     30},
    {"exponential doubles", "exponential", -1, 0, 30, 3600, "900:30", 990, RESCHEDULE_LATER, 1050,
     60},
    {"exponential doubles again", "exponential", -1, 0, 30, 3600, "800:30 900:60", 990,
     RESCHEDULE_LATER, 1110, 120},
    {"exponential ends at the most", "exponential", -1, 0, 30, 100, "800:30 900:60", 990,
     RESCHEDULE_LATER, 1090, 100},
    {"exponential stays at the most", "exponential", -1, 0, 30, 100, "900:100", 990,
     RESCHEDULE_LATER, 1090, 100},
    {"fibonacci: the second is like the first", "fibonacci", -1, 0, 30, 3600, "900:30", 990,
     RESCHEDULE_LATER, 1020, 30},
    {"fibonacci adds", "fibonacci", -1, 0, 30, 3600, "800:30 900:30", 990, RESCHEDULE_LATER, 1050,
     60},
    {"fibonacci adds again", "fibonacci", -1, 0, 30, 3600, "700:30 800:30 900:60", 990,
     RESCHEDULE_LATER, 1080, 90},
    {"it ran for longer than the most: anew", "exponential", -1, 0, 30, 100, "400:100", 990,
     RESCHEDULE_LATER, 1020, 30},
    {"no most: it grows on", "exponential", -1, 0, 30, 0, "100:4000", 990, RESCHEDULE_LATER, 8990,
     8000},
    {"attempts are left", "constant", 2, 600, 5, 0, "900:5", 990, RESCHEDULE_NOW, 995, 5},
    {"attempts are used up", "constant", 1, 600, 5, 0, "900:5", 990, RESCHEDULE_NEVER, 1000, 0},
    {"attempts before the interval do not count", "constant", 1, 60, 5, 0, "900:5", 990,
     RESCHEDULE_NOW, 995, 5},
    {"no attempts at all", "constant", 0, 600, 5, 0, "", 990, RESCHEDULE_NEVER, 1000, 0},
};

static void add_past(struct arena *a, Pb__Alloc *alloc, const char *text)
{
    static Pb__RescheduleTracker tracker = PB__RESCHEDULE_TRACKER__INIT;
    int time, delay, used;
    tracker.n_events = 0;
    tracker.events = arena_array(a, Pb__RescheduleEvent *, 10);
    for (; sscanf(text, " %d:%d%n", &time, &delay, &used) == 2; text += used) {
        Pb__RescheduleEvent *e = arena_array(a, Pb__RescheduleEvent, 1);
        pb__reschedule_event__init(e);
        e->reschedule_time = time * SECOND;
        e->delay_ns = delay * SECOND;
        tracker.events[tracker.n_events++] = e;
    }
    alloc->reschedule_tracker = &tracker;
}

static Pb__ReschedulePolicy policy_of(size_t i)
{
    Pb__ReschedulePolicy p = PB__RESCHEDULE_POLICY__INIT;
    p.unlimited = cases[i].attempts < 0;
    p.attempts = p.unlimited ? 0 : (uint32_t)cases[i].attempts;
    p.interval_ns = cases[i].interval * SECOND;
    p.delay_ns = cases[i].delay * SECOND;
    p.max_delay_ns = cases[i].most * SECOND;
    p.delay_function = (char *)(uintptr_t)cases[i].function;
    return p;
}

Test(reschedule, does_what_the_table_says)
{
    struct arena *a = arena_new(1 << 20);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Pb__ReschedulePolicy p = policy_of(i);
        Pb__Alloc alloc = PB__ALLOC__INIT;
        alloc.ended_at = cases[i].failed * SECOND;
        add_past(a, &alloc, cases[i].past);
        struct rescheduling r = reschedule_of(&p, &alloc, 1000 * SECOND, NULL);
        cr_expect_eq(r.when, cases[i].when, "%s", cases[i].name);
        cr_expect_eq(r.at, cases[i].at * SECOND, "%s: at %lld", cases[i].name,
                     (long long)r.at / SECOND);
        cr_expect_eq(r.delay, cases[i].waits * SECOND, "%s: waits %lld", cases[i].name,
                     (long long)r.delay / SECOND);
    }
    arena_free(a);
}

Test(reschedule, the_evaluation_that_it_waits_for_makes_it_due)
{
    uint8_t id[16] = {7}, other[16] = {8};
    Pb__ReschedulePolicy p = policy_of(0);
    Pb__Alloc alloc = PB__ALLOC__INIT;
    alloc.ended_at = 990 * SECOND;
    alloc.has_follow_up_eval = 1;
    alloc.follow_up_eval = (ProtobufCBinaryData){sizeof id, id};
    cr_assert_eq(reschedule_of(&p, &alloc, 1000 * SECOND, other).when, RESCHEDULE_LATER);
    cr_assert_eq(reschedule_of(&p, &alloc, 1000 * SECOND, id).when, RESCHEDULE_NOW);
}

Test(reschedule, one_that_has_a_successor_is_left_alone)
{
    uint8_t id[16] = {7};
    Pb__ReschedulePolicy p = policy_of(0);
    Pb__Alloc alloc = PB__ALLOC__INIT;
    alloc.reschedule = 1;
    alloc.has_next_alloc = 1;
    alloc.next_alloc = (ProtobufCBinaryData){sizeof id, id};
    cr_assert_eq(reschedule_of(&p, &alloc, 1000 * SECOND, NULL).when, RESCHEDULE_NEVER);
}

Test(reschedule, what_is_remembered_is_bounded)
{
    struct arena *a = arena_new(1 << 20);
    Pb__ReschedulePolicy p = policy_of(0);
    Pb__Alloc alloc = PB__ALLOC__INIT;
    alloc.ended_at = 1000 * SECOND;
    for (int i = 0; i < 20; i++)
        alloc.reschedule_tracker = reschedule_remember(a, &p, &alloc, i * SECOND, i * SECOND);
    cr_assert_eq(alloc.reschedule_tracker->n_events, 5);
    cr_assert_eq(alloc.reschedule_tracker->events[4]->delay_ns, 19 * SECOND);
    p.unlimited = 0;
    p.interval_ns = 3 * SECOND;
    alloc.reschedule_tracker = reschedule_remember(a, &p, &alloc, 20 * SECOND, 0);
    cr_assert_eq(alloc.reschedule_tracker->n_events, 3); /* of 18, 19 and 20 */
    arena_free(a);
}
