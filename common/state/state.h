/* The cluster's state: the schema on the store, one file per noun, and the feed of changes.
 *
 * A transaction (struct view) reads a frozen picture or, if opened for writing, changes it. Changes
 * are made between state_command_begin and state_command_end, one pair per committed command;
 * several commands may share a transaction. Indexes, node_usage, summaries, counts, table indexes
 * and the feed follow from what is put, here and nowhere else.
 *
 * Each record is stored as 8 bytes (the index of its last change, little endian) and the packed
 * message, so that lists and the feed need not decode. Decoded messages live in the arena the
 * caller gives. */
#ifndef STATE_STATE_H
#define STATE_STATE_H

#include "base/arena.h"
#include "base/err.h"
#include "jobstore.pb-c.h"
#include "store/store.h"
#include <stdbool.h>
#include <stdint.h>

struct state;
struct view;

/* Longer names do not fit into a key. Who takes jobs from outside refuses them. */
#define STATE_MAX_NAMESPACE 128
#define STATE_MAX_JOB_ID    320
#define STATE_VERSIONS_KEPT                                                                        \
    6 /* older versions of a job, besides those that live allocations run, and the newest stable   \
       */
#define STATE_NODE_EVENTS 10
#define STATE_TABLES      (PB__TABLE__NAME__SCALING_EVENTS + 1) /* of the feed, by Table.Name */

struct state_options {
    size_t map_bytes; /* 0: the store's default */
    bool read_only;
    uint64_t changes_kept;  /* keys in the feed; 0: 200,000 */
    uint64_t outcomes_kept; /* 0: 20,000 */
};

/* What is known of the state as a whole, at one index. */
struct state_meta {
    uint64_t applied_index, applied_term;
    int64_t last_time;      /* of the last command */
    uint64_t changes_low;   /* the feed is complete behind this index */
    uint64_t changes_count; /* keys in it */
    uint64_t outcomes_count;
    uint64_t table_index[STATE_TABLES]; /* last change, by Table.Name */
};

enum err state_open(struct state **out, const char *dir, const struct state_options *o,
                    struct reason *why);
void state_close(struct state *s);
struct store *state_store(struct state *s);

struct view *state_read(struct state *s);
struct view *state_write(struct state *s);
/* Takes v. On error nothing of it has happened. */
enum err view_commit(struct view *v, struct reason *why);
void view_abort(struct view *v);
/* Whether the store failed under it; nothing read since is worth anything. */
bool view_failed(const struct view *v);
const struct state_meta *view_meta(const struct view *v);

/* ---- commands */

/* request_id may be NULL (then no id can be derived). */
void state_command_begin(struct view *v, uint64_t index, uint64_t term, int64_t time,
                         const uint8_t *request_id);
void state_command_end(struct view *v);
/* Forgets what the command has put so far into node_usage, summaries and counts (nothing else may
 * have been put). */
void state_command_reset(struct view *v);
/* The statuses of the jobs that the command has changed, and what their parents count, as they are
 * now; state_command_end does it too. */
void state_settle_jobs(struct view *v);
struct arena *state_command_arena(struct view *v); /* ends with the command */
uint64_t state_command_index(const struct view *v);
int64_t state_command_time(const struct view *v);
/* The next fresh id of this command, in the command's arena. */
ProtobufCBinaryData state_fresh_id(struct view *v);

/* ---- jobs. ns NULL or "": "default" */

const char *namespace_or_default(const char *ns);
Pb__Job *state_job(struct view *v, struct arena *a, const char *ns, const char *id);
/* The current version or a kept one. */
Pb__Job *state_job_version(struct view *v, struct arena *a, const char *ns, const char *id,
                           uint64_t version);
/* Makes job the current version when the command ends; the one before, if its version differs, is
 * kept as an older one. Sets modify_index and status. create_index, version and job_modify_index
 * are the caller's. job lives as long as the command. */
void state_put_job(struct view *v, Pb__Job *job);
/* With its versions, summary and counts; evaluations and allocations stay. False: there was none.
 */
bool state_delete_job(struct view *v, const char *ns, const char *id);
Pb__JobSummary *state_summary(struct view *v, struct arena *a, const char *ns, const char *id);
/* The newest version that is stable, the current one included; NULL: none is. */
Pb__Job *state_stable_job(struct view *v, struct arena *a, const char *ns, const char *id);
/* Of the current version or a kept one; false: there is none. */
bool state_set_stable(struct view *v, const char *ns, const char *id, uint64_t version,
                      bool stable);
/* Where servers last made or changed an allocation of it; 0: never. */
uint64_t state_planned_index(struct view *v, const char *ns, const char *id);
/* Sets how many of each group wait to be placed; groups not named: 0. */
void state_set_queued(struct view *v, const char *ns, const char *id, size_t count,
                      Pb__CountOf *const *queued);

/* ---- evaluations */

Pb__Eval *state_eval(struct view *v, struct arena *a, const uint8_t *id);
/* Sets modify_index and modify_time; for a new one create_index and create_time too. An open one of
 * a job that waits for others becomes held. */
