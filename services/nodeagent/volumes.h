/* Host volumes: directories of the node that jobs mount by name. Pure. */
#ifndef NODEAGENT_VOLUMES_H
#define NODEAGENT_VOLUMES_H

#include "base/arena.h"
#include "base/err.h"
#include "types.pb-c.h"
#include <stdbool.h>

/* "scratch=/srv/scratch,certs=/etc/ssl:ro" into node->host_volumes, sorted by name; in a. */
enum err volumes_parse(struct arena *a, const char *text, Pb__Node *node, struct reason *why);

/* What a volume_mount of a task is on the node. writable: neither node, group nor task say
 * otherwise. */
struct volume_place {
    const char *path;
    bool writable;
};
enum err volumes_find(const Pb__Node *node, const Pb__TaskGroup *group, const Pb__VolumeMount *m,
                      struct volume_place *out, struct reason *why);

#endif
