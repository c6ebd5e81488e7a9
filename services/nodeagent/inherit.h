/* What an allocation with a sticky disk takes over of the one it replaces. */
#ifndef NODEAGENT_INHERIT_H
#define NODEAGENT_INHERIT_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* To be done before: what will be moved gets the heir's project, if there are any (diskquota.h), as
 * nothing can be renamed from one project into another. To be asked twice does no harm. Takes its
 * time where projects differ: for a worker. */
enum err inherit_project(const char *from_dir, const char *heir_dir, char *const *tasks,
                         size_t count, struct reason *why);
/* Moves alloc/data and the `local` of each task that both have, by rename, from the other's
 * directory. The heir's is there. What the other has no more stays as it is: to be asked twice does
 * no harm. The first failure is
 * told, and does not keep the rest from being moved.
 * What the heir has already stays, and is a failure; with `replace` it gives way. */
enum err inherit_disk(const char *from_dir, const char *data_dir, const uint8_t heir[16],
                      char *const *tasks, size_t count, bool replace, struct reason *why);

#endif
