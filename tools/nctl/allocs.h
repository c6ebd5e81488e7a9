/* Allocations and tasks as people name them on the command line (cmd_alloc.c). */
#ifndef NCTL_ALLOCS_H
#define NCTL_ALLOCS_H

#include "client.h"

/* The whole allocation that prefix means. NULL: told. */
json_t *alloc_get(struct client *c, const char *prefix);
/* The task meant: the one named, or the only one. NULL: told. */
const char *alloc_pick_task(const json_t *alloc, const char *wanted);

#endif
