/* What must change so that a job is as it was asked to be: which allocations to stop, which to take
 * over as they are, and which names still lack one. Where those go is not decided here.
 *
 * The rules, an allocation a line (the first that applies):
 *   job stopped, purged, group gone, or of an earlier job of this name   stop
 *   a canary that nobody promoted: its deployment goes on                it stays beside the others
 *                                  else                                  stop
 *   to stop, on a node that is down                                      it is lost
 *   to stop, or lost                                                     nothing: its name is free
 *   complete: batch and of this version                                  done: its name stays taken
 *             else                                                       nothing: its name is free
 *   failed: neither of this version, nor of a service whose group is unchanged, nor of a group that
 *           waits for its canaries to be promoted                        nothing: its name is free
 *           the reschedule policy has a time for it, and that has come   replace, same name
 *                                                    and that will come  its name stays taken
 *           else                                                         done: its name stays taken
 *   its node is down or gone: disconnect.lost_after has not passed       unknown; its name is free,
 *                                                                        unless replace is false
 *                             its agent may not have ended it yet        unknown; its name stays
 *                             else                                       lost: stop and replace
 *   it is to migrate, or an operator stopped it                          replace, same name
 *   of this version                                                      keep
 *   what touches the running task changed, or the node no longer suits   replace, same name
 *   else                                                                 update in place
 * More than count: the highest names go first. Fewer: the lowest free names are placed. Two of one
 * name: the one of this version stays, then as disconnect.reconcile says, then the older.
 *
 * A service's group whose update.max_parallel is above 0 changes step by step, and a deployment
 * tells how far it is: of those to be replaced only so many are, as max_parallel leaves when free
 * names and new allocations that are not yet healthy are taken off; none while a new one is
 * unhealthy, or the deployment is paused, has failed or waits for its canaries to be promoted. Then
 * free names are only filled where an allocation was before; with canaries by its older version.
 *
 * Of a system or sysbatch job each group is to be once on each node that can run it, and a node
 * takes the part of a name. Other rules there:
 *   complete or failed: sysbatch and of this version                     done: not there again
 *   failed: system and of this version                                   done: not there again
 *   its node is down or gone                                             lost: nothing elsewhere
 *   of an older version, and the node no longer suits                    stop
 *   two on one node                                                      the older stays
 * A node that gets no new allocations keeps what it has. update.max_parallel and stagger: so many
 * are replaced within that time. */
#ifndef SCHED_RECONCILE_H
#define SCHED_RECONCILE_H

#include "base/arena.h"
#include "jobstore.pb-c.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum node_state {
    NODE_GOOD,
    NODE_LOST,       /* down, or no longer known */
    NODE_UNSUITABLE, /* runs, but the job as it is now could not be placed there */
};

/* Where reconcile learns of nodes. group is a place in job->task_groups. */
typedef enum node_state node_state_fn(void *owner, const Pb__Alloc *alloc, size_t group);

#define DESCRIBE_NOT_NEEDED "alloc not needed due to job update"
#define DESCRIBE_LOST       "alloc is lost since its node is down"
#define DESCRIBE_UPDATING   "alloc is being updated due to job update"
#define DESCRIBE_MIGRATING  "alloc is being migrated"
#define DESCRIBE_BLOCKED    "created to place remaining allocations"
#define DESCRIBE_FAILED     "alloc was rescheduled because it failed"
#define TRIGGER_FAILURE     "alloc-failure"
#define TRIGGER_ROLLING     "rolling-update"
#define TRIGGER_DISCONNECT  "max-disconnect-timeout"

/* When, and for which evaluation. */
struct occasion {
    int64_t now;            /* ns since 1970 */
    const uint8_t *eval_id; /* may be NULL */
    bool rolling; /* the evaluation that the last step of a system job's update asked for */
};

struct wanted {
    uint32_t name_index;
    const Pb__Alloc *previous; /* the one it takes the place of; may be NULL */
    bool replaces;             /* stop previous when this is placed */
    bool migrates;             /* replaces, since its node is being drained */
    bool rescheduled;          /* replaces, since it failed */
    bool canary;
    Pb__RescheduleTracker *tracker;
    const Pb__Job *older;   /* place it as this version has it; NULL: the present one */
    const uint8_t *node_id; /* there and nowhere else; NULL: anywhere */
};
struct group_changes {
    struct wanted *wanted; /* those that fill gaps come before those that replace; each by name */
    size_t wanted_count;
    const Pb__Alloc **staying; /* those that go on as they are, or updated in place */
    size_t staying_count;
    struct wanted *older; /* those to be placed as an older version has them */
    size_t older_count;
    size_t held;   /* of those that stay: to be replaced later */
    bool deployed; /* what is placed or updated is part of the deployment */
};
/* An evaluation at a time, for the sake of an allocation (may be NULL). */
struct awaiting {
    const Pb__Alloc *alloc;
    int64_t at;
    const char *trigger;
};
struct stop {
    const Pb__Alloc *alloc;
    const char *description;
    bool lost;
};
struct changes {
    struct group_changes *groups; /* one for each of the job's groups */
    struct stop *stops;
    size_t stop_count;
    const Pb__Alloc **in_place;
    size_t in_place_count;
    const Pb__Alloc **unreachable; /* those to be called so from now on */
    size_t unreachable_count;
    struct awaiting *awaiting;
    size_t awaiting_count;
    Pb__Deployment *deployment;              /* to be made; NULL: none */
    Pb__DeploymentUpdate *deployment_update; /* of the one that is there; NULL: none */
};

/* Lives in a; borrows view. The same whatever the order of view's allocations. at NULL: at the
 * view's time. */
void reconcile(struct arena *a, const Pb__JobView *view, const struct occasion *at,
               node_state_fn *node_state, void *owner, struct changes *out);

bool job_is_system(const Pb__Job *job); /* or sysbatch; NULL is not */

/* Of a job that job_is_system. nodes: by group, the ids of those that can run it, in order. */
struct group_nodes {
    const uint8_t **ids;
    size_t count;
};
void reconcile_system(struct arena *a, const Pb__JobView *view, const struct occasion *at,
                      const struct group_nodes *nodes, node_state_fn *node_state, void *owner,
                      struct changes *out);

/* place may be NULL. */
const Pb__TaskGroup *find_group(const Pb__Job *job, const char *name, size_t *place);

/* It may still use its node: wanted, or not yet known to have ended. */
bool alloc_is_live(const Pb__Alloc *alloc);
bool alloc_is_terminal(const Pb__Alloc *alloc); /* by what the client said */

#endif
