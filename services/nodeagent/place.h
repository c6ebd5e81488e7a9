/* Writing a file for a task into its allocation's directory, and nowhere else: tasks may have put
 * symlinks there. */
#ifndef NODEAGENT_PLACE_H
#define NODEAGENT_PLACE_H

#include "base/arena.h"
#include "base/err.h"
#include <stddef.h>
#include <sys/types.h>

/* Where `path`, as a job file has it, lies below the allocation's directory: "web/local/x". It is
 * relative to the task's directory; or absolute, as the task sees its directories (inside: /alloc,
 * /local, /secrets; else below alloc_dir). NULL: outside of what the task may be given. */
char *place_of(struct arena *a, const char *alloc_dir, const char *task, const char *path);

/* Writes the file as a whole, making the directories that lead to it; both belong to the user. No
 * symlink is followed. Of mode only the permissions count. */
enum err place_write(const char *alloc_dir, const char *place, const void *data, size_t len,
                     mode_t mode, uid_t uid, gid_t gid, struct reason *why);

#endif
