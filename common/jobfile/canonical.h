/* Only for the files of this folder and their tests. */
#ifndef JOBFILE_CANONICAL_H
#define JOBFILE_CANONICAL_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

/* One spelling for one meaning: empty texts, and zeros of fields that have no default, become
 * unset. */
void canonical_drop_zeros(ProtobufCMessage *m);

/* The defaults of one field for a type of job. False: it has none. */
bool canonical_default(const char *message, const char *field, const char *job_type,
                       const char **text, long long *number);

#endif
