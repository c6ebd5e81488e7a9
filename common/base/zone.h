/* Time zones by their names ("Europe/Paris"), from the system's tables in /usr/share/zoneinfo
 * (RFC 8536), beyond their end by the rule they end with. Without the process-wide state of tzset,
 * so several zones can be used at once. */
#ifndef BASE_ZONE_H
#define BASE_ZONE_H

#include "base/err.h"
#include <stdint.h>

struct zone;

/* "UTC" needs no table; NULL and "" are "UTC". *out is untouched on error. */
enum err zone_open(struct zone **out, const char *name, struct reason *why);
/* A table as its file holds it. */
enum err zone_decode(struct zone **out, const void *data, size_t len, struct reason *why);
void zone_free(struct zone *z);

/* A stretch of time in which the clocks of a zone are not changed. Times are seconds since 1970,
 * UTC; local time is that plus offset. */
struct zone_span {
    int64_t begin, end; /* begin <= t < end; INT64_MIN and INT64_MAX: no change is known */
    int32_t offset;
    int32_t before; /* the offset until begin */
};
/* |t| is less than 2^40 (thirty thousand years). NULL is UTC. */
struct zone_span zone_span_at(const struct zone *z, int64_t t);

#define ZONE_TIME_SIZE 48
/* "2027-01-01T00:00:00+01:00", in UTC with "Z" at the end. */
void zone_format(const struct zone *z, int64_t t, char out[ZONE_TIME_SIZE]);

#endif
