/* Containers that an allocation left behind: taskdock takes its own away as it ends, but not when
 * it is killed. */
#ifndef NODEAGENT_CONTAINERS_H
#define NODEAGENT_CONTAINERS_H

#include "launch.h"
#include "usage.h"

/* Nothing to make; when all tasks are dead, what is left of their containers goes. */
extern const struct alloc_step containers_step;

/* Where the kernel counts what the container of a task that runs uses; texts in a. False: its
 * driver makes none, or it is not known; *out is as it was. */
bool containers_places(const struct task_run *t, struct arena *a, struct usage_places *out);
/* Of a task that has ended: what its exit code does not tell. The text lies in a. */
void containers_add_end(const struct task_run *t, struct arena *a, struct task_input *in);

#endif
