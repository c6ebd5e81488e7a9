/* What the files of reconcile share. For them alone.
 *
 * reconcile.c sorts a group's allocations out and fills its names, rollout.c says how fast a new
 * version may take the place of the old one, reconcile_system.c does it node by node. */
#ifndef SCHED_RECONCILER_H
#define SCHED_RECONCILER_H

#include "sched/reconcile.h"
#include "sched/reschedule.h"

enum verdict {
    FREE,            /* its name is free */
    DONE,            /* it has ended; its name stays taken */
    KEEP,            /* it goes on */
    HELD,            /* to be replaced, but not yet */
    STOP,            /* it is not needed */
    LOST,            /* its node is gone: its name is free */
    LOST_UNREPLACED, /* likewise, of what was to end anyhow */
    REPLACE,
    IN_PLACE,
    MIGRATE,
    MOVE_AWAY,  /* it leaves its node, and none takes its place elsewhere */
    RESCHEDULE, /* it failed: another takes its place now */
    WAIT,       /* it failed: later */
    AWAY,       /* its node is not heard of for now: its name is free */
    AWAY_HELD,  /* likewise, and nobody takes its place */
    CANARY,     /* of the deployment that goes on: it has no name of its own yet */
    CANARY_ANEW /* a canary that failed or must leave: another takes its place */
};

struct judged {
    const Pb__Alloc *alloc;
    enum verdict verdict;
    struct rescheduling rescheduling; /* RESCHEDULE, WAIT, CANARY_ANEW */
    bool turns_away;                  /* AWAY, and not said so yet */
};

struct reconciler {
    struct arena *arena;
    const Pb__JobView *view;
    const Pb__Job *job;
    bool batch;
    int64_t now;
    const uint8_t *eval_id;
    bool rolling;
    node_state_fn *node_state;
    void *owner;
    const Pb__Deployment *deployment; /* of the job as it is now; NULL: none yet */
    bool deploys;                     /* one is to be made */
    bool canarying;                   /* the group in hand: its older version runs on meanwhile */
    uint32_t *canaries;               /* by group: how many it is to have */
    struct changes *out;
    /* what is known of the view's versions for the group in hand */
    enum compared { UNCOMPARED, SAME, DESTRUCTIVE } * compared;
};

/* ---- reconcile.c */
void reconciler_init(struct reconciler *r, struct arena *a, const Pb__JobView *view,
                     const struct occasion *at, node_state_fn *node_state, void *owner,
                     struct changes *out);
struct judged *list_judged(struct reconciler *r, int (*compare)(const void *, const void *));
/* How many of those at from are of the same group. */
size_t same_group(const struct judged *j, size_t from, size_t count);
/* A version that is no longer known may have been anything: start anew. */
bool is_destructive(struct reconciler *r, const Pb__Alloc *alloc, const Pb__TaskGroup *group);
bool is_wanted(const Pb__Alloc *alloc);
bool is_running(enum verdict v);
bool takes_name(enum verdict v);
enum verdict judge_unneeded(struct reconciler *r, const Pb__Alloc *alloc, size_t place);
void stop_all(struct reconciler *r, struct judged *j, size_t count);
/* Writes down what becomes of each. */
void emit(struct reconciler *r, const struct judged *j, size_t count, struct group_changes *g);
/* Makes an evaluation at that time, and lets the allocation wait for it. */
void follow_up(struct reconciler *r, const Pb__Alloc *alloc, int64_t at, const char *trigger);

/* ---- rollout.c */

/* How far a group's update may go now. */
struct rollout {
    const Pb__UpdateStrategy *strategy; /* NULL: all at once */
    const Pb__DeploymentGroup *group;   /* of the deployment; NULL: none yet */
    bool halted;                        /* paused, or failed: nothing new */
    bool canarying;                     /* canaries first */
    uint32_t canaries;                  /* that are to be there */
    size_t limit;                       /* replacements */
};
/* The deployment that is about the job as it is now, whatever became of it. */
const Pb__Deployment *rollout_deployment(const Pb__JobView *view);
/* A canary of the deployment that goes on, and nobody has promoted it. */
/* The older version of the group goes on, since its canaries are not promoted yet. */
bool rollout_awaits_promotion(const struct reconciler *r, const Pb__TaskGroup *group);
bool rollout_is_canary(const struct reconciler *r, const Pb__Alloc *alloc);
void rollout_judge_canary(struct reconciler *r, struct judged *j, const Pb__TaskGroup *group,
                          size_t place);
/* When all of the group are judged, and so many names are free. */
void rollout_init(struct rollout *o, struct reconciler *r, const struct judged *j, size_t count,
                  size_t place, size_t gaps);
/* What is to be replaced beyond the limit waits. Returns what is left of it. */
size_t hold_back(struct judged *j, size_t count, size_t left);
void rollout_want_canaries(const struct rollout *o, struct reconciler *r, const struct judged *j,
                           size_t count, struct group_changes *g);
/* What becomes of the deployments. */
void rollout_finish(struct reconciler *r);

#endif
