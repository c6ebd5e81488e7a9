/* What the engine is asked to make of a task: the body of its request, but for the environment. */
#ifndef NODEAGENT_DRIVERS_DOCKBODY_H
#define NODEAGENT_DRIVERS_DOCKBODY_H

#include "driver.h"

/* Into spec, taskdock's: "create", "root", "own", "netns". */
enum err dockbody_put(const struct driver_ask *ask, json_t *spec, struct reason *why);

#endif
