/* Views of a jobstore process: whatever happens to it, a fold of the feed ends where a listing
 * does. */
#include "base/map.h"
#include "feed/feed.h"
#include "store_process.h"
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct store_process *p;
static struct loop *loop;

struct fold {
    struct feed *feed;
    struct map *versions; /* of jobs; job id -> version + 1 as a pointer */
    uint64_t synced, until;
    unsigned resets;
    struct timer deadline;
};

static void begin(void)
{
    p = store_process_new();
    loop = loop_new();
}

static void end(void)
{
    loop_free(loop);
    store_process_free(p);
}

TestSuite(feed, .init = begin, .fini = end, .timeout = 60);

static void on_reset(void *self)
{
    struct fold *f = self;
    f->resets++;
    map_clear(f->versions);
}

static void on_object(void *self, const Pb__Object *o, uint64_t index)
{
    struct fold *f = self;
    if (o->deleted != NULL)
        map_remove(f->versions, o->deleted->name, strlen(o->deleted->name));
    else
        map_put(f->versions, o->job->id, strlen(o->job->id),
                (void *)(uintptr_t)(o->job->version + 1));
}

static void on_synced(void *self, uint64_t index)
{
    struct fold *f = self;
    cr_assert_geq(index, f->resets > 1 ? 0 : f->synced, "the view went back");
    f->synced = index;
    if (index >= f->until)
        loop_stop(loop);
}

static struct fold *fold_open(bool skip_list)
{
    struct reason why;
    struct fold *f = xcalloc(1, sizeof *f);
    f->versions = map_new();
    struct feed_options o = {.jobstore = p->addr,
                             .jobstore_poll = p->poll_addr,
                             .tables = FEED_TABLE(JOBS),
                             .skip_list = skip_list,
                             .self = f,
                             .reset = on_reset,
                             .object = on_object,
                             .synced = on_synced};
    cr_assert_eq(feed_open(&f->feed, loop, &o, &why), OK);
    return f;
}

static void fold_close(struct fold *f)
{
    feed_close(f->feed);
    map_free(f->versions);
    free(f);
}

static void on_deadline(void *owner)
{
    cr_assert_fail("the view does not get there");
}

static void fold_until(struct fold *f, uint64_t index)
{
    f->until = index;
    feed_reach(f->feed, index);
    timer_arm(loop, &f->deadline, 15000, on_deadline, f);
    if (f->synced < index || feed_index(f->feed) == 0)
        loop_run(loop);
    timer_cancel(loop, &f->deadline);
}

static uint64_t registered(const char *job, uint32_t count)
{
    struct response r = store_register(p, job, count, NULL);
    cr_assert_eq(r.code, PB__REPLY__CODE__OK, "%s", r.reason);
    return ((const Pb__Outcome *)r.body)->index;
}

static uint64_t version_of(struct fold *f, const char *job)
{
    return (uint64_t)(uintptr_t)map_get(f->versions, job, strlen(job));
}

Test(feed, a_view_lists_and_then_follows)
{
    cr_assert(store_process_start(p, NULL));
    uint64_t index = registered("before", 1);
    struct fold *f = fold_open(false);
    fold_until(f, index);
    cr_assert_eq(version_of(f, "before"), 1);
    index = registered("after", 1);
    fold_until(f, index);
    cr_assert_eq(version_of(f, "after"), 1);
    index = registered("after", 2);
    fold_until(f, index);
    cr_assert_eq(version_of(f, "after"), 2);
    cr_assert_eq(f->resets, 1);
    fold_close(f);
}

Test(feed, a_view_without_a_list_hears_only_what_is_new)
{
    cr_assert(store_process_start(p, NULL));
    uint64_t index = registered("before", 1);
    struct fold *f = fold_open(true);
    fold_until(f, index);
    index = registered("after", 1);
    fold_until(f, index);
    cr_assert_eq(version_of(f, "before"), 0);
    cr_assert_eq(version_of(f, "after"), 1);
    fold_close(f);
}

Test(feed, a_view_left_behind_lists_again)
{
    p->extra[0] = "--changes-kept";
    p->extra[1] = "10";
    cr_assert(store_process_start(p, NULL));
    struct fold *f = fold_open(false);
    fold_until(f, registered("first", 1));
    char name[16];
    uint64_t index = 0;
    for (unsigned i = 0; i < 30; i++) { /* nobody turns the loop meanwhile */
        snprintf(name, sizeof name, "job-%u", i);
        index = registered(name, 1);
    }
    fold_until(f, index);
    cr_assert_eq(map_count(f->versions), 31);
    cr_assert_eq(f->resets, 2);
    fold_close(f);
}

Test(feed, a_view_outlives_kills_of_jobstore)
{
    uint64_t index = 0;
    char name[16];
    cr_assert(store_process_start(p, NULL));
    struct fold *f = fold_open(false);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 20; i++) {
            snprintf(name, sizeof name, "job-%u", i);
            index = registered(name, 1 + round);
        }
        if (round % 2 == 0)
            fold_until(f, index);
        store_process_kill(p, SIGKILL);
        cr_assert(store_process_start(p, NULL));
    }
    fold_until(f, index);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "job-%u", i);
        cr_assert_eq(version_of(f, name), 5, "%s", name);
    }
    fold_close(f);
}

Test(feed, a_store_that_was_replaced_by_an_empty_one_is_listed_anew)
{
    char command[160];
    cr_assert(store_process_start(p, NULL));
    struct fold *f = fold_open(false);
    for (uint32_t i = 1; i < 10; i++)
        registered("old", i);
    fold_until(f, registered("old", 10));
    store_process_kill(p, SIGKILL);
    snprintf(command, sizeof command, "rm -rf %s", p->data);
    cr_assert_eq(system(command), 0);
    cr_assert(store_process_start(p, NULL));
    f->synced = 0;
    f->resets = 2; /* it may go back: it is another history */
    fold_until(f, registered("new", 1));
    cr_assert_eq(version_of(f, "new"), 1);
    cr_assert_eq(version_of(f, "old"), 0);
    fold_close(f);
}