void state_put_eval(struct view *v, Pb__Eval *eval);
/* Neither pending nor blocked; its allocations have gone before. */
void state_delete_eval(struct view *v, const Pb__Eval *eval);

/* Those of type system or sysbatch that are not stopped, in order of their keys. ns and id live
 * during the visit, which changes no job. */
void state_each_system_job(struct view *v, void *self,
                           void (*visit)(void *self, const char *ns, const char *id));

/* ---- children that wait for their turn (max_running of a parameterized job), by priority, then
 * age. Only during a command. */

#define DESCRIBE_QUEUED "waits for its turn"
/* A child that was put by this command and has no evaluation. One that is put later ends the
 * waiting. */
void state_queue_child(struct view *v, Pb__Job *child);
uint64_t state_queue_length(struct view *v, const char *ns, const char *parent);
/* Children that are not dead and do not wait for their turn, as of the last state_settle_jobs. */
uint64_t state_children_at_work(struct view *v, const char *ns, const char *parent);
/* A child whose turn it is, of a parent that the command has changed; it stays in the queue until
 * an evaluation of it is put. False: none. ns and child live as long as the command. */
bool state_next_turn(struct view *v, const char **ns, const char **child);
/* The child that was dispatched with this token, in a. NULL: none that is kept. */
const char *state_child_of_token(struct view *v, struct arena *a, const char *ns,
                                 const char *parent, const char *token);

/* ---- jobs that wait for others (depends_on). state_put_eval holds what they are to be evaluated
 * for; see wire/held.h */

/* Why the job's dependencies cannot be: "...: a -> b -> a", in the command's arena. NULL: they can.
 */
const char *state_dependency_mistake(struct view *v, const Pb__Job *job);
/* Looks at the jobs that wait for those the command has changed, and lets go on what waits no more.
 * After state_settle_jobs. */
void state_open_gates(struct view *v);

/* ---- allocations */

/* Its node's resources are its own: it has not ended, and nobody has been given its place. */
bool alloc_uses_node(const Pb__Alloc *a);
bool alloc_has_ended(const Pb__Alloc *a); /* on its client: it uses the node no more */
bool alloc_is_wanted(const Pb__Alloc *a); /* desired to run, and not terminal */
Pb__Alloc *state_alloc(struct view *v, struct arena *a, const uint8_t *id);
/* A new one: sets all indexes and times. */
void state_add_alloc(struct view *v, Pb__Alloc *alloc);
/* old as it was read in this view; alloc differs from it in anything but id, job, group and node.
 * Sets modify_index and modify_time; by_server: alloc_modify_index too. */
void state_change_alloc(struct view *v, const Pb__Alloc *old, Pb__Alloc *alloc, bool by_server);
/* One that has ended, as it is stored; with its tasks. */
void state_delete_alloc(struct view *v, const Pb__Alloc *alloc);
Pb__AllocTasks *state_alloc_tasks(struct view *v, struct arena *a, const uint8_t *id);
void state_put_alloc_tasks(struct view *v, const Pb__AllocTasks *tasks);

/* ---- nodes */

Pb__Node *state_node(struct view *v, struct arena *a, const uint8_t *id);
/* Sets modify_index, and create_index of a new one; node_usage follows. */
void state_put_node(struct view *v, Pb__Node *node);
/* With what is known of its use. Its allocations stay; should it come back, theirs is counted
 * again.
 */
void state_delete_node(struct view *v, const uint8_t *id);
/* As the commands of this view left it; changed only through allocations and nodes. In the
 * command's arena during a command. NULL: no such node. */
Pb__NodeUsage *state_node_usage(struct view *v, struct arena *a, const uint8_t *id);
/* Takes or gives back room for later commands to see; state_add_alloc and state_change_alloc do
 * this themselves. For trying out: see state_command_reset. */
struct load {
    const Pb__Amount *amount;
    Pb__Port *const *ports;
    size_t port_count;
    Pb__TaskGrant *const *grants;
    size_t grant_count;
};
struct load alloc_load(const Pb__Alloc *a); /* what it takes of its node */
struct load placement_load(const Pb__Placement *p);
void usage_add(struct view *v, const uint8_t *node_id, struct load l);
void usage_remove(struct view *v, const uint8_t *node_id, struct load l);

/* ---- deployments */

Pb__Deployment *state_deployment(struct view *v, struct arena *a, const uint8_t *id);
/* The newest of the job's; NULL: it never had one. */
Pb__Deployment *state_latest_deployment(struct view *v, struct arena *a, const char *ns,
                                        const char *job_id);
/* Sets modify_index, and create_index of a new one. */
void state_put_deployment(struct view *v, Pb__Deployment *d);
void state_delete_deployment(struct view *v, const Pb__Deployment *d);

/* ---- namespaces and node pools, as they were put; scaling events of a job */

