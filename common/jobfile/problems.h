/* Lists of mistakes, and lists within them, in the words Nomad's users know. Only for the files of
 * this folder. */
#ifndef JOBFILE_PROBLEMS_H
#define JOBFILE_PROBLEMS_H

#include "jobfile/jobfile.h"
#include <stdbool.h>

struct texts {
    struct arena *arena;
    size_t count, room;
    char **items;
};

void texts_add(struct texts *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "2 errors occurred:\n\t* a\n\t* b\n\n" */
const char *texts_join(const struct texts *t);
/* Adds those of `inner` to t as one text: the label, then the joined list. Nothing if there are
 * none. label NULL: the list alone. */
void texts_nest(struct texts *t, const struct texts *inner, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Numbers that JSON gave as negative, kept in an unsigned field. */
static inline bool is_negative(uint32_t value)
{
    return (int32_t)value < 0;
}

struct validation {
    struct arena *arena;
    const Pb__Job *job;
    struct texts *errors, *warnings;
};

/* Of one group; into v->errors as one text. */
void validate_group(struct validation *v, const Pb__TaskGroup *group);
/* Of one task; into errors as one text. */
void validate_task(struct validation *v, const Pb__TaskGroup *group, const Pb__Task *task,
                   struct texts *errors);
/* validate_dispatch.c: of the job, which is canonical; the first only if it is parameterized. */
void validate_parameterized(struct validation *v);
void validate_dependencies(struct validation *v);
/* validate_files.c: what is put into the task's directories. */
void validate_files(struct texts *errors, const Pb__Task *task);
/* Shared by job, group and task. */
void validate_constraints(struct texts *errors, Pb__Constraint *const *constraints, size_t count);
void validate_devices(struct texts *errors, Pb__RequestedDevice *const *devices, size_t count);
void validate_affinities(struct texts *errors, Pb__Affinity *const *affinities, size_t count);
void validate_spreads(struct texts *errors, Pb__Spread *const *spreads, size_t count);
/* validate_volumes.c: of the group, and of its tasks what they mount. */
void validate_volumes(struct texts *errors, const Pb__TaskGroup *group);
void validate_networks(struct texts *errors, Pb__Network *const *networks, size_t count,
                       const char *where);
void validate_restart(struct texts *errors, const Pb__RestartPolicy *policy);
void validate_scaling(struct texts *errors, const Pb__TaskGroup *group);
void validate_update(struct texts *errors, const Pb__UpdateStrategy *update);
/* A name that becomes part of a path, an environment variable or a URL. what: "Task". */
void validate_name(struct texts *errors, const char *what, const char *name, size_t longest);

#define NOT_YET "is not supported by this version of Norn"

#endif
