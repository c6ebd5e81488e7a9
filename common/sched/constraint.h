/* Constraints: what a job demands of a node's attributes. This module knows operators and how a
 * target such as "${attr.cpu.arch}" is taken apart; where the values come from is the fleet's. */
#ifndef SCHED_CONSTRAINT_H
#define SCHED_CONSTRAINT_H

#include "types.pb-c.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "${...}" and its end. */
#define TARGET_LONGEST 512

enum operand {
    OPERAND_UNKNOWN,
    OPERAND_EQUAL,
    OPERAND_NOT_EQUAL,
    OPERAND_LESS,
    OPERAND_LESS_EQUAL,
    OPERAND_GREATER,
    OPERAND_GREATER_EQUAL,
    OPERAND_SET_CONTAINS_ALL,
    OPERAND_SET_CONTAINS_ANY,
    OPERAND_IS_SET,
    OPERAND_IS_NOT_SET,
    OPERAND_VERSION,
    OPERAND_SEMVER,
    OPERAND_REGEXP, /* what it matches is sched/pattern's */
    /* about the job's other allocations, not about the node alone */
    OPERAND_DISTINCT_HOSTS,
    OPERAND_DISTINCT_PROPERTY,
};

/* NULL and "" are "=", as in job files. */
enum operand operand_parse(const char *text);

/* Neither about the job's other allocations, nor unknown. */
bool operand_is_of_node(enum operand o);
/* The most allocations that may share a value: what distinct_property's right side says, 1 if it
 * says nothing. 0: it is no such number. */
uint32_t distinct_property_limit(const char *right);

/* "${attr.cpu.arch}" -> "attr.cpu.arch" in out. False: a literal, or longer than size. */
bool target_key(const char *target, char *out, size_t size);
/* The target looks at something that only one node has: "${attr.unique.hostname}",
 * "${node.unique.id}". */
/* A target that is no literal, and names nothing that a node could ever have: "${atr.kernel.name}",
 * "${attr.x". */
bool target_is_mistaken(const char *target);
bool target_is_unique(const char *target);

/* left and right: the resolved sides, NULL where the node has no such thing. Not for OPERAND_REGEXP
 * and those about other allocations. */
bool operand_holds(enum operand o, const char *left, const char *right);

/* "${attr.kernel.name} = linux", as shown to people; in out, cut when longer. */
void constraint_text(const Pb__Constraint *c, char *out, size_t size);

#endif
