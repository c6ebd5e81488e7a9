#include "base/err.h"
#include "nodeagent/health.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <string.h>

#define S 1000000000ll

static const uint8_t first[ID_SIZE] = {1}, second[ID_SIZE] = {2};

/* A group of two tasks whose phases the test sets as it likes; healthy after 10 s, until 60 s. */
struct group {
    Pb__UpdateStrategy update;
    Pb__TaskGroup group;
    struct task tasks[2];
    struct group_member members[2];
    struct health health;
};

static void make(struct group *g, enum group_role other)
{
    memset(g, 0, sizeof *g);
    pb__update_strategy__init(&g->update);
    pb__task_group__init(&g->group);
    g->update.has_min_healthy_time_ns = g->update.has_healthy_deadline_ns = true;
    g->update.min_healthy_time_ns = 10 * S;
    g->update.healthy_deadline_ns = 60 * S;
    g->group.update = &g->update;
    g->members[0] = (struct group_member){&g->tasks[0], "main", false, GROUP_MAIN, true};
    g->members[1] = (struct group_member){&g->tasks[1], "other", false, other, true};
    health_begin(&g->health, first, &g->group, 100 * S);
}

static void set(struct group *g, int task, enum task_phase phase, int64_t at)
{
    g->tasks[task].phase = phase;
    if (phase == TASK_RUNNING)
        g->tasks[task].started_at = at;
    if (phase == TASK_DEAD)
        g->tasks[task].finished_at = at;
}

static bool look(struct group *g, int64_t now)
{
    return health_step(&g->health, g->members, 2, false, now);
}

static int64_t due(struct group *g)
{
    return health_due_ns(&g->health, g->members, 2);
}

Test(health, is_good_when_all_tasks_have_run_for_the_minimum)
{
    struct group g;
    make(&g, GROUP_MAIN);
    cr_assert_not(look(&g, 100 * S));
    cr_assert_eq(due(&g), 160 * S);
    set(&g, 0, TASK_RUNNING, 101 * S);
    set(&g, 1, TASK_RUNNING, 105 * S);
    cr_assert_eq(due(&g), 115 * S);
    cr_assert_not(look(&g, 115 * S - 1));
    cr_assert(look(&g, 115 * S));
    cr_assert_eq(g.health.verdict, HEALTH_GOOD);
    cr_assert_eq(g.health.decided_ns, 115 * S);
    cr_assert_eq(due(&g), 0);
    set(&g, 0, TASK_DEAD, 120 * S);
    cr_assert_not(look(&g, 120 * S), "found once, it stands");
}

Test(health, counts_anew_after_a_restart)
{
    struct group g;
    make(&g, GROUP_MAIN);
    set(&g, 0, TASK_RUNNING, 101 * S);
    set(&g, 1, TASK_RUNNING, 101 * S);
    set(&g, 1, TASK_WAITING, 0);
    cr_assert_not(look(&g, 111 * S));
    cr_assert_eq(due(&g), 160 * S);
    set(&g, 1, TASK_RUNNING, 112 * S);
    cr_assert_not(look(&g, 113 * S));
    cr_assert(look(&g, 122 * S));
    cr_assert_eq(g.health.verdict, HEALTH_GOOD);
}

Test(health, is_bad_at_once_when_a_task_fails_for_good_or_a_main_task_ends)
{
    struct group g;
    make(&g, GROUP_MAIN);
    set(&g, 0, TASK_RUNNING, 101 * S);
    set(&g, 1, TASK_DEAD, 102 * S);
    cr_assert(look(&g, 102 * S));
    cr_assert_eq(g.health.verdict, HEALTH_BAD);
    make(&g, GROUP_PRESTART);
    set(&g, 1, TASK_DEAD, 102 * S);
    g.tasks[1].failed = true;
    cr_assert(look(&g, 102 * S));
    cr_assert_eq(g.health.verdict, HEALTH_BAD);
}

