/* What an isolated task may ask of the kernel: its capabilities, no new ones by exec, a filter of
 * system calls, and ulimits. Each is for the task's first process, before exec. libc only. */
#ifndef NODEAGENT_SHIM_CONFINE_H
#define NODEAGENT_SHIM_CONFINE_H

#include "shim.h"
#include <stdbool.h>

/* False: errno says why. */
bool confine_ulimits(const struct shim_spec *h);
/* Before the user is set: what no process of the task can ever get back. */
bool confine_bounding_set(void);
/* After the user is set. */
bool confine_self(void);

#endif
