/* Tasks that were given cores have them for themselves: all others keep off these, as long as the
 * allocation lives. */
#ifndef NODEAGENT_PINNING_H
#define NODEAGENT_PINNING_H

#include "run.h"

/* Of a new run: remembers the cores of its tasks. */
void pinning_note(struct alloc_run *run, const Pb__Alloc *alloc);
void pinning_forget(struct alloc_run *run);
/* Moves the others, where what is given has changed. Costs nothing where nothing is given. */
void pinning_step(struct runner *r);
/* Where a task is to keep to, into *spec: its own cores, or what is left. Not OK: it was to have
 * cores of its own, and cannot. Texts live in a. */
enum err pinning_spec(const struct task_run *t, const Pb__Alloc *alloc, const Pb__Task *task,
                      struct arena *a, struct supervisor_spec *spec, struct reason *why);

#endif
