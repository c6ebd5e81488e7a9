/* Which cores of the machine may be given to tasks whole, and which are left for all other tasks. A
 * set of cores is written as the kernel writes it: "0-3,8". */
#ifndef NODEAGENT_CORES_H
#define NODEAGENT_CORES_H

#include "base/arena.h"
#include "base/err.h"
#include "types.pb-c.h"
#include "wire/grant.h"
#include <stdbool.h>

struct core_set {
    uint64_t bits[CORES_MOST / 64];
};

bool core_set_parse(struct core_set *s, const char *text); /* "" is the empty set */
char *core_set_text(const struct core_set *s, struct arena *a);
void core_set_add(struct core_set *s, uint32_t core);
bool core_set_has(const struct core_set *s, uint32_t core);
uint32_t core_set_count(const struct core_set *s);
struct core_set core_set_without(const struct core_set *s, const struct core_set *other);
/* Those that the allocation's tasks were given. */
void core_set_add_grants(struct core_set *s, Pb__TaskGrant *const *grants, size_t count);

/* What tasks without cores of their own may run on: of the node's cores those that are not given;
 * where none is left, all of them. */
struct core_set cores_shared(const Pb__Node *node, const struct core_set *given);

/* Fills reservable_cores of *node with those that are online but reserved (setting reserved_cores),
 * and counts the reserved ones into node->reserved. online: as the kernel tells it. */
enum err cores_describe(struct arena *a, const char *online, const char *reserved, Pb__Node *node,
                        struct reason *why);

#endif
