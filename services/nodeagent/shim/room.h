/* The room an isolated task lives in: mount, pid and ipc namespaces of its own, held open by an
 * init process that does nothing but reap. The task itself is made by taskshim, as its own child,
 * so its exit status comes the same way as any other's; when the init goes, the kernel kills all
 * that is in the room and takes the mounts away. The init goes with taskshim. libc only.
 *
 * Where taskshim is not root it first makes itself a user namespace: the room is that one's, and in
 * there is no user but the agent's. */
#ifndef NODEAGENT_SHIM_ROOM_H
#define NODEAGENT_SHIM_ROOM_H

#include "spec.h"
#include "tree.h"
#include <stdbool.h>
#include <sys/types.h>

struct room {
    pid_t init; /* 0: no room */
    int init_fd;
};

/* NULL, or what could not be done; errno says why. The text lives until the next call. */
const char *room_open(struct room *r, const struct spec_view *v);
/* fork whose child is in the room's pid namespace. */
pid_t room_fork(const struct room *r, struct tree *t);
/* For that child: takes the room's root and ipc. False: errno says why. */
bool room_enter(const struct room *r);
/* What it costs to try: for `taskshim --can-isolate`. NULL, or what does not work here. */
const char *room_probe(void);

#endif
