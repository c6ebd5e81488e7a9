/* What an allocation that failed tells of those before and after it. */
#ifndef NCTL_RESCHEDULEVIEW_H
#define NCTL_RESCHEDULEVIEW_H

#include "client.h"
#include "table.h"

/* "Reschedule Attempts = 1/3" where the group's policy limits them; "Reschedule Eligibility" where
 * it is to be placed anew later. */
void add_reschedule(struct client *c, struct table *t, const json_t *alloc);

#endif
