/* What jobs may choose a machine by beyond its amounts: NUMA nodes, network hardware, cgroups,
 * landlock. What a machine does not have or does not tell is no attribute. docs/attributes.md lists
 * them. */
#ifndef NODEAGENT_HARDWARE_H
#define NODEAGENT_HARDWARE_H

#include "fingerprint.h"

void hardware_describe(struct arena *a, const struct fingerprint_options *o, Pb__Node *node);

#endif
