/* Places where tests make the rare happen: FAULT_POINT("checkpoint.renamed"). The environment
 * variable NORN_FAULT names one place and what happens there: "place=die" ends the process as kill
 * -9 would, "place=fail" makes the place fail; "place=die:3" at the third visit. */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdbool.h>

/* True: the place shall fail. From any thread. */
bool fault_point(const char *place);
#define FAULT_POINT(place) fault_point(place)

/* Deliberate faults of the product itself, to see that the simulator finds them: in no other build
 * are they compiled in. At most one is switched on, by its name (docs/simulator.md lists them). */
#ifdef NORN_SIMULATOR
bool mutant_is(const char *name);
#define MUTANT(name) mutant_is(name)
#else
#define MUTANT(name) false
#endif

#endif
