/* Affinity: how much a group would like to be on a node, -1 to 1. For the files of this library. */
#ifndef SCHED_AFFINITY_H
#define SCHED_AFFINITY_H

#include "base/arena.h"
#include "sched/fleet.h"

/* For each of the slots: the weights of the job's, the group's and its tasks' affinities that
 * hold there, as a share of all weights without their signs. NULL: there are none. */
double *affinity_scores(struct arena *a, const struct fleet *f, const Pb__Job *job,
                        const Pb__TaskGroup *group, const uint32_t *slots, uint32_t count);

#endif
