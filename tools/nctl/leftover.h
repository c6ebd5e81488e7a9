/* What a dev suite leaves behind: running tasks, since they outlive nodeagent, and directories. */
#ifndef NCTL_LEFTOVER_H
#define NCTL_LEFTOVER_H

#include <stdint.h>

/* Asks every taskshim whose socket lies below dir to end its task, with TERM and KILL after
 * timeout_ms, and waits for them. Returns how many tasks it ended. */
int leftover_stop_tasks(const char *dir, uint32_t timeout_ms);
/* Counts them, and touches none. */
int leftover_count_tasks(const char *dir);
/* rm -r, following no symlink. */
void leftover_remove(const char *dir);

#endif
