/* What tasks are given piece by piece, each to one of them: cores, and instances of devices. Here
 * is how these are named, and how the pieces of grants are walked through, for all who count them.
 */
#ifndef WIRE_GRANT_H
#define WIRE_GRANT_H

#include "base/arena.h"
#include "types.pb-c.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Limits of what a node may list, and so of what may be given. */
enum {
    CORES_MOST = 4096,      /* cores of one node; their numbers are below this too */
    DEVICES_MOST = 256,     /* devices of one node, by vendor, type and name */
    INSTANCES_MOST = 1024,  /* of all of them together */
    DEVICE_TEXT_MOST = 128, /* bytes of a vendor, a type, a name or an id */
    DEVICE_ATTRIBUTES = 64, /* of one device */
    DEVICE_NAME_SIZE = 520, /* of what device_name writes, its end included */
};

/* "vendor/type/name/id": how an instance is called in NodeUsage.devices. */
void device_name(char out[DEVICE_NAME_SIZE], const char *vendor, const char *type, const char *name,
                 const char *id);

/* Calls the visitors for each core and for each instance of all the grants. */
struct grant_visitor {
    void *self;
    void (*core)(void *self, uint32_t core);
    void (*device)(void *self, const char *name); /* as device_name writes it */
};
void grants_each(Pb__TaskGrant *const *grants, size_t count, const struct grant_visitor *v);

/* What the task may use for a while beyond its memory; 0: nothing more. */
uint32_t grants_memory_max_mb(Pb__TaskGrant *const *grants, size_t count, const char *task);

/* NULL: they can be counted. Else what is wrong: a core that no node can have, a text that is
 * missing, empty, too long, or holds a '/' or what is not printable. */
const char *grants_mistake(Pb__TaskGrant *const *grants, size_t count);
/* The same for what a node lists; cores and instances have to be sorted and distinct. */
const char *node_pieces_mistake(const Pb__Node *node);

#endif
