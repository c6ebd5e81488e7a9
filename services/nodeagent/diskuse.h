/* What a directory holds, in bytes of disk. */
#ifndef NODEAGENT_DISKUSE_H
#define NODEAGENT_DISKUSE_H

#include "base/err.h"
#include <stdint.h>

enum { DISKUSE_DEPTH_MOST = 256 };

/* By blocks, so that holes cost nothing; a file of several names once; nothing of other file
 * systems, and no link is followed. Ends when it has counted more than `most`: then *bytes is what
 * it has come to. ERR_INVALID: directories are so deep that they cannot be counted. What vanishes
 * meanwhile is not counted. Takes its time: for a worker. */
enum err diskuse_measure(const char *dir, uint64_t most, uint64_t *bytes, struct reason *why);

#endif
