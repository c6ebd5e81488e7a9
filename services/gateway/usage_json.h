/* What an allocation's tasks use, as GET /v1/client/allocation/:id/stats shows it. Pure. */
#ifndef GATEWAY_USAGE_JSON_H
#define GATEWAY_USAGE_JSON_H

#include "gateway.pb-c.h"
#include <jansson.h>

/* task: only that one; NULL or "": all that run. */
json_t *usage_json(const Pb__AgentResult *result, const char *task);

#endif
