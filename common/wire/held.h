/* Evaluations that wait for other jobs: what the state, the broker and the planqueue must agree on.
 */
#ifndef WIRE_HELD_H
#define WIRE_HELD_H

#include "types.pb-c.h"
#include <stdbool.h>

/* Blocked without ever having been planned: not for want of room, so no room wakes it. The state
 * makes it pending when the jobs it waits for have come so far. */
static inline bool eval_is_held(const Pb__Eval *e)
{
    return e->status == PB__EVAL__STATUS__BLOCKED && !e->has_snapshot_index;
}

#endif
