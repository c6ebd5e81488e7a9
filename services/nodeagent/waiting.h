/* An allocation that was given the place of others, or is to take over the disk of one, starts when
 * those have ended on this machine. */
#ifndef NODEAGENT_WAITING_H
#define NODEAGENT_WAITING_H

#include "run.h"

/* Of a new allocation: whom it waits for. group may be NULL. */
void waiting_note(struct alloc_run *run, const Pb__Alloc *alloc, const Pb__TaskGroup *group);
void waiting_forget(struct alloc_run *run); /* before it is freed */
/* Whether one of them still runs here. */
bool waiting_is_on(const struct alloc_run *run);
/* Something has ended: those that wait look again. */
void waiting_wake(struct runner *r);

#endif
