#include "gateway/jobcache.h"
#include "gateway/outbox.h"
#include <criterion/criterion.h>
#include <string.h>

static Pb__Alloc an_alloc(uint8_t id[16], int n, uint64_t changed)
{
    memset(id, 0, 16);
    id[15] = (uint8_t)n;
    id[14] = (uint8_t)(n >> 8);
    Pb__Alloc a = PB__ALLOC__INIT;
    a.has_id = a.has_modify_index = a.has_alloc_modify_index = a.has_client_status = 1;
    a.id = (ProtobufCBinaryData){16, id};
    a.modify_index = a.alloc_modify_index = changed;
    a.client_status = PB__ALLOC__CLIENT_STATUS__PENDING;
    return a;
}

static bool put(struct outbox *o, int n, uint64_t changed)
{
    uint8_t id[16];
    Pb__Alloc a = an_alloc(id, n, changed);
    bool news = outbox_put(o, &a);
    outbox_check(o);
    return news;
}

Test(outbox, a_node_nothing_is_known_of_must_be_listed)
{
    struct outbox o = {.known = false};
    cr_assert_not(put(&o, 1, 5));
    cr_assert_not(outbox_confirm(&o, 4));
    outbox_begin(&o, 10);
    cr_assert_not(outbox_confirm(&o, 0), "it asks for everything");
    cr_assert_not(outbox_confirm(&o, 9), "what changed at 10 is not here");
    cr_assert(outbox_confirm(&o, 10));
    outbox_fini(&o);
}

Test(outbox, what_was_sent_stays_until_the_agent_asks_from_behind_it)
{
    struct outbox o = {.known = false};
    outbox_begin(&o, 10);
    cr_assert(put(&o, 1, 11));
    cr_assert(put(&o, 2, 12));
    cr_assert_not(put(&o, 3, 10), "it has that");
    cr_assert_not(put(&o, 1, 11), "the same again is no news");
    cr_assert(outbox_confirm(&o, 10), "the answer was lost");
    cr_assert_eq(o.count, 2);
    cr_assert(outbox_confirm(&o, 11));
    cr_assert_eq(o.count, 1);
    cr_assert(outbox_confirm(&o, 12));
    cr_assert_not(outbox_has_news(&o));
    outbox_fini(&o);
}

Test(outbox, who_falls_too_far_behind_is_listed)
{
    struct outbox o = {.known = false};
    outbox_begin(&o, 1);
    for (int i = 0; i < OUTBOX_MAX; i++)
        put(&o, i, 2);
    cr_assert(o.known);
    cr_assert(put(&o, OUTBOX_MAX, 3));
    cr_assert_not(o.known);
    cr_assert_not(outbox_confirm(&o, 2));
    outbox_fini(&o);
}

Test(outbox, a_listing_leaves_out_what_is_over_and_what_the_feed_knows_better)
{
    struct outbox o = {.known = false};
    uint8_t ids[3][16];
    outbox_begin(&o, 10);
    put(&o, 1, 12);
    Pb__Alloc old = an_alloc(ids[0], 1, 9), over = an_alloc(ids[1], 2, 9),
              live = an_alloc(ids[2], 3, 9);
    over.client_status = PB__ALLOC__CLIENT_STATUS__COMPLETE;
    outbox_put_listed(&o, &old);
    outbox_put_listed(&o, &over);
    outbox_put_listed(&o, &live);
    outbox_listed(&o);
    outbox_check(&o);
    cr_assert_eq(o.count, 2);
    cr_assert_eq(o.entries[0].alloc_modify_index, 12);
    cr_assert(o.full && outbox_has_news(&o));
    cr_assert(outbox_confirm(&o, 11));
    cr_assert_not(o.full);
    cr_assert_eq(o.count, 1);
    outbox_fini(&o);
}

static void put_job(struct jobcache *c, const char *id, uint64_t version)
{
    Pb__Job j = PB__JOB__INIT;
    j.id = (char *)id;
    j.has_version = j.has_create_index = 1;
    j.version = version;
    j.create_index = 7;
    jobcache_put(c, &j);
    jobcache_check(c);
}

static bool has_job(struct jobcache *c, const char *id, uint64_t version)
{
    struct arena *a = arena_new(1 << 20);
    struct job_ref ref = {"default", id, version, 7};
    Pb__Job *j = NULL;
    bool has = jobcache_get(c, ref, 100, a, &j) && j != NULL;
    cr_assert(!has || job_ref_equal(job_ref_of(j), ref));
    arena_free(a);
    return has;
}

Test(jobcache, the_least_recently_used_goes_first)
{
    struct jobcache *c = jobcache_new(2, 1 << 20);
    put_job(c, "a", 0);
    put_job(c, "b", 0);
    cr_assert(has_job(c, "a", 0));
    put_job(c, "c", 0);
    cr_assert(has_job(c, "a", 0));
    cr_assert_not(has_job(c, "b", 0));
    cr_assert_not(has_job(c, "a", 1), "another version is another job");
    jobcache_free(c);
}

Test(jobcache, that_a_job_does_not_exist_is_remembered_for_a_while)
{
    struct jobcache *c = jobcache_new(10, 1 << 20);
    struct job_ref ref = {"default", "a", 0, 7};
    Pb__Job *j;
    cr_assert_not(jobcache_knows(c, ref, 0));
    jobcache_put_missing(c, ref, 50);
    jobcache_check(c);
    cr_assert(jobcache_get(c, ref, 49, NULL, &j));
    cr_assert_null(j);
    cr_assert_not(jobcache_get(c, ref, 50, NULL, &j));
    put_job(c, "a", 0);
    cr_assert(has_job(c, "a", 0));
    jobcache_free(c);
}
