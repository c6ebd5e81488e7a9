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

#endif
