/* Random lives of a group's tasks, second by second. Beside health, which is asked only when a task
 * has changed or when it said it would be due, a naive reader of the whole history says when what
 * should have been found. The seed is in each message. */
#include "base/err.h"
#include "base/prng.h"
#include "nodeagent/health.h"
#include <criterion/criterion.h>

#define S       1000000000ll
#define SECONDS 120
#define TASKS   4
#define SEEDS   3000

struct seen {
    bool good, bad;
    uint32_t starts; /* of all tasks, so far */
};

struct world {
    struct prng chance;
    size_t count;
    struct task tasks[TASKS];
    struct group_member members[TASKS];
    uint32_t starts;
    struct seen history[SECONDS];
    int min, deadline;
};

static bool flip(struct world *w, uint32_t in)
{
    return prng_below(&w->chance, in) == 0;
}

static void input(struct world *w, size_t i, struct task_input in)
{
    enum task_phase before = w->tasks[i].phase;
    task_step(&w->tasks[i], &in);
    task_check(&w->tasks[i]);
    w->starts += before != TASK_RUNNING && w->tasks[i].phase == TASK_RUNNING;
}

static bool move_task(struct world *w, size_t i, int second)
{
    struct task *t = &w->tasks[i];
    enum task_phase before = t->phase;
    struct task_input in = {.now_ns = second * S, .exit_code = flip(w, 3)};
    if (t->phase == TASK_NEW && group_may_begin(w->members, w->count, i, false))
        in.kind = TASK_IN_BEGIN;
    else if (t->phase == TASK_STARTING && flip(w, 2))
        in.kind = TASK_IN_STARTED;
    else if (t->phase == TASK_RUNNING &&
             flip(w, group_role_is_lasting(w->members[i].role) ? 60 : 3))
        in.kind = TASK_IN_EXITED;
    else if (t->phase == TASK_WAITING && t->timer_at_ns <= in.now_ns)
        in.kind = TASK_IN_TIMER;
    else
        return false;
    input(w, i, in);
    return before != t->phase;
}

static void look(struct world *w, int second)
{
    struct seen *s = &w->history[second];
    *s = (struct seen){.good = true, .starts = w->starts};
    for (size_t i = 0; i < w->count; i++) {
        const struct task *t = &w->tasks[i];
        enum group_role role = w->members[i].role;
        bool lasting = group_role_is_lasting(role);
        s->bad |= t->failed || (lasting && t->phase == TASK_DEAD);
        if (role != GROUP_POSTSTOP)
            s->good &= t->phase == (lasting ? TASK_RUNNING : TASK_DEAD) && !t->failed;
    }
}

/* By the history alone: good, and without a start, in each of the last min seconds. */
static enum health_verdict naive(const struct world *w, int now)
{
    if (w->history[now].bad)
        return HEALTH_BAD;
    if (now > w->deadline || now < w->min)
        return now >= w->deadline ? HEALTH_BAD : HEALTH_UNKNOWN;
    bool good = true;
    for (int s = now - w->min; s <= now; s++)
        good &= w->history[s].good && w->history[s].starts == w->history[now].starts;
    if (good)
        return HEALTH_GOOD;
    return now >= w->deadline ? HEALTH_BAD : HEALTH_UNKNOWN;
}

static void make(struct world *w, uint64_t seed)
{
    static const enum group_role others[] = {GROUP_MAIN, GROUP_PRESTART, GROUP_PRESTART_SIDECAR,
                                             GROUP_POSTSTART, GROUP_POSTSTOP};
    *w = (struct world){0};
    prng_seed(&w->chance, seed);
    w->count = 1 + prng_below(&w->chance, TASKS);
    w->min = (int)prng_below(&w->chance, 20);
    w->deadline = w->min + 1 + (int)prng_below(&w->chance, 60);
    for (size_t i = 0; i < w->count; i++) {
        enum group_role role =
            i == 0 ? GROUP_MAIN : others[prng_below(&w->chance, COUNT_OF(others))];
        struct task_rules rules = {
            {1, 300 * S, S, false, group_role_is_lasting(role)}, 5 * S, 0, 0};
        task_init(&w->tasks[i], &rules, 0);
        w->members[i] = (struct group_member){&w->tasks[i], "t", false, role, true};
    }
}

static void run(uint64_t seed, int found[3])
{
    static const uint8_t deployment[ID_SIZE] = {1};
    struct world w;
    struct health h;
    Pb__UpdateStrategy update = PB__UPDATE_STRATEGY__INIT;
    Pb__TaskGroup group = PB__TASK_GROUP__INIT;
    make(&w, seed);
    update.has_min_healthy_time_ns = true;
    update.min_healthy_time_ns = w.min * S;
    update.healthy_deadline_ns = w.deadline * S;
    group.update = &update;
    health_begin(&h, deployment, &group, 0);
    for (int second = 0; second < SECONDS; second++) {
        int64_t due = health_due_ns(&h, w.members, w.count);
        bool ask = second == 0 || (due != 0 && due <= second * S);
        for (size_t i = 0; i < w.count; i++)
            ask |= move_task(&w, i, second);
        look(&w, second);
        if (ask)
            health_step(&h, w.members, w.count, false, second * S);
        cr_assert_eq(h.verdict, naive(&w, second), "seed %llu second %d: %d, not %d",
                     (unsigned long long)seed, second, h.verdict, naive(&w, second));
        if (h.verdict != HEALTH_UNKNOWN)
            break;
    }
    found[h.verdict]++;
    for (size_t i = 0; i < w.count; i++)
        task_fini(&w.tasks[i]);
}

Test(health_property, is_found_at_the_second_at_which_the_history_shows_it, .timeout = 60)
{
    int found[3] = {0};
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(seed, found);
    cr_assert(found[HEALTH_GOOD] > SEEDS / 10 && found[HEALTH_BAD] > SEEDS / 10,
              "the lives are too much alike: %d good, %d bad", found[HEALTH_GOOD],
              found[HEALTH_BAD]);
}
