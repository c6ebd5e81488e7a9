/* A job as people write it -> Pb__Job. One reader per format makes a tree; one table-driven mapping
 * for all makes the job. */
#ifndef JOBFILE_JOBFILE_H
#define JOBFILE_JOBFILE_H

#include "base/arena.h"
#include "base/err.h"
#include "types.pb-c.h"
#include <stddef.h>

enum { JOB_MOST_COUNT = 1000000 }; /* of a group */

enum jobfile_format { JOBFILE_GUESS, JOBFILE_LIBCONFIG, JOBFILE_JSON };

/* Text -> job as written, nothing filled in. name is for messages ("hello.job"). JSON: Nomad's
 * form, with or without the outer {"Job": ...}; keys match case-insensitively. On failure *why
 * gives file, line where known, the path of the key
 * ("job.group[0].task[1].resources.cpu"), what is wrong and what would be right. */
enum err jobfile_parse(struct arena *a, enum jobfile_format format, const char *name,
                       const char *text, size_t len, Pb__Job **out, struct reason *why);

/* Fills in defaults as Nomad's canonical form has them (jobs/NAME.canonical.json in the
 * recordings). Idempotent. */
void job_canonicalize(struct arena *a, Pb__Job *job);

/* All that is wrong with a canonical job, as one text per mistake; 0 if nothing. warnings: what is
 * accepted but has no effect in this version. */
struct job_problems {
    size_t count;
    char **texts;
    size_t warning_count;
    char **warnings;
};
void job_validate(struct arena *a, const Pb__Job *job, struct job_problems *out);

#endif