Test(health, is_bad_when_the_deadline_passes_first)
{
    struct group g;
    make(&g, GROUP_MAIN);
    set(&g, 0, TASK_RUNNING, 101 * S);
    set(&g, 1, TASK_RUNNING, 155 * S);
    cr_assert_eq(due(&g), 160 * S);
    cr_assert_not(look(&g, 159 * S));
    cr_assert(look(&g, 170 * S), "looked at late, it is still too late for it");
    cr_assert_eq(g.health.verdict, HEALTH_BAD);
    make(&g, GROUP_MAIN);
    set(&g, 0, TASK_RUNNING, 101 * S);
    set(&g, 1, TASK_RUNNING, 101 * S);
    cr_assert(look(&g, 170 * S), "nor does being late make bad what was good in time");
    cr_assert_eq(g.health.verdict, HEALTH_GOOD);
}

Test(health, waits_for_hooks_to_end_well_and_for_sidecars_to_run)
{
    static const struct {
        enum group_role role;
        enum task_phase good, not_yet;
    } cases[] = {
        {GROUP_PRESTART, TASK_DEAD, TASK_RUNNING},
        {GROUP_POSTSTART, TASK_DEAD, TASK_STARTING},
        {GROUP_PRESTART_SIDECAR, TASK_RUNNING, TASK_STARTING},
        {GROUP_POSTSTART_SIDECAR, TASK_RUNNING, TASK_NEW},
        {GROUP_POSTSTOP, TASK_NEW, TASK_PHASES},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct group g;
        make(&g, cases[i].role);
        set(&g, 0, TASK_RUNNING, 101 * S);
        if (cases[i].not_yet != TASK_PHASES) {
            set(&g, 1, cases[i].not_yet, 101 * S);
            cr_assert_not(look(&g, 130 * S), "case %zu", i);
        }
        set(&g, 1, cases[i].good, 125 * S);
        cr_assert(look(&g, 135 * S), "case %zu", i);
        cr_assert_eq(g.health.verdict, HEALTH_GOOD, "case %zu", i);
    }
}

Test(health, is_no_verdict_on_what_is_to_end_or_is_told_by_hand)
{
    struct group g;
    make(&g, GROUP_MAIN);
    set(&g, 0, TASK_DEAD, 101 * S);
    cr_assert_not(health_step(&g.health, g.members, 2, true, 200 * S));
    g.update.health_check = (char *)(uintptr_t) "manual";
    health_begin(&g.health, first, &g.group, 100 * S);
    cr_assert_not(look(&g, 200 * S));
    cr_assert_eq(due(&g), 0);
    g.health = (struct health){0};
    cr_assert_not(look(&g, 200 * S));
}

Test(health, counts_anew_for_another_deployment)
{
    struct group g;
    make(&g, GROUP_MAIN);
    set(&g, 0, TASK_RUNNING, 101 * S);
    set(&g, 1, TASK_RUNNING, 101 * S);
    cr_assert(look(&g, 111 * S));
    health_begin(&g.health, second, &g.group, 300 * S);
    cr_assert_eq(g.health.verdict, HEALTH_UNKNOWN);
    cr_assert_eq(due(&g), 310 * S);
    cr_assert_not(look(&g, 301 * S));
    cr_assert(look(&g, 310 * S));
}

Test(health, of_what_cannot_be_run_at_all_is_bad)
{
    struct group g;
    make(&g, GROUP_MAIN);
    cr_assert(health_step(&g.health, g.members, 0, false, 100 * S));
    cr_assert_eq(g.health.verdict, HEALTH_BAD);
}

Test(health, goes_on_after_it_was_saved_and_read_back)
{
    struct arena *a = arena_new(1 << 16);
    struct health back;
    struct group g;
    make(&g, GROUP_MAIN);
    health_load(&back, health_save(a, &g.health), &g.group);
    cr_assert_eq(memcmp(&back, &g.health, sizeof back), 0);
    set(&g, 0, TASK_RUNNING, 101 * S);
    set(&g, 1, TASK_RUNNING, 101 * S);
    cr_assert(look(&g, 111 * S));
    g.health.told = true;
    health_load(&back, health_save(a, &g.health), &g.group);
    cr_assert_eq(memcmp(&back, &g.health, sizeof back), 0);
    g.health = (struct health){0};
    cr_assert_null(health_save(a, &g.health));
    health_load(&back, NULL, &g.group);
    cr_assert_not(back.watched);
    arena_free(a);
}
