/* The images that were brought here for tasks, so that they can go again: a directory has an empty
 * file for each, with its name, where / is %; its time is that of the last use. What was there
 * before is not ours to remove and has no file. */
#ifndef NODEAGENT_DOCK_COLLECT_H
#define NODEAGENT_DOCK_COLLECT_H

#include <stdbool.h>

/* It is used now; brought: and was not there before. */
void collect_note(const char *dir, const char *image, bool brought);
/* What had its name until now, by its id ("sha256:..."): it has none any more, and goes likewise if
 * it was brought. */
void collect_replaced(const char *dir, const char *image, const char *old_id);
/* Removes those that were not used for so long, and that no container is of. Prints how many. */
int collect_main(const char *socket, const char *dir, const char *seconds);

#endif
