/* A small cluster for tests: nodes, one job and its allocations, and what apply would make of a
 * plan. It trusts nothing: a plan that gives out what is not there fails the test. */
#ifndef TESTS_CLUSTER_H
#define TESTS_CLUSTER_H

#include "base/arena.h"
#include "base/prng.h"
#include "jobstore.pb-c.h"
#include "sched/fleet.h"

#define CLUSTER_MAX 256

struct cluster {
    struct arena *arena;
    size_t node_count;
    Pb__Node *nodes[CLUSTER_MAX];
    Pb__NodeUsage *usages[CLUSTER_MAX];
    Pb__JobView view;
    Pb__Eval eval;
    uint64_t index;
    uint32_t ids;
};

void cluster_init(struct cluster *c);
void cluster_fini(struct cluster *c);

Pb__KeyValue *a_pair(struct arena *a, const char *key, const char *value);
Pb__Constraint *a_constraint(struct arena *a, const char *left, const char *operand,
                             const char *right);
/* Ready, with a healthy raw_exec; ids are not in the order of making. */
Pb__Node *cluster_add_node(struct cluster *c, uint32_t cpu, uint32_t memory_mb, uint32_t disk_mb);
void node_set_attribute(struct cluster *c, Pb__Node *node, const char *key, const char *value);
/* One group "g" with one raw_exec task; replaces the job, as its next version. */
Pb__Job *cluster_set_job(struct cluster *c, const char *type, uint32_t count, uint32_t cpu,
                         uint32_t memory_mb);
/* A copy of the job as its next version, to be changed; the old one is kept among the versions. */
Pb__Job *cluster_next_version(struct cluster *c);
void group_add_port(struct cluster *c, Pb__TaskGroup *group, const char *label, uint32_t value);
Pb__Alloc *cluster_add_alloc(struct cluster *c, const char *group, uint32_t name_index,
                             const Pb__Node *node);

/* Writes the records into f, in an order that random decides; NULL: in order. */
void cluster_fill(const struct cluster *c, struct fleet *f, struct prng *random);
struct fleet *cluster_fleet(const struct cluster *c);
Pb__Plan *cluster_plan(struct cluster *c, struct arena *a);
/* Carries the plan out and checks that no node is over-committed and no port given twice. */
void cluster_apply(struct cluster *c, const Pb__Plan *plan);
/* The client says what has become of it. */
void cluster_end_alloc(struct cluster *c, Pb__Alloc *alloc, Pb__Alloc__ClientStatus status);
/* Wanted, and not terminal. */
size_t cluster_running(const struct cluster *c);
Pb__NodeUsage *cluster_usage(struct cluster *c, const uint8_t *node_id);

#endif