/* Namespace "default", and the pools "default" and "all", are there without having been put. */
bool state_has_namespace(struct view *v, const char *name);
bool state_has_node_pool(struct view *v, const char *name);
Pb__Namespace *state_namespace(struct view *v, struct arena *a, const char *name);
Pb__NodePool *state_node_pool(struct view *v, struct arena *a, const char *name);
/* Sets modify_index, and create_index of a new one. name is no longer than STATE_MAX_NAMESPACE. */
void state_put_namespace(struct view *v, Pb__Namespace *n);
void state_put_node_pool(struct view *v, Pb__NodePool *p);
void state_delete_namespace(struct view *v, const char *name);
void state_delete_node_pool(struct view *v, const char *name);
/* NULL: none. They go with the job. */
Pb__ScalingEvents *state_scaling_events(struct view *v, struct arena *a, const char *ns,
                                        const char *job_id);
void state_put_scaling_events(struct view *v, Pb__ScalingEvents *e);

/* ---- walks: ids in order of creation */

struct walk {
    struct cursor cursor;
    uint8_t prefix[STORE_MAX_KEY];
    size_t prefix_len;
    bool started;
};
/* Of ALLOCS: by job, node or eval; of EVALS and DEPLOYMENTS: by job. name: the job's id; id: of
 * node or eval. after: NULL or the id behind which to go on. */
void walk_open(struct walk *w, struct view *v, Pb__Table__Name table, Pb__List__By by,
               const char *ns, const char *name, const uint8_t *id, const uint8_t *after);
const uint8_t *walk_next(struct walk *w); /* 16 bytes; NULL: the end */
void walk_close(struct walk *w);

/* ---- records as they are stored */

struct record {
    uint64_t modify_index;
    struct bytes message; /* packed; in the store */
};
/* Its keys are ids; else names. */
bool table_has_ids(Pb__Table__Name table);
/* key as in jobstore.proto; a missing part is refused (false). JOB_VERSIONS holds the older
 * versions only. */
bool state_record(struct view *v, const Pb__Key *key, struct record *out);
/* Of JOB_VERSIONS, or the current version if it is that one. */
bool state_version_record(struct view *v, const Pb__Key *key, struct record *out);
/* A whole table in order of its keys, behind `after` (NULL: from the start), of those that begin
 * with prefix (a key's first bytes; may be empty). */
struct scan {
    struct cursor cursor;
    uint8_t low[STORE_MAX_KEY], high[16];
    size_t low_len, prefix_len, high_len;
    bool started, skip_low;
    struct record record;
    Pb__Table__Name table;
};
void scan_open(struct scan *s, struct view *v, Pb__Table__Name table, const char *ns,
               const char *prefix, const Pb__Key *after);
bool scan_next(struct scan *s);
/* The key of the current record, in a. */
Pb__Key *scan_key(const struct scan *s, struct arena *a);
void scan_close(struct scan *s);

/* ---- the feed */

struct change {
    uint64_t index;
    Pb__Table__Name table;
    Pb__Key key;
    char text[STATE_MAX_NAMESPACE + STATE_MAX_JOB_ID + 2]; /* what key points to */
    uint8_t id[16];
};
struct change_walk {
    struct cursor cursor;
    uint32_t tables;
    uint64_t index;
    size_t offset;
    bool started, end;
    uint64_t since;
};
/* Keys touched behind since, oldest first; one may come again. Only meaningful if since >=
 * changes_low. */
void change_walk_open(struct change_walk *w, struct view *v, uint64_t since, uint32_t tables);
bool change_walk_next(struct change_walk *w, struct change *out);
void change_walk_close(struct change_walk *w);

/* ---- the cluster itself */

/* Names of members, autopilot's configuration; empty in a new state. */
Pb__Cluster *state_cluster(struct view *v, struct arena *a);
void state_put_cluster(struct view *v, const Pb__Cluster *c);
/* Raft's members as of the last entry that set them, in raft's form; copied into out. 0: never set.
 */
size_t state_members(struct view *v, void *out, size_t room);
void state_put_members(struct view *v, const void *data, size_t len);

/* What is added to raft's index to get the index that this state counts by: a state restored from
 * a file goes on behind the indexes that its records name. */
uint64_t state_index_offset(struct view *v);

/* ---- a saved state on its way in: its bytes, in pieces by offset */

/* Makes a saved state (of another log) the state of this cluster as of the command in hand: its
 * records stay, readers of the feed list anew. */
void state_rebase(struct view *v, uint64_t index_offset, const void *members, size_t members_len);

void state_incoming_clear(struct view *v);
void state_incoming_put(struct view *v, uint64_t offset, const void *data, size_t len);
/* The piece at offset. False: none. Points into the store. */
bool state_incoming_at(struct view *v, uint64_t offset, struct bytes *out);

/* ---- outcomes by request */

Pb__Outcome *state_outcome(struct view *v, struct arena *a, const uint8_t *request_id);
void state_put_outcome(struct view *v, const uint8_t *request_id, const Pb__Outcome *outcome);

/* ---- for tests and tools */

/* Aborts where an invariant does not hold: usage is the sum of the live allocations, summaries and
 * counts are right, indexes and records agree, no node is over-committed, no port given twice. */
void state_check(struct view *v);
/* A hash of every table's bytes: two replicas at one index have the same. */
uint64_t state_digest(struct view *v);

#endif
