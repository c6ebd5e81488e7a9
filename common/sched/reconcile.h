/* What must change so that a job is as it was asked to be: which allocations to stop, which to take
 * over as they are, and which names still lack one. Where those go is not decided here.
 *
 * The rules, an allocation a line (the first that applies):
 *   job stopped, purged, group gone, or of an earlier job of this name   stop
 *   to stop, on a node that is down                                      it is lost
 *   to stop, or lost                                                     nothing: its name is free
 *   complete: batch and of this version                                  done: its name stays taken
 *             else                                                       nothing: its name is free
 *   failed: of this version, or service and its group is unchanged       done: its name stays taken
 *           else                                                         nothing: its name is free
 *   its node is down or gone                                             lost: stop and replace
 *   it is to migrate                                                     replace, same name
 *   of this version                                                      keep
 *   what touches the running task changed, or the node no longer suits   replace, same name
 *   else                                                                 update in place
 * More than count: the highest names go first. Fewer: the lowest free names are placed.
 *
 * Of a system or sysbatch job each group is to be once on each node that can run it, and a node
 * takes the part of a name. Other rules there: complete or failed: sysbatch and of this version
 * done: not on this node again failed: system and of this version done: likewise its node is down
 * or gone                                             lost: stop; nothing elsewhere of an older
 * version, and the node no longer suits                    stop two on one node the older stays A
 * node that gets no new allocations keeps what it has. */
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

struct wanted {
    uint32_t name_index;
    const Pb__Alloc *previous; /* the one it takes the place of; may be NULL */
    bool replaces;             /* previous still runs: stop it when this is placed */
    bool migrates;             /* replaces, since its node is being drained */
    const uint8_t *node_id;    /* there and nowhere else; NULL: anywhere */
};
struct group_changes {
    struct wanted *wanted; /* those that fill gaps come before those that replace; each by name */
    size_t wanted_count;
    const Pb__Alloc **staying; /* those that go on as they are, or updated in place */
    size_t staying_count;
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
};

/* Lives in a; borrows view. The same whatever the order of view's allocations. */
void reconcile(struct arena *a, const Pb__JobView *view, node_state_fn *node_state, void *owner,
               struct changes *out);

bool job_is_system(const Pb__Job *job); /* or sysbatch; NULL is not */

/* Of a job that job_is_system. nodes: by group, the ids of those that can run it, in order. */
struct group_nodes {
    const uint8_t **ids;
    size_t count;
};
void reconcile_system(struct arena *a, const Pb__JobView *view, const struct group_nodes *nodes,
                      node_state_fn *node_state, void *owner, struct changes *out);

/* Whether a change from one to the other needs the tasks to be started anew. */
bool group_update_is_destructive(struct arena *a, const Pb__Job *was_job, const Pb__TaskGroup *was,
                                 const Pb__Job *now_job, const Pb__TaskGroup *now);

/* It may still use its node: wanted, or not yet known to have ended. */
bool alloc_is_live(const Pb__Alloc *alloc);
bool alloc_is_terminal(const Pb__Alloc *alloc); /* by what the client said */

#endif
