/* Whether a job's namespace and node pool are there, for who only asks what registering it would
 * do: registering looks itself. */
#ifndef GATEWAY_JOBPLACE_H
#define GATEWAY_JOBPLACE_H

#include "routes.h"
#include "types.pb-c.h"

/* Calls go_on if both are there; else c is answered, in the words of a registration. job lives as
 * long as c. */
void jobplace_check(struct call_context *c, const Pb__Job *job, void (*go_on)(void *owner),
                    void *owner);

#endif
