/* The shell of jobstore: sockets, waiting requests, and the replica behind them. */
#ifndef JOBSTORE_JOBSTORE_H
#define JOBSTORE_JOBSTORE_H

#include "base/list.h"
#include "daemon/daemon.h"
#include "replica.h"

struct jobstore {
    /* settings */
    const char *listen, *listen_poll, *data_dir;
    uint64_t poll_pause, map_size, log_size, disk_reserve, changes_kept, outcomes_kept;

    struct loop *loop;
    struct server *server, *poll_server;
    struct replica *replica;
    struct link writes; /* struct write, in order of their place in the log */
    struct link early;  /* struct write, before there is a leader */
    struct timer early_timer;
    struct link polls; /* struct poll */
    size_t poll_count;
    uint64_t polls_answered_ms; /* when readers were last told of something */
    struct timer polls_timer;
    struct link status_waiters; /* status.c */
    bool draining, caught_up;
    void (*drained)(void *arg);
    void *drained_arg;
};

enum err jobstore_open(void *self, struct loop *l, struct reason *why);
enum err jobstore_start(void *self, struct loop *l, struct reason *why);
void jobstore_drain(void *self, void (*drained)(void *arg), void *arg);
void jobstore_close(void *self);
void jobstore_summary(void *self);
struct metric *jobstore_metrics(void *self, size_t *count);

/* ---- status.c */
void status_answer(struct jobstore *js, struct request *req);
void status_look(struct jobstore *js); /* who leads may have changed */
void status_close(struct jobstore *js);

#endif
