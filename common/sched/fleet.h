/* What schedulers and planqueue know of the nodes: a structure of arrays, folded from Node and
 * NodeUsage records. Records are absolute, so they may come in any order and more than once.
 *
 * Nodes that differ in nothing but what is unique to them are of one *kind*: the same attributes,
 * meta, datacenter, pool, node class and drivers. What looks at nothing unique is decided once per
 * kind.
 *
 * A plan on its way is *held*: it counts as used until it is released, because it was refused, or
 * because the records have caught up with its commit. */
#ifndef SCHED_FLEET_H
#define SCHED_FLEET_H

#include "base/id.h"
#include "jobstore.pb-c.h"
#include "sched/fit.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fleet;
struct hold;

#define SLOT_NONE UINT32_MAX

struct fleet *fleet_new(void);
void fleet_free(struct fleet *f); /* and the holds that are left */

/* Forgets the records, before they are listed anew. Holds stay. */
void fleet_reset(struct fleet *f);
void fleet_set_node(struct fleet *f, const Pb__Node *node);
void fleet_set_usage(struct fleet *f, const Pb__NodeUsage *usage);
void fleet_remove_node(struct fleet *f, const uint8_t id[ID_SIZE]);
/* Whichever of these o is, or a node pool; others are ignored. */
void fleet_set_object(struct fleet *f, const Pb__Object *o);
/* The records are those of this index, or newer. */
void fleet_set_index(struct fleet *f, uint64_t index);
uint64_t fleet_index(const struct fleet *f);
size_t fleet_count(const struct fleet *f); /* of nodes known */

/* SLOT_NONE: unknown. A slot is a node's as long as the fleet lives. */
uint32_t fleet_slot(const struct fleet *f, const uint8_t id[ID_SIZE]);
bool fleet_node_is_down(const struct fleet *f, uint32_t slot);
bool fleet_node_is_ready(const struct fleet *f, uint32_t slot); /* and may get allocations */
/* NULL and "": the pool "default". */
const char *pool_or_default(const char *name);
/* How the jobs of this pool are placed where they do not say it themselves: "binpack", "spread", or
 * NULL, as everywhere. */
const char *fleet_pool_algorithm(const struct fleet *f, const char *pool);
/* What is left beside records and holds; below 0 where a node shrank. */
struct room {
    int64_t cpu, memory_mb, disk_mb;
};
struct room fleet_room(const struct fleet *f, uint32_t slot);
bool fleet_port_is_free(const struct fleet *f, uint32_t slot, uint32_t port);
/* Whether the node has all these cores and instances of devices, and they are free. displaces:
 * those that are used count as free, unless another plan holds them. */
enum fit fleet_grants_fit(const struct fleet *f, uint32_t slot, Pb__TaskGrant *const *grants,
                          size_t count, bool displaces);

/* The value of "attr.cpu.arch", "meta.rack", "node.datacenter", "node.unique.id" ...; NULL: the
 * node has none. */
const char *fleet_value(const struct fleet *f, uint32_t slot, const char *key);

struct hold *fleet_hold_new(struct fleet *f);
/* Counts the placement as used; one on an unknown node is skipped. */
void fleet_hold_add(struct fleet *f, struct hold *h, const Pb__Placement *p);
/* All of the plan's placements. */
struct hold *fleet_hold(struct fleet *f, const Pb__Plan *plan);
/* Takes h; NULL is harmless. */
void fleet_release(struct fleet *f, struct hold *h);

void fleet_check(const struct fleet *f); /* aborts if an invariant is broken */

#endif
