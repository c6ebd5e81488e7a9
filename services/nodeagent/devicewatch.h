/* The operator's program that tells of devices (setting device_program): run at the start, then
 * every interval by a worker. What it prints replaces what it printed before; the servers hear of
 * it when it differs. While it fails, what it told last holds. */
#ifndef NODEAGENT_DEVICEWATCH_H
#define NODEAGENT_DEVICEWATCH_H

#include "nodeagent.h"

void devicewatch_begin(struct nodeagent *na); /* waits for the first run */
void devicewatch_start(struct nodeagent *na);
void devicewatch_end(struct nodeagent *na); /* waits for a run under way */

#endif
