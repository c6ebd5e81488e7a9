/* What the counts of a deployment say of it. Pure: the same on every replica, for apply, schedulers
 * and the controller. */
#ifndef SCHED_DEPLOYMENT_H
#define SCHED_DEPLOYMENT_H

#include "types.pb-c.h"
#include <stdbool.h>
#include <stdint.h>

/* It has not ended. */
bool deployment_is_active(const Pb__Deployment *d);
/* The first group of that name; NULL: it has none such. */
Pb__DeploymentGroup *deployment_group(const Pb__Deployment *d, const char *name);

/* It has canaries that nobody has promoted yet. */
bool group_needs_promotion(const Pb__DeploymentGroup *g);
bool deployment_needs_promotion(const Pb__Deployment *d);
/* All it wants is healthy, and promoted. */
bool deployment_is_complete(const Pb__Deployment *d);

/* When the group fails for want of progress; 0: never. Canaries that are all healthy may wait for
 * their promotion as long as they like. */
int64_t group_due(const Pb__DeploymentGroup *g);
/* The earliest of its groups while it runs; 0: never. */
int64_t deployment_due(const Pb__Deployment *d);

#endif
