#include "base/err.h"
#include "base/prng.h"
#include "nodeagent/group.h"
#include "nodeagent/task.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define S 1000000000ll

static const struct task_rules rules = {{1, 300 * S, S, false, false}, 5 * S, 0, 0};

static unsigned feed(struct task *t, enum task_input_kind kind, int64_t now_ns, int code)
{
    struct task_input in = {.kind = kind, .now_ns = now_ns, .exit_code = code, .text = "because"};
    unsigned todo = task_step(t, &in);
    task_check(t);
    return todo;
}

static const char *events_of(struct arena *a, const struct task *t)
{
    char *all = arena_strdup(a, "");
    for (size_t i = 0; i < t->event_count; i++)
        all = arena_printf(a, "%s%s%s", all, i == 0 ? "" : ",",
                           task_event_type_name(t->events[i].type));
    return all;
}

Test(task, runs_and_ends_well)
{
    struct arena *a = arena_new(1 << 20);
    struct task t;
    task_init(&t, &rules, S);
    cr_assert_eq(feed(&t, TASK_IN_BEGIN, 2 * S, 0), TASK_DO_LAUNCH | TASK_DO_REPORT);
    cr_assert_eq(feed(&t, TASK_IN_STARTED, 3 * S, 0), TASK_DO_REPORT);
    cr_assert_eq(feed(&t, TASK_IN_EXITED, 4 * S, 0), TASK_DO_RELEASE | TASK_DO_REPORT);
    cr_assert_eq(t.phase, TASK_DEAD);
    cr_assert(!t.failed && t.started_at == 3 * S && t.finished_at == 4 * S);
    cr_assert_str_eq(events_of(a, &t), "Received,Task Setup,Started,Terminated");
    task_fini(&t);
    arena_free(a);
}

Test(task, is_killed_in_every_phase)
{
    static const struct {
        int inputs[3], count;
        const char *events;
    } cases[] = {
        {{0}, 0, "Received,Killed"},
        {{TASK_IN_BEGIN}, 1, "Received,Task Setup,Started,Killing,Terminated,Killed"},
        {{TASK_IN_BEGIN, TASK_IN_STARTED},
         2,
         "Received,Task Setup,Started,Killing,Terminated,Killed"},
        {{TASK_IN_BEGIN, TASK_IN_STARTED, TASK_IN_EXITED},
         3,
         "Received,Task Setup,Started,Terminated,Restarting,Killed"},
    };
    struct arena *a = arena_new(1 << 20);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct task t;
        task_init(&t, &rules, S);
        for (int k = 0; k < cases[i].count; k++)
            feed(&t, (enum task_input_kind)cases[i].inputs[k], 2 * S, 1);
        feed(&t, TASK_IN_KILL, 3 * S, 0);
        feed(&t, TASK_IN_KILL, 3 * S, 0);
        feed(&t, TASK_IN_STARTED, 3 * S, 0);
        feed(&t, TASK_IN_EXITED, 4 * S, 130);
        cr_assert_eq(t.phase, TASK_DEAD, "case %zu", i);
        cr_assert(!t.failed);
        cr_assert_str_eq(events_of(a, &t), cases[i].events, "case %zu: %s", i, events_of(a, &t));
        task_fini(&t);
    }
    arena_free(a);
}

Test(task, restarts_at_its_users_wish_whatever_the_policy_says)
{
    static const struct task_rules never = {{0, 300 * S, S, false, false}, 5 * S, 0, 0};
    struct arena *a = arena_new(1 << 20);
    struct task t;
    task_init(&t, &never, S);
    cr_assert_eq(feed(&t, TASK_IN_RESTART, S, 0), 0, "it does not run yet");
    feed(&t, TASK_IN_BEGIN, 2 * S, 0);
    feed(&t, TASK_IN_STARTED, 3 * S, 0);
    cr_assert_eq(feed(&t, TASK_IN_RESTART, 4 * S, 0), TASK_DO_KILL | TASK_DO_REPORT);
    cr_assert_eq(feed(&t, TASK_IN_RESTART, 4 * S, 0), 0, "once is enough");
    struct task read_back;
    task_load(&read_back, &never, task_save(a, &t, "t"));
    cr_assert(read_back.restart_wanted, "an agent that begins anew has forgotten it");
    task_fini(&read_back);
    cr_assert_eq(feed(&t, TASK_IN_EXITED, 5 * S, 137),
                 TASK_DO_TIMER | TASK_DO_REPORT | TASK_DO_RELEASE);
    cr_assert_eq(t.timer_at_ns, 5 * S);
    cr_assert_eq(feed(&t, TASK_IN_TIMER, 5 * S, 0), TASK_DO_LAUNCH | TASK_DO_REPORT);
    feed(&t, TASK_IN_STARTED, 6 * S, 0);
    cr_assert(t.phase == TASK_RUNNING && t.restarts == 1);
    cr_assert_str_eq(events_of(a, &t), "Received,Task Setup,Started,Restart Signaled,Terminated,"
                                       "Restarting,Started");
    task_fini(&t);
    arena_free(a);
}

