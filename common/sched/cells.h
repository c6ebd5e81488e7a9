/* What a group's placements must share out: spread and distinct_property. Candidates that are alike
 * in all attributes that these look at are one *cell*, so that a placement recounts a handful of
 * cells and no node. For the files of this library.
 *
 * Each spread gives the candidates of the value that is shortest of its share +1, and those of all
 * other values -1; shares of a spread with targets are percentages of the group's count, those of
 * one without are equal. Values whose nodes are full are passed over. The part of the score is the
 * mean by the spreads' weights; the score is the mean of that and of all that speaks of the node
 * alone, so with one spread a value that has had its share never goes before one that has not, and
 * every value ends within one of its share where there is room.
 *
 * Each distinct_property closes a value once it has as many allocations as allowed. */
#ifndef SCHED_CELLS_H
#define SCHED_CELLS_H

#include "base/arena.h"
#include "sched/fleet.h"
#include <stdbool.h>
#include <stdint.h>

struct cells;

/* NULL: the group asks for neither. Borrows all; lives in a. */
struct cells *cells_new(struct arena *a, const struct fleet *f, const Pb__Job *job,
                        const Pb__TaskGroup *group);
/* Before cells_build: so many allocations of the job, and of them of the group, are on this node.
 */
void cells_count(struct cells *c, uint32_t slot, uint32_t of_job, uint32_t of_group);
/* scores: by candidate, kept by the owner, who tells of each change; KEY_NONE: no room. */
void cells_build(struct cells *c, const uint32_t *slots, uint32_t count, const double *scores);

/* UINT32_MAX: there is none. Equal scores: the lower candidate. */
uint32_t cells_best(const struct cells *c);
void cells_changed(struct cells *c, uint32_t candidate);
/* One more is placed there; follows cells_changed. */
void cells_placed(struct cells *c, uint32_t candidate);

bool cells_has_spread(const struct cells *c);
double cells_spread(const struct cells *c, uint32_t candidate); /* that part of the score */
double cells_score(const struct cells *c, uint32_t candidate);  /* whole */
/* The distinct_property that closes the candidate, as people read it; NULL: none does. */
const char *cells_closed_by(const struct cells *c, uint32_t candidate);

#endif
