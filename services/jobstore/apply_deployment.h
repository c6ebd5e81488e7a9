/* What becomes of deployments: counting, and what follows from the counts, in the very entry that
 * changed them. */
#ifndef JOBSTORE_APPLY_DEPLOYMENT_H
#define JOBSTORE_APPLY_DEPLOYMENT_H

#include "apply_internal.h"

/* Ends one that is active, and stores it; one that is not stays as it is. words live as long as the
 * command. */
void deployment_end(struct view *v, Pb__Deployment *d, Pb__Deployment__Status status,
                    const char *words);
/* The job's active one is cancelled, if there is one; there are never two. */
void deployment_cancel(struct view *v, const char *ns, const char *job_id, const char *words);
/* What a failure has put in the place of its version; both NULL: nothing. */
struct fallback {
    const Pb__Job *target; /* the version that came back */
    const Pb__Job *job;    /* as the newest one */
};
/* Fails an active one: with rollback the job's newest stable version comes back if its
 * specification is another one. The description says so, or why not. */
struct fallback deployment_fail(struct view *v, Pb__Deployment *d, const char *words,
                                bool rollback);
/* Stores it with what follows from its counts while it runs: failure, promotion by itself, success.
 */
struct fallback deployment_settle(struct view *v, Pb__Deployment *d);
/* An evaluation of its job for its sake. job: as this command leaves it; NULL: it has not changed.
 */
const Pb__Eval *deployment_evaluate(struct view *v, const Pb__Deployment *d, const Pb__Job *job);

/* Placed canaries of the group that are healthy and still to run. */
uint32_t deployment_healthy_canaries(struct view *v, const Pb__DeploymentGroup *g);
/* Its canaries are allocations like others from now on. d, whose group it is, is not stored. */
void deployment_promote_group(struct view *v, Pb__Deployment *d, Pb__DeploymentGroup *g);

/* The deployments whose allocations a command judges: each is read once, and settled when all are
 * counted. */
struct verdicts;
struct verdicts *verdicts_new(struct view *v);
/* next is a copy of an allocation, to be stored by the caller: it gets its health, and counts. */
void verdicts_add(struct verdicts *r, Pb__Alloc *next, bool healthy, int64_t at);
/* As in the state, or as changed here so far; NULL: there is none. */
Pb__Deployment *verdicts_deployment(struct verdicts *r, const uint8_t *id);
/* Stores what was counted, settles it, and makes an evaluation for each where something follows. */
void verdicts_settle(struct verdicts *r);
void verdicts_free(struct verdicts *r);

#endif
