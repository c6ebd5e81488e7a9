#include "feeds.h"
#include "base/log.h"
#include "names.h"
#include "watch.h"
#include <stdlib.h>

#define AGENT_TABLES (FEED_TABLE(ALLOCS) | FEED_TABLE(NODES) | FEED_TABLE(JOBS))
#define READER_TABLES                                                                              \
    (FEED_TABLE(JOBS) | FEED_TABLE(JOB_SUMMARIES) | FEED_TABLE(EVALS) | FEED_TABLE(NAMESPACES) |   \
     FEED_TABLE(NODE_POOLS) | FEED_TABLE(DEPLOYMENTS) | FEED_TABLE(SCALING_EVENTS))
#define LINGER_MS 30000u

/* The feed of jobs and evaluations. */
struct readers {
    struct gateway *gateway;
    struct feed *feed; /* NULL while nobody waits */
    struct timer idle;
    bool synced;
};

static void on_reset(void *self)
{
    struct gateway *g = self;
    g->feed_synced = false;
    names_forget(g->names);
}

static void on_object(void *self, const Pb__Object *o, uint64_t index)
{
    struct gateway *g = self;
    agents_feed_object(g->agents, o);
    names_object(g->names, o);
    watchers_object(g->watchers, o);
}

static void on_synced(void *self, uint64_t index)
{
    struct gateway *g = self;
    if (!g->feed_synced) {
        g->feed_synced = true;
        agents_feed_reset(g->agents, index);
        watchers_all(g->watchers);
    }
    agents_feed_reached(g->agents, index);
}

static void on_connected(void *self, bool up, const char *why)
{
    struct gateway *g = self;
    g->jobstore_up = up;
    if (up)
        log_info("jobstore_up", "address=%s", g->jobstore);
    else
        log_warn("jobstore_down", "address=%s reason=%s", g->jobstore,
                 log_quote(why == NULL ? "" : why));
}

static void on_readers_reset(void *self)
{
    struct readers *r = self;
    r->synced = false;
}

static void on_readers_object(void *self, const Pb__Object *o, uint64_t index)
{
    struct readers *r = self;
    watchers_object(r->gateway->watchers, o);
}

/* What changed between a reader's first look and the feed's beginning was not seen. */
static void on_readers_synced(void *self, uint64_t index)
{
    struct readers *r = self;
    if (r->synced)
        return;
    r->synced = true;
    watchers_all(r->gateway->watchers);
}

static void on_idle(void *owner)
{
    struct readers *r = owner;
    struct gateway *g = r->gateway;
    if ((watchers_tables(g->watchers) & READER_TABLES) != 0) {
        timer_arm(g->loop, &r->idle, LINGER_MS, on_idle, r);
        return;
    }
    feed_close(r->feed);
    r->feed = NULL;
}

void feeds_want(struct gateway *g)
{
    struct readers *r = g->readers;
    if (r->feed != NULL || (watchers_tables(g->watchers) & READER_TABLES) == 0)
        return;
    struct feed_options o = {.jobstore = g->jobstore,
                             .jobstore_poll = g->jobstore_poll,
                             .tables = READER_TABLES,
                             .skip_list = true,
                             .pace_ms = 2,
                             .self = r,
                             .reset = on_readers_reset,
                             .object = on_readers_object,
                             .synced = on_readers_synced};
    struct reason why = {{0}};
    r->synced = false;
    if (feed_open(&r->feed, g->loop, &o, &why) != OK) {
        log_error("feed", "reason=%s", log_quote(why.text));
        r->feed = NULL; /* waiting reads then end by their time only */
        return;
    }
    timer_arm(g->loop, &r->idle, LINGER_MS, on_idle, r);
}

enum err feeds_open(struct gateway *g, struct reason *why)
{
    g->readers = xcalloc(1, sizeof(*g->readers));
    g->readers->gateway = g;
    struct feed_options o = {.jobstore = g->jobstore,
                             .jobstore_poll = g->jobstore_poll,
                             .tables = AGENT_TABLES,
                             .skip_list = true,
                             .pace_ms = 2,
                             .self = g,
                             .reset = on_reset,
                             .object = on_object,
                             .synced = on_synced,
                             .connected = on_connected};
    return feed_open(&g->feed, g->loop, &o, why);
}

void feeds_close(struct gateway *g)
{
    if (g->readers == NULL)
        return;
    timer_cancel(g->loop, &g->readers->idle);
    if (g->readers->feed != NULL)
        feed_close(g->readers->feed);
    if (g->feed != NULL)
        feed_close(g->feed);
    free(g->readers);
    g->readers = NULL;
}
