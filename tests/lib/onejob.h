/* A little world for tests of the scheduler: some nodes, one job and its allocations, and what
 * apply would make of a plan. It trusts nothing: a plan that gives out what is not there fails the
 * test. */
#ifndef TESTS_ONEJOB_H
#define TESTS_ONEJOB_H

#include "base/arena.h"
#include "base/prng.h"
#include "jobstore.pb-c.h"
#include "sched/fleet.h"

#define ONEJOB_NODES  256
#define ONEJOB_PIECES 64 /* cores, or instances of devices, of one node */

struct onejob {
    struct arena *arena;
    size_t node_count;
    Pb__Node *nodes[ONEJOB_NODES];
    Pb__NodeUsage *usages[ONEJOB_NODES];
    Pb__JobView view;
    Pb__Eval eval;
    uint64_t index;
    uint32_t ids;
};

void onejob_init(struct onejob *c);
void onejob_fini(struct onejob *c);

Pb__KeyValue *a_pair(struct arena *a, const char *key, const char *value);
Pb__Constraint *a_constraint(struct arena *a, const char *left, const char *operand,
                             const char *right);
/* Ready, with a healthy raw_exec; ids are not in the order of making. */
Pb__Node *onejob_add_node(struct onejob *c, uint32_t cpu, uint32_t memory_mb, uint32_t disk_mb);
void node_set_attribute(struct onejob *c, Pb__Node *node, const char *key, const char *value);
/* One group "g" with one raw_exec task; replaces the job, as its next version. */
Pb__Job *onejob_set_job(struct onejob *c, const char *type, uint32_t count, uint32_t cpu,
                        uint32_t memory_mb);
/* A copy of the job as its next version, to be changed; the old one is kept among the versions. */
Pb__Job *onejob_next_version(struct onejob *c);
void group_add_port(struct onejob *c, Pb__TaskGroup *group, const char *label, uint32_t value);
Pb__Alloc *onejob_add_alloc(struct onejob *c, const char *group, uint32_t name_index,
                            const Pb__Node *node);

/* Writes the records into f, in an order that random decides; NULL: in order. */
void onejob_fill(const struct onejob *c, struct fleet *f, struct prng *random);
struct fleet *onejob_fleet(const struct onejob *c);
Pb__Plan *onejob_plan(struct onejob *c, struct arena *a);
/* Carries the plan out and checks that no node is over-committed and no port given twice. */
void onejob_apply(struct onejob *c, const Pb__Plan *plan);
/* The client says what has become of it. */
void onejob_end_alloc(struct onejob *c, Pb__Alloc *alloc, Pb__Alloc__ClientStatus status);
/* Wanted, and not terminal. */
size_t onejob_running(const struct onejob *c);
Pb__NodeUsage *onejob_usage(struct onejob *c, const uint8_t *node_id);

#endif
