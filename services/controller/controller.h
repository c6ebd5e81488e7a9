/* The shell around what time makes happen: heartbeats, drains, launches, deadlines of deployments.
 */
#ifndef CONTROLLER_CONTROLLER_H
#define CONTROLLER_CONTROLLER_H

#include "daemon/daemon.h"
#include "collector.h"
#include "drainer.h"
#include "feed/feed.h"
#include "feed/leadership.h"
#include "heartbeat.h"
#include "launcher.h"
#include "loop/loop.h"
#include "net/net.h"
#include "timekeeper.h"

struct controller {
    /* settings */
    const char *listen, *jobstore, *jobstore_poll;
    uint64_t job_gc_interval_ms, job_gc_threshold_ms, eval_gc_threshold_ms,
        batch_eval_gc_threshold_ms, deployment_gc_threshold_ms, node_gc_threshold_ms;
    uint64_t min_heartbeat_ttl_ms, heartbeat_grace_ms, max_heartbeats_per_second;

    struct loop *loop;
    struct leadership *leadership;
    struct heartbeat *heartbeat; /* NULL unless the jobstore beside us leads */
    struct drainer *drainer;     /* likewise */
    struct collector *collector; /* likewise */
    struct launcher *launcher;   /* likewise */
    struct timekeeper *timekeeper;
    struct server *server;
    struct client *client;
    struct feed *feed;
    bool listing;           /* the view is incomplete */
    bool started;           /* the first listing is complete */
    struct call *proposing; /* one APPLY at a time */
    struct step step;
    struct timer timer;
    uint64_t heard; /* heartbeats */
};

enum err controller_open(void *self, struct loop *l, struct reason *why);
enum err controller_start(void *self, struct loop *l, struct reason *why);
void controller_close(void *self);
void controller_summary(void *self);
struct metric *controller_metrics(void *self, size_t *count);

#endif
