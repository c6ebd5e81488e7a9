/* Cores and devices as Nomad's answers have them. */
#ifndef GATEWAY_PIECES_JSON_H
#define GATEWAY_PIECES_JSON_H

#include "types.pb-c.h"
#include <jansson.h>

/* null where there is none. */
json_t *node_devices_json(const Pb__Node *n);
json_t *node_cores_json(const Pb__Node *n);          /* that may be given to tasks whole */
json_t *node_reserved_cores_json(const Pb__Node *n); /* that are given to none */
json_t *granted_cores_json(const Pb__TaskGrant *g);  /* g NULL: nothing was given */
json_t *granted_devices_json(const Pb__TaskGrant *g);

/* NULL: the task was given none. */
const Pb__TaskGrant *grant_of(const Pb__Alloc *a, const char *task);
/* MHz of one of the allocation's tasks, with those that its cores are. */
uint32_t task_cpu(const Pb__Alloc *a, const Pb__TaskGroup *group, const Pb__Task *task);

#endif
