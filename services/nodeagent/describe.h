/* What this node tells the servers of itself: from its settings and from what the machine is. */
#ifndef NODEAGENT_DESCRIBE_H
#define NODEAGENT_DESCRIBE_H

#include "nodeagent.h"

/* Names that jobs choose by, as they would be misread there. */
enum err describe_check_names(const struct nodeagent *na, struct reason *why);
/* Fills na->node, its id and secret aside; all in na->arena. */
enum err describe_node(struct nodeagent *na, struct reason *why);

#endif
