/* A cluster's state in a directory of its own, and short ways to put commands into it. Every
 * command is followed by state_check. */
#ifndef TESTS_CLUSTER_H
#define TESTS_CLUSTER_H

#include "apply.h"
#include "base/id.h"

struct cluster {
    char dir[64];
    struct state *state;
    struct arena *arena; /* of everything handed out */
    uint64_t index;
    int64_t time;
    bool unchecked;    /* skip state_check: for measuring */
    Pb__Command **log; /* every command so far, in order: the i-th has index i + 1 */
};

struct cluster *cluster_new(void);
struct cluster *cluster_new_with(const struct state_options *o);
void cluster_free(struct cluster *c);
void cluster_reopen(struct cluster *c, const struct state_options *o);

/* Ids that are equal for equal numbers. */
ProtobufCBinaryData id_of(struct cluster *c, const char *kind, uint32_t number);

/* Applies in a transaction of its own. request 0: a fresh request id. */
Pb__Outcome *cluster_apply(struct cluster *c, const Pb__Command *cmd, uint32_t request);

/* Applies the log of another one, up to `most` commands in each transaction. */
void cluster_replay(struct cluster *c, const struct cluster *from, unsigned most);

/* A service of one group "g" with one task. */
Pb__Job *a_job(struct cluster *c, const char *id, uint32_t count);
Pb__Node *a_node(struct cluster *c, uint32_t number, uint32_t cpu, uint32_t memory_mb);
Pb__Outcome *register_job(struct cluster *c, Pb__Job *job);
Pb__Outcome *deregister_job(struct cluster *c, const char *id, bool purge);
Pb__Outcome *register_node(struct cluster *c, Pb__Node *node);
Pb__Outcome *set_node_status(struct cluster *c, ProtobufCBinaryData id, Pb__Node__Status status);
/* A plan for the evaluation as it is now, empty, that completes it. */
Pb__Plan *a_plan(struct cluster *c, ProtobufCBinaryData eval_id);
/* port 0: none. */
void plan_place(struct cluster *c, Pb__Plan *p, ProtobufCBinaryData node_id, uint32_t cpu,
                uint32_t memory_mb, uint32_t port);
void plan_stop(struct cluster *c, Pb__Plan *p, ProtobufCBinaryData alloc_id, bool lost);
Pb__Outcome *apply_a_plan(struct cluster *c, Pb__Plan *p);
Pb__Outcome *update_alloc(struct cluster *c, ProtobufCBinaryData id,
                          Pb__Alloc__ClientStatus status);

/* Reading, in a view of its own. */
Pb__Job *get_job(struct cluster *c, const char *id);
Pb__Job *get_job_of(struct cluster *c, const char *ns, const char *id);
Pb__Eval *get_eval(struct cluster *c, ProtobufCBinaryData id);
Pb__Alloc *get_alloc(struct cluster *c, ProtobufCBinaryData id);
Pb__Node *get_node(struct cluster *c, ProtobufCBinaryData id);
Pb__NodeUsage *get_usage(struct cluster *c, ProtobufCBinaryData id);
Pb__JobSummary *get_summary(struct cluster *c, const char *id);
/* Ids by an index, oldest first; returns how many. */
size_t ids_by(struct cluster *c, Pb__Table__Name table, Pb__List__By by, const char *name,
              ProtobufCBinaryData id, ProtobufCBinaryData *out, size_t room);
uint64_t digest_of(struct cluster *c);

#endif
