/* Containers that an allocation left behind: taskdock takes its own away as it ends, but not when
 * it is killed. */
#ifndef NODEAGENT_CONTAINERS_H
#define NODEAGENT_CONTAINERS_H

#include "launch.h"

/* Nothing to make; when all tasks are dead, what is left of their containers goes. */
extern const struct alloc_step containers_step;

#endif
