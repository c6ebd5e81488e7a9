/* The container engine, looked at now and then: whether it answers is the health of driver docker,
 * and images that tasks no longer use go. */
#ifndef NODEAGENT_DOCKWATCH_H
#define NODEAGENT_DOCKWATCH_H

#include "nodeagent.h"

/* What jobs may do with it, and where it is: before drivers are described. */
void dockwatch_prepare(struct nodeagent *na);
void dockwatch_start(struct nodeagent *na);
void dockwatch_end(struct nodeagent *na); /* waits for a look under way */

#endif
