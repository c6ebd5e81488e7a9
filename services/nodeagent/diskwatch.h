/* Keeps allocations to the size of their ephemeral_disk: measures each in turn, beside the loop,
 * and ends the tasks of one that holds more. Of one with a project quota it asks the quota. */
#ifndef NODEAGENT_DISKWATCH_H
#define NODEAGENT_DISKWATCH_H

#include "loop/loop.h"
#include "runner.h"

struct diskwatch;

/* interval_ms 0: never. All borrowed. */
struct diskwatch *diskwatch_new(struct loop *l, struct runner *r, uint64_t interval_ms);
void diskwatch_free(struct diskwatch *w); /* before its runner */

#endif
