/* An allocation's disk as a tar: alloc/data, the `local` of each task, and behind all else the
 * empty file MOVE_COMPLETE, without which something is missing. Files, directories, symbolic and
 * hard links are in it, with modes, owners and times; sockets, pipes and devices are not. */
#ifndef NODEAGENT_MOVE_H
#define NODEAGENT_MOVE_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

#define MOVE_COMPLETE ".complete"

/* Of the allocation whose directory is the current one. */
enum err move_pack(int out, struct reason *why);
/* Into the current directory. Nothing in it leads out or has a set-user-id bit; more than max_bytes
 * (each entry counts for 512 at least) is refused. ERR_CORRUPT: it was damaged or cut short. */
enum err move_unpack(int in, uint64_t max_bytes, struct reason *why);

/* "alloc/data", "TASK/local", and what is below: no other place may be in the tar. Pure. */
bool move_is_ours(const char *path);

#endif
