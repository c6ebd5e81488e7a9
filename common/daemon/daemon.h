/* The skeleton of every daemon: arguments, settings, log, open, drop privileges, start, READY,
 * loop, drain, close, in that order. A daemon's main.c states what is particular to it and ends in
 * DAEMON_MAIN. */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include "base/err.h"
#include "base/log.h"
#include "daemon/settings.h"
#include "loop/loop.h"
#include "net/net.h"
#include <stddef.h>

/* ---- metrics: a static table of them per service, answered to METRICS by the skeleton */

struct metric {
    const char *name; /* "broker.ready" */
    Pb__Metric__Kind kind;
    const char *help;
    double value;
    uint64_t count;
    double min, max;
};
void metric_add(struct metric *m, double by);
void metric_set(struct metric *m, double value);
void metric_sample(struct metric *m, double value);

/* ---- the service */

struct service {
    const char *name;
    const char *summary; /* one line for --help */
    size_t
        size; /* of the service's struct: allocated cleared by the skeleton, settings filled in */
    const struct setting *settings;
    enum err (*open)(void *self, struct loop *l,
                     struct reason *why); /* with privileges: bind sockets, open files */
    enum err (*start)(void *self, struct loop *l,
                      struct reason *why); /* without: subscribe, arm timers */
    void (*drain)(void *self, void (*drained)(void *arg),
                  void *arg); /* after TERM: refuse new work, finish, call drained; NULL: at once */
    uint64_t (*drain_limit_ms)(const void *self); /* NULL: ten seconds */
    void (*close)(void *self);
    void (*summary_log)(void *self); /* on USR1; may be NULL */
    struct metric *(*metrics)(
        void *self,
        size_t *count); /* may be NULL; called before each answer, so gauges can be set */
};

/* 0 asked to stop, 1 failed, 2 bad usage or settings (do not restart), abort: a bug. */
int daemon_main(const struct service *s, int argc, char **argv);
/* For a shell that cannot go on: ends the process at once. In the simulator, where many daemons
 * share one, the daemon's own end comes after this turn of its loop: do nothing more in it. */
void daemon_end(int code);
/* The simulator runs many services in one process, and has a main of its own. */
#ifdef NORN_SIMULATOR
#define DAEMON_MAIN(service_)
#else
#define DAEMON_MAIN(service_)                                                                      \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return daemon_main(&(service_), argc, argv);                                               \
    }
#endif

/* Answers METRICS for the service in its method table: put DAEMON_METHODS into it. */
void daemon_on_metrics(void *self, struct request *req);
#define DAEMON_METHODS                                                                             \
    {                                                                                              \
        PB__DAEMON__METHOD__METRICS, "metrics", &pb__empty__descriptor, daemon_on_metrics          \
    }

#endif
