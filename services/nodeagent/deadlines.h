/* Times of an allocation as a whole: how long its tasks may run (max_run_duration), how long they
 * run on when it is to stop (shutdown_delay), and when no server is heard
 * (stop_after_client_disconnect). */
#ifndef NODEAGENT_DEADLINES_H
#define NODEAGENT_DEADLINES_H

#include "run.h"

void deadlines_note(struct alloc_run *run, const Pb__TaskGroup *group);
/* Before the group is settled: tasks that have run too long are told. */
void deadlines_step(struct alloc_run *run);
/* It is to stop, and the time in which its tasks run on is over. */
bool deadlines_stop_now(struct alloc_run *run);
void deadlines_arm(struct alloc_run *run);
void deadlines_forget(struct alloc_run *run);

#endif
