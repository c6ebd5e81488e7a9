/* What of the machine a task may use, by its resources and the keys cpu_hard_limit, pids_limit and
 * io_weight of its config. */
#ifndef NODEAGENT_DRIVERS_RESOURCES_H
#define NODEAGENT_DRIVERS_RESOURCES_H

#include "driver.h"

/* pids: where the config names no limit; 0: none. */
enum err resources_read(const struct driver_ask *ask, int64_t pids, struct shim_limits *l,
                        struct reason *why);

#endif
