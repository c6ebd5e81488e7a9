/* Random deployments, and what is said of them. */
#ifndef TESTS_DEPLOYING_H
#define TESTS_DEPLOYING_H

#include "base/prng.h"
#include "cluster.h"

/* The plan makes a deployment of the job's group, if it has none; some placements are part of it,
 * some of those canaries. */
void deploying_plan(struct cluster *c, struct prng *chance, Pb__Plan *p);
/* Tells the health of some allocations, as an agent. */
void deploying_report(struct cluster *c, struct prng *chance);
/* Promotes, pauses, resumes, fails or judges one, or finds it overdue. */
void deploying_command(struct cluster *c, struct prng *chance);

#endif