Test(task, stays_dead_when_it_is_killed_while_it_restarts)
{
    struct arena *a = arena_new(1 << 20);
    struct task t;
    task_init(&t, &rules, S);
    feed(&t, TASK_IN_BEGIN, 2 * S, 0);
    feed(&t, TASK_IN_STARTED, 3 * S, 0);
    feed(&t, TASK_IN_RESTART, 4 * S, 0);
    cr_assert_eq(feed(&t, TASK_IN_KILL, 4 * S, 0), TASK_DO_REPORT);
    cr_assert_eq(feed(&t, TASK_IN_KILL, 4 * S, 0), 0);
    feed(&t, TASK_IN_EXITED, 5 * S, 130);
    cr_assert(t.phase == TASK_DEAD && !t.failed);
    cr_assert_str_eq(events_of(a, &t), "Received,Task Setup,Started,Restart Signaled,Killing,"
                                       "Terminated,Killed");
    task_fini(&t);
    arena_free(a);
}

Test(task, fails_when_it_has_run_too_long_over_all_its_runs)
{
    struct arena *a = arena_new(1 << 20);
    struct task_rules r = rules;
    struct task t, again;
    r.max_run_ns = 10 * S;
    r.restart = (struct restart_policy){5, 300 * S, S, false, true};
    task_init(&t, &r, S);
    feed(&t, TASK_IN_BEGIN, S, 0);
    cr_expect_eq(feed(&t, TASK_IN_STARTED, 2 * S, 0), TASK_DO_REPORT | TASK_DO_TIMER);
    cr_expect_eq(t.timer_at_ns, 12 * S);
    cr_expect_eq(task_resume(&t), TASK_DO_TIMER);
    feed(&t, TASK_IN_EXITED, 5 * S, 1);
    feed(&t, TASK_IN_TIMER, 7 * S, 0);
    feed(&t, TASK_IN_STARTED, 7 * S, 0);
    cr_expect_eq(t.timer_at_ns, 12 * S, "since its first start");
    task_load(&again, &r, task_save(a, &t, "t"));
    cr_expect_eq(again.run_until_ns, 12 * S, "an agent that starts anew knows it");
    task_fini(&again);
    cr_expect_eq(feed(&t, TASK_IN_TIMER, 12 * S, 0), TASK_DO_KILL | TASK_DO_REPORT);
    cr_expect_str_eq(t.events[t.event_count - 2].text,
                     "It has run for its max_run_duration of 10s");
    feed(&t, TASK_IN_EXITED, 13 * S, 0);
    cr_expect(t.phase == TASK_DEAD && t.failed);
    task_fini(&t);
    arena_free(a);
}

