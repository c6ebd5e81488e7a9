/* Where capacity appeared, by class of node: the part of the broker that decides which blocked
 * evaluations are worth another look. Nodes of one class answer every constraint alike
 * (types.proto, Node.computed_class), so what was found about one holds for all, and it is enough
 * to remember per class the index of the last change that freed something. */
#ifndef EVALBROKER_CAPACITY_H
#define EVALBROKER_CAPACITY_H

#include "types.pb-c.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct capacity;

struct capacity *capacity_new(void);
void capacity_free(struct capacity *c);

/* Present values, in order of their index. A node seen for the first time counts as new capacity.
 */
void capacity_put_node(struct capacity *c, const Pb__Node *node);
void capacity_drop_node(struct capacity *c, const uint8_t id[16]);
void capacity_put_usage(struct capacity *c, const Pb__NodeUsage *usage);
/* Around a full listing: nodes not put between the two are gone. */
void capacity_reload_begin(struct capacity *c);
void capacity_reload_end(struct capacity *c);

/* What an evaluation found out about classes; kept by whoever tracks the evaluation. */
struct findings;
struct findings *findings_new(struct capacity *c, Pb__ClassEligible *const *classes, size_t count);
void findings_free(struct capacity *c, struct findings *f);

/* The index of the last change that freed capacity on a class that may fit: one found eligible, one
 * never looked at, or any if escaped (a constraint looked at something unique). 0: nothing newer
 * than since. */
uint64_t capacity_freed_after(const struct capacity *c, const struct findings *f, bool escaped,
                              uint64_t since);
/* Of any class. */
uint64_t capacity_last_freed(const struct capacity *c);

void capacity_check(const struct capacity *c);

#endif
