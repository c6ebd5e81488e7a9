/* A constraint or an affinity made ready to be asked of many nodes: its operator is known, its
 * sides are told apart into keys and literals, its regular expression is compiled. For the files of
 * this library. */
#ifndef SCHED_CONDITION_H
#define SCHED_CONDITION_H

#include "base/arena.h"
#include "sched/constraint.h"
#include "sched/pattern.h"
#include "sched/rows.h"

struct side {
    const char *text; /* the literal, or the key without its "${}" */
    bool is_key, is_unique;
};
struct condition {
    enum operand operand;
    struct side left, right;
    bool is_unique;          /* looks at what only one node has */
    struct pattern *pattern; /* of a literal right side */
    struct arena *arena;     /* where patterns go that a node's attribute spells */
};

/* Borrows the texts; lives in a. */
void condition_init(struct condition *c, struct arena *a, const char *left, const char *operand,
                    const char *right);
void condition_side(struct side *s, struct arena *a, const char *target);
/* What s means for a node; NULL: the node has no such thing. unique may be NULL. */
const char *condition_resolve(const struct side *s, const struct texts *kind,
                              const struct texts *unique);
/* unique NULL: of a condition that is not unique. */
bool condition_holds(const struct condition *c, const struct texts *kind,
                     const struct texts *unique);

#endif
