/* The shell around the broker: its socket, its view of jobstore, its timers. */
#ifndef EVALBROKER_EVALBROKER_H
#define EVALBROKER_EVALBROKER_H

#include "base/list.h"
#include "broker.h"
#include "daemon/daemon.h"
#include "feed/feed.h"
#include "feed/leadership.h"
#include "loop/loop.h"
#include "net/net.h"

struct evalbroker {
    /* settings */
    const char *listen, *jobstore, *jobstore_poll;
    uint64_t ack_timeout_ms, nack_delay_ms, follow_up_delay_ms;
    uint64_t max_deliveries, max_evals, max_workers;

    struct loop *loop;
    struct leadership *leadership;
    bool passive;          /* jobstore has said that it does not lead */
    struct broker *broker; /* NULL while it does not, or is not known to */
    struct server *server;
    struct client *client;
    struct feed *feed;
    bool listing;       /* the view is incomplete */
    struct link parked; /* workers waiting for evaluations, the longest waiting first */
    size_t parked_count;
    struct link questions; /* open ones, the oldest first: questions.c */
    size_t question_count;
    struct call *proposing; /* one APPLY at a time */
    struct step step;
    struct timer timer; /* the broker's next */
};

/* The next step serves whoever waits. */
void evalbroker_mark(struct evalbroker *eb);
void evalbroker_refuse_passive(struct request *req);

enum err evalbroker_open(void *self, struct loop *l, struct reason *why);
enum err evalbroker_start(void *self, struct loop *l, struct reason *why);
void evalbroker_close(void *self);
void evalbroker_summary(void *self);
struct metric *evalbroker_metrics(void *self, size_t *count);

#endif
