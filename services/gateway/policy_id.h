/* The id of a group's scaling policy. It follows from the group's name, so that it needs no place
 * in the state and stays over every change of the job: a UUID of version 8 (RFC 9562, 5.8). */
#ifndef GATEWAY_POLICY_ID_H
#define GATEWAY_POLICY_ID_H

#include "base/id.h"

/* namespace NULL: "default". */
void policy_id(const char *namespace, const char *job, const char *group, uint8_t out[ID_SIZE]);

#endif
