/* Shared by the files of state; nobody else includes it. */
#ifndef STATE_INTERNAL_H
#define STATE_INTERNAL_H

#include "base/id.h"
#include "base/map.h"
#include "base/strbuf.h"
#include "state/state.h"
#include "wire/wire.h"

/* The store's tables. The first ones are the feed's tables, by Table.Name. */
enum {
    T_META = 0,
    T_JOBS = PB__TABLE__NAME__JOBS,
    T_JOB_VERSIONS = PB__TABLE__NAME__JOB_VERSIONS,
    T_SUMMARIES = PB__TABLE__NAME__JOB_SUMMARIES,
    T_EVALS = PB__TABLE__NAME__EVALS,
    T_ALLOCS = PB__TABLE__NAME__ALLOCS,
    T_ALLOC_TASKS = PB__TABLE__NAME__ALLOC_TASKS,
    T_NODES = PB__TABLE__NAME__NODES,
    T_NODE_USAGE = PB__TABLE__NAME__NODE_USAGE,
    T_DEPLOYMENTS = PB__TABLE__NAME__DEPLOYMENTS,
    T_NAMESPACES = PB__TABLE__NAME__NAMESPACES,
    T_NODE_POOLS = PB__TABLE__NAME__NODE_POOLS,
    T_SCALING_EVENTS = PB__TABLE__NAME__SCALING_EVENTS,
    T_JOB_COUNTS,
    T_EVALS_BY_JOB,
    T_ALLOCS_BY_JOB,
    T_ALLOCS_BY_NODE,
    T_ALLOCS_BY_EVAL,
    T_DEPLOYMENTS_BY_JOB,
    T_LATEST_DEPLOYMENT, /* by job: commands of one millisecond make ids in no order */
    T_OUTCOMES,
    T_OUTCOME_ORDER,
    T_CHANGES,
    T_SYSTEM_JOBS, /* keys only: those that each new node must hear of */
    T_INCOMING,
    T_QUEUE,      /* children that wait for their turn: parent, urgency, age -> the child's id */
    T_TOKENS,     /* idempotency tokens of dispatches: parent, hash -> the child's id */
    T_DEPENDENTS, /* keys only: hash of a job that is waited for, the one that waits */
    T_HELD,       /* of a job that waits for others: its held evaluation */
    T_COUNT,
};
#define FEED_TABLES STATE_TABLES
#define META_KEY    bytes_of("state", 5)

struct key {
    uint8_t data[STORE_MAX_KEY];
    size_t len;
};

/* What a job's status follows from; kept in T_JOB_COUNTS as it is. */
struct job_counts {
    uint64_t create_index;
    uint64_t stopped;
    uint64_t standing; /* runs until it is stopped: of type system, or one that makes other jobs */
    uint64_t status;   /* enum job_status, as stored in the job */
    uint64_t wanted;   /* allocations desired to run and not terminal */
    uint64_t allocs;
    uint64_t open_evals; /* pending or blocked */
    uint64_t evals;
    uint64_t planned_index; /* where servers last made or changed an allocation of it */
    uint64_t queued;        /* of a parent: children that wait for their turn */
    uint64_t turn;          /* of a child that waits for its turn: 1 + its priority */
    uint64_t gate;          /* 1: it waits for other jobs (depends_on) */
};

enum job_status { JOB_PENDING, JOB_RUNNING, JOB_DEAD };

/* One job as the command in hand changes it. */
struct job_edit {
    const char *ns, *id;
    struct job_counts counts;
    Pb__Job *job;            /* to be stored when the command ends; NULL: as it was */
    Pb__JobSummary *summary; /* NULL: not looked at */
    bool summary_changed, counts_changed, deleted;
    bool is_new; /* the command in hand makes it */
    struct job_edit *next;
};

/* One node's usage as the command in hand changes it. */
struct usage_edit {
    Pb__NodeUsage *usage;
    size_t ports_room;
    bool changed;
    struct usage_edit *next;
};

struct view {
    struct state *state;
    struct txn *txn;
    bool write;
    struct state_meta meta;
    /* the command in hand */
    struct arena *arena;
    uint64_t index, term;
    int64_t time;
    uint8_t request_id[ID_SIZE];
    bool has_request_id, in_command;
    uint32_t fresh;
    struct map *usages; /* node id -> struct usage_edit */
    struct usage_edit *usage_first,
        **usage_last; /* in order of first touch: that is what is replayed alike */
    struct map *jobs; /* job key -> struct job_edit */
    struct job_edit *job_first, **job_last;
    struct strbuf touched[FEED_TABLES];
    uint64_t touched_count[FEED_TABLES];
};

