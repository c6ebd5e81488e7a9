/* The shell of jobstore: sockets, waiting requests, and the replica behind them. */
#ifndef JOBSTORE_JOBSTORE_H
#define JOBSTORE_JOBSTORE_H

#include "base/list.h"
#include "daemon/daemon.h"
#include "discover.h"
#include "membership.h"
#include "replica.h"
#include "snapshots.h"
#include "transport.h"

struct jobstore {
    /* settings */
    const char *listen, *listen_poll, *data_dir;
    const char *listen_raft, *advertise_raft, *server_name, *region, *peers, *gossip;
    uint64_t poll_pause, map_size, log_size, disk_reserve, changes_kept, outcomes_kept;
    uint64_t tick_ms, election_ms, bootstrap_expect, dead_server_cleanup_ms;
    bool non_voting;

    char *name, *address; /* NAME.REGION; where other servers reach us, "" if nowhere */
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
    struct link status_waiters;  /* status.c */
    struct link reads;           /* struct read, for the leader's confirmation */
    uint64_t read_round;         /* the context of the reads being gathered */
    struct transport *transport; /* NULL: one server alone */
    struct discover *discover;
    struct snapshots *snapshots; /* NULL: alone */
    struct membership *membership;
    struct save *save; /* save.c */
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

/* ---- servers.c: what there is when there are others */
enum err servers_open(struct jobstore *js, struct reason *why);
void servers_start(struct jobstore *js);
void servers_close(struct jobstore *js);
void servers_send(void *self, const struct raft_message *m);
void servers_offer(void *self, uint64_t peer);

/* ---- save.c */
void save_read(struct jobstore *js, struct request *req);
void save_close(struct jobstore *js);

/* ---- schedreads.c */
void on_job_views(void *self, struct request *req);
void on_node_allocs(void *self, struct request *req);
void on_scheduler(void *self, struct request *req);
void on_collectable(void *self, struct request *req);
Pb__Reply__Code reply_code_of(enum err e);

/* ---- reads.c */
/* Runs read(js, req) when the answer may be given from the state of now: at once, or, if it must be
 * consistent, when a quorum has confirmed that this is the leader; or fails req. Takes req. */
void reads_when(struct jobstore *js, struct request *req, bool consistent,
                void (*read)(struct jobstore *js, struct request *req));
void reads_ready(struct jobstore *js, uint64_t round);
void reads_fail(struct jobstore *js);
void reads_close(struct jobstore *js);
/* NOT_LEADER, with the leader's address where it is known. Takes req. */
void fail_not_leader(struct jobstore *js, struct request *req, const char *why);

#endif
