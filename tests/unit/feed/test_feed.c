/* A feed of a jobstore that follows another: it may be asked for an index that it has not heard of
 * yet. */
#include "feed/feed.h"
#include "net/net.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BEHIND = 5, WANTED = 7, LATE_BY = 3 };

/* A jobstore at index BEHIND that hears of WANTED when it has been asked LATE_BY times. */
struct bed {
    struct loop *l;
    char dir[64], addr[104], poll_addr[104];
    struct server *server, *poll_server;
    struct feed *feed;
    unsigned asked;
    bool wanted, reached;
    struct timer deadline;
};

static void on_status(void *self, struct request *req)
{
    Pb__JobstoreStatus s = PB__JOBSTORE_STATUS__INIT;
    s.has_applied_index = true;
    s.applied_index = BEHIND;
    request_reply(req, &s.base, BEHIND);
}

static void on_changes(void *self, struct request *req)
{
    struct bed *b = self;
    Pb__ChangesReply r = PB__CHANGES_REPLY__INIT;
    r.has_reached = true;
    r.reached = ++b->asked < LATE_BY ? BEHIND : WANTED;
    request_reply(req, &r.base, r.reached);
}

static void on_gone(void *owner, struct request *req) {}

/* What changes is in none of the reader's tables: its long poll waits on. */
static void on_poll(void *self, struct request *req)
{
    request_park(req, on_gone, self);
}

static const struct method methods[] = {
    {PB__JOBSTORE__METHOD__STATUS, "status", &pb__status_wait__descriptor, on_status},
    {PB__JOBSTORE__METHOD__CHANGES, "changes", &pb__changes__descriptor, on_changes},
    {0, NULL, NULL, NULL},
};
static const struct method poll_methods[] = {
    {PB__JOBSTORE__METHOD__CHANGES, "changes", &pb__changes__descriptor, on_poll},
    {0, NULL, NULL, NULL},
};

static void on_object(void *self, const Pb__Object *o, uint64_t index) {}

static void on_synced(void *self, uint64_t index)
{
    struct bed *b = self;
    if (!b->wanted)
        feed_reach(b->feed, WANTED); /* once: the feed is told again of BEHIND */
    b->wanted = true;
    b->reached = index == WANTED;
    if (b->reached)
        loop_stop(b->l);
}

static void on_deadline(void *owner)
{
    struct bed *b = owner;
    loop_stop(b->l);
}

Test(feed, an_index_that_its_jobstore_hears_of_late_is_reached_soon)
{
    struct bed b = {.l = loop_new(), .dir = "/tmp/norn-feed-XXXXXX"};
    struct reason why;
    cr_assert_not_null(mkdtemp(b.dir));
    snprintf(b.addr, sizeof b.addr, "ipc://%s/s.sock", b.dir);
    snprintf(b.poll_addr, sizeof b.poll_addr, "ipc://%s/p.sock", b.dir);
    struct server_options o = {.methods = methods, .self = &b};
    struct server_options po = {.methods = poll_methods, .self = &b};
    cr_assert_eq(server_open(&b.server, b.l, b.addr, &o, &why), OK, "%s", why.text);
    cr_assert_eq(server_open(&b.poll_server, b.l, b.poll_addr, &po, &why), OK, "%s", why.text);
    struct feed_options fo = {.jobstore = b.addr,
                              .jobstore_poll = b.poll_addr,
                              .tables = FEED_TABLE(NODES),
                              .skip_list = true,
                              .self = &b,
                              .object = on_object,
                              .synced = on_synced};
    cr_assert_eq(feed_open(&b.feed, b.l, &fo, &why), OK, "%s", why.text);
    timer_arm(b.l, &b.deadline, 5000, on_deadline, &b);
    loop_run(b.l);
    cr_assert(b.reached, "asked %u times", b.asked);
    timer_cancel(b.l, &b.deadline);
    feed_close(b.feed);
    server_close(b.poll_server);
    server_close(b.server);
    loop_free(b.l);
    unlink(b.addr + 6);
    unlink(b.poll_addr + 6);
    rmdir(b.dir);
}
