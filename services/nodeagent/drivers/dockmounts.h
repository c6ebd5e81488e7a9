/* What a container finds of the node: its task's directories, volumes, mounts and devices. */
#ifndef NODEAGENT_DRIVERS_DOCKMOUNTS_H
#define NODEAGENT_DRIVERS_DOCKMOUNTS_H

#include "driver.h"

/* Into host, the engine's HostConfig; own gets the paths below the task's directory that taskdock
 * is to look at (dock/owndir.h). */
enum err dockmounts_put(const struct driver_ask *ask, json_t *host, json_t *own,
                        struct reason *why);

#endif
