/* What a task left behind when its taskshim was killed and no cgroup holds it: its processes are
 * known by their environment, which all of them inherited. */
#ifndef NODEAGENT_REMAINS_H
#define NODEAGENT_REMAINS_H

#include <stdint.h>

/* Kills every process with this task's NORN_ALLOC_ID and NORN_TASK_NAME until none is found, for at
 * most some tens of milliseconds. */
void remains_kill(const uint8_t alloc[16], const char *task);

#endif
