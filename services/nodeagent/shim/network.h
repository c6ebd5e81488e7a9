/* What a task has of a network of its own: namespace, host name, resolv.conf. libc only. */
#ifndef NODEAGENT_SHIM_NETWORK_H
#define NODEAGENT_SHIM_NETWORK_H

#include "spec.h"

/* Both: NULL, or what could not be done; errno says why. */
/* For taskshim itself, so that all it makes (a room's /sys) is of that namespace. It speaks to
 * nobody over a network, and sockets in directories know no namespaces. */
const char *network_enter(const struct spec_view *v);
/* For the task's process, while it has its rights: the host's name, and what it reads of DNS. A
 * room has brought the latter in itself. */
const char *network_take(const struct spec_view *v);

#endif
