/* Whether the local state can be read at all. To find out is dangerous: a file that was cut or
 * overwritten makes LMDB fail, abort or fault. So a process of its own finds out. */
#ifndef NODEAGENT_SOUNDNESS_H
#define NODEAGENT_SOUNDNESS_H

#include "base/err.h"
#include <stdbool.h>

/* look opens and reads everything; it runs in a child, with a time limit. Returns what it did, and
 * ERR_CORRUPT if it died of it. */
enum err soundness_try(enum err (*look)(void *owner, struct reason *why), void *owner,
                       struct reason *why);

/* Puts path aside as path.corrupt-TIME, and says so in the log. The two last of them are kept. */
enum err soundness_set_aside(const char *path, const struct reason *because, struct reason *why);

#endif
