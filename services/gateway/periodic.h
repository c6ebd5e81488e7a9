/* When a periodic job would be launched next, for the answers about it. */
#ifndef GATEWAY_PERIODIC_H
#define GATEWAY_PERIODIC_H

#include "types.pb-c.h"
#include <jansson.h>
#include <stdint.h>

/* RFC 3339, by the clocks of the job's time zone; null: it is not launched by itself. */
json_t *next_launch_json(const Pb__Job *job, int64_t now_ns);

#endif
