/* A round of schedworker: what its files share.
 *
 * asking.c asks evalbroker for work and tells what became of the last, planning.c fetches the jobs,
 * plans and takes the results; schedworker.c has the view of the nodes, leads from phase to phase
 * and is the daemon. */
#ifndef SCHEDWORKER_ROUND_H
#define SCHEDWORKER_ROUND_H

#include "evalbroker.pb-c.h"
#include "sched/sched.h"
#include "schedworker/others.h"
#include "schedworker/schedworker.h"

#define CALL_MS 20000 /* for a daemon to answer */

/* An evaluation in hand. */
struct work {
    struct link link;
    struct schedworker *worker;
    struct arena *arena; /* of eval */
    Pb__Eval *eval;
    uint64_t token;
    uint64_t min_index;    /* of the view to plan on */
    uint32_t attempts;     /* refused plans in a row */
    bool submitted;        /* in this round */
    bool last_plan;        /* the plan that was submitted ends the evaluation */
    bool check;            /* its plan was stale: read it again */
    struct others *others; /* what might be displaced for it; NULL: nobody has looked */
    struct hold *hold;     /* of the plan that was submitted */
    uint64_t plan_number;  /* of that plan, in history.h */
};

/* What evalbroker is still to be told. */
struct ending {
    struct link link;
    uint8_t eval_id[ID_SIZE];
    uint64_t token, index;
    bool ack;  /* or given back */
    bool told; /* in the question that is under way */
};

/* A committed plan counts beside the view until the view shows it. */
struct planned {
    struct link link;
    struct hold *hold;
    uint64_t number; /* in history.h */
    uint64_t index;
};

/* The next step of the loop does what the phase says. */
void round_go_on(struct schedworker *w, enum phase phase);
void round_pause(struct schedworker *w);

/* ---- evaluations in hand */

void work_set_eval(struct work *k, const Pb__Eval *eval);
void work_free(struct work *k);
/* The plan that was submitted is held no more. */
void work_release(struct work *k);
/* Takes k. ack: it is brought to an end, else it is given back. */
void work_end(struct work *k, bool ack, uint64_t index);
/* Given back when it has failed too often: k may be gone. */
void work_attempt_failed(struct work *k);
void work_give_all_back(struct schedworker *w);

/* ---- the phases */

void asking_start(struct schedworker *w);
/* Nothing is asked any more: what was told in the question under way is told again. */
void asking_cancel(struct schedworker *w);
void planning_start(struct schedworker *w);
void checking_start(struct schedworker *w);

#endif
