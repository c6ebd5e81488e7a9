/* Which drivers can work on this machine, and why others cannot: looked at once, at the start. */
#ifndef NODEAGENT_HOST_H
#define NODEAGENT_HOST_H

#include "cgroup.h"
#include "drivers/driver.h"

/* Texts live in a. */
void host_look(struct arena *a, const struct cgroups *c, const char *shim, const char *chroot,
               struct driver_host *out);
/* Drivers and their attributes: driver.NAME = 1, or driver.NAME.unhealthy = why. */
void host_describe(struct arena *a, const struct driver_host *h, Pb__Node *node, int64_t now_ns);
/* Of one that is described already. reason: why it does not work; NULL: it does. */
void host_tell_driver(struct arena *a, const char *name, const char *reason, Pb__Node *node,
                      Pb__DriverInfo *info);

#endif
