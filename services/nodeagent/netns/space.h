/* Network namespaces that stay without a process: each is mounted on DIR/ID/net. What else belongs
 * to an allocation's network (its resolv.conf) lies beside it. */
#ifndef NODEAGENT_NETNS_SPACE_H
#define NODEAGENT_NETNS_SPACE_H

#include "base/err.h"
#include <stdbool.h>

/* Makes one and goes into it. The caller has one thread, and the way back by space_leave. */
enum err space_make(const char *dir, const char *id, struct reason *why);
/* Into the one a descriptor of it is of. */
enum err space_enter(int fd, struct reason *why);
/* The descriptor of the one we are in; below 0: none, errno says why. */
int space_current(void);
/* With all that lies beside it, or `alone`. What is not there is no failure. */
enum err space_remove(const char *dir, const char *id, bool alone, struct reason *why);

#endif