Test(task, fails_for_good_when_its_disk_is_exceeded)
{
    static const struct {
        int inputs[3], count;
        unsigned todo;
        const char *events;
    } cases[] = {
        {{0}, 0, TASK_DO_REPORT, "Received,Disk Resources Exceeded,Killed"},
        {{TASK_IN_BEGIN},
         1,
         TASK_DO_REPORT,
         "Received,Task Setup,Disk Resources Exceeded,Started,Killing,Terminated,Killed"},
        {{TASK_IN_BEGIN, TASK_IN_STARTED},
         2,
         TASK_DO_KILL | TASK_DO_REPORT,
         "Received,Task Setup,Started,Disk Resources Exceeded,Killing,Terminated,Killed"},
        {{TASK_IN_BEGIN, TASK_IN_STARTED, TASK_IN_RESTART},
         3,
         TASK_DO_REPORT,
         "Received,Task Setup,Started,Restart Signaled,Disk Resources Exceeded,Terminated,Killed"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct arena *a = arena_new(1 << 20);
        struct task t;
        task_init(&t, &rules, S);
        for (int k = 0; k < cases[i].count; k++)
            feed(&t, (enum task_input_kind)cases[i].inputs[k], 2 * S, 0);
        cr_expect_eq(feed(&t, TASK_IN_DISK_EXCEEDED, 3 * S, 0), cases[i].todo, "case %zu", i);
        cr_expect_eq(feed(&t, TASK_IN_DISK_EXCEEDED, 3 * S, 0), 0u, "once is enough");
        feed(&t, TASK_IN_STARTED, 4 * S, 0);
        feed(&t, TASK_IN_EXITED, 5 * S, 0);
        cr_expect(t.phase == TASK_DEAD && t.failed, "case %zu", i);
        cr_expect_str_eq(events_of(a, &t), cases[i].events, "case %zu", i);
        task_fini(&t);
        arena_free(a);
    }
}

Test(task, waits_for_its_shutdown_delay)
{
    struct task_rules r = rules;
    struct task t;
    r.shutdown_delay_ns = 10 * S;
    task_init(&t, &r, S);
    feed(&t, TASK_IN_BEGIN, S, 0);
    feed(&t, TASK_IN_STARTED, S, 0);
    cr_assert(feed(&t, TASK_IN_KILL, 2 * S, 0) & TASK_DO_TIMER);
    cr_assert_eq(t.timer_at_ns, 12 * S);
    cr_assert(feed(&t, TASK_IN_TIMER, 12 * S, 0) & TASK_DO_KILL);
    cr_assert_eq(task_kill_timeout_left(&t, 14 * S), 3 * S);
    cr_assert_eq(task_kill_timeout_left(&t, 99 * S), 0);
    task_fini(&t);
}

Test(task, tells_what_nomad_tells)
{
    struct arena *a = arena_new(1 << 20);
    struct task t;
    task_init(&t, &rules, S);
    feed(&t, TASK_IN_BEGIN, S, 0);
    feed(&t, TASK_IN_STARTED, S, 0);
    feed(&t, TASK_IN_KILL, S, 0);
    struct task_input in = {.kind = TASK_IN_EXITED, .now_ns = 2 * S, .exit_code = 130, .signal = 2};
    task_step(&t, &in);
    Pb__TaskState *s = task_state(a, &t, "server");
    static const char *const told[] = {
        "Task received by client",   "Building Task Directory",
        "Task started by client",    "Sent interrupt. Waiting 5s before force killing",
        "Exit Code: 130, Signal: 2", "Task successfully killed",
    };
    cr_assert_eq(s->n_events, COUNT_OF(told));
    for (size_t i = 0; i < COUNT_OF(told); i++)
        cr_assert_str_eq(s->events[i]->display_message, told[i]);
    cr_assert_str_eq(s->events[3]->details[0]->key, "kill_timeout");
    cr_assert_str_eq(s->events[3]->details[0]->value, "5s");
    cr_assert_eq(s->events[4]->n_details, 3);
    cr_assert_str_eq(s->events[4]->details[0]->key, "exit_code");
    cr_assert_str_eq(s->events[4]->details[0]->value, "130");
    task_fini(&t);
    arena_free(a);
}

/* Whatever comes in whatever order: the invariants hold, and what is saved is what is read. */
Test(task, any_inputs_keep_it_whole)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct arena *a = arena_new(64 << 20);
        struct prng p;
        struct task t, again;
        prng_seed(&p, seed);
        struct task_rules r = {{(uint32_t)prng_below(&p, 3), 100 * S, S, prng_below(&p, 2) == 1,
                                prng_below(&p, 2) == 1},
                               5 * S,
                               prng_below(&p, 2) == 1 ? S : 0,
                               prng_below(&p, 2) == 1 ? 20 * S : 0};
        task_init(&t, &r, S);
        for (int i = 0; i < 60; i++) {
            struct task_input in = {
                .kind = (enum task_input_kind)prng_below(&p, TASK_IN_UNHEARD + 1),
                .now_ns = (i + 2) * S,
                .random = prng_next(&p),
                .text = "text",
                .recoverable = prng_below(&p, 2) == 1,
                .exit_code = (int32_t)prng_below(&p, 2),
            };
            if (in.kind == TASK_IN_KILL && prng_below(&p, 4) != 0)
                continue;
            task_step(&t, &in);
            task_check(&t);
            Pb__LocalTask *saved = task_save(a, &t, "x");
            task_load(&again, &r, saved);
            task_check(&again);
            cr_assert(wire_equal(&saved->base, &task_save(a, &again, "x")->base), "seed %lu",
                      (unsigned long)seed);
            task_fini(&again);
        }
        task_fini(&t);
        arena_free(a);
    }
}

