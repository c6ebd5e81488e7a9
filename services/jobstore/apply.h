/* Committed command + state -> state. Deterministic: no clock, no chance, no order of a hash table;
 * time and the seed of fresh ids come inside the command. A refusal is an outcome, equal on every
 * replica. */
#ifndef JOBSTORE_APPLY_H
#define JOBSTORE_APPLY_H

#include "command.pb-c.h"
#include "state/state.h"

/* One entry of the log, whole: its effects, its outcome by request, the feed, the applied index. A
 * request that has an outcome already gets that one and changes nothing. cmd NULL: an entry without
 * a command (a new leader's first). The answer lives until the next command of v begins. */
Pb__Outcome *apply(struct view *v, const Pb__Command *cmd, uint64_t index, uint64_t term);
/* An entry that sets raft's members: kept as it is. */
void apply_members(struct view *v, const void *data, size_t len, uint64_t index, uint64_t term);

/* A command that cannot be carried out for this reason: its outcome, and no other effect but that
 * the parts of a restore are forgotten. */
Pb__Outcome *apply_refused(struct view *v, const Pb__Command *cmd, uint64_t index, uint64_t term,
                           const char *reason);

#define RESTORE_PART_BYTES                                                                         \
    (512u << 10) /* of a saved state in one command; the last may be less                          \
                  */
/* How jobs are scheduled until somebody says otherwise. */
void scheduler_defaults(Pb__SchedulerConfig *s, struct arena *a);
/* What autopilot does until somebody says otherwise. */
void autopilot_defaults(Pb__Autopilot *a);

#endif