struct state {
    struct store *store;
    struct state_options options;
    struct view *spare; /* a writer's maps and arena are kept for the next one */
};

/* ---- keys.c */
bool key_job(struct key *k, const char *ns, const char *id);        /* false: too long or empty */
bool key_job_prefix(struct key *k, const char *ns, const char *id); /* of what lies below a job */
void key_add(struct key *k, const void *data, size_t len);
void key_add_u64(struct key *k, uint64_t v);
static inline struct bytes key_bytes(const struct key *k)
{
    return bytes_of(k->data, k->len);
}
static inline struct bytes id_bytes(const uint8_t *id)
{
    return bytes_of(id, ID_SIZE);
}

/* ---- state.c: records */
bool record_get(struct view *v, unsigned table, struct bytes key, struct record *out);
ProtobufCMessage *record_message(struct view *v, struct arena *a, unsigned table, struct bytes key,
                                 const ProtobufCMessageDescriptor *type);
/* Stores and notes the key for the feed. */
void record_put(struct view *v, unsigned table, struct bytes key, const ProtobufCMessage *message);
void record_del(struct view *v, unsigned table, struct bytes key);
void record_raw(struct view *v, unsigned table, struct bytes key, struct bytes message);

/* ---- job.c */
/* NULL: no such job, or the thing made at create_index belongs to an earlier one of that name. */
struct job_edit *job_edit(struct view *v, const char *ns, const char *id, uint64_t created);
void job_edits_flush(struct view *v);
/* Its summary, to be changed. */
Pb__JobSummary *summary_edit(struct view *v, struct job_edit *j);
void summary_move(struct view *v, struct job_edit *j, const char *group, const Pb__Alloc *from,
                  const Pb__Alloc *to);
void summary_remove(struct view *v, struct job_edit *j, const Pb__Alloc *a);
uint32_t *summary_bucket(Pb__GroupSummary *g, const Pb__Alloc *a);
bool counts_get(struct view *v, struct bytes job_key, struct job_counts *out);
enum job_status job_status_of(const struct job_counts *c);
extern const char *const job_status_names[];

/* ---- children.c. Harmless for a job that is no child, or whose parent is gone. */
void children_add(struct view *v, const Pb__Job *child, enum job_status status);
void children_drop(struct view *v, const Pb__Job *child, enum job_status status);
/* The queue of this parent has another length. */
void children_waiting(struct view *v, struct job_edit *parent);

/* The job as the command in hand has it so far; to be stored anew, or only to look at. NULL: the
 * transaction has failed. */
Pb__Job *job_edit_record(struct view *v, struct job_edit *j);
const Pb__Job *job_edit_peek(struct view *v, const struct job_edit *j);
const Pb__JobSummary *job_edit_summary(struct view *v, const struct job_edit *j);

/* ---- queue.c */
/* It waits no more; harmless if it did not. */
void queue_leave(struct view *v, struct job_edit *j);
void token_keep(struct view *v, const Pb__Job *child);
void token_forget(struct view *v, const Pb__Job *child);

/* ---- depend.c */
/* Before an evaluation of the job is stored: held if the job waits for others. */
void gate_hold(struct view *v, struct job_edit *j, Pb__Eval *eval);
/* After it: remembers the held one, and cancels one that another takes the place of. */
void gate_note(struct view *v, struct job_edit *j, const Pb__Eval *eval);
/* old NULL: the job is new. */
void gate_follow_job(struct view *v, struct job_edit *j, const Pb__Job *old, Pb__Job *job);
void gate_forget_job(struct view *v, struct job_edit *j, const Pb__Job *job);

/* ---- node.c */
void usage_edits_flush(struct view *v);

/* ---- pieces.c */
void pieces_add(struct view *v, Pb__NodeUsage *u, const struct load *l);
void pieces_remove(struct view *v, Pb__NodeUsage *u, const struct load *l);

/* ---- changes.c */
void changes_touch(struct view *v, unsigned table, struct bytes key);
void changes_flush(struct view *v);

#endif
