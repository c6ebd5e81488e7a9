/* What a registration that is a scaling asks and leaves besides the job. */
#ifndef JOBSTORE_APPLY_SCALING_H
#define JOBSTORE_APPLY_SCALING_H

#include "apply_internal.h"

/* old: the job as it is. False: refused. True also where the registration is no scaling. */
bool scaling_is_possible(struct view *v, const Pb__JobRegister *cmd, const Pb__Job *old,
                         Pb__Outcome *out);
/* Keeps the event, if the registration is a scaling. eval NULL: it made none. */
void scaling_record(struct view *v, const Pb__JobRegister *cmd, const Pb__Job *old,
                    const Pb__Eval *eval);

#endif
