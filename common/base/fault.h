/* Places where tests make the rare happen: FAULT_POINT("checkpoint.renamed"). The environment
 * variable NORN_FAULT names one place and what happens there: "place=die" ends the process as kill
 * -9 would, "place=fail" makes the place fail; "place=die:3" at the third visit. */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdbool.h>

/* True: the place shall fail. From any thread. */
bool fault_point(const char *place);
#define FAULT_POINT(place) fault_point(place)

#endif
