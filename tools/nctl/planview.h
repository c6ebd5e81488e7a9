/* What a plan would do, and why things are as they are, for people. */
#ifndef NCTL_PLANVIEW_H
#define NCTL_PLANVIEW_H

#include "client.h"

struct planview {
    const char *file, *job;
    bool verbose, colors, all_at_once;
};

/* plan: the answer of /v1/job/ID/plan. */
void planview_print(const json_t *plan, const struct planview *v);
bool planview_changes(
    const json_t *plan); /* whether allocations would be made, changed or stopped */

/* replay: the answer of /v1/evaluation/ID/replay; only what the plan does. */
void replay_print_plan(const json_t *replay, bool verbose, bool colors);

/* why: the answer of one of the routes that end in /why. */
void why_print(const json_t *why, bool verbose, bool colors);

#endif
