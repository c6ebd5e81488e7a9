/* The rule by which a zone's clocks are changed year after year: "CET-1CEST,M3.5.0,M10.5.0/3", as
 * POSIX has it for TZ, with the times of day from -167 to 167 hours of RFC 8536. Part of zone. */
#ifndef BASE_ZONE_RULE_H
#define BASE_ZONE_RULE_H

#include "base/zone.h"
#include <stdbool.h>

#define ZONE_RULE_LONGEST 120

struct zone_edge {
    enum { EDGE_MONTH, EDGE_JULIAN, EDGE_DAY } kind; /* Mm.w.d; Jn without 29 February; n */
    unsigned month, week, day;
    int32_t second; /* of that day, by the clock that goes until then */
};

struct zone_rule {
    int32_t standard, summer; /* offsets */
    bool changes;
    struct zone_edge start, end; /* of summer time */
};

bool zone_rule_parse(struct zone_rule *out, const char *text);
struct zone_span zone_rule_span(const struct zone_rule *r, int64_t t);

#endif
