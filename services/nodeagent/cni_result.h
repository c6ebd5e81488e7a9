/* What CNI's plugins say of the network they made. Pure. */
#ifndef NODEAGENT_CNI_RESULT_H
#define NODEAGENT_CNI_RESULT_H

#include "base/arena.h"
#include "base/err.h"
#include "types.pb-c.h"

/* The interface in the allocation, its first address of each family, and names; all in a. NULL: it
 * is no result. */
Pb__NetworkStatus *cni_status(struct arena *a, const char *text, size_t len, struct reason *why);

#endif
