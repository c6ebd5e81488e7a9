/* When an allocation that failed is placed anew, as its group's reschedule policy has it. */
#ifndef SCHED_RESCHEDULE_H
#define SCHED_RESCHEDULE_H

#include "base/arena.h"
#include "types.pb-c.h"
#include <stdint.h>

enum reschedule { RESCHEDULE_NEVER, RESCHEDULE_LATER, RESCHEDULE_NOW };

struct rescheduling {
    enum reschedule when;
    int64_t at, delay; /* ns; at: since 1970 */
};

/* eval_id: of the evaluation in hand; the one that an allocation waits for makes it due. policy may
 * be NULL: never, but for what an operator wants. */
struct rescheduling reschedule_of(const Pb__ReschedulePolicy *policy, const Pb__Alloc *failed,
                                  int64_t now, const uint8_t *eval_id);

/* What the allocation that takes its place remembers. Lives in a, borrows from failed. */
Pb__RescheduleTracker *reschedule_remember(struct arena *a, const Pb__ReschedulePolicy *policy,
                                           const Pb__Alloc *failed, int64_t now, int64_t delay);

#endif
