/* What to look for when, to collect what is old: pure.
 *
 * A core evaluation is one round: it reads the tables a piece at a time, makes a command of what
 * was found in each piece, and looks through them again as long as that deleted something, since
 * what goes makes other things collectable. It is this value and nothing stored: a controller that
 * begins anew makes its own.
 *
 * Evaluations and allocations carry times. Of what carries only an index the age is known from the
 * indexes that were reached at the times of our own answers: nothing is older than we are. */
#ifndef CONTROLLER_COLLECT_H
#define CONTROLLER_COLLECT_H

#include "base/arena.h"
#include "collect.pb-c.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct collect;

struct collect_settings {
    uint64_t job_threshold_ms, eval_threshold_ms, batch_eval_threshold_ms, deployment_threshold_ms,
        node_threshold_ms;
    uint32_t piece; /* records looked at in one answer; 0: as many as the server likes */
};

struct collect_counts {
    size_t evals, allocs, deployments, jobs, nodes; /* proposed */
    unsigned passes;
};

struct collect *collect_new(const struct collect_settings *s);
void collect_free(struct collect *c);

/* The state was at this index at this time (of the wall). Both never go back. */
void collect_witness(struct collect *c, uint64_t index, int64_t now_ns);

/* Begins a round, which ends one that is under way. force: everything is old enough. */
void collect_begin(struct collect *c, bool force, int64_t now_ns);
bool collect_is_forced(const struct collect *c);
/* What is to be read next; in a. NULL: the round is over. */
Pb__CollectRead *collect_next(struct collect *c, struct arena *a);
/* The answer to it. What is to be proposed, or NULL; borrowed from found. */
Pb__Collect *collect_found(struct collect *c, const Pb__CollectFound *found);
/* The answer to that. */
void collect_applied(struct collect *c, const Pb__Outcome *outcome);
struct collect_counts collect_count(const struct collect *c); /* of this round */

#endif
