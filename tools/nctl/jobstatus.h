/* Jobs as people look at them. */
#ifndef NCTL_JOBSTATUS_H
#define NCTL_JOBSTATUS_H

#include "command.h"

/* All jobs, or one with its summary, deployment and allocations. */
int job_status_run(const struct args *args);
/* One, as the server has it. */
int job_inspect_run(const struct args *args);

#endif
