/* Numbers with units, as device attributes have them: "11 GiB", "1500MHz", "250 W". For the files
 * of this library. */
#ifndef SCHED_QUANTITY_H
#define SCHED_QUANTITY_H

#include <stdbool.h>

enum quantity_of { PLAIN, BYTES, BYTES_PER_SECOND, HERTZ, WATTS };
struct quantity {
    enum quantity_of of;
    double value; /* in bytes, bytes per second, hertz, watts */
};

/* False: it is no number, or its unit is unknown. A space may stand before the unit. */
bool quantity_parse(const char *text, struct quantity *out);

#endif
