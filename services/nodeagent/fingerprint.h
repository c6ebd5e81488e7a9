/* What the machine is: Nomad's attribute names, resources, networks. Reads /proc, /sys and the like
 * once, when asked; the root of all of them can be another directory for tests. */
#ifndef NODEAGENT_FINGERPRINT_H
#define NODEAGENT_FINGERPRINT_H

#include "base/arena.h"
#include "types.pb-c.h"
#include <stdbool.h>

struct fingerprint_options {
    const char *root;                     /* "" outside tests */
    const char *data_dir;                 /* its file system is the node's disk */
    const char *interface;                /* "": that of the default route, or lo */
    uint32_t cpu_mhz, memory_mb, disk_mb; /* 0: as found; else instead of it */
};

/* Fills attributes, total, cores and networks of *node; everything new lives in a. */
void fingerprint_machine(struct arena *a, const struct fingerprint_options *o, Pb__Node *node);
/* Attributes are kept sorted by key. */
void fingerprint_set(struct arena *a, Pb__Node *node, const char *key, const char *value);
void fingerprint_unset(Pb__Node *node, const char *key);
/* The first line of a file below the root. False: there is none, and out is "". */
bool fingerprint_line(const struct fingerprint_options *o, const char *path, char *out, int room);
/* The address that ports are reached at: of the chosen interface. */
const char *fingerprint_address(const Pb__Node *node);

#endif
