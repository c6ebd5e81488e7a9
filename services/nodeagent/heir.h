/* An allocation whose group has a sticky disk takes over what an earlier one left, before its first
 * task starts: by rename on this node; from another one, if the group says migrate, through the
 * servers (arrival.h). Failing that is an event, and its disk is empty. */
#ifndef NODEAGENT_HEIR_H
#define NODEAGENT_HEIR_H

#include "launch.h"

extern const struct alloc_step disk_step;

/* Whose disk the allocation is to take over, here or elsewhere: of those before it, the last that
 * had what there was to have. False: of nobody. */
bool heir_finds(struct runner *r, const Pb__Alloc *alloc, const Pb__TaskGroup *group,
                uint8_t from[16]);

/* Whether one that has not ended is still to take over what that one left. */
bool heir_is_due(const struct runner *r, const uint8_t from[16]);

/* At the start: an earlier agent was killed while a disk came, or before what was left was gone. */
void heir_clear(struct runner *r);

#endif
