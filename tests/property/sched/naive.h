/* The scheduler's placement rules once more, written for clarity only: every node is looked at for
 * every placement, and everything is recounted each time. */
#ifndef TESTS_NAIVE_H
#define TESTS_NAIVE_H

#include "onejob.h"

/* Follows the plan placement by placement: each is on a node where it may be, that has room, and
 * that no other such node surpasses; at the end, what was not placed fits nowhere. label begins
 * each message. */
void naive_check(struct onejob *c, const Pb__Plan *plan, const char *label);
/* For a plan that found no allocations: each value of each group's only spread has no more than its
 * share rounded up, and less than it rounded down only where no node is left. */
void naive_check_shares(struct onejob *c, const Pb__Plan *plan, const char *label);

#endif
