/* Both readers of job files, and what follows them: a job that was read must be canonicalised,
 * checked and packed without harm, and canonicalising twice is the same as once. */
#include "base/err.h"
#include "jobfile/jobfile.h"
#include "wire/wire.h"
#include <stdint.h>
#include <stddef.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_as(enum jobfile_format format, const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(256u << 20);
    struct reason why = {""};
    struct job_problems problems;
    Pb__Job *job;
    if (jobfile_parse(a, format, "fuzz", (const char *)data, size, &job, &why) == OK) {
        job_canonicalize(a, job);
        job_validate(a, job, &problems);
        Pb__Job *again = (Pb__Job *)wire_clone(a, &job->base);
        job_canonicalize(a, again);
        must(wire_equal(&job->base, &again->base));
    } else
        must(why.text[0] != '\0');
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_as(JOBFILE_LIBCONFIG, data, size);
    read_as(JOBFILE_JSON, data, size);
    return 0;
}
