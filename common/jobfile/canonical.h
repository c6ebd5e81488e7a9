/* Only for the files of this folder and their tests. */
#ifndef JOBFILE_CANONICAL_H
#define JOBFILE_CANONICAL_H

#include "base/arena.h"
#include "types.pb-c.h"
#include <stdbool.h>

/* One spelling for one meaning: empty texts, and zeros of fields that have no default, become
 * unset. */
void canonical_drop_zeros(ProtobufCMessage *m);

/* The defaults of one field for a type of job. False: it has none. */
bool canonical_default(const char *message, const char *field, const char *job_type,
                       const char **text, long long *number);

/* Nomad's names for the settings of its scaling stanza, and what is not said. */
void scaling_canonicalize(struct arena *a, Pb__TaskGroup *group);

#endif
