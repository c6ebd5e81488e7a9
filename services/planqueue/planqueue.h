/* The shell of planqueue: takes plans, asks verify.h, commits what is accepted through jobstore,
 * several at a time, and answers when that is done. */
#ifndef PLANQUEUE_PLANQUEUE_H
#define PLANQUEUE_PLANQUEUE_H

#include "daemon/daemon.h"
#include "feed/feed.h"
#include "feed/leadership.h"
#include "sched/fleet.h"

enum planqueue_metric {
    PLANQUEUE_PLANS,
    PLANQUEUE_PARTIAL,
    PLANQUEUE_REFUSED,
    PLANQUEUE_STALE,
    PLANQUEUE_PLACEMENTS,
    PLANQUEUE_IN_FLIGHT,
    PLANQUEUE_WAITING,
    PLANQUEUE_COMMIT_MS,
    PLANQUEUE_METRIC_COUNT,
};

struct planqueue {
    /* settings */
    const char *listen, *jobstore, *jobstore_poll;
    uint64_t max_in_flight, max_waiting;

    struct loop *loop;
    struct server *server;
    struct client *store;
    struct leadership *leadership;
    struct feed *feed; /* NULL unless the jobstore beside us leads */
    bool passive;      /* it has said that it does not */
    struct fleet *fleet;
    struct link waiting;   /* submissions that are newer than our view, in order of coming */
    struct link flights;   /* plans being committed, in order of going */
    struct link committed; /* flights that our view does not show yet, by growing index */
    uint64_t waiting_count, flight_count;
    uint64_t newest_commit; /* index */
    struct metric metrics[PLANQUEUE_METRIC_COUNT];
    bool draining;
    void (*drained)(void *arg);
    void *drained_arg;
};

enum err planqueue_open(void *self, struct loop *l, struct reason *why);
enum err planqueue_start(void *self, struct loop *l, struct reason *why);
void planqueue_drain(void *self, void (*drained)(void *arg), void *arg);
void planqueue_close(void *self);
void planqueue_summary_log(void *self);
struct metric *planqueue_metrics(void *self, size_t *count);

#endif
