/* The places of a task's own directory that its container gets. A task may have put symlinks there,
 * and an engine would follow them anywhere. */
#ifndef NODEAGENT_DOCK_OWNDIR_H
#define NODEAGENT_DOCK_OWNDIR_H

#include "base/err.h"
#include <jansson.h>

/* spec has "root", a directory, and "own", paths below it, which are made as directories where
 * there is nothing. ERR_DENIED: a symlink is on the way. */
enum err owndirs_make(const json_t *spec, struct reason *why);
/* A file below the directory, for reading; -1 and why. */
int owndir_open(const char *root, const char *path, struct reason *why);

#endif
