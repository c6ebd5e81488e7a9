/* Shared by apply's files, one per noun. */
#ifndef JOBSTORE_APPLY_INTERNAL_H
#define JOBSTORE_APPLY_INTERNAL_H

#include "apply.h"
#include "base/id.h"
#include "wire/wire.h"
#include <string.h>

/* What a refusal's reason reads from: the command's arena. */
void refuse(struct view *v, Pb__Outcome *out, Pb__Outcome__Code code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

void apply_job_register(struct view *v, const Pb__JobRegister *cmd, Pb__Outcome *out);
void apply_periodic_launch(struct view *v, const Pb__PeriodicLaunch *cmd, Pb__Outcome *out);
void apply_job_dispatch(struct view *v, const Pb__JobDispatch *cmd, Pb__Outcome *out);
void apply_job_deregister(struct view *v, const Pb__JobDeregister *cmd, Pb__Outcome *out);
void apply_job_revert(struct view *v, const Pb__JobRevert *cmd, Pb__Outcome *out);
void apply_job_stable(struct view *v, const Pb__JobStable *cmd, Pb__Outcome *out);
void apply_scaling_note(struct view *v, const Pb__ScalingNote *cmd, Pb__Outcome *out);
void apply_alloc_stop(struct view *v, const Pb__AllocStop *cmd, Pb__Outcome *out);
void apply_node_register(struct view *v, const Pb__NodeRegister *cmd, Pb__Outcome *out);
void apply_node_status(struct view *v, const Pb__NodeStatusUpdates *cmd, Pb__Outcome *out);
void apply_node_eligibility(struct view *v, const Pb__NodeEligibilitySet *cmd, Pb__Outcome *out);
void apply_node_drain(struct view *v, const Pb__NodeDrainSet *cmd, Pb__Outcome *out);
void apply_drain_step(struct view *v, const Pb__DrainStep *cmd, Pb__Outcome *out);
void apply_plan(struct view *v, const Pb__Plan *plan, Pb__Outcome *out);
void apply_eval_updates(struct view *v, const Pb__EvalUpdates *cmd, Pb__Outcome *out);
void apply_alloc_updates(struct view *v, const Pb__AllocUpdates *cmd, Pb__Outcome *out);
void apply_autopilot_set(struct view *v, const Pb__AutopilotSet *cmd, Pb__Outcome *out);
void apply_scheduler_set(struct view *v, const Pb__SchedulerSet *cmd, Pb__Outcome *out);
void apply_server_set(struct view *v, const Pb__ServerSet *cmd, Pb__Outcome *out);
void apply_node_evaluate(struct view *v, const Pb__NodeEvaluate *cmd, Pb__Outcome *out);
void apply_node_purge(struct view *v, const Pb__NodePurge *cmd, Pb__Outcome *out);
void apply_node_pool_set(struct view *v, const Pb__NodePoolSet *cmd, Pb__Outcome *out);
void apply_node_pool_delete(struct view *v, const Pb__NodePoolDelete *cmd, Pb__Outcome *out);
void apply_namespace_set(struct view *v, const Pb__NamespaceSet *cmd, Pb__Outcome *out);
void apply_namespace_delete(struct view *v, const Pb__NamespaceDelete *cmd, Pb__Outcome *out);
void apply_job_evaluate(struct view *v, const Pb__JobEvaluate *cmd, Pb__Outcome *out);
void apply_collect(struct view *v, const Pb__Collect *cmd, Pb__Outcome *out);
void apply_restore_part(struct view *v, const Pb__RestorePart *cmd, Pb__Outcome *out);

void apply_deployment_promote(struct view *v, const Pb__DeploymentPromote *cmd, Pb__Outcome *out);
void apply_deployment_pause(struct view *v, const Pb__DeploymentPause *cmd, Pb__Outcome *out);
void apply_deployment_fail(struct view *v, const Pb__DeploymentFail *cmd, Pb__Outcome *out);
void apply_alloc_health(struct view *v, const Pb__AllocHealth *cmd, Pb__Outcome *out);

#define MOST_SERVERS 64

/* A new pending evaluation with a fresh id, not yet put. job NULL: it is gone. */
Pb__Eval *eval_new(struct view *v, const char *ns, const char *job_id, const Pb__Job *job,
                   const char *triggered_by);

/* older, a version of the job, becomes its newest one, behind current. */
Pb__Job *job_register_again(struct view *v, const Pb__Job *current, const Pb__Job *older);
/* A job like its parent, new as of this command; not yet put. */
Pb__Job *job_make_child(struct view *v, const Pb__Job *parent, const char *id);

/* The jobs of one command that need looking at: each gets one evaluation. */
struct job_set;
struct job_set *job_set_new(struct view *v);
/* node: NULL, or the one whose change it is. */
void job_set_add(struct job_set *s, const char *ns, const char *job_id, const Pb__Node *node);
/* Makes the evaluations, in the order of adding; jobs_only: not for jobs that are gone or stopped.
 */
void job_set_evaluate(struct job_set *s, const char *triggered_by, bool jobs_only);
/* The ids of the evaluations it made, in the order of adding. */
void job_set_report(const struct job_set *s, Pb__Outcome *out);
void job_set_free(struct job_set *s);

/* ---- of namespaces and node pools: apply_namespace.c */
/* Letters, digits and what `others` has; of 1 to 128 bytes. */
bool space_name_is_valid(const char *name, const char *others);
/* Whether a job of this namespace (and, by pool, of this node pool) may still do something. Either
 * may be NULL: any. */
bool has_live_jobs(struct view *v, const char *ns, const char *pool);

/* Makes the pool if it is not there: of a node that names it, or of a job that goes back to it. */
void pool_make(struct view *v, const char *name);
/* Makes the pool that a node names, if it is new. False: refused. apply_pool.c */
bool node_joins_pool(struct view *v, const Pb__Node *n, Pb__Outcome *out);

/* ---- of nodes: apply_node.c */
void node_add_event(struct view *v, Pb__Node *n, const char *subsystem, const char *message);
/* Each job with something on the node that is still to run or to end. */
void node_add_jobs(struct view *v, const Pb__Node *n, struct job_set *jobs);
/* Those that are to run on each node have something to do on one that has become ready, or another.
 */
void node_add_system_jobs(struct view *v, const Pb__Node *n, struct job_set *jobs);

static inline bool has_id(protobuf_c_boolean has, ProtobufCBinaryData id)
{
    return has && id.len == ID_SIZE;
}
/* Text that is only read, where protobuf-c wants it mutable. */
static inline char *text(const char *s)
{
    return (char *)(uintptr_t)s;
}

#endif
