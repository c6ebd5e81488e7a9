#include "gateway/watch.h"
#include "base/err.h"
#include <criterion/criterion.h>
#include <string.h>

#define TABLE(name) (1u << PB__TABLE__NAME__##name)

struct seen {
    struct watchers *watchers;
    struct waiter waiter;
    unsigned wakes;
    bool leaves, returns;
};

static void wake(void *owner)
{
    struct seen *s = owner;
    s->wakes++;
    if (s->leaves || s->returns)
        watchers_remove(s->watchers, &s->waiter);
    if (s->returns)
        watchers_add(s->watchers, &s->waiter);
}

static void join(struct watchers *w, struct seen *s, struct watch_on on)
{
    s->watchers = w;
    s->waiter.on = on;
    s->waiter.wake = wake;
    s->waiter.owner = s;
    watchers_add(w, &s->waiter);
}

static void stop(void *owner)
{
    loop_stop(owner);
}

static void turn(struct loop *l)
{
    struct timer t = {0};
    timer_arm(l, &t, 1, stop, l);
    loop_run(l);
}

static void change_job(struct watchers *w, const char *namespace, const char *id)
{
    Pb__Job job = PB__JOB__INIT;
    Pb__Object o = PB__OBJECT__INIT;
    job.namespace_ = (char *)(uintptr_t) namespace;
    job.id = (char *)(uintptr_t)id;
    o.has_table = 1;
    o.table = PB__TABLE__NAME__JOBS;
    o.value_case = PB__OBJECT__VALUE_JOB;
    o.job = &job;
    watchers_object(w, &o);
}

Test(watch, a_waiter_hears_of_its_job_only)
{
    struct loop *l = loop_new();
    struct watchers *w = watchers_new(l);
    struct seen one = {0}, prefix = {0}, list = {0}, other_table = {0}, other_namespace = {0};
    join(w, &one, (struct watch_on){.tables = TABLE(JOBS), .namespace = "default", .job = "web"});
    join(w, &prefix, (struct watch_on){.tables = TABLE(JOBS), .job_prefix = "we"});
    join(w, &list, (struct watch_on){.tables = TABLE(JOBS) | TABLE(JOB_SUMMARIES)});
    join(w, &other_table, (struct watch_on){.tables = TABLE(EVALS)});
    join(w, &other_namespace, (struct watch_on){.tables = TABLE(JOBS), .namespace = "apps"});
    change_job(w, "default", "web");
    change_job(w, "default", "web"); /* many changes, one wake */
    change_job(w, "default", "db");
    turn(l);
    cr_expect_eq(one.wakes, 1);
    cr_expect_eq(prefix.wakes, 1);
    cr_expect_eq(list.wakes, 1);
    cr_expect_eq(other_table.wakes, 0);
    cr_expect_eq(other_namespace.wakes, 0);
    change_job(w, "default", "db");
    turn(l);
    cr_expect_eq(one.wakes, 1);
    cr_expect_eq(list.wakes, 2);
    watchers_free(w);
    loop_free(l);
}

Test(watch, ids_are_matched_by_range_and_deletions_by_key)
{
    struct loop *l = loop_new();
    struct watchers *w = watchers_new(l);
    struct seen in = {0}, out = {0};
    struct watch_on on = {.tables = TABLE(ALLOCS), .has_id = true};
    uint8_t id[ID_SIZE] = {0xab, 1};
    cr_assert(id_prefix_range("ab", on.low, on.high));
    join(w, &in, on);
    cr_assert(id_prefix_range("ac", on.low, on.high));
    join(w, &out, on);
    Pb__Key key = PB__KEY__INIT;
    Pb__Object o = PB__OBJECT__INIT;
    o.has_table = 1;
    o.table = PB__TABLE__NAME__ALLOCS;
    o.deleted = &key;
    key.id = (ProtobufCBinaryData){.len = ID_SIZE, .data = id};
    watchers_object(w, &o);
    turn(l);
    cr_expect_eq(in.wakes, 1);
    cr_expect_eq(out.wakes, 0);
    watchers_free(w);
    loop_free(l);
}

Test(watch, those_woken_may_leave_or_come_back)
{
    struct loop *l = loop_new();
    struct watchers *w = watchers_new(l);
    struct seen s[4] = {{0}, {.leaves = true}, {.returns = true}, {.leaves = true}};
    for (size_t i = 0; i < COUNT_OF(s); i++)
        join(w, &s[i], (struct watch_on){.tables = TABLE(JOBS)});
    watchers_all(w);
    turn(l);
    for (size_t i = 0; i < COUNT_OF(s); i++)
        cr_expect_eq(s[i].wakes, 1, "%zu", i);
    cr_expect_eq(watchers_count(w), 2);
    watchers_all(w);
    turn(l);
    cr_expect_eq(s[0].wakes, 2);
    cr_expect_eq(s[2].wakes, 2);
    cr_expect_eq(s[1].wakes, 1);
    watchers_free(w);
    loop_free(l);
}
