/* The shell of schedworker: one round after another. A round asks evalbroker for work (telling it
 * what became of the last), waits until the view of the nodes is new enough, fetches the jobs,
 * makes a plan for each (sched/sched.h), submits them all at once, and takes the results: committed
 * acknowledged with the next question partial, refused     stays in hand; planned again on a newer
 * view stale                the evaluation is read again: it has ended, or is planned anew What
 * cannot be brought to an end is given back. */
#ifndef SCHEDWORKER_SCHEDWORKER_H
#define SCHEDWORKER_SCHEDWORKER_H

#include "daemon/daemon.h"
#include "feed/feed.h"
#include "sched/fleet.h"
#include "schedworker/history.h"
#include "schedworker/where.h"

enum schedworker_metric {
    SCHEDWORKER_EVALS,
    SCHEDWORKER_PLANS,
    SCHEDWORKER_PLACEMENTS,
    SCHEDWORKER_REPLANNED,
    SCHEDWORKER_GIVEN_BACK,
    SCHEDWORKER_ANSWERS,
    SCHEDWORKER_IN_HAND,
    SCHEDWORKER_VIEW_INDEX,
    SCHEDWORKER_METRIC_COUNT,
};

enum phase {
    PHASE_IDLE,     /* a pause after something failed, or not started */
    PHASE_ASKING,   /* evalbroker for work */
    PHASE_VIEWING,  /* until the view is new enough */
    PHASE_FETCHING, /* jobs from jobstore */
    PHASE_SUBMITTING,
    PHASE_CHECKING, /* what became of stale evaluations */
};

struct schedworker {
    /* settings */
    const char *evalbroker, *planqueue, *jobstore, *jobstore_poll, *gateway, *servers, *types;
    uint64_t batch, max_changes, max_round_changes, max_attempts, wait_ms, view_timeout_ms,
        replay_plans, replay_bytes;

    bool idle_beside_leader;

    struct loop *loop;
    struct where *where;
    struct client *broker, *queue, *store; /* NULL: it is not known yet who leads */
    struct feed *feed;
    struct fleet *fleet;
    struct history *history;
    char **type_names;
    size_t type_count;

    enum phase phase;
    struct link works;   /* evaluations in hand, in order of coming */
    struct link ended;   /* to be told to evalbroker: acknowledged or given back */
    struct link planned; /* committed plans that the view does not show yet */
    struct link asked;   /* questions to be answered: asked.h */
    size_t work_count, checks_open, asked_count;
    bool pause_wanted;   /* before the next round */
    uint64_t need_index; /* of the view, for this round */
    struct call *call;   /* the question to evalbroker: it may be taken back */
    struct timer timer;
    struct step step;
    struct metric metrics[SCHEDWORKER_METRIC_COUNT];
    bool elsewhere; /* we work for another server than our own */
    bool draining;
    void (*drained)(void *arg);
    void *drained_arg;
};

enum err schedworker_start(void *self, struct loop *l, struct reason *why);
void schedworker_drain(void *self, void (*drained)(void *arg), void *arg);
void schedworker_close(void *self);
void schedworker_summary_log(void *self);
struct metric *schedworker_metrics(void *self, size_t *count);

#endif
