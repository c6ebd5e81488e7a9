/* A job file as the argument of a command. */
#ifndef NCTL_JOBSOURCE_H
#define NCTL_JOBSOURCE_H

#include "base/arena.h"
#include "client.h"
#include "types.pb-c.h"
#include <jansson.h>

/* Reads path ("-": standard input), in the native form or JSON by its ending, else by its look.
 * NULL: told on stderr, with file, line and key where known. */
Pb__Job *jobsource_read(struct arena *a, const char *path);
/* Namespace and region, where the job says nothing and the command does. */
void jobsource_place(const struct client *c, struct arena *a, Pb__Job *job);
/* As the HTTP API takes it. */
json_t *jobsource_json(const Pb__Job *job);

#endif