static struct task in_phase(enum task_phase phase, bool failed)
{
    return (struct task){.phase = phase, .failed = failed};
}

Test(group, status_is_terminal_only_when_all_are_dead)
{
    struct task run = in_phase(TASK_RUNNING, false), dead = in_phase(TASK_DEAD, false),
                bad = in_phase(TASK_DEAD, true), new = in_phase(TASK_NEW, false);
    const struct {
        const struct task *a, *b;
        Pb__Alloc__ClientStatus status;
        const char *text;
    } cases[] = {
        {&new, &new, PB__ALLOC__CLIENT_STATUS__PENDING, "No tasks have started"},
        {&run, &new, PB__ALLOC__CLIENT_STATUS__RUNNING, "Tasks are running"},
        {&run, &bad, PB__ALLOC__CLIENT_STATUS__RUNNING, "Tasks are running"},
        {&dead, &bad, PB__ALLOC__CLIENT_STATUS__FAILED, "Failed tasks"},
        {&dead, &dead, PB__ALLOC__CLIENT_STATUS__COMPLETE, "All tasks have completed"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct group_member m[] = {{cases[i].a, "a", false, GROUP_MAIN, true},
                                   {cases[i].b, "b", false, GROUP_MAIN, true}};
        struct group_status s = group_status(m, 2);
        cr_assert_eq(s.status, cases[i].status, "case %zu", i);
        cr_assert_str_eq(s.description, cases[i].text);
    }
}

Test(group, the_leader_goes_first_and_a_failure_takes_all)
{
    struct task run = in_phase(TASK_RUNNING, false), dead = in_phase(TASK_DEAD, false),
                bad = in_phase(TASK_DEAD, true);
    struct group_kill kill;
    struct group_member m[] = {{&run, "side", false, GROUP_MAIN, true},
                               {&run, "main", true, GROUP_MAIN, true}};
    cr_assert(!group_must_kill(m, 2, 0, true, &kill) && group_must_kill(m, 2, 1, true, &kill));
    m[1].task = &dead;
    cr_assert(group_must_kill(m, 2, 0, true, &kill) && kill.why == TASK_IN_KILL);
    cr_assert(group_must_kill(m, 2, 0, false, &kill) && kill.why == TASK_IN_LEADER_DEAD);
    m[1] = (struct group_member){&bad, "main", false, GROUP_MAIN, true};
    cr_assert(group_must_kill(m, 2, 0, false, &kill) && kill.why == TASK_IN_SIBLING_FAILED);
    cr_assert_str_eq(kill.sibling, "main");
    m[1].task = &dead;
    cr_assert(!group_must_kill(m, 2, 0, false, &kill));
}

/* One task of each role, in the order of enum group_role. */
static struct task everybody[GROUP_ROLES];
static struct group_member members[GROUP_ROLES];

static void all_new(void)
{
    for (int i = 0; i < GROUP_ROLES; i++) {
        everybody[i] = in_phase(TASK_NEW, false);
        members[i] = (struct group_member){&everybody[i], "x", false, (enum group_role)i, false};
    }
}

static void set(enum group_role role, enum task_phase phase)
{
    everybody[role].phase = phase;
    everybody[role].started_at = 1;
}

/* "MpP.." : a capital for each that may begin, of a group without a prestop task. */
static const char *may_begin(void)
{
    static char text[GROUP_PRESTOP + 1];
    for (size_t i = 0; i < GROUP_PRESTOP; i++)
        text[i] = group_may_begin(members, GROUP_PRESTOP, i, false) ? "MPpSsE"[i] : '.';
    return text;
}

Test(group, tasks_begin_in_the_order_of_their_hooks)
{
    all_new();
    cr_assert_str_eq(may_begin(), ".Pp...");
    set(GROUP_PRESTART, TASK_RUNNING);
    set(GROUP_PRESTART_SIDECAR, TASK_RUNNING);
    cr_assert_str_eq(may_begin(), ".Pp...");
    set(GROUP_PRESTART, TASK_DEAD);
    cr_assert_str_eq(may_begin(), "MPp...");
    set(GROUP_MAIN, TASK_RUNNING);
    cr_assert_str_eq(may_begin(), "MPpSs.");
    set(GROUP_MAIN, TASK_DEAD);
    cr_assert_str_eq(may_begin(), "MPp..E");
    everybody[GROUP_PRESTART].failed = true;
    cr_assert_eq(may_begin()[0], '.', "nothing follows a prestart that failed");
}

/* Likewise for each that must be killed. */
static const char *must_kill(bool stopping)
{
    static char text[GROUP_PRESTOP + 1];
    struct group_kill kill;
    for (size_t i = 0; i < GROUP_PRESTOP; i++)
        text[i] = group_must_kill(members, GROUP_PRESTOP, i, stopping, &kill) ? "MPpSsE"[i] : '.';
    return text;
}

Test(group, sidecars_end_with_the_main_tasks_and_poststop_runs_after_them)
{
    all_new();
    set(GROUP_PRESTART, TASK_DEAD);
    set(GROUP_PRESTART_SIDECAR, TASK_RUNNING);
    set(GROUP_MAIN, TASK_RUNNING);
    set(GROUP_POSTSTART, TASK_RUNNING);
    set(GROUP_POSTSTART_SIDECAR, TASK_RUNNING);
    cr_assert_str_eq(must_kill(false), "......");
    cr_assert_str_eq(must_kill(true), "M..S..", "sidecars serve the main task to its end");
    set(GROUP_MAIN, TASK_DEAD);
    cr_assert_str_eq(must_kill(false), "..pSs.");
    set(GROUP_POSTSTOP, TASK_RUNNING);
    cr_assert_str_eq(must_kill(true), "..pSs.");
    everybody[GROUP_MAIN].failed = true;
    cr_assert_str_eq(must_kill(false), "..pSs.");
}

Test(group, what_never_ran_needs_no_poststop)
{
    all_new();
    cr_assert_str_eq(must_kill(true), "MP.S..");
    everybody[GROUP_MAIN].phase = everybody[GROUP_PRESTART].phase = TASK_DEAD;
    cr_assert_str_eq(must_kill(true), "..pSsE");
}

static bool main_must_end(bool stopping)
{
    struct group_kill kill;
    return group_must_kill(members, GROUP_ROLES, GROUP_MAIN, stopping, &kill);
}

static bool prestop_must_end(bool stopping)
{
    struct group_kill kill;
    return group_must_kill(members, GROUP_ROLES, GROUP_PRESTOP, stopping, &kill);
}

Test(group, a_prestop_task_runs_before_the_main_task_is_told_to_end)
{
    all_new();
    set(GROUP_PRESTART, TASK_DEAD);
    set(GROUP_MAIN, TASK_RUNNING);
    cr_expect(!group_may_begin(members, GROUP_ROLES, GROUP_PRESTOP, false));
    cr_expect(!main_must_end(false) && !prestop_must_end(false));
    cr_expect(group_may_begin(members, GROUP_ROLES, GROUP_PRESTOP, true));
    cr_expect(!main_must_end(true), "it is about to begin");
    set(GROUP_PRESTOP, TASK_RUNNING);
    cr_expect(!main_must_end(true) && !prestop_must_end(true));
    set(GROUP_PRESTOP, TASK_DEAD);
    cr_expect(main_must_end(true));
}

Test(group, a_stop_waits_to_hear_whether_the_main_task_runs_if_there_is_a_prestop_task)
{
    all_new();
    set(GROUP_PRESTART, TASK_DEAD);
    everybody[GROUP_MAIN].phase = TASK_STARTING;
    cr_expect(main_must_end(true), "what is only prepared is given up");
    members[GROUP_MAIN].launched = true;
    cr_expect(!main_must_end(true) && !prestop_must_end(true));
    cr_expect(!group_may_begin(members, GROUP_ROLES, GROUP_PRESTOP, true));
    everybody[GROUP_MAIN].phase = TASK_WAITING; /* it did not start */
    cr_expect(main_must_end(true));
    everybody[GROUP_MAIN].phase = TASK_STARTING;
    everybody[GROUP_PRESTOP].phase = TASK_DEAD;
    cr_expect(main_must_end(true));
}

Test(group, without_a_main_task_that_runs_there_is_no_prestop)
{
    all_new();
    cr_expect(!group_may_begin(members, GROUP_ROLES, GROUP_PRESTOP, true));
    cr_expect(main_must_end(true));
    everybody[GROUP_MAIN].phase = TASK_DEAD;
    cr_expect(!group_may_begin(members, GROUP_ROLES, GROUP_PRESTOP, true));
    cr_expect(prestop_must_end(true) && prestop_must_end(false));
}
