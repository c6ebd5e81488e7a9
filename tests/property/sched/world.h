/* Random clusters with one random job, and what may happen to them. */
#ifndef TESTS_SCHED_WORLD_H
#define TESTS_SCHED_WORLD_H

#include "onejob.h"

/* Every node has little of it, and every group of the job asks for some. */
void world_make_disk_scarce(struct onejob *c, struct prng *r);
void world_make(struct onejob *c, struct prng *r, unsigned seed);
void world_event(struct onejob *c, struct prng *r);
void world_add_constraints(struct onejob *c, Pb__TaskGroup *g, struct prng *r);

#endif
